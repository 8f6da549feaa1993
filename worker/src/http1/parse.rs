//! Parses the bytes of a request head to a [`Request`], strictly: what two servers could read differently is refused.
//!
//! httparse reads tokens, fields and versions and refuses control bytes, obs-fold and space before the colon; what it
//! accepts (bare LF) or does not check (limits, target, Host, framing, Expect) is checked here.

use crate::http::known_fields::{self, elements, expects_continue};
use crate::http::target::{NOT_UTF8, check_target, is_host};
use crate::http::{BodyLength, Error, Headers, Request, Version};
use http::StatusCode;
use std::mem::MaybeUninit;
use tine_common::config::Limits;

/// A head that is complete.
#[derive(Debug)]
pub struct Parsed<'a> {
    pub request: Request<'a>,
    /// Bytes of the head, with its empty line.
    pub length: usize,
    /// The client allows the connection to be kept (RFC 9112, 9.3).
    pub keep_alive: bool,
    /// The client waits for `100 Continue` before it sends the body (RFC 9110, 10.1.1).
    pub expects_continue: bool,
}

/// If these bytes begin with a head of a minor version later than 1.1: the index of that digit. [`parse`] refuses such
/// a head; the caller replaces the digit by a 1, so that it is read as HTTP/1.1 (RFC 9110, 6.2).
pub fn later_minor_version(bytes: &[u8]) -> Option<usize> {
    let end = memchr::memchr(b'\n', bytes)?;
    let line = bytes[..end].strip_suffix(b"\r").unwrap_or(&bytes[..end]);
    let [major, b'.', b'2'..=b'9'] = version_of(line)? else { return None };
    (*major == b'1').then_some(line.len() - 1)
}

/// `Ok(None)`: more bytes are needed. The caller skips empty lines before the request. `fields` has room for as many
/// header fields as are allowed.
pub fn parse<'a>(
    bytes: &'a [u8],
    fields: &'a mut [MaybeUninit<httparse::Header<'a>>],
    limits: &Limits,
) -> Result<Option<Parsed<'a>>, Error> {
    let mut raw = httparse::Request::new(&mut []);
    match raw.parse_with_uninit_headers(bytes, fields) {
        Ok(httparse::Status::Complete(length)) => complete(bytes, raw, length, limits).map(Some),
        Ok(httparse::Status::Partial) => check_lengths(bytes, limits).map(|()| None),
        // An incomplete version is not an error yet: `HTTP/2` becomes a 505 or a 400 once its line has ended.
        Err(httparse::Error::Version) if !bytes.contains(&b'\n') => check_lengths(bytes, limits).map(|()| None),
        // Too long takes precedence over malformed: the rest of an overlong line was not parsed.
        Err(e) => Err(check_lengths(bytes, limits).err().unwrap_or_else(|| malformed(e, bytes))),
    }
}

fn complete<'a>(
    bytes: &'a [u8],
    raw: httparse::Request<'a, 'a>,
    length: usize,
    limits: &Limits,
) -> Result<Parsed<'a>, Error> {
    let (Some(method), Some(target), Some(minor)) = (raw.method, raw.path, raw.version) else {
        return Err(Error::bad_request("the request line is incomplete"));
    };
    let fields: &'a [httparse::Header<'a>] = raw.headers;
    let version = if minor == 0 { Version::Http10 } else { Version::Http11 };

    // Line ends: every line but the first follows a CRLF, and the head ends with two. httparse takes a bare LF.
    let start = bytes.as_ptr() as usize;
    let line_start = |field: &httparse::Header<'_>| field.name.as_ptr() as usize - start;
    // It also skips empty lines before the request line; the caller has removed the valid ones.
    if method.as_ptr() as usize != start {
        return Err(BARE_LF);
    }
    let fields_start = fields.first().map_or(length - 2, line_start);
    let ends_with_crlf = |end: usize| end >= 2 && &bytes[end - 2..end] == b"\r\n";
    if !(fields.iter().all(|field| ends_with_crlf(line_start(field)))
        && length >= 4
        && &bytes[length - 4..length] == b"\r\n\r\n")
    {
        return Err(BARE_LF);
    }
    if fields_start - 2 > limits.request_line_bytes_max {
        return Err(Error::LINE_TOO_LONG);
    }
    if length - fields_start > limits.header_bytes_max {
        return Err(Error::HEADER_TOO_LARGE);
    }
    let path_start = check_target(method, target)?;
    let known = Known::collect(fields, version)?;
    if version == Version::Http11 && known.hosts == 0 {
        return Err(Error::bad_request("an HTTP/1.1 request must have a Host header"));
    }
    let mut request = Request::new(method, target, path_start, version, Headers::new(fields), known.body);
    request.set_text(&bytes[..length]);
    let keep_alive = !known.close && (version == Version::Http11 || known.keep_alive);
    Ok(Parsed { request, length, keep_alive, expects_continue: known.expects_continue })
}

const BARE_LF: Error = Error::bad_request("a line of the head ends with a bare LF; lines end with CRLF");

