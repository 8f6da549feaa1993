//! Faults of the connection: it ends where more was to come.

use super::params;
use super::script::Script;
use tine_worker::app::ConnectionEnd::Reset;
use tine_worker::http::Request;

/// What is declared above what is sent.
pub const MISSING_BYTES: u64 = 1024;

/// A reset (RST) after so many bytes of the body; without `after`, before any byte. On a Unix socket, which knows none, an end.
pub fn reset(request: &Request<'_>) -> Result<Script, String> {
    let after = params::bytes(request, "after", params::BODY_BYTES_MAX)?;
    Ok(after.map_or(Script::new(), part_of_body).then(Reset))
}

/// An end (FIN) after so many bytes of the body; without `after`, behind the head.
pub fn close(request: &Request<'_>) -> Result<Script, String> {
    let after = params::bytes(request, "after", params::BODY_BYTES_MAX)?;
    Ok(part_of_body(after.unwrap_or(0)))
}

/// An end without a byte.
pub fn no_response(_: &Request<'_>) -> Result<Script, String> {
    Ok(Script::new())
}

fn part_of_body(after: u64) -> Script {
    Script::declaring(after + MISSING_BYTES).pattern(after)
}
