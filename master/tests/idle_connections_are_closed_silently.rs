//! A connection without a request is ended after `--idle-timeout`, without a word.

mod support;

use std::time::{Duration, Instant};
use support::Server;

const TIMEOUT: Duration = Duration::from_millis(400);

#[test]
fn idle_connections_are_closed_silently() {
    let server = Server::start(&["--workers", "1", "--idle-timeout", "400ms", "--defer-accept", "0"]);
    let began = Instant::now();
    let mut silent = server.connect();
    let mut kept = server.connect();
    kept.send("GET /health HTTP/1.1\r\nHost: t\r\n\r\n");
    assert_eq!(kept.response().status, 200);
    silent.expect_end();
    kept.expect_end();
    assert!(began.elapsed() >= TIMEOUT);
    // The server does not wait for ever until the client ends its side, too.
    let mut later = server.connect();
    let rest = server.sockets();
    drop((silent, kept));
    support::eventually("the sockets are closed", || (server.sockets() < rest).then_some(()));
    later.send("\r\n"); // not a request yet
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
