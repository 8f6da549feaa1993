//! Faults of a chunked body. The connection ends after them.

use super::params;
use super::script::Script;
use tine_worker::http::Request;

const HEAD: &str = "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nTransfer-Encoding: chunked\r\n\r\n";
const GOOD: &str = "5\r\ngood\n\r\n";

/// What follows a good chunk. A client that reads past the error finds valid chunks up to the end.
const BAD: &[(&str, &str)] = &[
    ("letters", "xyz\r\nbad\n\r\n0\r\n\r\n"),
    ("negative", "-4\r\nbad\n\r\n0\r\n\r\n"),
    ("prefix", "0x4\r\nbad\n\r\n0\r\n\r\n"),
    ("space", " 4\r\nbad\n\r\n0\r\n\r\n"),
    ("empty", "\r\nbad\n\r\n0\r\n\r\n"),
    // 2^64 + 4
    ("overflow", "10000000000000004\r\nbad\n\r\n0\r\n\r\n"),
    ("lf-only", "4\nbad\n\n0\n\n"),
    // More bytes than the size says.
    ("too-long", "2\r\nbad\n\r\n0\r\n\r\n"),
];

/// A malformed chunk after a good one.
pub fn bad_chunk(request: &Request<'_>) -> Result<Script, String> {
    Ok(Script::new().text(HEAD).text(GOOD).text(params::one_of(request, "kind", BAD)?))
}

/// A FIN without the last chunk; with `inside`, in the middle of a chunk.
pub fn short_chunked(request: &Request<'_>) -> Result<Script, String> {
    let script = Script::new().text(HEAD).text(GOOD);
    Ok(if params::flag(request, "inside")? { script.text("64\r\ncut") } else { script })
}

/// An unknown transfer coding; the body ends with the connection.
pub fn unknown_coding(_: &Request<'_>) -> Result<Script, String> {
    let head = "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nTransfer-Encoding: x-unknown\r\n\r\n";
    Ok(Script::new().text(head).text("unknown coding.\n"))
}
