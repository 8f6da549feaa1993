//! Faults of a response's head, over HTTP/2: of its fields, or of the frames that it is in.

use super::script::{Field, On, PAYLOAD_BYTES_MAX, Script};
use super::{flag, kind};
use crate::testbed::fault::heads::FIELD_BYTES;
use crate::testbed::fault::params;
use tine_worker::app::StreamEnd::{Abandoned, ConnectionClosed};
use tine_worker::http::Request;

/// No other frame may stand among those of a head: it is written as a whole.
const FIELD_BYTES_MAX: u64 = 256 << 10;

/// A part of HEADERS, then the end of the connection.
pub fn half_header(_: &Request<'_>) -> Result<Script, String> {
    // 200, and `content-type: text/plain`, of a block of 99 bytes.
    let begin = b"\x88\x5f\x0atext/plain";
    Ok(Script::new().half_frame(kind::HEADERS, flag::END_HEADERS, 99, begin).then(ConnectionClosed))
}

/// A field whose value has `size` bytes, in HEADERS and CONTINUATION.
pub fn huge_header(request: &Request<'_>) -> Result<Script, String> {
    let size = params::bytes(request, "size", FIELD_BYTES_MAX)?.unwrap_or(FIELD_BYTES);
    Ok(Script::declaring(5).filled(size as usize).text("fill\n"))
}

type Fields = &'static [(&'static str, &'static str)];

/// Pseudo-fields of responses that are otherwise valid.
const STATUSES: &[(&str, Fields)] = &[
    ("no-status", &[]),
    ("letters", &[(":status", "2x0")]),
    ("two-digits", &[(":status", "20")]),
    ("four-digits", &[(":status", "2000")]),
    ("zero", &[(":status", "000")]),
    ("high", &[(":status", "999")]),
    ("spaces", &[(":status", " 200 ")]),
    ("control", &[(":status", "200\0")]),
    ("empty", &[(":status", "")]),
    ("twice", &[(":status", "200"), (":status", "200")]),
    ("late", &[("x-early", "1"), (":status", "200")]),
    ("unknown", &[(":status", "200"), (":unknown", "1")]),
    ("request", &[(":method", "GET"), (":scheme", "http"), (":path", "/")]),
];

pub fn bad_status(request: &Request<'_>) -> Result<Script, String> {
    let pseudo = params::one_of(request, "kind", STATUSES)?;
    let rest = [("content-type", "text/plain"), ("content-length", "9")];
    let fields = pseudo.iter().chain(&rest).map(|&(name, value)| (name, value.into()));
    Ok(Script::new().head(fields.collect()).text("bad line\n"))
}

/// A line break within a field's value.
pub fn line_break(_: &Request<'_>) -> Result<Script, String> {
    Ok(Script::new().ok(&[("content-length", "8".into()), ("x-lines", "one\ntwo".into())]).text("LF only\n"))
}

/// The head in frames of a byte each. Valid, and in one write: no other frame may stand among them.
pub fn dribble_head(_: &Request<'_>) -> Result<Script, String> {
    let fields: [Field; 3] =
        [(":status", "200".into()), ("content-type", "text/plain".into()), ("content-length", "5".into())];
    Ok(Script::new().head_in(fields.into(), 1).text("slow\n"))
}

/// DATA without HEADERS.
pub fn no_head(_: &Request<'_>) -> Result<Script, String> {
    let body = &b"<html>an answer without a head</html>\n"[..];
    debug_assert!(body.len() <= PAYLOAD_BYTES_MAX);
    Ok(Script::new().frame(kind::DATA, flag::END_STREAM, On::TheStream, body).then(Abandoned))
}
