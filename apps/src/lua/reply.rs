//! The arguments of `start_response`, checked and turned into a head.

use crate::files::sendfile::{self, Named};
use std::cell::{Cell, RefCell};
use std::hash::{DefaultHasher, Hasher};
use std::rc::Rc;
use tine_worker::http::{Fields, Head, StatusCode};

/// What an app gave to start_response.
pub struct Reply {
    head: Head,
    body: Body,
}

/// What it said of the body.
enum Body {
    Undeclared,
    Length(u64),
    /// It has named the file that is sent (X-Sendfile).
    File(Rc<Named>),
}

/// Why the body that an app returned is not sent.
pub enum Instead {
    /// This file is.
    File(Rc<Named>),
    /// What the app did wrong.
    Wrong(String),
}

impl Reply {
    /// The head of a response whose body has `length` bytes; for HEAD the body need not match.
    pub fn whole(&self, length: u64, is_head: bool) -> Result<Head, Instead> {
        self.streamed(Some(length), is_head)
    }

    /// The head of a response whose body follows, and whose length may be known.
    pub fn streamed(&self, known: Option<u64>, is_head: bool) -> Result<Head, Instead> {
        match (&self.body, known) {
            (Body::File(file), _) => Err(Instead::File(Rc::clone(file))),
            (Body::Length(declared), Some(known)) if *declared != known && !is_head => {
                Err(Instead::Wrong(format!("the body has {known} bytes, but Content-Length says {declared}")))
            }
            (Body::Length(length), _) => Ok(self.head.clone().length(*length)),
            (Body::Undeclared, Some(length)) => Ok(self.head.clone().length(length)),
            (Body::Undeclared, None) => Ok(self.head.clone()),
        }
    }

    /// The head of a response whose body is a file that has `left` more bytes, and how many of them are sent: fewer if the
    /// app has declared fewer (PEP 3333, "Optional Platform-Specific File Handling").
    pub fn of_file(&self, left: u64, is_head: bool) -> Result<(Head, u64), Instead> {
        let length = match self.body {
            Body::Undeclared => left,
            Body::Length(declared) if declared <= left || is_head => declared,
            Body::Length(declared) => {
                let text = format!("the file has {left} more bytes, but Content-Length says {declared}");
                return Err(Instead::Wrong(text));
            }
            Body::File(ref file) => return Err(Instead::File(Rc::clone(file))),
        };
        Ok((self.head.clone().length(length), length))
    }

