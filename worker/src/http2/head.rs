//! From the fields of a block to a request's head, by the rules of RFC 9113, 8.2 and 8.3, strictly; and the fields of trailers.
//!
//! The head is written once more as HTTP/1.1 writes it, which is what [`Request::text`] is: the request line, `host`, the
//! fields in their order, and one `cookie` of all its parts. The request's fields are slices of that text. An extended CONNECT for a
//! WebSocket (RFC 8441) is the GET that would ask for one.

use super::hpack::{Block, Bounds, Excess};
use super::priority::Priority;
use crate::http::known_fields::{content_length, expects_continue};
use crate::http::target::{CONNECT, NOT_UTF8, PROTOCOL, check_target, is_host};
use crate::http::{BodyLength, Error, Headers, Request, Version, is_token_byte};
use http::StatusCode;
use smallvec::SmallVec;
use tine_common::config::Limits;

/// As many fields are allowed at least: cookies come in parts, and gRPC has its metadata in fields.
const FIELDS_MIN: usize = 128;

/// How much a block may have, by the limits of a request's head in any version.
pub fn bounds(limits: &Limits) -> Bounds {
    Bounds {
        bytes_max: limits.request_line_bytes_max + limits.header_bytes_max,
        fields_max: limits.header_count_max.max(FIELDS_MIN),
    }
}

/// Why there is no request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// A malformed request (RFC 9113, 8.1.1): RST_STREAM with PROTOCOL_ERROR.
    Malformed(&'static str),
    /// A response; to HEAD without its body.
    Answered { error: Error, is_head: bool },
}

/// A request's head.
#[derive(Debug, Clone, Default)]
pub struct RequestHead {
    text: Vec<u8>,
    /// Those parts of the text that are valid UTF-8, one after the other: the method, the target, and the fields' names.
    checked: String,
    method_bytes: usize,
    target_bytes: usize,
    fields: Vec<Span>,
    pub body: BodyLength,
    expects_continue: bool,
    priority: Priority,
    is_websocket: bool,
}

/// A field: where its name is in the checked parts, and its value in the text.
#[derive(Debug, Clone, Copy)]
struct Span {
    name: u32,
    name_bytes: u32,
    value: u32,
    end: u32,
}

/// Room for the fields of a request, as [`Headers`] has them.
pub type FieldRoom<'a> = SmallVec<[httparse::Header<'a>; FEW]>;

/// More fields than most requests have.
const FEW: usize = 32;

/// The pseudo-fields (RFC 9113, 8.3.1; RFC 8441, 4).
#[derive(Default)]
struct Pseudo<'a> {
    method: Option<&'a [u8]>,
    scheme: Option<&'a [u8]>,
    authority: Option<&'a [u8]>,
    path: Option<&'a [u8]>,
    protocol: Option<&'a [u8]>,
}

impl RequestHead {
    /// Reads a block. `ends_stream`: no DATA follows.
    pub fn read(&mut self, block: &Block, ends_stream: bool, limits: &Limits) -> Result<(), Refusal> {
        self.clear();
        let mut fields = block.iter();
        let mut pseudo = Pseudo::default();
        let mut first = None;
        for (name, value) in fields.by_ref() {
            if name.first() != Some(&b':') {
                first = Some((name, value));
                break;
            }
            pseudo.set(name, value)?;
        }
        let answered = |error| Refusal::Answered { error, is_head: pseudo.method == Some(b"HEAD") };
        match block.excess() {
            Some(Excess::Bytes) => return Err(answered(Error::HEADER_TOO_LARGE)),
            Some(Excess::Fields) => return Err(answered(Error::TOO_MANY_FIELDS)),
            None => {}
        }
        self.begin(&pseudo, limits, answered)?;
        let mut known = Known::new(&pseudo);
        for (name, value) in first.into_iter().chain(fields) {
            let name = check_field(name, value)?;
            if known.is_kept(name.as_bytes(), value, answered)? {
                self.push(name, value);
            }
        }
        if known.host.is_none() {
            return Err(Refusal::Malformed("there is neither :authority nor host"));
        }
        self.body = match known.body(ends_stream)? {
            // What follows is not a body.
            BodyLength::Chunked if self.is_websocket => BodyLength::None,
            body => body,
        };
        (self.expects_continue, self.priority) = (known.expects_continue, known.priority);
        self.end(known.has_cookie.then_some(block));
        Ok(())
    }

    fn clear(&mut self) {
        self.text.clear();
        self.checked.clear();
        self.fields.clear();
    }

