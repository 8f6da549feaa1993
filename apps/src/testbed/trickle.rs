//! `/trickle/{bytes}?every=`: a body of a declared length, one byte at a time.

use super::bin::Pattern;
use super::numbers;
use super::pace::Pace;
use tine_worker::app::{Answer, AppError, Cx, Exchange, Out, Pull};
use tine_worker::http::{Head, Request, Response, StatusCode};

/// At one byte per millisecond, twelve days.
const BYTES_MAX: u64 = 1 << 30;
const EVERY_MS: u64 = 100;
/// An hour: anything longer is a mistake.
const EVERY_MS_MAX: u64 = 3_600_000;

pub fn answer(bytes: &str, request: &Request<'_>, pattern: Pattern) -> Answer {
    let wrong = |text: &'static str| Response::text(StatusCode::BAD_REQUEST, text).into();
    if bytes.is_empty() {
        return wrong("Please specify size: /trickle/20?every=100\n");
    }
    let Some(bytes) = numbers::size(bytes).filter(|&bytes| bytes <= BYTES_MAX) else {
        return wrong("Invalid size. 1 to 1G bytes, K, M and G are taken: /trickle/20?every=100\n");
    };
    let Some(every_ms) = numbers::parameter(request, "every", EVERY_MS, 0..=EVERY_MS_MAX) else {
        return wrong("Invalid every. 0 to 3600000 milliseconds: /trickle/20?every=100\n");
    };
    Answer::exchange(Trickle { bytes, sent: 0, pace: Pace::new(every_ms), block: pattern.block() })
}

struct Trickle {
    bytes: u64,
    sent: u64,
    pace: Pace,
    block: &'static [u8],
}

impl Exchange for Trickle {
    /// Writes the head or one byte per pull, because everything written in one pull is sent together.
    fn pull(&mut self, out: &mut Out<'_>, cx: &Cx<'_>) -> Result<Pull, AppError> {
        if !out.has_head() {
            out.head(Head::new(StatusCode::OK).content_type("text/plain; charset=utf-8").length(self.bytes))?;
            return Ok(Pull::NotBefore(cx.now()));
        }
        if let Some(due) = self.pace.waits_until(cx) {
            return Ok(Pull::NotBefore(due));
        }
        let at = (self.sent % self.block.len() as u64) as usize;
        out.write(&self.block[at..=at])?;
        self.sent += 1;
        let due = self.pace.happened(cx);
        Ok(if self.sent == self.bytes { Pull::End } else { Pull::NotBefore(due) })
    }
}
