//! The stream or its connection ends before the response does.

use super::code;
use super::script::Script;
use crate::testbed::fault::ends::MISSING_BYTES;
use crate::testbed::fault::params;
use tine_worker::app::StreamEnd::{ConnectionClosed, Reset};
use tine_worker::http::Request;

/// RST_STREAM with `code` after `after` bytes of the body; without `after`, before any frame.
pub fn reset(request: &Request<'_>) -> Result<Script, String> {
    let after = params::bytes(request, "after", params::BODY_BYTES_MAX)?;
    let code = params::code(request, &code::NAMES)?.unwrap_or(code::INTERNAL_ERROR);
    Ok(after.map_or(Script::new(), part_of_body).then(Reset(code)))
}

/// The connection ends, without GOAWAY, after `after` bytes of the body; without `after`, after the head.
pub fn close(request: &Request<'_>) -> Result<Script, String> {
    let after = params::bytes(request, "after", params::BODY_BYTES_MAX)?;
    Ok(part_of_body(after.unwrap_or(0)).then(ConnectionClosed))
}

/// The connection ends without a frame.
pub fn no_response(_: &Request<'_>) -> Result<Script, String> {
    Ok(Script::new().then(ConnectionClosed))
}

fn part_of_body(after: u64) -> Script {
    Script::declaring(after + MISSING_BYTES).pattern(after)
}