    /// The request line and, of `:authority`, the host.
    fn begin(
        &mut self,
        pseudo: &Pseudo<'_>,
        limits: &Limits,
        answered: impl Fn(Error) -> Refusal,
    ) -> Result<(), Refusal> {
        let (method, path) = pseudo.check(&answered)?;
        let version = Version::Http2.as_str();
        if method.len() + path.len() + version.len() + 2 > limits.request_line_bytes_max {
            return Err(answered(Error::LINE_TOO_LONG));
        }
        for piece in [method, " ", path, " ", version, "\r\n"] {
            self.text.extend_from_slice(piece.as_bytes());
        }
        self.checked.extend([method, path]);
        (self.method_bytes, self.target_bytes) = (method.len(), path.len());
        if let Some(authority) = pseudo.authority {
            self.push("host", authority);
        }
        self.is_websocket = pseudo.protocol.is_some();
        if self.is_websocket {
            self.push("upgrade", b"websocket");
            self.push("connection", b"Upgrade");
        }
        Ok(())
    }

    fn push(&mut self, name: &str, value: &[u8]) {
        self.push_pieces(name, std::iter::once(value));
    }

    /// A field whose value is all of these.
    fn push_pieces<'p>(&mut self, name: &str, value: impl Iterator<Item = &'p [u8]>) {
        let name_at = self.checked.len();
        self.checked.push_str(name);
        self.text.extend_from_slice(name.as_bytes());
        self.text.extend_from_slice(b": ");
        let value_at = self.text.len();
        value.for_each(|piece| self.text.extend_from_slice(piece));
        let [name_at, name_bytes, value, end] = [name_at, name.len(), value_at, self.text.len()].map(|at| at as u32);
        self.fields.push(Span { name: name_at, name_bytes, value, end });
        self.text.extend_from_slice(b"\r\n");
    }

    /// The parts of a cookie in one field (RFC 9113, 8.2.3), what frames the body in HTTP/1.1, and the empty line.
    fn end(&mut self, cookies_of: Option<&Block>) {
        if let Some(block) = cookies_of {
            let crumbs = block.iter().filter(|&(name, _)| name == b"cookie");
            let between = |at| if at == 0 { &b""[..] } else { b"; " };
            let pieces = crumbs.enumerate().flat_map(|(at, (_, crumb))| [between(at), crumb]);
            self.push_pieces("cookie", pieces);
        }
        if self.body == BodyLength::Chunked {
            self.text.extend_from_slice(b"transfer-encoding: chunked\r\n");
        }
        self.text.extend_from_slice(b"\r\n");
    }

    pub fn is_head(&self) -> bool {
        &self.checked[..self.method_bytes] == "HEAD"
    }

    /// As [`Request::host`].
    pub fn host(&self) -> &str {
        let host = self.fields.iter().find(|span| self.name(span) == "host");
        host.and_then(|span| std::str::from_utf8(self.value(span)).ok()).unwrap_or_default()
    }

    fn name(&self, span: &Span) -> &str {
        &self.checked[span.name as usize..(span.name + span.name_bytes) as usize]
    }

    fn value(&self, span: &Span) -> &[u8] {
        &self.text[span.value as usize..span.end as usize]
    }

    /// As an app sees it.
    pub fn request<'a: 'r, 'r>(&'a self, room: &'r mut FieldRoom<'a>) -> Request<'r> {
        let header = |span: &Span| httparse::Header { name: self.name(span), value: self.value(span) };
        room.extend(self.fields.iter().map(header));
        let (method, rest) = self.checked.split_at(self.method_bytes);
        let target = &rest[..self.target_bytes];
        let mut request = Request::new(method, target, 0, Version::Http2, Headers::new(room), self.body);
        request.set_text(&self.text);
        request
    }

    /// The client waits for `100 Continue` before it sends the body (RFC 9110, 10.1.1).
    pub fn expects_continue(&self) -> bool {
        self.expects_continue
    }

    pub fn priority(&self) -> Priority {
        self.priority
    }

    /// It was an extended CONNECT: no body follows, but the bytes of a WebSocket may.
    pub fn is_websocket(&self) -> bool {
        self.is_websocket
    }
}

