//! A connection without a request is closed after `--idle-timeout`, without a response.

use crate::support::{Server, eventually};
use std::time::{Duration, Instant};

const TIMEOUT: Duration = Duration::from_millis(400);

#[test]
fn idle_connections_are_closed_silently() {
    let server = Server::start(&["--workers", "1", "--idle-timeout", "400ms", "--defer-accept", "0"]);
    let sockets = server.sockets();
    let began = Instant::now();
    let mut silent = server.connect();
    let mut kept = server.connect();
    kept.send("GET /health HTTP/1.1\r\nHost: t\r\n\r\n");
    assert_eq!(kept.response().status, 200);
    silent.expect_end();
    kept.expect_end();
    assert!(began.elapsed() >= TIMEOUT);
    // The server does not wait for ever until the client shuts down its side, too.
    eventually("the sockets are closed", || (server.sockets() == sockets).then_some(()));
    // An empty line is not a request yet.
    let mut later = server.connect();
    later.send("\r\n");
    later.expect_end();
}

#[test]
fn a_request_that_takes_longer_is_not_idle() {
    let server = Server::start(&["--workers", "1", "--idle-timeout", "100ms"]);
    let mut client = server.connect();
    client.send("GET /delay/500 HTTP/1.1\r\nHost: t\r\n\r\n");
    assert_eq!(client.response().status, 200);
    client.expect_end();
}
