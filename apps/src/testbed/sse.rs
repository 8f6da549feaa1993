//! `/sse[?count=&every=]`: numbered server-sent events at a fixed interval.
//!
//! The numbers are the events' ids: a client that reconnects continues where it was, on any worker, and one that has
//! received all `count` events gets a 204, which tells it not to reconnect (HTML, 9.2).

use super::numbers;
use super::pace::Pace;
use std::fmt::Write;
use std::time::SystemTime;
use tine_worker::app::{Answer, AppError, Cx, Exchange, Out, Pull};
use tine_worker::http::{Head, Request, Response, StatusCode};

const EVERY_MS: u64 = 1000;
/// An hour: anything longer is a mistake.
const EVERY_MS_MAX: u64 = 3_600_000;
/// How long a client waits before it reconnects.
const RETRY: &[u8] = b"retry: 1000\n\n";
const WRONG: &str = "every is 1 to 3600000 milliseconds, count at least 1: /sse?every=100&count=5\n";

pub fn answer(request: &Request<'_>) -> Answer {
    let every_ms = numbers::parameter(request, "every", EVERY_MS, 1..=EVERY_MS_MAX);
    let count = numbers::parameter(request, "count", u64::MAX, 1..=u64::MAX);
    let (Some(every_ms), Some(count)) = (every_ms, count) else {
        return Response::text(StatusCode::BAD_REQUEST, WRONG).into();
    };
    let sent = last_event(request).unwrap_or(0);
    if sent >= count {
        return Response::new(StatusCode::NO_CONTENT).header("Cache-Control", "no-store").into();
    }
    Answer::exchange(Events { sent, count, pace: Pace::new(every_ms), owes_retry: false, text: String::new() })
}

/// The last id that the client received. An id that is not ours is ignored, not refused.
fn last_event(request: &Request<'_>) -> Option<u64> {
    std::str::from_utf8(request.headers().get("last-event-id")?).ok()?.parse().ok()
}

struct Events {
    /// The number of the last event, on this connection or an earlier one.
    sent: u64,
    count: u64,
    pace: Pace,
    /// The head is written and the first line is not.
    owes_retry: bool,
    /// The event being written; kept for the next.
    text: String,
}

impl Exchange for Events {
    fn pull(&mut self, out: &mut Out<'_>, cx: &Cx<'_>) -> Result<Pull, AppError> {
        if !out.has_head() {
            out.head(Head::new(StatusCode::OK).content_type("text/event-stream").header("Cache-Control", "no-store"))?;
            self.owes_retry = true;
        }
        if !out.has_room() {
            return Ok(Pull::More);
        }
        if std::mem::take(&mut self.owes_retry) {
            out.write(RETRY)?;
            return Ok(Pull::More);
        }
        // The client reconnects to another server and sends its last id there.
        if cx.is_draining() {
            return Ok(Pull::End);
        }
        if let Some(due) = self.pace.waits_until(cx) {
            return Ok(Pull::NotBefore(due));
        }
        self.sent += 1;
        self.text.clear();
        let (n, time) = (self.sent, epoch_ms());
        write!(self.text, "id: {n}\ndata: {{\"n\":{n},\"time\":{time}}}\n\n").map_err(AppError::new)?;
        out.write(self.text.as_bytes())?;
        let due = self.pace.happened(cx);
        Ok(if self.sent == self.count { Pull::End } else { Pull::NotBefore(due) })
    }
}

/// Milliseconds since 1970, as JavaScript counts.
fn epoch_ms() -> u128 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_millis()
}
