//! Responses as an application builds them: a head, and a body that is complete ([`Response`]) or written later (a
//! [`Head`] passed to `Out::head`).
//!
//! What an application sets is checked when the head is encoded, so that no value can split a response.

use super::{BODY_BYTES_MAX, Fields};
use bytes::Bytes;
use http::StatusCode;
use std::borrow::Cow;
use std::fmt;

/// Status and header fields. The server sets `Date`, `Server`, `Connection`, `Content-Length` and `Transfer-Encoding`.
#[derive(Debug, Clone)]
pub struct Head {
    pub(crate) status: StatusCode,
    pub(crate) content_type: Option<Cow<'static, str>>,
    pub(crate) fields: Vec<(Cow<'static, str>, Cow<'static, str>)>,
    /// Fields given as bytes; sent after the others.
    pub(crate) lines: Fields,
    /// The reason phrase, if it is not the standard one.
    pub(crate) reason: Option<Box<[u8]>>,
    pub(crate) length: Option<u64>,
    /// It has the field Upgrade.
    pub(crate) says_upgrade: bool,
    closes: bool,
    /// The error of the first invalid field: fields are checked once, when they are set.
    mistake: Option<Box<HeaderError>>,
}

impl Head {
    /// With this status and no field.
    pub const fn new(status: StatusCode) -> Self {
        Head {
            status,
            content_type: None,
            fields: Vec::new(),
            lines: Fields { lines: Vec::new(), sets_date: false, sets_server: false, closes: false },
            reason: None,
            length: None,
            says_upgrade: false,
            closes: false,
            mistake: None,
        }
    }

    /// Whether it has a field of this name, in any case, apart from those that the server sets.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.fields.iter().any(|(field, _)| field.eq_ignore_ascii_case(name)) || self.lines.has(name)
    }

    /// Sets Content-Type.
    pub fn content_type(mut self, value: impl Into<Cow<'static, str>>) -> Self {
        let value = value.into();
        self.note(check_value("Content-Type", &value));
        self.content_type = Some(value);
        self
    }

    /// Adds a header field; several of the same name are kept in order. For `Connection: close`, see [`Head::close`].
    pub fn header(mut self, name: impl Into<Cow<'static, str>>, value: impl Into<Cow<'static, str>>) -> Self {
        let (name, value) = (name.into(), value.into());
        if is_close(name.as_bytes(), value.as_bytes()) {
            return self.close();
        }
        self.note(check_name(&name));
        self.note(check_value(&name, &value));
        // A sender of Upgrade names it in Connection, too (RFC 9110, 7.8).
        self.says_upgrade |= name.eq_ignore_ascii_case("upgrade");
        self.fields.push((name, value));
        self
    }

    /// Sets all fields given as bytes.
    pub fn fields(mut self, fields: Fields) -> Self {
        self.lines = fields;
        self
    }

    /// Sets the reason phrase (RFC 9112, 4), in place of the standard one of the status.
    pub fn reason(mut self, phrase: &[u8]) -> Self {
        self.note(check_reason(phrase));
        let standard = self.status.canonical_reason().unwrap_or("").as_bytes();
        self.reason = (phrase != standard).then(|| phrase.into());
        self
    }

    /// 426: the client should use the supported version of WebSocket (RFC 6455, 4.4; RFC 9110, 15.5.22).
    pub(crate) fn upgrade_required() -> Self {
        let head = Head::new(StatusCode::UPGRADE_REQUIRED).content_type("text/plain; charset=utf-8");
        head.header("Upgrade", "websocket").header("Sec-WebSocket-Version", "13")
    }

    /// Declares the length of the body in bytes: it is then sent with Content-Length instead of chunked.
    pub fn length(mut self, bytes: u64) -> Self {
        self.note(check_length(bytes));
        self.length = Some(bytes);
        self
    }

    /// Ends the connection after the response.
    pub fn close(mut self) -> Self {
        self.closes = true;
        self
    }

    /// Whether it is a 200 with no field but, perhaps, Content-Type.
    pub(crate) fn is_plain_ok(&self) -> bool {
        self.status == StatusCode::OK
            && self.fields.is_empty()
            && self.lines.lines.is_empty()
            && self.reason.is_none()
            && !self.says_upgrade
    }

    /// Whether the application ends the connection.
    pub(crate) fn closes(&self) -> bool {
        self.closes || self.lines.closes
    }

    fn note(&mut self, checked: Result<(), HeaderError>) {
        if let Err(error) = checked {
            self.mistake.get_or_insert(Box::new(error));
        }
    }

    /// Checks that every field can be sent as it is (RFC 9110, 5.1 and 5.5) and that the application may set it.
    pub(crate) fn check(&self) -> Result<(), HeaderError> {
        if let Some(mistake) = &self.mistake {
            return Err((**mistake).clone());
        }
        if self.status.is_informational() {
            return Err(HeaderError(format!("status {} is not a final one", self.status.as_str())));
        }
        Ok(())
    }

    /// As [`Head::check`], for an interim response.
    pub(crate) fn check_interim(&self) -> Result<(), HeaderError> {
        if let Some(mistake) = &self.mistake {
            return Err((**mistake).clone());
        }
        if !self.status.is_informational() || self.status == StatusCode::SWITCHING_PROTOCOLS {
            return Err(HeaderError(format!("status {} is not an interim one", self.status.as_str())));
        }
        Ok(())
    }

    /// As [`Head::check`], for the fields of a WebSocket's 101 that are the application's.
    pub(crate) fn check_switching(&self) -> Result<(), HeaderError> {
        if let Some(mistake) = &self.mistake {
            return Err((**mistake).clone());
        }
        if self.status != StatusCode::SWITCHING_PROTOCOLS {
            return Err(HeaderError(format!("a WebSocket begins with the status 101, not {}", self.status.as_str())));
        }
        match OF_HANDSHAKE.iter().find(|name| self.has(name)) {
            Some(name) => Err(HeaderError(format!("{name} is set by the server"))),
            None if self.closes() => Err(HeaderError("a WebSocket's connection goes on after its head".to_string())),
            None => Ok(()),
        }
    }
}

