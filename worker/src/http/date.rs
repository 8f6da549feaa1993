//! The `Server` and `Date` lines of every response, formatted once a second.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use tine_common::VERSION;

const OK_LINE: &str = "HTTP/1.1 200 OK\r\n";

pub struct DateLine {
    /// The commonest status line before them: one copy for all three.
    lines: Vec<u8>,
    /// The wall clock's second ends here, by the monotonic clock.
    valid_until: Instant,
}

impl DateLine {
    pub fn new(now: Instant) -> Self {
        let mut line = DateLine { lines: Vec::new(), valid_until: now };
        line.refresh(now);
        line
    }

    /// Reads the wall clock only when its second may have ended. Called once a turn.
    pub fn refresh(&mut self, now: Instant) {
        if now < self.valid_until {
            return;
        }
        let wall = SystemTime::now();
        let into_second = wall.duration_since(UNIX_EPOCH).map_or(0, |since| since.subsec_nanos());
        self.valid_until = now + (Duration::from_secs(1) - Duration::from_nanos(into_second.into()));
        self.lines.clear();
        self.lines.extend_from_slice(
            format!("{OK_LINE}Server: tine/{VERSION}\r\nDate: {}\r\n", httpdate::fmt_http_date(wall)).as_bytes(),
        );
    }

    /// `Server: …\r\nDate: …\r\n`
    pub fn lines(&self) -> &[u8] {
        &self.lines[OK_LINE.len()..]
    }

    /// The same, behind `HTTP/1.1 200 OK\r\n`.
    pub fn ok_lines(&self) -> &[u8] {
        &self.lines
    }
}
