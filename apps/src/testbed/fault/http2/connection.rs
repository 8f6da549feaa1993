//! Faults of the whole connection, asked for by one of its requests.

use super::code;
use super::script::Script;
use crate::testbed::fault::ends::MISSING_BYTES;
use crate::testbed::fault::params;
use crate::testbed::query;
use tine_worker::app::Acks;
use tine_worker::http::Request;

/// GOAWAY with `code` and the last stream `last` after `after` bytes of the body, which is sent to its end; then the connection ends.
pub fn goaway(request: &Request<'_>) -> Result<Script, String> {
    let after = params::bytes(request, "after", params::BODY_BYTES_MAX)?.unwrap_or(0);
    let code = params::code(request, &code::NAMES)?.unwrap_or(code::NO_ERROR);
    let last = query::number(request, "last", 0..=0x7fff_ffff)?;
    let script = Script::declaring(after + MISSING_BYTES).pattern(after).goaway(last.map(|last| last as u32), code);
    Ok(script.pattern(MISSING_BYTES))
}

const ACKS: &[(&str, Acks)] = &[
    ("both", Acks { settings: true, pings: true }),
    ("settings", Acks { settings: true, pings: false }),
    ("pings", Acks { settings: false, pings: true }),
];

/// From now on, the client's SETTINGS and PING on this connection are not acknowledged.
pub fn no_acks(request: &Request<'_>) -> Result<Script, String> {
    let acks = params::one_of(request, "of", ACKS)?;
    Ok(Script::new().withhold(acks).ok(&[]).text("no more acknowledgements on this connection\n"))
}
