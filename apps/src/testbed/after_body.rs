//! Responses that wait for the end of the request's body, which is read and dropped. How the connection ends is then
//! our choice, not the kernel's, which resets a connection that is closed with unread bytes.

use tine_worker::app::{Answer, AppError, Cx, Exchange, Out, Pull};

/// `exchange` is pulled once the body has ended.
pub fn answer(exchange: impl Exchange + 'static) -> Answer {
    Answer::exchange(AfterBody { exchange, body_ended: false })
}

struct AfterBody<E> {
    exchange: E,
    body_ended: bool,
}

impl<E: Exchange> Exchange for AfterBody<E> {
    fn push(&mut self, body: &[u8], end: bool, _: &Cx<'_>) -> Result<usize, AppError> {
        self.body_ended = end;
        Ok(body.len())
    }

    fn pull(&mut self, out: &mut Out<'_>, cx: &Cx<'_>) -> Result<Pull, AppError> {
        if self.body_ended { self.exchange.pull(out, cx) } else { Ok(Pull::Idle) }
    }
}