impl<'a> Pseudo<'a> {
    fn set(&mut self, name: &[u8], value: &'a [u8]) -> Result<(), Refusal> {
        let slot = match name {
            b":method" => &mut self.method,
            b":scheme" => &mut self.scheme,
            b":authority" => &mut self.authority,
            b":path" => &mut self.path,
            b":protocol" => &mut self.protocol,
            _ => return Err(Refusal::Malformed("there is an unknown pseudo-field")),
        };
        check_value(value)?;
        match slot.replace(value) {
            None => Ok(()),
            Some(_) => Err(Refusal::Malformed("there are two of a pseudo-field")),
        }
    }

    /// The method of HTTP/1 and the path.
    fn check(&self, answered: impl Fn(Error) -> Refusal) -> Result<(&'a str, &'a str), Refusal> {
        let method = self.method.ok_or(Refusal::Malformed("there is no :method"))?;
        let method = token(method).ok_or(Refusal::Malformed("the method is not a token"))?;
        let is_host = self.authority.is_none_or(|authority| !authority.is_empty() && is_host(authority));
        if !is_host {
            return Err(Refusal::Malformed(":authority is not a host"));
        }
        match (method, self.protocol) {
            ("CONNECT", None) => {
                return Err(match (self.authority, self.scheme, self.path) {
                    (Some(_), None, None) => answered(CONNECT),
                    _ => Refusal::Malformed("CONNECT has :authority, and neither :scheme nor :path"),
                });
            }
            ("CONNECT", Some(protocol)) if token(protocol).is_some() && self.authority.is_some() => {}
            (_, None) => {}
            _ => return Err(Refusal::Malformed(":protocol is for CONNECT with :authority")),
        }
        let scheme = self.scheme.ok_or(Refusal::Malformed("there is no :scheme"))?;
        if !is_scheme(scheme) {
            return Err(Refusal::Malformed(":scheme is not a scheme"));
        }
        let path = self.path.ok_or(Refusal::Malformed("there is no :path"))?;
        if !(path.first() == Some(&b'/') || path == b"*" && method == "OPTIONS") {
            return Err(Refusal::Malformed(":path is not a path"));
        }
        let path = std::str::from_utf8(path).map_err(|_| answered(NOT_UTF8))?;
        // Of an extended CONNECT the path is as of any other method.
        let method = if method == "CONNECT" { "GET" } else { method };
        check_target(method, path).map_err(&answered)?;
        match self.protocol {
            None | Some(b"websocket") => Ok((method, path)),
            Some(_) => Err(answered(PROTOCOL)),
        }
    }
}

/// What the fields say that the protocol itself needs.
struct Known<'a> {
    scheme: &'a [u8],
    /// Of `:authority`, or else of `host`.
    host: Option<&'a [u8]>,
    has_host_field: bool,
    has_cookie: bool,
    content_length: Option<u64>,
    expects_continue: bool,
    priority: Priority,
}

impl<'a> Known<'a> {
    fn new(pseudo: &Pseudo<'a>) -> Self {
        Known {
            scheme: pseudo.scheme.unwrap_or_default(),
            host: pseudo.authority,
            has_host_field: false,
            has_cookie: false,
            content_length: None,
            expects_continue: false,
            priority: Priority::UNSAID,
        }
    }

    /// Of a checked field: whether it is kept as it is, where it is.
    fn is_kept(&mut self, name: &[u8], value: &'a [u8], answered: impl Fn(Error) -> Refusal) -> Result<bool, Refusal> {
        // Few names have these lengths, so most fields cost one comparison.
        match name.len() {
            4 if name == b"host" => return self.is_first_host(value),
            6 if name == b"cookie" => {
                self.has_cookie = true;
                return Ok(false);
            }
            6 if name == b"expect" => self.expects_continue |= expects_continue(value).map_err(answered)?,
            8 if name == b"priority" => self.priority = Priority::parse(value),
            14 if name == b"content-length" => {
                let length = content_length(value).map_err(|error| match error.status {
                    StatusCode::BAD_REQUEST => Refusal::Malformed(error.reason),
                    _ => answered(error),
                })?;
                if self.content_length.replace(length).is_some() {
                    return Err(Refusal::Malformed("there is more than one content-length"));
                }
            }
            _ => {}
        }
        Ok(true)
    }

    /// `host` says the same as `:authority` (RFC 9113, 8.3.1); without that, it takes its place.
    fn is_first_host(&mut self, value: &'a [u8]) -> Result<bool, Refusal> {
        if std::mem::replace(&mut self.has_host_field, true) {
            return Err(Refusal::Malformed("there is more than one host"));
        }
        match self.host {
            None if value.is_empty() || !is_host(value) => Err(Refusal::Malformed("host is not a host")),
            None => {
                self.host = Some(value);
                Ok(true)
            }
            Some(authority) if is_same_host(authority, value, self.scheme) => Ok(false),
            Some(_) => Err(Refusal::Malformed("host differs from :authority")),
        }
    }

