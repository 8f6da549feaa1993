//! Numbers in paths and query parameters, as text that a client chose.

use super::query;
use std::ops::RangeInclusive;
use tine_worker::http::{BODY_BYTES_MAX, Request};

/// A whole number in a path; a leading `+` is accepted, as in hpdummy.
pub fn in_path(text: &str) -> Option<u64> {
    text.parse().ok()
}

/// A size in a path: a positive number with an optional suffix k, m, g or t in either case, powers of 1024.
pub fn size(text: &str) -> Option<u64> {
    let (digits, shift) = match text.as_bytes().last()?.to_ascii_lowercase() {
        b'k' => (&text[..text.len() - 1], 10),
        b'm' => (&text[..text.len() - 1], 20),
        b'g' => (&text[..text.len() - 1], 30),
        b't' => (&text[..text.len() - 1], 40),
        _ => (text, 0),
    };
    in_path(digits)?.checked_mul(1 << shift).filter(|bytes| (1..=BODY_BYTES_MAX).contains(bytes))
}

/// A lenient parameter: a positive number; the default if it is missing or malformed, as in hpdummy.
pub fn positive_or(default: u64, request: &Request<'_>, name: &str) -> u64 {
    query::value(request, name).and_then(|text| digits(&text)).filter(|&number| number > 0).unwrap_or(default)
}

/// A strict parameter: the default if it is missing, `None` if it is not a number in `range`.
pub fn parameter(request: &Request<'_>, name: &str, default: u64, range: RangeInclusive<u64>) -> Option<u64> {
    match query::value(request, name) {
        None => Some(default),
        Some(text) => digits(&text).filter(|number| range.contains(number)),
    }
}

/// Nothing but digits: in a query a `+` is a space.
fn digits(text: &str) -> Option<u64> {
    text.bytes().all(|b| b.is_ascii_digit()).then(|| text.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes() {
        for (text, bytes) in [
            ("1", 1),
            ("+1", 1),
            ("11111", 11111),
            ("007", 7),
            ("1K", 1024),
            ("10m", 10 << 20),
            ("1G", 1 << 30),
            ("2t", 2 << 40),
            ("8388607T", 8388607 << 40),
            ("9223372036854775807", i64::MAX as u64),
        ] {
            assert_eq!(size(text), Some(bytes), "{text}");
        }
        for text in [
            "",
            "0",
            "0K",
            "K",
            "+",
            "-1",
            "-0",
            "1.5M",
            "1KB",
            "x",
            "99999999999999999999",
            "8388608T",
            "16777216T",
            "9223372036854775808",
            "18446744073709551615",
            "1é",
            "é",
            "1 ",
        ] {
            assert_eq!(size(text), None, "{text}");
        }
    }

    #[test]
    fn parameters_are_digits_only() {
        assert_eq!(digits("18446744073709551615"), Some(u64::MAX));
        for text in ["", "+1", "-1", "1.0", " 1", "1e3", "%31", "18446744073709551616"] {
            assert_eq!(digits(text), None, "{text:?}");
        }
    }
}
