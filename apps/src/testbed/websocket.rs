//! `/ws`: echoes messages; `/ws/close`: answers one and closes; `/ws/ticker?every=`: sends messages on its own. All
//! accept the first subprotocol that the client offers, because some clients disconnect without one.

use super::numbers;
use std::time::{Duration, Instant};
use tine_worker::app::{Answer, AppError, Cx, Message, MessageOut, Peer, Pull, Upgrade};
use tine_worker::http::{Request, Response, StatusCode};

/// The default interval of ticks.
const EVERY_MS: u64 = 1000;
/// An hour: anything longer is a mistake.
const EVERY_MS_MAX: u64 = 3_600_000;

pub fn echo(request: &Request<'_>) -> Answer {
    upgrade(request, Echo)
}

pub fn close(request: &Request<'_>) -> Answer {
    upgrade(request, Close)
}

pub fn ticker(request: &Request<'_>, cx: &Cx<'_>) -> Answer {
    let every = numbers::parameter(request, "every", EVERY_MS, 1..=EVERY_MS_MAX);
    let count = numbers::parameter(request, "count", u64::MAX, 1..=u64::MAX);
    match (every, count) {
        (Some(every), Some(left)) => {
            upgrade(request, Ticker { every: Duration::from_millis(every), next: cx.now(), sent: 0, left })
        }
        _ => {
            let text =
                format!("every is 1 to {EVERY_MS_MAX} milliseconds, count at least 1: /ws/ticker?every=100&count=5\n");
            Response::text(StatusCode::BAD_REQUEST, text).into()
        }
    }
}

fn upgrade(request: &Request<'_>, peer: impl Peer + 'static) -> Answer {
    let upgrade = Upgrade::new(peer);
    match request.subprotocols().next() {
        Some(first) => upgrade.subprotocol(first).into(),
        None => upgrade.into(),
    }
}

struct Echo;

impl Peer for Echo {
    fn message(&mut self, message: Message, out: &mut MessageOut<'_>, _: &Cx<'_>) -> Result<(), AppError> {
        out.send(message)
    }
}

struct Close;

impl Peer for Close {
    fn message(&mut self, message: Message, out: &mut MessageOut<'_>, _: &Cx<'_>) -> Result<(), AppError> {
        const ANSWER: &str = "Server received: ";
        out.send(match message {
            Message::Text(text) => Message::text(format!("{ANSWER}{text}")),
            Message::Binary(bytes) => Message::binary([ANSWER.as_bytes(), &bytes].concat()),
        })?;
        out.close(1000, "server done")
    }
}

/// Sends a counter, one message per tick; messages of the client are ignored.
struct Ticker {
    every: Duration,
    next: Instant,
    sent: u64,
    left: u64,
}

impl Peer for Ticker {
    fn message(&mut self, _: Message, _: &mut MessageOut<'_>, _: &Cx<'_>) -> Result<(), AppError> {
        Ok(())
    }

    fn pull(&mut self, out: &mut MessageOut<'_>, cx: &Cx<'_>) -> Result<Pull, AppError> {
        if self.left == 0 {
            return Ok(Pull::End);
        }
        if cx.now() < self.next {
            return Ok(Pull::NotBefore(self.next));
        }
        self.sent += 1;
        self.left -= 1;
        out.send(Message::text(format!("{{\"n\":{}}}", self.sent)))?;
        // A client that does not read for a while misses ticks; they are not sent later.
        self.next = (self.next + self.every).max(cx.now());
        Ok(Pull::More)
    }
}
