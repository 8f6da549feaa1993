//! The slow log: a warning of the server's own log for each request that took long, with what it waited for.

use super::Captured;
use crate::dispatch::{Outcome, Record};
use std::time::{Duration, Instant};
use tine_common::request_name::RequestName;

/// What a request has waited for besides its app, up to now.
#[derive(Debug, Default, Clone, Copy)]
pub struct Waits {
    /// For room within the server's limits.
    pub queue: Duration,
    /// For bytes of the request's body.
    body: Duration,
    /// For the client to read what was written.
    reader: Duration,
    current: Option<(Wait, Instant)>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wait {
    Body,
    Reader,
}

impl Waits {
    /// A wait begins; one that is under way goes on or ends.
    pub fn begin(&mut self, wait: Wait, now: Instant) {
        if self.current.is_none_or(|(current, _)| current != wait) {
            self.end(now);
            self.current = Some((wait, now));
        }
    }

    /// Nothing is waited for but the app.
    pub fn end(&mut self, now: Instant) {
        let Some((wait, since)) = self.current.take() else { return };
        let waited = now.saturating_duration_since(since);
        match wait {
            Wait::Body => self.body += waited,
            Wait::Reader => self.reader += waited,
        }
    }
}

pub fn log(name: &RequestName, record: &Record, captured: &Captured) {
    let mut waits = captured.waits;
    waits.end(record.ended);
    let all = record.duration();
    let app = all.saturating_sub(waits.queue + waits.body + waits.reader);
    let ms = |span: Duration| span.as_millis();
    let (queue, body, reader) = (ms(waits.queue), ms(waits.body), ms(waits.reader));
    let status = record.status.map_or("no status".to_string(), |status| status.as_str().to_string());
    let outcome = match record.outcome {
        Outcome::Answered | Outcome::Refused => "",
        Outcome::Cut(_) => ", cut",
        Outcome::ClientLeft => ", and the client left",
    };
    let id = captured.id().map_or(String::new(), |id| format!(", request {id}"));
    let (all, app, bytes) = (ms(all), ms(app), record.response_bytes);
    log::warn!(
        "slow: {name}: {status} after {all} ms, of which {app} ms for the app, {body} ms for the client's body, {reader} \
         ms for the client to read, {queue} ms for the limits; {bytes} bytes{outcome}{id}"
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_wait_counts_for_what_it_was() {
        let (mut waits, began) = (Waits::default(), Instant::now());
        let at = |ms| began + Duration::from_millis(ms);
        waits.end(at(5));
        waits.begin(Wait::Body, at(10));
        waits.begin(Wait::Body, at(15));
        waits.begin(Wait::Reader, at(30));
        waits.end(at(100));
        waits.end(at(200));
        assert_eq!((waits.body, waits.reader), (Duration::from_millis(20), Duration::from_millis(70)));
    }
}
