//! requests and httpx see the same, and what the endpoints promise. Each program in tests/clients has the cases for one
//! subject and runs them with both.

use crate::support::Server;
use crate::support::python::run_python;

#[track_caller]
fn agree(program: &str) {
    let server = Server::start(&["--workers", "2"]);
    run_python(program, &[&server.url("")]);
}

#[test]
fn on_connections() {
    agree("connections.py");
}

#[test]
fn on_bodies() {
    agree("bodies.py");
}

#[test]
fn on_redirects_and_cookies() {
    agree("redirects_and_cookies.py");
}

#[test]
fn on_codings() {
    agree("codings.py");
}

#[test]
fn on_ranges() {
    agree("ranges.py");
}

/// httpx alone, with the package h2.
#[test]
fn over_http2() {
    agree("over_http2.py");
}

#[test]
fn on_streams() {
    agree("streams.py");
}