    /// For a WebSocket's 101: the head as it is.
    pub fn head(&self) -> Head {
        self.head.clone()
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
    /// X-Sendfile is the server's (`--sendfile-root`).
    takes_sendfile: bool,
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
    pub fn new(takes_sendfile: bool) -> Replies {
        let known = (0..KNOWN_MAX).map(|_| Known { spelled: Vec::new(), reply: None }).collect();
        Replies { known: RefCell::new(known), last: Cell::new(0), started: RefCell::default(), takes_sendfile }
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
        let reply = Rc::new(parse(status, joined, count, self.takes_sendfile)?);
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
fn parse(status: &[u8], joined: &[u8], count: usize, takes_sendfile: bool) -> Result<Reply, String> {
    let (status, phrase) = self::status(status)?;
    if memchr::memchr_iter(0, joined).count() != 2 * count {
        return Err("a header has a NUL".to_string());
    }
    let headers = pairs(joined);
    if takes_sendfile && let Some((_, path)) = headers.clone().find(|(name, _)| name.eq_ignore_ascii_case(SENDFILE)) {
        let file = named(status, path, headers)?;
        return Ok(Reply { head: Head::new(status), body: Body::File(Rc::new(file)) });
    }
    let (fields, declared) = fields(headers, joined.len() + 2 * count)?;
    let head = Head::new(status).fields(fields);
    let head = match phrase {
        Some(phrase) => head.reason(phrase),
        None => head,
    };
    Ok(Reply { head, body: declared.map_or(Body::Undeclared, Body::Length) })
}

/// `200 OK`, `200`, or another phrase, which is `None` if it is not given.
fn status(text: &[u8]) -> Result<(StatusCode, Option<&[u8]>), String> {
    if text == b"200 OK" {
        return Ok((StatusCode::OK, None));
    }
    let wrong = || {
        let text = String::from_utf8_lossy(text);
        format!(
            "{text:?} is not a status; give a string such as \"200 OK\", or a number from 200 to 599; 101 is a WebSocket's"
        )
    };
    let (code, phrase) = text.split_at_checked(3).ok_or_else(wrong)?;
    let status =
        StatusCode::from_bytes(code).ok().filter(|code| matches!(code.as_u16(), 101 | 200..600)).ok_or_else(wrong)?;
    match phrase {
        [] => Ok((status, None)),
        [b' ', phrase @ ..] if phrase.iter().all(|&b| b == b'\t' || (b >= b' ' && b != 0x7f)) => {
            Ok((status, Some(phrase)))
        }
        _ => Err(wrong()),
    }
}

/// Names and values, each of which has a zero byte after it.
fn pairs(joined: &[u8]) -> impl Iterator<Item = (&[u8], &[u8])> + Clone {
    let mut rest = joined;
    let mut next = move || {
        let end = memchr::memchr(0, rest)?;
        let part = &rest[..end];
        rest = &rest[end + 1..];
        Some(part)
    };
    std::iter::from_fn(move || Some((next()?, next()?)))
}

/// The fields as they are sent, in about this many bytes, and the declared length.
fn fields<'a>(
    headers: impl Iterator<Item = (&'a [u8], &'a [u8])>,
    bytes: usize,
) -> Result<(Fields, Option<u64>), String> {
    let mut fields = Fields::with_capacity(bytes);
    let mut declared = None;
    for (name, value) in headers {
        if name.eq_ignore_ascii_case(b"content-length") {
            let length = parse_length(value)?;
            if declared.replace(length).is_some_and(|other| other != length) {
                return Err("two Content-Length that differ".to_string());
            }
            continue;
        }
        fields.push(name, value).map_err(|error| error.to_string())?;
    }
    Ok((fields, declared))
}

const SENDFILE: &[u8] = b"X-Sendfile";

/// The file at `path`, and what the other headers say of it. The length that they declare is the body's, which is dropped.
fn named<'a>(
    status: StatusCode,
    path: &[u8],
    headers: impl Iterator<Item = (&'a [u8], &'a [u8])> + Clone,
) -> Result<Named, String> {
    let is = |name: &[u8], other: &str| name.eq_ignore_ascii_case(other.as_bytes());
    let value_of = |wanted| headers.clone().find(|(name, _)| is(name, wanted)).map(|(_, value)| value);
    let is_dropped = |name: &[u8]| {
        name.eq_ignore_ascii_case(SENDFILE)
            || is(name, "content-type")
            || sendfile::IS_OF_FILE.iter().any(|other| is(name, other))
    };
    let content_type = value_of("content-type").filter(|value| !value.is_empty());
    let is_coded = value_of("content-encoding").is_some();
    Ok(Named {
        path: path.to_vec(),
        status,
        content_type: content_type.map(|value| String::from_utf8_lossy(value).into_owned()),
        fields: fields(headers.filter(|(name, _)| !is_dropped(name)), 0)?.0,
        is_coded,
    })
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
        // A 101 is refused later, by what is sent, unless that is a WebSocket.
        for text in
            ["101 Switching Protocols", "200 OK", "200", "404 Not Found", "404 Gone fishing", "599 \u{e9}", "204 "]
        {
            assert!(status(text.as_bytes()).is_ok(), "{text}");
        }
        for text in ["", "20", "OK", "200OK", "100 Continue", "600 X", "2000", "200 O\r\nK", "-20 x"] {
            assert!(status(text.as_bytes()).is_err(), "{text:?}");
        }
    }

    #[test]
    fn headers_are_pairs_without_surprises() {
        let parse = |parts: &[&str], count| {
            let joined: String = parts.iter().map(|part| format!("{part}\0")).collect();
            super::parse(b"200 OK", joined.as_bytes(), count, false).map(|reply| reply.body)
        };
        let is_length = |body, expected| matches!(body, Ok(Body::Length(length)) if length == expected);
        assert!(parse(&[], 0).is_ok());
        assert!(parse(&["A", "1", "B", "2"], 2).is_ok());
        assert!(is_length(parse(&["content-length", "12"], 1), 12));
        assert!(is_length(parse(&["Content-Length", "12", "content-length", "12"], 2), 12));
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
