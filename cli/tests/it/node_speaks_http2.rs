//! Node's client of HTTP/2: many streams of a connection, bodies each way, interim responses, resets with their codes, GOAWAY.

use crate::support::{Server, within_patience};
use std::path::Path;

#[test]
fn node_speaks_http2() {
    let server = Server::start(&["--workers", "2"]);
    let program = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clients/http2.js");
    let output = within_patience("node").arg(program).arg(server.url("")).output();
    let output = output.unwrap_or_else(|e| panic!("node cannot be run ({e}); scripts/test installs it"));
    let (said, errors) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{}:\n{said}{errors}", output.status);
}