/// Fields that follow a body. Fields that frame the message, or that are needed before it, are not allowed (RFC 9110,
/// 6.5.1).
#[derive(Debug, Clone, Default)]
pub struct Trailers(Vec<(Cow<'static, str>, Cow<'static, str>)>);

impl Trailers {
    /// No field yet.
    pub fn new() -> Self {
        Trailers::default()
    }

    /// Adds a field.
    pub fn field(mut self, name: impl Into<Cow<'static, str>>, value: impl Into<Cow<'static, str>>) -> Self {
        self.0.push((name.into(), value.into()));
        self
    }

    pub(crate) fn fields(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (&**name, &**value))
    }

    pub(crate) fn check(&self) -> Result<(), HeaderError> {
        self.fields().try_for_each(|(name, value)| {
            check_name(name)?;
            check_value(name, value)?;
            if NOT_IN_TRAILERS.iter().any(|no| name.eq_ignore_ascii_case(no)) {
                return Err(HeaderError(format!("{name} comes too late in a trailer")));
            }
            Ok(())
        })
    }
}

const NOT_IN_TRAILERS: [&str; 11] = [
    "cache-control",
    "content-encoding",
    "content-range",
    "content-type",
    "expires",
    "host",
    "location",
    "set-cookie",
    "trailer",
    "vary",
    "www-authenticate",
];

/// Fields that belong to one connection or frame a message (RFC 9110, 7.6.1; RFC 9112, 6.1), except Content-Length.
pub(super) const NOT_FORWARDED: [&str; 10] = [
    "connection",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "trailer",
    "trailers",
    "transfer-encoding",
    "upgrade",
];

