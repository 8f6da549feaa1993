//! Encodes response heads and chunk sizes.

use super::framing::{BodyFraming, Framing, ResponseFacts};
use super::state::is_head;
use crate::app::{Cx, Handshake, Upgrade};
use crate::dispatch::Record;
use crate::http::{Body, DateLine, Error, Fields, Head, HeaderError, Response, Trailers, Version};
use crate::net::{REFERENCE_BYTES_MIN, WriteQueue};
use crate::request_log;
use crate::sink::append_body;
use http::StatusCode;
use std::borrow::Cow;

/// The field of a handshake's answer with what the app has chosen (RFC 6455, 4.2.2).
pub const SUBPROTOCOL: &str = "Sec-WebSocket-Protocol";

/// Queues a checked head, the last of its response.
pub fn head(
    queue: &mut WriteQueue,
    head: &Head,
    framing: Framing,
    facts: ResponseFacts,
    record: &mut Record,
    cx: &Cx<'_>,
) {
    queue.append_with(|out| write_last_head(out, head, framing, facts, record, cx));
}

/// Writes a checked head, the last of its response.
#[inline]
fn write_last_head(
    out: &mut Vec<u8>,
    head: &Head,
    framing: Framing,
    facts: ResponseFacts,
    record: &mut Record,
    cx: &Cx<'_>,
) {
    let at = out.len();
    write_head(out, head, framing, facts, record.request_id(), cx.date_line());
    record.on_head(head.status, &out[at..], out.len() - at, framing.keep_alive, cx);
}

/// Queues a checked interim response: a status line and fields, and nothing that frames a body.
pub fn interim(queue: &mut WriteQueue, head: &Head) {
    queue.append_with(|out| {
        write_status_line(out, head);
        write_fields(out, head);
        out.extend_from_slice(b"\r\n");
    });
}

/// Queues the last chunk with checked trailer fields.
pub fn last_chunk(queue: &mut WriteQueue, trailers: &Trailers) {
    queue.append_with(|out| {
        out.extend_from_slice(b"0\r\n");
        for (name, value) in trailers.fields() {
            write_field(out, name, value);
        }
        out.extend_from_slice(b"\r\n");
    });
}

/// The head that ends HTTP on a connection: the answer to a handshake.
pub fn switching(queue: &mut WriteQueue, handshake: &Handshake, upgrade: &Upgrade, record: &mut Record, cx: &Cx<'_>) {
    queue.append_with(|out| {
        let at = out.len();
        out.extend_from_slice(handshake.lines().as_bytes());
        if let Some(chosen) = &upgrade.subprotocol {
            write_field(out, SUBPROTOCOL, chosen);
        }
        match &upgrade.head {
            None => out.extend_from_slice(cx.date_line().lines()),
            Some(head) => {
                let Fields { sets_date, sets_server, .. } = head.lines;
                out.extend_from_slice(if sets_server { b"" } else { cx.date_line().server_line() });
                out.extend_from_slice(if sets_date { b"" } else { cx.date_line().date_line() });
                write_fields(out, head);
            }
        }
        write_request_id(out, record.request_id());
        out.extend_from_slice(b"\r\n");
        record.on_head(StatusCode::SWITCHING_PROTOCOLS, &out[at..], out.len() - at, false, cx);
    });
}

fn write_request_id(out: &mut Vec<u8>, id: Option<&str>) {
    if let Some(id) = id {
        write_field(out, request_log::ID_FIELD, id);
    }
}

fn write_status_line(out: &mut Vec<u8>, head: &Head) {
    out.extend_from_slice(b"HTTP/1.1 ");
    out.extend_from_slice(head.status.as_str().as_bytes());
    out.push(b' ');
    let standard = || head.status.canonical_reason().unwrap_or("").as_bytes();
    out.extend_from_slice(head.reason.as_deref().unwrap_or_else(standard));
    out.extend_from_slice(b"\r\n");
}

fn write_field(out: &mut Vec<u8>, name: &str, value: &str) {
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b": ");
    out.extend_from_slice(value.as_bytes());
    out.extend_from_slice(b"\r\n");
}

/// The fields that the application set.
fn write_fields(out: &mut Vec<u8>, head: &Head) {
    if let Some(value) = &head.content_type {
        write_field(out, "Content-Type", value);
    }
    for (name, value) in &head.fields {
        write_field(out, name, value);
    }
    out.extend_from_slice(&head.lines.lines);
}

