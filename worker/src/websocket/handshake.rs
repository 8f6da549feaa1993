//! The opening handshake (RFC 6455, 4.2): whether a request may become a WebSocket, and the response to it. What the app
//! adds to that is in [`crate::app::Handshake`]. An extended CONNECT (RFC 8441, 5) has the head of a GET that asks for one, without
//! a key: a stream needs no proof that its server speaks the protocol.

use crate::http::{Head, Headers, Request, Response, StatusCode, Version};
use tungstenite::handshake::derive_accept_key;

/// Why a request cannot become a WebSocket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NotHandshake {
    /// Its method is not GET.
    Method,
    /// It does not ask for a WebSocket, or not as RFC 6455 says.
    Malformed,
    /// It asks for another version than 13.
    Version,
}

impl NotHandshake {
    /// 405, 400 or 426, whose field says which version would be right.
    pub fn response(self) -> Response {
        match self {
            NotHandshake::Method => {
                let text = "Only GET requests are allowed for WebSocket\n";
                Response::text(StatusCode::METHOD_NOT_ALLOWED, text).header("Allow", "GET")
            }
            NotHandshake::Malformed => Response::text(StatusCode::BAD_REQUEST, "Not a websocket handshake\n"),
            NotHandshake::Version => {
                Response::with_head(Head::upgrade_required(), "Sec-WebSocket-Version has to be 13\n")
            }
        }
    }
}

/// In HTTP/1, the status line of the 101 and the fields that answer the handshake; in HTTP/2 the head has none of its own.
pub fn check(request: &Request<'_>) -> Result<String, NotHandshake> {
    if request.method() != "GET" {
        return Err(NotHandshake::Method);
    }
    let headers = request.headers();
    let is_asked = has_token(headers, "upgrade", "websocket") && has_token(headers, "connection", "upgrade");
    if !is_asked || request.version() == Version::Http10 || request.has_body() {
        return Err(NotHandshake::Malformed);
    }
    if single(headers, "sec-websocket-version") != Some(b"13") {
        return Err(NotHandshake::Version);
    }
    if request.version() == Version::Http2 {
        return Ok(String::new());
    }
    let key = single(headers, "sec-websocket-key").filter(|key| is_key(key)).ok_or(NotHandshake::Malformed)?;
    Ok(format!(
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: {}\r\n",
        derive_accept_key(key)
    ))
}

/// Whether a list field has this token, in any case (RFC 9110, 5.6.1); it may have several lines.
fn has_token(headers: Headers<'_>, name: &str, token: &str) -> bool {
    let lines = headers.iter().filter(|(field, _)| field.eq_ignore_ascii_case(name));
    let mut items = lines.flat_map(|(_, value)| value.split(|&b| b == b','));
    items.any(|item| item.trim_ascii().eq_ignore_ascii_case(token.as_bytes()))
}

/// The value of a field that occurs once.
fn single<'a>(headers: Headers<'a>, name: &str) -> Option<&'a [u8]> {
    let mut lines = headers.iter().filter(|(field, _)| field.eq_ignore_ascii_case(name));
    match (lines.next(), lines.next()) {
        (Some((_, value)), None) => Some(value.trim_ascii()),
        _ => None,
    }
}

/// Sixteen bytes in base64 (RFC 6455, 4.1): 22 characters and two of padding.
fn is_key(key: &[u8]) -> bool {
    let is_digit = |b: &u8| b.is_ascii_alphanumeric() || *b == b'+' || *b == b'/';
    key.len() == 24 && key[..22].iter().all(is_digit) && key.ends_with(b"==")
}
