//! Range requests (RFC 9110, 14): the bytes of a representation that a request selects, and the framing of several
//! parts.
//! Pure: called for a 200 that is about to be sent, after the preconditions ([`super::conditional`]).
//!
//! "A server MAY ignore the Range header field" (14.2). It is ignored where it is invalid (as Apache does; nginx answers
//! 416), where its unit is not bytes, where it has more than [`RANGES_MAX`] ranges, where they sum up to more than the
//! whole (as nginx does), and of a representation that is empty (as nginx, Apache and Go do) or longer than
//! [`SIZE_MAX`]: then the whole is sent.

use super::Headers;
use super::conditional::{Validators, if_range_holds};

/// The most ranges of one request: Apache's default.
pub const RANGES_MAX: usize = 200;

/// The longest representation that has ranges: 2^63 - 1 bytes, as file offsets and most clients count. The sum of its
/// parts and their framing does not overflow.
pub const SIZE_MAX: u64 = i64::MAX as u64;

/// Which bytes to send.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Selection {
    /// 200: no range was requested, or the field is ignored.
    Whole,
    /// 206 with a Content-Range.
    Part(ByteRange),
    /// 206 with multipart/byteranges: at least two, in the requested order.
    Parts(Vec<ByteRange>),
    /// 416 with `Content-Range: bytes */size`.
    Unsatisfiable,
}

/// Bytes `first` to `last`, both included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ByteRange {
    /// The position of the first byte, from 0.
    pub first: u64,
    /// The position of the last byte, which is included.
    pub last: u64,
}

impl ByteRange {
    /// The number of bytes.
    pub fn length(self) -> u64 {
        self.last - self.first + 1
    }

    /// The value of a part's Content-Range (14.4).
    pub fn content_range(self, size: u64) -> String {
        format!("bytes {}-{}/{size}", self.first, self.last)
    }
}

/// The value of the Content-Range of a 416 (15.5.17).
pub fn unsatisfied_content_range(size: u64) -> String {
    format!("bytes */{size}")
}

/// Selects the bytes that a request asks for of a representation of `size` bytes. Only GET has ranges (14.2).
pub fn select(method: &str, headers: Headers<'_>, current: Validators<'_>, size: u64) -> Selection {
    let may_have_ranges = method == "GET" && (1..=SIZE_MAX).contains(&size);
    let mut values = headers.all("range");
    match (values.next(), values.next()) {
        // Two fields are invalid: the value is not a list.
        (Some(value), None) if may_have_ranges && if_range_holds(headers, current) => {
            resolve(value, size).unwrap_or(Selection::Whole)
        }
        _ => Selection::Whole,
    }
}

/// `None`: the field is ignored.
fn resolve(value: &[u8], size: u64) -> Option<Selection> {
    let at = value.iter().position(|&b| b == b'=')?;
    let (unit, specs) = (&value[..at], &value[at + 1..]);
    if !unit.eq_ignore_ascii_case(b"bytes") {
        return None;
    }
    let mut ranges = Vec::new();
    let mut count = 0;
    let mut sum = 0u64;
    // Empty elements of a list are skipped (5.6.1.2).
    for spec in specs.split(|&b| b == b',').map(<[u8]>::trim_ascii).filter(|spec| !spec.is_empty()) {
        count += 1;
        if count > RANGES_MAX {
            return None;
        }
        if let Some(range) = resolve_one(spec, size)? {
            sum += range.length();
            if sum > size {
                return None;
            }
            ranges.push(range);
        }
    }
    Some(match ranges[..] {
        _ if count == 0 => return None,
        [] => Selection::Unsatisfiable,
        // If only one is left of several, no multipart is needed (15.3.7.2).
        [range] => Selection::Part(range),
        _ => Selection::Parts(ranges),
    })
}

/// One range of a list (14.1.1): `None` if it is invalid, `Some(None)` if it is unsatisfiable (14.1.2).
fn resolve_one(spec: &[u8], size: u64) -> Option<Option<ByteRange>> {
    let dash = spec.iter().position(|&b| b == b'-')?;
    let (first, last) = (&spec[..dash], &spec[dash + 1..]);
    if first.is_empty() {
        let length = position(last)?.min(size);
        return Some((length > 0).then(|| ByteRange { first: size - length, last: size - 1 }));
    }
    let first = position(first)?;
    let last = if last.is_empty() { u64::MAX } else { position(last)? };
    if last < first {
        return None;
    }
    Some((first < size).then(|| ByteRange { first, last: last.min(size - 1) }))
}

/// Digits; a number that does not fit becomes the largest one, which is after every end.
fn position(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    Some(digits.iter().fold(0u64, |sum, &digit| sum.saturating_mul(10).saturating_add(u64::from(digit - b'0'))))
}

/// A multipart/byteranges body (14.6).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Multipart {
    /// The value of the message's Content-Type.
    pub content_type: String,
    /// The length of the whole body, in bytes.
    pub length: u64,
    /// Its pieces, in order.
    pub pieces: Vec<MultipartPiece>,
}

/// A piece of a body of several ranges (multipart/byteranges).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MultipartPiece {
    /// A delimiter and a part's header fields, or the end delimiter.
    Framing(String),
    /// These bytes of the representation.
    Bytes(ByteRange),
}

impl Multipart {
    /// Frames `parts` of a representation of `size` bytes. The delimiter, a line of `--` and `boundary`, must not occur in
    /// them; `boundary` is of letters and digits.
    pub fn new(parts: &[ByteRange], size: u64, content_type: &str, boundary: &str) -> Multipart {
        let mut pieces = Vec::with_capacity(2 * parts.len() + 1);
        let mut line_end = "";
        for part in parts {
            let content_range = part.content_range(size);
            pieces.push(MultipartPiece::Framing(format!(
                "{line_end}--{boundary}\r\nContent-Type: {content_type}\r\nContent-Range: {content_range}\r\n\r\n"
            )));
            pieces.push(MultipartPiece::Bytes(*part));
            line_end = "\r\n";
        }
        pieces.push(MultipartPiece::Framing(format!("{line_end}--{boundary}--\r\n")));
        let length_of = |piece: &MultipartPiece| match piece {
            MultipartPiece::Framing(text) => text.len() as u64,
            MultipartPiece::Bytes(range) => range.length(),
        };
        let length = pieces.iter().map(length_of).sum();
        Multipart { content_type: format!("multipart/byteranges; boundary={boundary}"), length, pieces }
    }
}

#[cfg(test)]
#[path = "range_tests.rs"]
mod tests;
