//! HTTP dates, and the `Server` and `Date` lines of every response, formatted once a second.

use std::cell::RefCell;
use std::fmt;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

const OK_LINE: &str = "HTTP/1.1 200 OK\r\n";
const SERVER_LINE: &str = concat!("Server: tine/", env!("CARGO_PKG_VERSION"), "\r\n");

/// A point in time in whole seconds (RFC 9110, 5.6.7), of the years 1970 to 9999.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct HttpDate {
    /// Since the epoch.
    seconds: u64,
}

impl HttpDate {
    /// The last second of 9999.
    const SECONDS_MAX: u64 = 253_402_300_799;

    /// The second that contains it; the nearest one if it is out of range.
    pub fn new(time: SystemTime) -> Self {
        let seconds = time.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
        HttpDate { seconds: seconds.min(HttpDate::SECONDS_MAX) }
    }

    /// Parses a field value in any of the three formats; `None` if it is in none of them, or before 1970.
    pub fn parse(value: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(value).ok()?;
        httpdate::parse_http_date(text).ok().map(HttpDate::new)
    }
}

impl fmt::Display for HttpDate {
    /// `Sun, 06 Nov 1994 08:49:37 GMT`
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&httpdate::fmt_http_date(UNIX_EPOCH + Duration::from_secs(self.seconds)))
    }
}

pub struct DateLine {
    /// The most common status line, then the two lines: one copy for all three.
    lines: Vec<u8>,
    /// The wall clock when it was last read: the second of `Date`.
    wall: SystemTime,
    /// When the wall clock's second ends, by the monotonic clock.
    valid_until: Instant,
    ok_start: RefCell<OkStart>,
}

/// The start of a 200, up to the value of Content-Length, for the content type that was last sent in this second.
#[derive(Default)]
struct OkStart {
    content_type: Option<&'static str>,
    lines: Vec<u8>,
}

impl DateLine {
    pub fn new(now: Instant) -> Self {
        let mut line = DateLine { lines: Vec::new(), wall: UNIX_EPOCH, valid_until: now, ok_start: RefCell::default() };
        line.refresh(now);
        line
    }

    /// Reads the wall clock only when its second may have ended; true: it has. Called once a turn.
    pub fn refresh(&mut self, now: Instant) -> bool {
        if now < self.valid_until {
            return false;
        }
        let wall = SystemTime::now();
        let into_second = wall.duration_since(UNIX_EPOCH).map_or(0, |since| since.subsec_nanos());
        self.valid_until = now + (Duration::from_secs(1) - Duration::from_nanos(into_second.into()));
        self.wall = wall;
        self.ok_start.get_mut().content_type = None;
        self.lines.clear();
        self.lines
            .extend_from_slice(format!("{OK_LINE}{SERVER_LINE}Date: {}\r\n", httpdate::fmt_http_date(wall)).as_bytes());
        true
    }

    /// A time within the second of `Date`.
    pub fn wall(&self) -> SystemTime {
        self.wall
    }

    /// Appends the head of a 200 with this content type, up to the value of Content-Length.
    #[inline]
    pub fn append_ok_with(&self, content_type: &'static str, out: &mut Vec<u8>) {
        let mut start = self.ok_start.borrow_mut();
        if start.content_type.is_none_or(|last| !std::ptr::eq(last, content_type)) {
            start.content_type = Some(content_type);
            start.lines.clear();
            let parts = [self.ok_lines(), b"Content-Type: ", content_type.as_bytes(), b"\r\nContent-Length: "];
            parts.into_iter().for_each(|part| start.lines.extend_from_slice(part));
        }
        out.extend_from_slice(&start.lines);
    }

    /// `Server: …\r\nDate: …\r\n`
    pub fn lines(&self) -> &[u8] {
        &self.lines[OK_LINE.len()..]
    }

    /// `Server: …\r\n`
    pub fn server_line(&self) -> &[u8] {
        SERVER_LINE.as_bytes()
    }

    /// `Date: …\r\n`
    pub fn date_line(&self) -> &[u8] {
        &self.lines[OK_LINE.len() + SERVER_LINE.len()..]
    }

    /// The value of `Server`.
    pub fn server(&self) -> &[u8] {
        value(self.server_line())
    }

    /// The value of `Date`.
    pub fn date(&self) -> &[u8] {
        value(self.date_line())
    }

    /// All lines, preceded by `HTTP/1.1 200 OK\r\n`.
    pub fn ok_lines(&self) -> &[u8] {
        &self.lines
    }
}

/// Of a line of a field.
fn value(line: &[u8]) -> &[u8] {
    let start = line.iter().position(|&b| b == b' ').map_or(0, |at| at + 1);
    &line[start..line.len() - b"\r\n".len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_whole_seconds_in_three_formats() {
        let date = HttpDate::new(UNIX_EPOCH + Duration::from_millis(784_111_777_999));
        assert_eq!(date.to_string(), "Sun, 06 Nov 1994 08:49:37 GMT");
        // RFC 9110, 5.6.7.
        for text in ["Sun, 06 Nov 1994 08:49:37 GMT", "Sunday, 06-Nov-94 08:49:37 GMT", "Sun Nov  6 08:49:37 1994"] {
            assert_eq!(HttpDate::parse(text.as_bytes()), Some(date), "{text}");
        }
        for text in [
            "",
            "0",
            "784111777",
            "Sun, 06 Nov 1994 08:49:37",
            "Sun, 06 Nov 1994 08:49:37 CET",
            "Sun, 31 Feb 1994 08:49:37 GMT",
            "Sun, 06 Nov 1994 08:49:37 GMT, Sun, 06 Nov 1994 08:49:37 GMT",
            "Sun, 06 Nov 1904 08:49:37 GMT",
            "\u{e9}",
        ] {
            assert_eq!(HttpDate::parse(text.as_bytes()), None, "{text}");
        }
    }

    #[test]
    fn times_out_of_range_are_clamped() {
        let year = Duration::from_secs(365 * 86400);
        assert_eq!(HttpDate::new(UNIX_EPOCH - year).to_string(), "Thu, 01 Jan 1970 00:00:00 GMT");
        assert_eq!(HttpDate::new(UNIX_EPOCH + 9000 * year).to_string(), "Fri, 31 Dec 9999 23:59:59 GMT");
    }
}
