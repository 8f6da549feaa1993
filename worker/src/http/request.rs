//! A request as an application sees it: borrowed from the connection's buffer for one call.

use super::BodyLength;
use super::response::is_token_byte;
use tine_common::request_name::RequestName;

/// The version of HTTP that a request is in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Version {
    /// HTTP/1.0
    Http10,
    /// HTTP/1.1, and later minor versions.
    Http11,
    /// HTTP/2
    Http2,
}

impl Version {
    /// As it is written in a request line and in logs: `HTTP/1.1`, `HTTP/2.0`.
    pub fn as_str(self) -> &'static str {
        match self {
            Version::Http10 => "HTTP/1.0",
            Version::Http11 => "HTTP/1.1",
            Version::Http2 => "HTTP/2.0",
        }
    }
}

/// The head of a request. Its body is passed to an exchange ([`Exchange::push`](crate::app::Exchange::push)).
///
/// ```
/// # extern crate tine_worker as tine;
/// use tine::http::{Request, Response, StatusCode};
///
/// fn greet(request: &Request<'_>) -> Response {
///     match (request.method(), request.path(), request.query_value("name")) {
///         ("GET", "/greet", Some(name)) => Response::text(StatusCode::OK, format!("hello {name}\n")),
///         ("GET", "/agent", _) => {
///             let agent = request.headers().get("user-agent").unwrap_or(b"none");
///             Response::text(StatusCode::OK, agent.to_vec())
///         }
///         _ => Response::text(StatusCode::NOT_FOUND, "not found\n"),
///     }
/// }
/// ```
#[derive(Debug, Clone, Copy)]
pub struct Request<'a> {
    method: &'a str,
    target: &'a str,
    /// The start of the path in the target, and its end: at `?` or at the target's end.
    path: (usize, usize),
    version: Version,
    headers: Headers<'a>,
    body: BodyLength,
    place: u32,
    is_https: bool,
    text: &'a [u8],
    id: Option<&'a str>,
    arrived: Option<&'a [u8]>,
}

impl<'a> Request<'a> {
    /// `path_start`: where the path begins in the target; after the authority in absolute-form (RFC 9112, 3.2.2).
    pub(crate) fn new(
        method: &'a str,
        target: &'a str,
        path_start: usize,
        version: Version,
        headers: Headers<'a>,
        body: BodyLength,
    ) -> Self {
        let rest = &target.as_bytes()[path_start..];
        // Most targets are short: a plain loop is faster than a call of a vectorised search.
        let end = rest.iter().position(|&b| b == b'?').map_or(target.len(), |at| path_start + at);
        let path = (path_start, end);
        Request {
            method,
            target,
            path,
            version,
            headers,
            body,
            place: 1,
            is_https: false,
            text: b"",
            id: None,
            arrived: None,
        }
    }

