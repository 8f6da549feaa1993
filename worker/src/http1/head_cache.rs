//! The header fields of the head that was parsed last: a client sends most of its requests with the same ones, and where
//! they are the same to the byte, only the request line is parsed again. The line that was parsed last is kept, too: many
//! clients ask for the same thing again.
//!
//! One per worker, so that it costs idle connections nothing. What fields mean depends on their bytes, on the version,
//! which has to be HTTP/1.1, and on the limits, which are those of the worker. A line that is in any way unusual is left
//! to [`super::parse`].
//!
//! Fields are kept only once two heads in a row have had fields of the same length: clients that differ from each other do
//! not pay for copies. Credentials are never kept, nor lines with a query, where tokens are: the time of a comparison must not
//! say what another client has sent.

use super::parse::Parsed;
use crate::http::target::is_plain_target_byte;
use crate::http::{BodyLength, Headers, KeptField, Request, Version};
use tine_common::config::Limits;

/// Longer ones are not kept.
const FIELDS_BYTES_MAX: usize = 2048;
/// Longer request lines are not kept.
const LINE_BYTES_MAX: usize = 256;
/// Fields with these names are never kept.
const CREDENTIALS: [&str; 3] = ["authorization", "cookie", "proxy-authorization"];

#[derive(Default)]
pub struct HeadCache {
    /// From the first name to the empty line. Empty: nothing is kept.
    bytes: Vec<u8>,
    fields: Vec<KeptField>,
    body: BodyLength,
    keep_alive: bool,
    expects_continue: bool,
    /// The length of the fields that were last parsed.
    last_length: usize,
    /// The request line, with its CRLF. Empty: none is kept.
    line: String,
    line_method: &'static str,
}

/// A request line without anything unusual.
struct Line<'a> {
    method: &'static str,
    target: &'a str,
    /// With its CRLF.
    length: usize,
}

const VERSION: &str = " HTTP/1.1\r\n";

impl HeadCache {
    /// The head that these bytes begin with, if they have the kept fields.
    #[inline]
    pub fn recall<'a>(&'a mut self, bytes: &'a [u8], limits: &Limits) -> Option<Parsed<'a>> {
        if self.bytes.is_empty() {
            return None;
        }
        if self.line.is_empty() || !bytes.starts_with(self.line.as_bytes()) {
            return self.recall_fields(bytes, limits);
        }
        let length = self.line.len();
        let target = &self.line[self.line_method.len() + 1..length - VERSION.len()];
        let has_fields = bytes[length..].starts_with(&self.bytes);
        has_fields.then(|| self.parsed(bytes, Line { method: self.line_method, target, length }))
    }

    /// As [`HeadCache::recall`], with another line than the last time.
    fn recall_fields<'a>(&'a mut self, bytes: &'a [u8], limits: &Limits) -> Option<Parsed<'a>> {
        let line = Line::parse(bytes)?;
        let is_allowed = line.length - 2 <= limits.request_line_bytes_max;
        if !is_allowed || !bytes[line.length..].starts_with(&self.bytes) {
            return None;
        }
        self.line.clear();
        if line.length <= LINE_BYTES_MAX && !line.target.contains('?') {
            self.line.extend([line.method, " ", line.target, VERSION]);
            self.line_method = line.method;
        }
        Some(self.parsed(bytes, line))
    }

    #[inline]
    fn parsed<'a>(&'a self, bytes: &'a [u8], line: Line<'a>) -> Parsed<'a> {
        let headers = Headers::kept(&self.fields);
        let mut request = Request::new(line.method, line.target, 0, Version::Http11, headers, self.body);
        let length = line.length + self.bytes.len();
        request.set_text(&bytes[..length]);
        Parsed { request, length, keep_alive: self.keep_alive, expects_continue: self.expects_continue }
    }

    /// These bytes had to be parsed: keeps the fields, or only their length.
    pub fn note(&mut self, bytes: &[u8], parsed: &Parsed<'_>) {
        let request = &parsed.request;
        let Some((first, _)) = request.headers().iter().next() else { return };
        let start = first.as_ptr() as usize - bytes.as_ptr() as usize;
        let length = parsed.length - start;
        if std::mem::replace(&mut self.last_length, length) == length
            && length <= FIELDS_BYTES_MAX
            && request.version() == Version::Http11
        {
            self.keep(&bytes[start..parsed.length], parsed);
        }
    }

    #[cold]
    fn keep(&mut self, bytes: &[u8], parsed: &Parsed<'_>) {
        let headers = parsed.request.headers();
        if CREDENTIALS.iter().any(|name| headers.has(name)) {
            return;
        }
        self.bytes.clear();
        self.bytes.extend_from_slice(bytes);
        self.fields.clear();
        self.fields.extend(headers.iter().map(|(name, value)| KeptField::new(name, value)));
        self.body = parsed.request.body_length();
        (self.keep_alive, self.expects_continue) = (parsed.keep_alive, parsed.expects_continue);
    }
}

impl Line<'_> {
    /// `None`: it is incomplete, or there is more to it than a usual method, a path with or without a query in ASCII, and
    /// the version 1.1.
    #[inline]
    fn parse(bytes: &[u8]) -> Option<Line<'_>> {
        let method = match bytes {
            [b'G', b'E', b'T', b' ', b'/', ..] => "GET",
            [b'P', b'O', b'S', b'T', b' ', b'/', ..] => "POST",
            [b'P', b'U', b'T', b' ', b'/', ..] => "PUT",
            [b'H', b'E', b'A', b'D', b' ', b'/', ..] => "HEAD",
            _ => return None,
        };
        let rest = &bytes[method.len() + 1..];
        let end = rest.iter().position(|&b| !is_plain_target_byte(b))?;
        let target = std::str::from_utf8(&rest[..end]).ok()?;
        let length = method.len() + 1 + end + VERSION.len();
        rest[end..].starts_with(VERSION.as_bytes()).then_some(Line { method, target, length })
    }
}

#[cfg(test)]
#[path = "head_cache_tests.rs"]
mod tests;