const OF_HANDSHAKE: [&str; 4] =
    ["Upgrade", "Sec-WebSocket-Accept", "Sec-WebSocket-Extensions", "Sec-WebSocket-Protocol"];

const OURS: [&str; 5] = ["connection", "content-length", "transfer-encoding", "date", "server"];

fn check_name(name: &str) -> Result<(), HeaderError> {
    if name.is_empty() || !name.bytes().all(is_token_byte) {
        return Err(HeaderError(format!("{name:?} is not a header name")));
    }
    if OURS.iter().any(|ours| name.eq_ignore_ascii_case(ours)) {
        return Err(HeaderError(format!("{name} is set by the server; an application declares a length or closes")));
    }
    Ok(())
}

fn check_length(bytes: u64) -> Result<(), HeaderError> {
    if bytes <= BODY_BYTES_MAX {
        return Ok(());
    }
    Err(HeaderError(format!("a body of {bytes} bytes is longer than the largest allowed")))
}

fn check_value(name: &str, value: &str) -> Result<(), HeaderError> {
    if value.bytes().all(is_text_byte) {
        return Ok(());
    }
    Err(HeaderError(format!("the value of {name} has a control character: {value:?}")))
}

fn check_reason(phrase: &[u8]) -> Result<(), HeaderError> {
    if phrase.iter().copied().all(is_text_byte) {
        return Ok(());
    }
    Err(HeaderError(format!("the reason phrase has a control character: {:?}", String::from_utf8_lossy(phrase))))
}

/// The one connection field that an application may set.
pub(super) fn is_close(name: &[u8], value: &[u8]) -> bool {
    name.eq_ignore_ascii_case(b"connection") && value.trim_ascii().eq_ignore_ascii_case(b"close")
}

/// Bytes allowed in a field value (RFC 9110, 5.5) and a reason phrase (RFC 9112, 4): all except control characters.
pub(super) fn is_text_byte(b: u8) -> bool {
    b == b'\t' || (b >= b' ' && b != 0x7f)
}

/// A `tchar` of RFC 9110, 5.6.2.
pub(crate) const fn is_token_byte(b: u8) -> bool {
    b.is_ascii_alphanumeric()
        || matches!(b, b'!' | b'#'..=b'\'' | b'*' | b'+' | b'-' | b'.' | b'^'..=b'`' | b'|' | b'~')
}

/// A header field that an application may not send. The client gets a 500.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeaderError(pub(crate) String);

impl fmt::Display for HeaderError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A response whose whole body is known: it is queued at once.
///
/// ```
/// # extern crate tine_worker as tine;
/// use tine::http::{Response, StatusCode};
///
/// let json = Response::json(StatusCode::CREATED, r#"{"id":7}"#).header("Location", "/things/7");
/// let page = Response::new(StatusCode::OK).content_type("text/html").body("<h1>Things</h1>");
/// let other = Response::from(http::Response::new("from the crate http"));
/// ```
#[derive(Debug, Clone)]
pub struct Response {
    pub(crate) head: Head,
    pub(crate) body: Body,
}

/// A complete body.
#[derive(Debug, Clone)]
pub enum Body {
    /// Never copied when it is large.
    Static(&'static [u8]),
    /// Never copied when it is large.
    Shared(Bytes),
    /// Bytes of its own.
    Owned(Vec<u8>),
}

impl Response {
    /// With this status, no field and an empty body.
    pub fn new(status: StatusCode) -> Self {
        Response { head: Head::new(status), body: Body::Static(b"") }
    }

    /// `text/plain; charset=utf-8`
    pub fn text(status: StatusCode, body: impl Into<Body>) -> Self {
        Response::known(status, "text/plain; charset=utf-8", body.into())
    }

    /// `application/json`
    pub fn json(status: StatusCode, body: impl Into<Body>) -> Self {
        Response::known(status, "application/json", body.into())
    }

    /// With a content type that needs no check.
    fn known(status: StatusCode, content_type: &'static str, body: Body) -> Self {
        Response { head: Head { content_type: Some(Cow::Borrowed(content_type)), ..Head::new(status) }, body }
    }

