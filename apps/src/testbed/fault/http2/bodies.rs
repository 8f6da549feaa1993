//! Faults of a body and its length, over HTTP/2, where END_STREAM ends it.

use super::script::{On, Script};
use super::{flag, kind};
use crate::testbed::fault::lengths::{self, WrongLength};
use crate::testbed::fault::params;
use tine_worker::app::StreamEnd::{Abandoned, ConnectionClosed};
use tine_worker::http::Request;

/// A body of `sent` bytes that declares `declared`. With `then=keep`, the end of one that is too short never comes.
pub fn wrong_length(request: &Request<'_>) -> Result<Script, String> {
    let WrongLength { declared, sent, closes } = lengths::wrong_length_of(request)?;
    let script = Script::declaring(declared).pattern(sent);
    Ok(if sent < declared && !closes { script.then(Abandoned) } else { script })
}

/// DATA, or a second head, after the end of the stream.
pub fn extra_body(request: &Request<'_>) -> Result<Script, String> {
    type Extra = (u8, u8, &'static [u8]);
    const EXTRA: &[(&str, Extra)] = &[
        ("bytes", (kind::DATA, flag::END_STREAM, b"these bytes are too many\n")),
        // 200, as an entry of the static table.
        ("response", (kind::HEADERS, flag::END_HEADERS | flag::END_STREAM, b"\x88")),
    ];
    let (kind, flags, payload) = params::one_of(request, "as", EXTRA)?;
    let script = Script::declaring(5).text("body\n").frame(kind::DATA, flag::END_STREAM, On::TheStream, &b""[..]);
    Ok(script.frame(kind, flags, On::TheStream, payload).then(Abandoned))
}

/// Two Content-Length fields: 5 and 12 for a body of 12 bytes; with `same`, twice 12.
pub fn duplicate_length(request: &Request<'_>) -> Result<Script, String> {
    let first = if params::flag(request, "same")? { "12" } else { "5" };
    let fields = [("content-length", first.into()), ("content-length", "12".into())];
    Ok(Script::new().ok(&fields).text("two lengths\n"))
}

/// A field that HTTP/2 forbids (RFC 9113, 8.2.2), beside a length that does not match.
pub fn te_and_length(_: &Request<'_>) -> Result<Script, String> {
    let fields = [("content-length", "4".into()), ("transfer-encoding", "chunked".into())];
    Ok(Script::new().ok(&fields).text("both\n"))
}

/// The same field with an unknown coding.
pub fn unknown_coding(_: &Request<'_>) -> Result<Script, String> {
    Ok(Script::new().ok(&[("transfer-encoding", "x-unknown".into())]).text("unknown coding.\n"))
}

/// A body with a status that allows none.
pub fn body_on_204(_: &Request<'_>) -> Result<Script, String> {
    Ok(Script::new().head(vec![(":status", "204".into()), ("content-length", "5".into())]).text("body\n"))
}

/// The connection ends without END_STREAM; with `inside`, within a DATA frame.
pub fn short_body(request: &Request<'_>) -> Result<Script, String> {
    let script = Script::new().ok(&[]).text("good\n");
    let is_inside = params::flag(request, "inside")?;
    let script = if is_inside { script.half_frame(kind::DATA, 0, 100, b"cut") } else { script };
    Ok(script.then(ConnectionClosed))
}
