//! Faults of the connection: it ends before the response does.

use super::params;
use super::script::Script;
use tine_worker::app::ConnectionEnd::Reset;
use tine_worker::http::Request;

/// How many more bytes are declared than sent.
pub const MISSING_BYTES: u64 = 1024;

/// A reset (RST) after `after` bytes of the body; without `after`, before any byte. A Unix socket, which has no RST, is
/// closed.
pub fn reset(request: &Request<'_>) -> Result<Script, String> {
    let after = params::bytes(request, "after", params::BODY_BYTES_MAX)?;
    Ok(after.map_or(Script::new(), part_of_body).then(Reset))
}

/// A FIN after `after` bytes of the body; without `after`, after the head.
pub fn close(request: &Request<'_>) -> Result<Script, String> {
    let after = params::bytes(request, "after", params::BODY_BYTES_MAX)?;
    Ok(part_of_body(after.unwrap_or(0)))
}

/// A FIN without a byte.
pub fn no_response(_: &Request<'_>) -> Result<Script, String> {
    Ok(Script::new())
}

fn part_of_body(after: u64) -> Script {
    Script::declaring(after + MISSING_BYTES).pattern(after)
}
