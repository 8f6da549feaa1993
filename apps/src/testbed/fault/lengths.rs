//! Faults of a body with a declared length. Most keep the connection: how the recipient has understood the body then
//! shows in the response to its next request.

use super::params;
use super::script::Script;
use crate::testbed::query;
use tine_worker::app::ConnectionEnd::{Closed, Kept};
use tine_worker::http::Request;

/// A body of `sent` bytes that declares `declared`. If fewer are sent, the connection ends; with `then=keep` it stays
/// open, and the recipient waits for bytes that never come. If more are sent, it is kept.
pub fn wrong_length(request: &Request<'_>) -> Result<Script, String> {
    let WrongLength { declared, sent, closes } = wrong_length_of(request)?;
    Ok(Script::declaring(declared).pattern(sent).then(if closes { Closed } else { Kept }))
}

/// The parameters of `/fault/wrong-length`.
pub struct WrongLength {
    pub declared: u64,
    pub sent: u64,
    pub closes: bool,
}

pub fn wrong_length_of(request: &Request<'_>) -> Result<WrongLength, String> {
    let declared = params::bytes(request, "declared", params::BODY_BYTES_MAX)?.unwrap_or(100);
    let sent = params::bytes(request, "sent", params::BODY_BYTES_MAX)?.unwrap_or(50);
    let closes = match query::value(request, "then") {
        None => sent < declared,
        Some(_) => params::one_of(request, "then", &[("close", true), ("keep", false)])?,
    };
    Ok(WrongLength { declared, sent, closes })
}

/// What follows the declared body: bytes that are not a response, or a response that was not requested.
const EXTRA: &[(&str, &str)] = &[
    ("bytes", "these bytes are too many\n"),
    ("response", "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 15\r\n\r\na second answer"),
];

pub fn extra_body(request: &Request<'_>) -> Result<Script, String> {
    let extra = params::one_of(request, "as", EXTRA)?;
    Ok(Script::declaring(5).text("body\n").text(extra).then(Kept))
}

/// Two Content-Length fields: 5 and 12 for a body of 12 bytes; with `same`, twice 12.
pub fn duplicate_length(request: &Request<'_>) -> Result<Script, String> {
    let first = if params::flag(request, "same")? { 12 } else { 5 };
    let head = "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: ";
    Ok(Script::new().text(format!("{head}{first}\r\nContent-Length: 12\r\n\r\ntwo lengths\n")).then(Kept))
}

/// A chunked body with a Content-Length, which does not match and which the chunks override (RFC 9112, 6.3).
pub fn te_and_length(_: &Request<'_>) -> Result<Script, String> {
    let head = "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n";
    Ok(Script::new().text(head).text("5\r\nboth\n\r\n0\r\n\r\n").then(Kept))
}

/// A body with a status that allows none, of the length that the head declares.
pub fn body_on_204(_: &Request<'_>) -> Result<Script, String> {
    Ok(Script::new().text("HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\nbody\n").then(Kept))
}
