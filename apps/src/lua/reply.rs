//! The arguments of `start_response`, checked and turned into a head.

use std::cell::RefCell;
use tine_worker::http::{Fields, Head, StatusCode};

/// A head as it crosses the boundary between Rust and Lua.
pub enum Reply {
    /// The number of a head in [`Heads`].
    Known(usize),
    /// `joined` is the name and value of each header, each followed by a NUL. It has been checked.
    Spelled { status: mlua::String, joined: mlua::String },
}

/// Heads that an app has sent before, by number, from 1. The driver limits how many are kept.
#[derive(Default)]
pub struct Heads(RefCell<Vec<Parts>>);

/// A head without its length, and the length that the app declared, if any.
type Parts = (Head, Option<u64>);

impl Heads {
    pub fn keep(&self, parts: Parts) -> usize {
        let mut heads = self.0.borrow_mut();
        heads.push(parts);
        heads.len()
    }

    /// The head of a response whose body has `length` bytes; for HEAD the body need not match. The error is what the
    /// app did wrong.
    pub fn whole(&self, reply: &Reply, length: u64, is_head: bool) -> Result<Head, String> {
        self.streamed(reply, Some(length), is_head)
    }

    /// The head of a response whose body follows, and whose length may be known.
    pub fn streamed(&self, reply: &Reply, known: Option<u64>, is_head: bool) -> Result<Head, String> {
        let (head, declared) = self.parts(reply)?;
        match (declared, known) {
            (Some(declared), Some(known)) if declared != known && !is_head => {
                Err(format!("the body has {known} bytes, but Content-Length says {declared}"))
            }
            _ => Ok(match declared.or(known) {
                Some(length) => head.length(length),
                None => head,
            }),
        }
    }

    fn parts(&self, reply: &Reply) -> Result<Parts, String> {
        match reply {
            Reply::Known(number) => {
                let heads = self.0.borrow();
                let known = number.checked_sub(1).and_then(|at| heads.get(at));
                known.cloned().ok_or_else(|| format!("the server does not know head {number}"))
            }
            Reply::Spelled { status, joined } => {
                let joined = joined.as_bytes();
                parse(&status.as_bytes(), &joined, memchr::memchr_iter(0, &joined).count() / 2)
            }
        }
    }
}

/// Reads a status and `count` headers. The error is what the app did wrong.
pub fn parse(status: &[u8], joined: &[u8], count: usize) -> Result<Parts, String> {
    let head = self::status(status)?;
    let (fields, declared) = headers(joined, count)?;
    Ok((head.fields(fields), declared))
}

/// `200 OK`, `200`, or another phrase.
fn status(text: &[u8]) -> Result<Head, String> {
    if text == b"200 OK" {
        return Ok(Head::new(StatusCode::OK));
    }
    let wrong = || {
        let text = String::from_utf8_lossy(text);
        format!("{text:?} is not a status; give a string such as \"200 OK\", or a number from 200 to 599")
    };
    let (code, phrase) = text.split_at_checked(3).ok_or_else(wrong)?;
    let status =
        StatusCode::from_bytes(code).ok().filter(|code| (200..600).contains(&code.as_u16())).ok_or_else(wrong)?;
    match phrase {
        [] => Ok(Head::new(status)),
        [b' ', phrase @ ..] if phrase.iter().all(|&b| b == b'\t' || (b >= b' ' && b != 0x7f)) => {
            Ok(Head::new(status).reason(phrase))
        }
        _ => Err(wrong()),
    }
}

fn headers(joined: &[u8], count: usize) -> Result<(Fields, Option<u64>), String> {
    let mut fields = Fields::with_capacity(joined.len() + 2 * count);
    let mut declared = None;
    let mut rest = joined;
    let mut next = || {
        let end = memchr::memchr(0, rest)?;
        let part = &rest[..end];
        rest = &rest[end + 1..];
        Some(part)
    };
    let split = || "a header has a NUL".to_string();
    for _ in 0..count {
        let (name, value) = (next().ok_or_else(split)?, next().ok_or_else(split)?);
        if name.eq_ignore_ascii_case(b"content-length") {
            let length = parse_length(value)?;
            if declared.replace(length).is_some_and(|other| other != length) {
                return Err("two Content-Length that differ".to_string());
            }
            continue;
        }
        fields.push(name, value).map_err(|error| error.to_string())?;
    }
    if next().is_some() {
        return Err(split());
    }
    Ok((fields, declared))
}

fn parse_length(value: &[u8]) -> Result<u64, String> {
    let text = std::str::from_utf8(value).ok().filter(|text| text.bytes().all(|b| b.is_ascii_digit()));
    text.and_then(|text| text.parse().ok())
        .ok_or_else(|| format!("Content-Length {:?} is not a number", String::from_utf8_lossy(value)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statuses_are_strings_or_numbers() {
        for text in ["200 OK", "200", "404 Not Found", "404 Gone fishing", "599 \u{e9}", "204 "] {
            assert!(status(text.as_bytes()).is_ok(), "{text}");
        }
        for text in
            ["", "20", "OK", "200OK", "100 Continue", "101 Switching Protocols", "600 X", "2000", "200 O\r\nK", "-20 x"]
        {
            assert!(status(text.as_bytes()).is_err(), "{text:?}");
        }
    }

    #[test]
    fn headers_are_pairs_without_surprises() {
        let parse = |parts: &[&str], count| {
            headers(parts.iter().map(|part| format!("{part}\0")).collect::<String>().as_bytes(), count)
        };
        assert!(parse(&[], 0).is_ok());
        assert!(parse(&["A", "1", "B", "2"], 2).is_ok());
        assert_eq!(parse(&["content-length", "12"], 1).unwrap().1, Some(12));
        assert_eq!(parse(&["Content-Length", "12", "content-length", "12"], 2).unwrap().1, Some(12));
        for (parts, count) in [
            (&["A", "1\0B"][..], 1),
            (&["A", "1", "B"], 1),
            (&["A", "1"], 2),
            (&["A\0", "1"], 1),
            (&["A", "1\r\nB: 2"], 1),
            (&["Connection", "keep-alive"], 1),
            (&["Content-Length", "+1"], 1),
            (&["Content-Length", ""], 1),
            (&["Content-Length", "99999999999999999999"], 1),
            (&["Content-Length", "1", "Content-Length", "2"], 2),
        ] {
            assert!(parse(parts, count).is_err(), "{parts:?} {count}");
        }
    }
}