    fn body(&self, ends_stream: bool) -> Result<BodyLength, Refusal> {
        match (self.content_length, ends_stream) {
            (Some(1..), true) => Err(Refusal::Malformed("there is no body, but a content-length")),
            (Some(length), _) => Ok(BodyLength::Known(length)),
            (None, true) => Ok(BodyLength::None),
            (None, false) => Ok(BodyLength::Chunked),
        }
    }
}

/// Checks trailers (RFC 9113, 8.1): fields, and no pseudo-field.
pub fn check_trailers(block: &Block) -> Result<(), Refusal> {
    if block.excess().is_some() {
        return Err(Refusal::Malformed("the trailers are larger than this server accepts"));
    }
    block.iter().try_for_each(|(name, value)| check_field(name, value).map(drop))
}

/// The rules of a field other than a pseudo-field (RFC 9113, 8.2.1 and 8.2.2); returns its name.
fn check_field<'a>(name: &'a [u8], value: &[u8]) -> Result<&'a str, Refusal> {
    const NOT_ALLOWED: Refusal = Refusal::Malformed("a field's name has a character that is not allowed");
    if name.is_empty() || !name.iter().all(|&b| NAME_BYTES[b as usize]) {
        let is_pseudo = name.first() == Some(&b':');
        return Err(if is_pseudo { Refusal::Malformed("a pseudo-field follows a field") } else { NOT_ALLOWED });
    }
    check_value(value)?;
    match name.len() {
        2 if name == b"te" && !value.eq_ignore_ascii_case(b"trailers") => Err(Refusal::Malformed("te is not trailers")),
        7 | 10 | 16 | 17 if OF_CONNECTION.contains(&name) => {
            Err(Refusal::Malformed("there is a field of the connection"))
        }
        _ => std::str::from_utf8(name).map_err(|_| NOT_ALLOWED),
    }
}

/// Fields that have no meaning in HTTP/2 (RFC 9113, 8.2.2).
pub const OF_CONNECTION: [&[u8]; 5] =
    [b"connection", b"keep-alive", b"proxy-connection", b"transfer-encoding", b"upgrade"];

fn check_value(value: &[u8]) -> Result<(), Refusal> {
    // Folded, not short-circuited: so it takes many bytes at a time.
    let has_control = value.iter().fold(false, |found, &b| found | (b < b' ' && b != b'\t') | (b == 0x7f));
    let is_blank = |byte: Option<&u8>| matches!(byte, Some(b' ' | b'\t'));
    if has_control {
        return Err(Refusal::Malformed("a field's value has a control character"));
    }
    if is_blank(value.first()) || is_blank(value.last()) {
        return Err(Refusal::Malformed("a field's value begins or ends with a space"));
    }
    Ok(())
}

/// The bytes of a token (RFC 9110, 5.6.2), but capitals (RFC 9113, 8.2.1).
const NAME_BYTES: [bool; 256] = {
    let mut table = [false; 256];
    let mut b = 0;
    while b < 256 {
        table[b] = is_token_byte(b as u8) && !(b as u8).is_ascii_uppercase();
        b += 1;
    }
    table
};

fn token(bytes: &[u8]) -> Option<&str> {
    let is_token = !bytes.is_empty() && bytes.iter().copied().all(is_token_byte);
    if is_token { std::str::from_utf8(bytes).ok() } else { None }
}

/// RFC 3986, 3.1.
fn is_scheme(bytes: &[u8]) -> bool {
    bytes.first().is_some_and(u8::is_ascii_alphabetic)
        && bytes.iter().all(|b| b.is_ascii_alphanumeric() || b"+-.".contains(b))
}

/// Whether two hosts are the same, whatever their case, and with the scheme's port or without.
fn is_same_host(a: &[u8], b: &[u8], scheme: &[u8]) -> bool {
    let port: &[u8] = match scheme {
        b"http" => b":80",
        b"https" => b":443",
        _ => b"",
    };
    let without_port = |host: &'_ [u8]| host.strip_suffix(port).map_or(host.len(), <[u8]>::len);
    a == b || a[..without_port(a)].eq_ignore_ascii_case(&b[..without_port(b)])
}

#[cfg(test)]
#[path = "head_tests.rs"]
mod tests;