    /// The method as it was sent: `GET`.
    pub fn method(&self) -> &'a str {
        self.method
    }

    /// The request target as it was sent.
    pub fn target(&self) -> &'a str {
        self.target
    }

    /// The request's name in the log.
    pub fn name(&self) -> RequestName {
        RequestName::new(self.method.as_bytes(), self.target.as_bytes())
    }

    /// The path, undecoded, without the query; `/` if an absolute-form target has none; `*` for a server-wide OPTIONS.
    pub fn path(&self) -> &'a str {
        match &self.target[self.path.0..self.path.1] {
            "" => "/",
            path => path,
        }
    }

    /// The same request for an application that is mounted below the first `bytes` of its path.
    pub fn below(&self, bytes: usize) -> Request<'a> {
        Request { path: ((self.path.0 + bytes).min(self.path.1), self.path.1), ..*self }
    }

    /// What follows the first `?`, undecoded.
    pub fn query(&self) -> Option<&'a str> {
        self.target.get(self.path.1 + 1..)
    }

    /// The value of a query parameter, undecoded: `""` if it has no `=`; the first of several.
    pub fn query_value(&self, name: &str) -> Option<&'a str> {
        self.query()?.split('&').find_map(|pair| {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            (key == name).then_some(value)
        })
    }

    /// The requested host and port: from the target if it has them, or else from the Host header (RFC 9112, 3.3).
    pub fn host(&self) -> &'a str {
        match self.target.find("://") {
            Some(scheme) if self.path.0 > 0 => &self.target[scheme + 3..self.path.0],
            _ => self.headers.get("host").and_then(|value| std::str::from_utf8(value).ok()).unwrap_or(""),
        }
    }

    /// The version of HTTP.
    pub fn version(&self) -> Version {
        self.version
    }

    /// The header fields.
    pub fn headers(&self) -> Headers<'a> {
        self.headers
    }

    /// Its place among the requests of its connection, from 1.
    pub fn place(&self) -> u32 {
        self.place
    }

    /// Its scheme is https: it came over TLS, or a trusted proxy says so. [`Cx::tls`](crate::app::Cx::tls) has the session.
    pub fn is_https(&self) -> bool {
        self.is_https
    }

    /// `https` or `http`.
    pub fn scheme(&self) -> &'static str {
        if self.is_https { "https" } else { "http" }
    }

    pub(crate) fn set_https(&mut self, is_https: bool) {
        self.is_https = is_https;
    }

    /// The request as text: its line and its fields as HTTP/1.1 writes them, an empty line last, no field folded.
    pub fn text(&self) -> &'a [u8] {
        self.text
    }

    /// Its ID, with `--request-id`: the client's `X-Request-ID` if that is sane, or else one of the server's.
    pub fn id(&self) -> Option<&'a str> {
        self.id
    }

    pub(crate) fn with_id<'b>(self, id: Option<&'b str>) -> Request<'b>
    where
        'a: 'b,
    {
        Request { id, ..self }
    }

    pub(crate) fn set_text(&mut self, text: &'a [u8]) {
        self.text = text;
    }

    pub(crate) fn set_place(&mut self, place: u32) {
        self.place = place;
    }

    /// The subprotocols that a WebSocket handshake offers, in the client's order of preference (RFC 6455, 4.1, 10).
    pub fn subprotocols(&self) -> impl Iterator<Item = &'a str> + use<'a> {
        let lists = self.headers.all("sec-websocket-protocol");
        let items = lists.flat_map(|list| list.split(|&b| b == b',')).map(<[u8]>::trim_ascii);
        let tokens = items.filter(|item| !item.is_empty() && item.iter().copied().all(is_token_byte));
        tokens.filter_map(|token| std::str::from_utf8(token).ok())
    }

    /// The length of the body, as the head declares it.
    pub fn body_length(&self) -> BodyLength {
        self.body
    }

    /// The whole body, if it has arrived with the head, so that an app can answer at once; an exchange is given it all the
    /// same. `None`: it has not arrived, it is chunked, or there is none.
    pub fn arrived_body(&self) -> Option<&'a [u8]> {
        self.arrived
    }

    pub(crate) fn set_arrived(&mut self, body: Option<&'a [u8]>) {
        self.arrived = body;
    }

    /// Whether there may be a byte of body.
    pub fn has_body(&self) -> bool {
        !matches!(self.body, BodyLength::None | BodyLength::Known(0))
    }
}

/// The header fields in the order of arrival, names as they were sent.
#[derive(Debug, Clone, Copy)]
pub struct Headers<'a>(List<'a>);

#[derive(Debug, Clone, Copy)]
enum List<'a> {
    Parsed(&'a [httparse::Header<'a>]),
    Kept(&'a [KeptField]),
}

/// A field of an earlier head that this one has, too, to the byte.
#[derive(Debug)]
pub(crate) struct KeptField {
    name: Box<str>,
    value: Box<[u8]>,
}

impl KeptField {
    pub fn new(name: &str, value: &[u8]) -> KeptField {
        KeptField { name: name.into(), value: value.into() }
    }
}

/// Some fields of a request, for longer than the request.
#[derive(Debug, Default)]
pub struct KeptHeaders(Vec<KeptField>);

impl KeptHeaders {
    /// As those of a request.
    pub fn as_headers(&self) -> Headers<'_> {
        Headers::kept(&self.0)
    }
}

impl<'a> Headers<'a> {
    /// A copy of those whose name, as it was sent, is wanted.
    pub fn keep(&self, is_wanted: impl Fn(&str) -> bool) -> KeptHeaders {
        let wanted = self.iter().filter(|(name, _)| is_wanted(name));
        KeptHeaders(wanted.map(|(name, value)| KeptField::new(name, value)).collect())
    }

    pub(crate) fn new(fields: &'a [httparse::Header<'a>]) -> Self {
        Headers(List::Parsed(fields))
    }

    pub(crate) fn kept(fields: &'a [KeptField]) -> Self {
        Headers(List::Kept(fields))
    }

    /// Each field, its name as it was sent; values are bytes, as they need not be UTF-8.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = (&'a str, &'a [u8])> + use<'a> {
        let (parsed, kept): (&[_], &[_]) = match self.0 {
            List::Parsed(fields) => (fields, &[]),
            List::Kept(fields) => (&[], fields),
        };
        let parsed = parsed.iter().map(|field| (field.name, field.value));
        parsed.chain(kept.iter().map(|field| (&*field.name, &*field.value)))
    }

    /// The first field of this name, in any case.
    pub fn get(&self, name: &str) -> Option<&'a [u8]> {
        self.iter().find_map(|(field, value)| field.eq_ignore_ascii_case(name).then_some(value))
    }

    /// The values of all fields of this name, in order.
    pub fn all<'n>(&self, name: &'n str) -> impl Iterator<Item = &'a [u8]> + use<'a, 'n> {
        self.iter().filter_map(move |(field, value)| field.eq_ignore_ascii_case(name).then_some(value))
    }

    /// Whether there is a field of this name, in any case.
    pub fn has(&self, name: &str) -> bool {
        self.get(name).is_some()
    }
}
