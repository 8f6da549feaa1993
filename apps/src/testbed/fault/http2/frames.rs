//! Frames that no client may accept, after a good one. The response goes on after them.

use super::script::{On, PAYLOAD_BYTES_MAX, Script};
use super::{flag, kind};
use crate::testbed::fault::params;
use crate::testbed::fault::script::PATTERN;
use tine_worker::http::Request;

#[derive(Debug, Clone, Copy)]
struct Bad {
    kind: u8,
    flags: u8,
    on: On,
    payload: &'static [u8],
}

const fn bad(kind: u8, flags: u8, on: On, payload: &'static [u8]) -> Bad {
    Bad { kind, flags, on, payload }
}

/// A stream that no client has begun, and one that only a server could.
const IDLE: On = On::Another(0x7fff_ffff);
const EVEN: On = On::Another(2);
const CONNECTION: On = On::Another(0);

#[rustfmt::skip] // a table
const KINDS: &[(&str, Bad)] = &[
    // More padding than payload (RFC 9113, 6.1).
    ("padding", bad(kind::DATA, flag::PADDED, On::TheStream, b"\xc8bad")),
    // A byte more than every client has to accept (4.2).
    ("long", bad(kind::DATA, 0, On::TheStream, PATTERN.split_at(PAYLOAD_BYTES_MAX + 1).0)),
    // PING has eight octets (6.7).
    ("size", bad(kind::PING, 0, CONNECTION, b"sevenpi")),
    // DATA of no stream (6.1).
    ("stream-0", bad(kind::DATA, 0, CONNECTION, b"bad\n")),
    // A stream that the server begins, which it does only by PUSH_PROMISE (5.1.1).
    ("even-stream", bad(kind::HEADERS, flag::END_HEADERS | flag::END_STREAM, EVEN, b"\x88")),
    // Stream 2, `GET http:///`: to clients that do not want it (6.6).
    ("push", bad(kind::PUSH_PROMISE, flag::END_HEADERS, On::TheStream, b"\0\0\0\x02\x82\x86\x84")),
    // Of a head that has ended (6.10).
    ("continuation", bad(kind::CONTINUATION, flag::END_HEADERS, On::TheStream, b"\x88")),
    ("window-0", bad(kind::WINDOW_UPDATE, 0, On::TheStream, b"\0\0\0\0")),
    // A window of more than 2^31-1 (6.9.1).
    ("window-overflow", bad(kind::WINDOW_UPDATE, 0, On::TheStream, b"\x7f\xff\xff\xff")),
    // SETTINGS_INITIAL_WINDOW_SIZE of 2^31 (6.5.2).
    ("settings", bad(kind::SETTINGS, 0, CONNECTION, b"\0\x04\x80\0\0\0")),
    // A head whose block refers to an entry that there is not (RFC 7541, 2.3.3).
    ("hpack", bad(kind::HEADERS, flag::END_HEADERS, On::TheStream, b"\xff\xff\x7f")),
    ("idle-stream", bad(kind::RST_STREAM, 0, IDLE, b"\0\0\0\x08")),
    // Of a type that there is not: to be ignored (5.5).
    ("unknown", bad(0xfa, 0xff, On::TheStream, b"ignore this")),
];

/// A frame of a kind that is wrong.
pub fn bad_frame(request: &Request<'_>) -> Result<Script, String> {
    let Bad { kind, flags, on, payload } = params::one_of(request, "kind", KINDS)?;
    Ok(Script::new().ok(&[]).text("good\n").frame(kind, flags, on, payload))
}
