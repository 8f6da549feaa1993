//! The arguments of `start_response`, checked and turned into a head.

use std::cell::{Cell, RefCell};
use std::hash::{DefaultHasher, Hasher};
use std::rc::Rc;
use tine_worker::http::{Fields, Head, StatusCode};

/// What an app gave to start_response.
pub struct Reply {
    head: Head,
    /// The length that it declared.
    length: Option<u64>,
}

impl Reply {
    /// The head of a response whose body has `length` bytes; for HEAD the body need not match. The error is what the
    /// app did wrong.
    pub fn whole(&self, length: u64, is_head: bool) -> Result<Head, String> {
        self.streamed(Some(length), is_head)
    }

    /// The head of a response whose body follows, and whose length may be known.
    pub fn streamed(&self, known: Option<u64>, is_head: bool) -> Result<Head, String> {
        match (self.length, known) {
            (Some(declared), Some(known)) if declared != known && !is_head => {
                Err(format!("the body has {known} bytes, but Content-Length says {declared}"))
            }
            (declared, known) => Ok(match declared.or(known) {
                Some(length) => self.head.clone().length(length),
                None => self.head.clone(),
            }),
        }
    }

    /// The head of a response whose body is a file that has `left` more bytes, and how many of them are sent: fewer if the
    /// app has declared fewer (PEP 3333, "Optional Platform-Specific File Handling").
    pub fn of_file(&self, left: u64, is_head: bool) -> Result<(Head, u64), String> {
        match self.length {
            Some(declared) if declared > left && !is_head => {
                Err(format!("the file has {left} more bytes, but Content-Length says {declared}"))
            }
            declared => {
                let length = declared.unwrap_or(left);
                Ok((self.head.clone().length(length), length))
            }
        }
    }
}

/// Replies that were sent before: most apps send few different ones, and each is checked once. Also what the running
/// request has given to start_response, until it is taken.
pub struct Replies {
    /// Each at the place that its spelling is hashed to, where a later one replaces it.
    known: RefCell<Vec<Known>>,
    /// The place of the last.
    last: Cell<usize>,
    started: RefCell<Option<Rc<Reply>>>,
}

struct Known {
    /// The number of headers, the status, and each name and value, each with a zero byte after it. None of them has one
    /// itself, so that no two replies are spelled alike.
    spelled: Vec<u8>,
    reply: Option<Rc<Reply>>,
}

/// A power of two.
const KNOWN_MAX: usize = 256;
/// A longer spelling is not kept.
const SPELLED_BYTES_MAX: usize = 512;

impl Replies {
    pub fn new() -> Replies {
        let known = (0..KNOWN_MAX).map(|_| Known { spelled: Vec::new(), reply: None }).collect();
        Replies { known: RefCell::new(known), last: Cell::new(0), started: RefCell::default() }
    }

    /// Begins the response of the running request with a reply that is known by this spelling; false: there is none.
    pub fn start_known(&self, spelled: &[u8]) -> bool {
        let known = self.known.borrow();
        let is_it = |at: usize| known[at].spelled == spelled;
        let at = if is_it(self.last.get()) { self.last.get() } else { place(spelled) };
        if !is_it(at) || known[at].reply.is_none() {
            return false;
        }
        self.last.set(at);
        self.started.replace(known[at].reply.clone());
        true
    }

    /// Begins the response of the running request; `joined` is each name and value, each with a zero byte after it. The
    /// error is what the app did wrong.
    pub fn start(&self, status: &[u8], joined: &[u8], count: usize) -> Result<(), String> {
        let (head, length) = parse(status, joined, count)?;
        let reply = Rc::new(Reply { head, length });
        if let Ok(count) = u8::try_from(count)
            && status.len() + joined.len() + 2 <= SPELLED_BYTES_MAX
        {
            let spelled = [&[count][..], status, b"\0", joined].concat();
            let at = place(&spelled);
            self.known.borrow_mut()[at] = Known { spelled, reply: Some(Rc::clone(&reply)) };
        }
        self.started.replace(Some(reply));
        Ok(())
    }

    /// What start_response was called with since this was last called.
    pub fn take_started(&self) -> Option<Rc<Reply>> {
        self.started.take()
    }
}

fn place(spelled: &[u8]) -> usize {
    let mut hasher = DefaultHasher::new();
    hasher.write(spelled);
    hasher.finish() as usize % KNOWN_MAX
}

/// Reads a status and `count` headers. The error is what the app did wrong.
fn parse(status: &[u8], joined: &[u8], count: usize) -> Result<(Head, Option<u64>), String> {
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