    /// Sets Content-Type.
    pub fn content_type(mut self, value: impl Into<Cow<'static, str>>) -> Self {
        self.head = self.head.content_type(value);
        self
    }

    /// Adds a header field, see [`Head::header`].
    pub fn header(mut self, name: impl Into<Cow<'static, str>>, value: impl Into<Cow<'static, str>>) -> Self {
        self.head = self.head.header(name, value);
        self
    }

    /// With a given head; its length is the body's. [`Head::length`] is used only for a HEAD request, whose body need
    /// not be produced.
    pub fn with_head(head: Head, body: impl Into<Body>) -> Self {
        Response { head, body: body.into() }
    }

    /// Replaces the body.
    pub fn body(mut self, body: impl Into<Body>) -> Self {
        self.body = body.into();
        self
    }

    /// The length that its head declares. The body of a response to HEAD need not be produced.
    pub(crate) fn length(&self, is_head: bool) -> u64 {
        self.head.length.filter(|_| is_head).unwrap_or(self.body.as_slice().len() as u64)
    }
}

impl Body {
    /// The bytes.
    pub fn as_slice(&self) -> &[u8] {
        match self {
            Body::Static(bytes) => bytes,
            Body::Shared(bytes) => bytes,
            Body::Owned(bytes) => bytes,
        }
    }
}

impl From<&'static [u8]> for Body {
    fn from(bytes: &'static [u8]) -> Self {
        Body::Static(bytes)
    }
}

impl From<&'static str> for Body {
    fn from(text: &'static str) -> Self {
        Body::Static(text.as_bytes())
    }
}

impl From<Bytes> for Body {
    fn from(bytes: Bytes) -> Self {
        Body::Shared(bytes)
    }
}

impl From<Vec<u8>> for Body {
    fn from(bytes: Vec<u8>) -> Self {
        Body::Owned(bytes)
    }
}

impl From<String> for Body {
    fn from(text: String) -> Self {
        Body::Owned(text.into_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_could_split_a_response_is_refused() {
        let head = || Head::new(StatusCode::OK);
        assert!(head().content_type("text/plain").header("X-Fine", "a\tb; é").check().is_ok());
        for head in [
            head().header("X", "a\r\nSet-Cookie: evil=1"),
            head().header("X", "a\nb"),
            head().header("X", "a\0b"),
            head().header("X", "a\rb"),
            head().header("X\r\nY", "a"),
            head().header("", "a"),
            head().header("a b", "a"),
            head().header("a:b", "a"),
            head().content_type("text/plain\r\nX: y"),
            head().header("content-LENGTH", "5"),
            head().header("Transfer-Encoding", "chunked"),
            head().header("Connection", "keep-alive"),
            Head::new(StatusCode::CONTINUE),
        ] {
            assert!(head.check().is_err(), "{head:?}");
        }
    }

    #[test]
    fn trailers_are_checked_like_headers_and_have_no_field_that_is_needed_before() {
        assert!(Trailers::new().field("Content-Digest", "sha-256=:x:").field("X-Sum", "1").check().is_ok());
        for (name, value) in
            [("X", "a\r\nY: b"), ("X Y", "a"), ("Content-Length", "1"), ("content-type", "a/b"), ("Set-Cookie", "a=b")]
        {
            assert!(Trailers::new().field("X-Fine", "1").field(name, value).check().is_err(), "{name}");
        }
    }

    #[test]
    fn interim_heads_are_1xx_but_101() {
        for (status, fits) in
            [(100, true), (102, true), (103, true), (199, true), (101, false), (200, false), (404, false)]
        {
            let head = Head::new(StatusCode::from_u16(status).unwrap());
            assert_eq!(head.check_interim().is_ok(), fits, "{status}");
        }
        assert!(Head::new(StatusCode::EARLY_HINTS).header("Link", "a\nb").check_interim().is_err());
    }
}
