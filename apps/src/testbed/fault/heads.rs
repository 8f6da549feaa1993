//! Faults of a response's head.

use super::params;
use super::script::Script;
use std::time::Duration;
use tine_worker::app::ConnectionEnd::Kept;
use tine_worker::http::Request;

/// The largest field of `/fault/huge-header`.
const FIELD_BYTES_MAX: u64 = 64 << 20;
/// Larger than what proxies take by default: 4K or 8K in nginx, 16K in HAProxy, 60K in Envoy.
pub const FIELD_BYTES: u64 = 64 << 10;
static FILL: [u8; 4096] = [b'x'; 4096];

/// A truncated head, then FIN.
pub fn half_header(_: &Request<'_>) -> Result<Script, String> {
    Ok(Script::new().text("HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Len"))
}

/// A field whose value has `size` bytes. Everything else is valid, and the connection is kept.
pub fn huge_header(request: &Request<'_>) -> Result<Script, String> {
    let size = params::bytes(request, "size", FIELD_BYTES_MAX)?.unwrap_or(FIELD_BYTES);
    let head = "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 5\r\nX-Fill: ";
    Ok(Script::new().text(head).cycle(&FILL, size).text("\r\n\r\nfill\n").then(Kept))
}

/// Malformed status lines of responses that are otherwise valid. The connection ends, and the head says so: a client
/// that tolerates the line gets a whole response.
const STATUS_LINES: &[(&str, &str)] = &[
    ("no-status", "HTTP/1.1 OK"),
    ("protocol", "HTTQ/1.1 200 OK"),
    ("version", "HTTP/3.7 200 OK"),
    ("no-version", "HTTP 200 OK"),
    ("letters", "HTTP/1.1 2x0 OK"),
    ("two-digits", "HTTP/1.1 20 OK"),
    ("four-digits", "HTTP/1.1 2000 OK"),
    ("zero", "HTTP/1.1 000 OK"),
    ("high", "HTTP/1.1 999 OK"),
    ("no-space", "HTTP/1.1 200OK"),
    ("spaces", "HTTP/1.1  200  OK"),
    ("lower-case", "http/1.1 200 ok"),
    ("control", "HTTP/1.1 200 O\0K"),
    ("request", "GET / HTTP/1.1"),
    ("empty", ""),
    ("garbage", "\u{1}\u{2}~~~ no protocol at all ~~~"),
];

pub fn bad_status_line(request: &Request<'_>) -> Result<Script, String> {
    let line = params::one_of(request, "kind", STATUS_LINES)?;
    let rest = "\r\nContent-Type: text/plain\r\nContent-Length: 9\r\nConnection: close\r\n\r\nbad line\n";
    Ok(Script::new().text(line).text(rest))
}

/// Lines that end without CR. The connection ends, and the head says so.
pub fn lf_only(_: &Request<'_>) -> Result<Script, String> {
    Ok(Script::new()
        .text("HTTP/1.1 200 OK\nContent-Type: text/plain\nContent-Length: 8\nConnection: close\n\nLF only\n"))
}

/// The head byte by byte, then the body. Valid but slow, and the connection is kept.
pub fn dribble_head(request: &Request<'_>) -> Result<Script, String> {
    let every = Duration::from_millis(params::milliseconds(request, "every")?.unwrap_or(20));
    let head = "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 5\r\n\r\n";
    Ok(Script::new().slowly(head, every).text("slow\n").then(Kept))
}

/// A body without a head, as HTTP/0.9 sends it.
pub fn http09(_: &Request<'_>) -> Result<Script, String> {
    Ok(Script::new().text("<html>an answer of HTTP/0.9</html>\n"))
}