/// Checks the limits of a head that is incomplete or malformed.
fn check_lengths(bytes: &[u8], limits: &Limits) -> Result<(), Error> {
    match memchr::memchr(b'\n', bytes) {
        // The line's own CRLF is not counted; the LF of a final CR may not have arrived yet.
        None if bytes.len() > limits.request_line_bytes_max + 1 => Err(Error::LINE_TOO_LONG),
        Some(end) if end > limits.request_line_bytes_max + 1 => Err(Error::LINE_TOO_LONG),
        Some(end) if bytes.len() - end - 1 > limits.header_bytes_max => Err(Error::HEADER_TOO_LARGE),
        _ => Ok(()),
    }
}

fn malformed(error: httparse::Error, bytes: &[u8]) -> Error {
    let line = &bytes[..memchr::memchr(b'\n', bytes).unwrap_or(bytes.len())];
    Error::bad_request(match error {
        httparse::Error::TooManyHeaders => {
            return Error::TOO_MANY_FIELDS;
        }
        httparse::Error::Version if version_of(line.strip_suffix(b"\r").unwrap_or(line)).is_some() => {
            return Error::new(StatusCode::HTTP_VERSION_NOT_SUPPORTED, "this server speaks HTTP/1.1 and HTTP/1.0");
        }
        httparse::Error::Token if is_target_not_utf8(line) => NOT_UTF8.reason,
        httparse::Error::HeaderName => "a header name has a character that is not allowed, or a line is folded",
        httparse::Error::HeaderValue => "a header value has a character that is not allowed",
        httparse::Error::NewLine => "a CR stands without its LF",
        httparse::Error::Version => "the request line does not end with an HTTP version",
        _ => "the request line is malformed",
    })
}

/// Whether the line's second word, its target, is visible but not UTF-8.
fn is_target_not_utf8(line: &[u8]) -> bool {
    let target = line.split(|&b| b == b' ').nth(1).unwrap_or_default();
    std::str::from_utf8(target).is_err()
}

/// The version, `9.9`, of a line that reads `method target HTTP/9.9`.
fn version_of(line: &[u8]) -> Option<&[u8; 3]> {
    let mut words = line.split(|&b| b == b' ').skip(2);
    let version: &[u8; 3] = words.next()?.strip_prefix(b"HTTP/")?.try_into().ok()?;
    let [major, b'.', minor] = version else { return None };
    (major.is_ascii_digit() && minor.is_ascii_digit() && words.next().is_none()).then_some(version)
}

/// The values of the fields that the protocol itself needs.
#[derive(Default)]
struct Known {
    hosts: usize,
    close: bool,
    keep_alive: bool,
    expects_continue: bool,
    body: BodyLength,
}

impl Known {
    fn collect(fields: &[httparse::Header<'_>], version: Version) -> Result<Known, Error> {
        let mut known = Known::default();
        let mut content_length = None;
        let mut coding = false;
        for field in fields {
            let is = |name: &str| field.name.eq_ignore_ascii_case(name);
            // Few names have these lengths, so most fields cost one comparison.
            match field.name.len() {
                4 if is("host") => {
                    known.hosts += 1;
                    if known.hosts > 1 {
                        return Err(Error::bad_request("there is more than one Host header"));
                    }
                    if !is_host(field.value) {
                        return Err(Error::bad_request("the Host header is not a host"));
                    }
                }
                6 if is("expect") && version == Version::Http11 => {
                    known.expects_continue |= expects_continue(field.value)?;
                }
                10 if is("connection") => {
                    for token in elements(field.value) {
                        known.close |= token.eq_ignore_ascii_case(b"close");
                        known.keep_alive |= token.eq_ignore_ascii_case(b"keep-alive");
                    }
                }
                14 if is("content-length") => {
                    if content_length.is_some() {
                        return Err(Error::bad_request("there is more than one Content-Length"));
                    }
                    content_length = Some(known_fields::content_length(field.value)?);
                }
                17 if is("transfer-encoding") => {
                    if coding {
                        return Err(Error::bad_request("there is more than one Transfer-Encoding"));
                    }
                    if version == Version::Http10 {
                        return Err(Error::bad_request("HTTP/1.0 has no Transfer-Encoding"));
                    }
                    check_coding(field.value)?;
                    coding = true;
                }
                _ => {}
            }
        }
        known.body = match (coding, content_length) {
            (true, Some(_)) => return Err(Error::bad_request("both Transfer-Encoding and Content-Length are given")),
            (true, None) => BodyLength::Chunked,
            (false, Some(length)) => BodyLength::Known(length),
            (false, None) => BodyLength::None,
        };
        Ok(known)
    }
}

/// Only `chunked` alone is supported (RFC 9112, 6.1 and 6.3).
fn check_coding(value: &[u8]) -> Result<(), Error> {
    let is_chunked = |token: &[u8]| token.eq_ignore_ascii_case(b"chunked");
    let is_token = |token: &[u8]| {
        !token.is_empty() && token.iter().all(|&b| b.is_ascii_graphic() && !b"\"(),/:;<=>?@[\\]{}".contains(&b))
    };
    if !elements(value).all(is_token) {
        return Err(Error::bad_request("the Transfer-Encoding is malformed"));
    }
    let count = elements(value).count();
    match elements(value).position(is_chunked) {
        Some(0) if count == 1 => Ok(()),
        Some(at) if at + 1 < count => Err(Error::bad_request("chunked is not the last transfer coding")),
        _ => Err(Error::new(StatusCode::NOT_IMPLEMENTED, "chunked is the only transfer coding understood here")),
    }
}

#[cfg(test)]
#[path = "parse_tests.rs"]
mod tests;
