//! Encodes the heads of responses, and trailers, as header blocks.

use super::frame::HEADER_BYTES;
use super::head::OF_CONNECTION;
use super::hpack::{Encoder, names};
use crate::app::{Cx, Upgrade};
use crate::dispatch::Record;
use crate::http::{Head, StatusCode, Trailers};
use crate::http1::SUBPROTOCOL;
use crate::request_log;

/// A checked head, the last of its response, as a block. `length`: the value of Content-Length.
pub fn head(
    encoder: &mut Encoder,
    out: &mut Vec<u8>,
    head: &Head,
    length: Option<u64>,
    record: &mut Record,
    cx: &Cx<'_>,
) {
    let at = out.len();
    encoder.begin(out);
    let server = (!head.lines.sets_server).then(|| cx.date_line().server());
    let date = (!head.lines.sets_date).then(|| cx.date_line().date());
    encoder.start(head.status.as_u16(), server, date, head.content_type.as_deref().map(str::as_bytes), out);
    fields(encoder, out, head);
    // What the app says itself takes precedence.
    if let Some(id) = record.request_id().filter(|_| !head.has(request_log::ID_FIELD)) {
        encoder.field(request_log::ID_FIELD.as_bytes(), id.as_bytes(), out);
    }
    if let Some(length) = length {
        encoder.known(names::CONTENT_LENGTH, itoa::Buffer::new().format(length).as_bytes(), out);
    }
    let bytes = HEADER_BYTES + out.len() - at;
    match cx.request_log() {
        None => record.on_head(head.status, b"", bytes, true, cx),
        Some(_) => record.on_head(head.status, &as_text(head), bytes, true, cx),
    }
}

/// The answer to an extended CONNECT, as a block (RFC 8441, 5): the fields of HTTP/1's 101 under a 200.
pub fn switching(encoder: &mut Encoder, out: &mut Vec<u8>, upgrade: &mut Upgrade, record: &mut Record, cx: &Cx<'_>) {
    let mut of_app = upgrade.head.take().unwrap_or_else(|| Head::new(StatusCode::OK));
    of_app.status = StatusCode::OK;
    if let Some(chosen) = upgrade.subprotocol.take() {
        of_app = of_app.header(SUBPROTOCOL, chosen);
    }
    head(encoder, out, &of_app, None, record, cx);
}

/// A checked interim head as a block.
pub fn interim(encoder: &mut Encoder, out: &mut Vec<u8>, head: &Head) {
    encoder.begin(out);
    encoder.start(head.status.as_u16(), None, None, head.content_type.as_deref().map(str::as_bytes), out);
    fields(encoder, out, head);
}

/// Checked trailers as a block.
pub fn trailers(encoder: &mut Encoder, out: &mut Vec<u8>, trailers: &Trailers) {
    encoder.begin(out);
    for (name, value) in trailers.fields() {
        field(encoder, out, name.as_bytes(), value.as_bytes());
    }
}

/// The other fields that the application set.
fn fields(encoder: &mut Encoder, out: &mut Vec<u8>, head: &Head) {
    for (name, value) in &head.fields {
        field(encoder, out, name.as_bytes(), value.as_bytes());
    }
    for (name, value) in head.lines.iter() {
        field(encoder, out, name, value);
    }
}

fn field(encoder: &mut Encoder, out: &mut Vec<u8>, name: &[u8], value: &[u8]) {
    // The app may set fields of the connection, which is one of HTTP/1 to it.
    if !OF_CONNECTION.iter().any(|no| name.eq_ignore_ascii_case(no)) {
        // Space around a value is not part of it; a client refuses it (RFC 9113, 8.2.1).
        encoder.field(name, value.trim_ascii(), out);
    }
}

/// What the access log reads of a head.
fn as_text(head: &Head) -> Vec<u8> {
    let mut text = b"HTTP/2.0\r\n".to_vec();
    let content_type = head.content_type.iter().map(|value| ("Content-Type", &**value));
    let others = head.fields.iter().map(|(name, value)| (&**name, &**value));
    for (name, value) in content_type.chain(others) {
        text.extend_from_slice(format!("{name}: {value}\r\n").as_bytes());
    }
    text.extend_from_slice(&head.lines.lines);
    text.extend_from_slice(b"\r\n");
    text
}