fn write_head(
    out: &mut Vec<u8>,
    head: &Head,
    framing: Framing,
    facts: ResponseFacts,
    request_id: Option<&str>,
    date: &DateLine,
) {
    out.reserve(256);
    // The most common head, in one piece.
    if let (Some(Cow::Borrowed(content_type)), Some(length)) = (&head.content_type, framing.content_length)
        && head.is_plain_ok()
        && framing.keep_alive
        && facts.version == Version::Http11
        && request_id.is_none()
    {
        date.append_ok_with(content_type, out);
        out.extend_from_slice(itoa::Buffer::new().format(length).as_bytes());
        out.extend_from_slice(b"\r\n\r\n");
        return;
    }
    let Fields { sets_date, sets_server, .. } = head.lines;
    if head.status == StatusCode::OK && head.reason.is_none() && !sets_date && !sets_server {
        out.extend_from_slice(date.ok_lines());
    } else {
        write_status_line(out, head);
        if !sets_server {
            out.extend_from_slice(date.server_line());
        }
        if !sets_date {
            out.extend_from_slice(date.date_line());
        }
    }
    write_fields(out, head);
    // What the app says itself takes precedence.
    write_request_id(out, request_id.filter(|_| !head.has(request_log::ID_FIELD)));
    if let Some(length) = framing.content_length {
        out.extend_from_slice(b"Content-Length: ");
        out.extend_from_slice(itoa::Buffer::new().format(length).as_bytes());
        out.extend_from_slice(b"\r\n");
    }
    if framing.says_chunked {
        out.extend_from_slice(b"Transfer-Encoding: chunked\r\n");
    }
    match (framing.keep_alive, facts.version) {
        // RFC 9110, 7.8: a sender of Upgrade names it here, too.
        (false, _) if head.says_upgrade => out.extend_from_slice(b"Connection: upgrade, close\r\n\r\n"),
        (true, _) if head.says_upgrade => out.extend_from_slice(b"Connection: upgrade\r\n\r\n"),
        (false, _) => out.extend_from_slice(b"Connection: close\r\n\r\n"),
        // HTTP/1.0 closes unless both sides ask for keep-alive (RFC 9112, 9.3).
        (true, Version::Http10) => out.extend_from_slice(b"Connection: keep-alive\r\n\r\n"),
        (true, Version::Http11 | Version::Http2) => out.extend_from_slice(b"\r\n"),
    }
}

/// The size line of a chunk.
pub fn chunk_size(out: &mut Vec<u8>, size: u64) {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    let digits = (u64::BITS - size.leading_zeros()).div_ceil(4).max(1);
    out.extend((0..digits).rev().map(|digit| HEX[(size >> (4 * digit) & 15) as usize]));
    out.extend_from_slice(b"\r\n");
}

/// Queues a response whose body is known; returns whether the connection can be kept.
pub fn response(
    response: &mut Response,
    queue: &mut WriteQueue,
    facts: ResponseFacts,
    record: &mut Record,
    cx: &Cx<'_>,
) -> Result<bool, HeaderError> {
    let length = response.length(facts.is_head);
    let Response { head, body } = response;
    head.check()?;
    let known = body.as_slice().len();
    let framing = Framing::of(facts.with(head), head.status, Some(length));
    let is_sent = framing.body != BodyFraming::Empty;
    // A short body is copied after its head in one step.
    let is_copied = is_sent && known < REFERENCE_BYTES_MIN;
    queue.append_with(|out| {
        write_last_head(out, head, framing, facts, record, cx);
        if is_copied {
            out.extend_from_slice(body.as_slice());
        }
    });
    if is_sent && !is_copied {
        append_body(queue, std::mem::replace(body, Body::Static(b"")));
    }
    Ok(framing.keep_alive)
}

/// The response to a client's error.
pub fn error_response(error: Error) -> Response {
    Response::text(error.status, format!("{error}\n"))
}

/// A complete 503 for a refused connection, of which only the bytes in `asked` were read.
pub fn refusal(asked: &[u8], date: &DateLine, retry_after_seconds: u32) -> Vec<u8> {
    let body = "503 Service Unavailable: the server is at capacity; try again later\n";
    let response = Head::new(StatusCode::SERVICE_UNAVAILABLE).header("Retry-After", retry_after_seconds.to_string());
    without_request(asked, response, body, date)
}

/// A complete 400 for a client that sends plain HTTP to a port of TLS, of which only the bytes in `asked` were read.
pub fn plain_to_tls(asked: &[u8], date: &DateLine) -> Vec<u8> {
    let body = "400 Bad Request: this port serves HTTPS, and the request came as plain HTTP; use https://\n";
    without_request(asked, Head::new(StatusCode::BAD_REQUEST), body, date)
}

fn without_request(asked: &[u8], head: Head, body: &str, date: &DateLine) -> Vec<u8> {
    let head = head.content_type("text/plain; charset=utf-8");
    let facts = ResponseFacts { version: Version::Http11, is_head: is_head(asked), keep_alive: false };
    let framing = Framing::of(facts, head.status, Some(body.len() as u64));
    let mut out = Vec::new();
    write_head(&mut out, &head, framing, facts, None, date);
    if framing.body != BodyFraming::Empty {
        out.extend_from_slice(body.as_bytes());
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chunk_sizes() {
        for size in [0, 1, 9, 10, 15, 16, 255, 256, 4096, 65535, 1 << 20, u64::MAX] {
            let mut out = Vec::new();
            chunk_size(&mut out, size);
            assert_eq!(out, format!("{size:x}\r\n").into_bytes());
        }
    }
}
