//! The name of a request in the log: `GET /path?query`, as in its first line.
//!
//! It is kept for as long as the request may have something to be logged, so it is short: a name longer than
//! [`TEXT_BYTES_MAX`] ends with `...`. It is displayed without control characters, as any line of the log.

use crate::in_flight_table::TEXT_BYTES_MAX;
use crate::log::one_line;
use std::fmt;
use std::rc::Rc;

/// Cheap to clone: all copies share one text. It has up to [`TEXT_BYTES_MAX`] bytes; one more, which does not count, if the
/// name is cut.
#[derive(Clone)]
pub struct RequestName(Rc<[u8]>);

impl RequestName {
    pub fn new(method: &[u8], target: &[u8]) -> RequestName {
        let (mut text, mut length) = ([0; TEXT_BYTES_MAX + 1], 0);
        for part in [method, b" ", target] {
            let at = length.min(TEXT_BYTES_MAX);
            let fits = part.len().min(TEXT_BYTES_MAX - at);
            text[at..at + fits].copy_from_slice(&part[..fits]);
            length = at + fits + usize::from(fits < part.len());
        }
        RequestName(text[..length].into())
    }
}

impl fmt::Display for RequestName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let is_cut = self.0.len() > TEXT_BYTES_MAX;
        let bytes = &self.0[..self.0.len().min(TEXT_BYTES_MAX)];
        // Half a character at the cut is not an invalid one of the client.
        let whole = match std::str::from_utf8(bytes) {
            Err(e) if is_cut && e.error_len().is_none() => &bytes[..e.valid_up_to()],
            _ => bytes,
        };
        f.write_str(&one_line(&String::from_utf8_lossy(whole)))?;
        f.write_str(if is_cut { "..." } else { "" })
    }
}

impl fmt::Debug for RequestName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_printable_and_short() {
        let name = |method: &str, target: &[u8]| RequestName::new(method.as_bytes(), target).to_string();
        assert_eq!(name("GET", b"/a?b=c"), "GET /a?b=c");
        assert_eq!(name("GET", b"/a\n\x1b[1m\xff"), "GET /a\\n\\u{1b}[1m\u{fffd}");
        let fits = "x".repeat(TEXT_BYTES_MAX - "GET /".len());
        assert_eq!(name("GET", format!("/{fits}").as_bytes()), format!("GET /{fits}"));
        assert_eq!(name("GET", format!("/{fits}y").as_bytes()), format!("GET /{fits}..."));
        assert_eq!(name("GET", format!("/{}é", &fits[1..]).as_bytes()), format!("GET /{}...", &fits[1..]));
        assert_eq!(name(&"M".repeat(1000), b"/"), format!("{}...", "M".repeat(TEXT_BYTES_MAX)));
        assert_eq!(name(&"M".repeat(TEXT_BYTES_MAX), b"/"), format!("{}...", "M".repeat(TEXT_BYTES_MAX)));
    }
}
