//! A request head has to be complete within `--header-timeout` of its first byte; else 408 and the end.

use crate::support::{Client, Server};
use std::time::{Duration, Instant};

const TIMEOUT: Duration = Duration::from_millis(400);

fn server() -> Server {
    Server::start(&["--workers", "1", "--header-timeout", "400ms"])
}

#[track_caller]
fn expect_408(mut client: Client, began: Instant) {
    let response = client.response();
    assert!(began.elapsed() >= TIMEOUT, "after {:?}", began.elapsed());
    assert_eq!((response.status, response.header("connection")), (408, Some("close")));
    assert!(response.text().contains("head"), "{}", response.text());
    client.expect_end();
}

#[test]
fn that_stop() {
    let server = server();
    for part in
        ["G", "GET / HTTP/1.1\r\n", "GET / HTTP/1.1\r\nHost: t\r\nX: y\r\n", "\r\nGET / HTTP/1.1\r\nHost: t\r\n\r"]
    {
        let began = Instant::now();
        let mut client = server.connect();
        client.send(part);
        expect_408(client, began);
    }
}

#[test]
fn that_dribble() {
    let server = server();
    let began = Instant::now();
    let mut client = server.connect();
    client.send("GET / HTTP/1.1\r\nHost: t\r\nX: ");
    client.stream.set_read_timeout(Some(Duration::from_millis(20))).expect("a timeout");
    // A byte now and then does not extend the timeout.
    while let Err(e) = client.peek() {
        assert_eq!(e.kind(), std::io::ErrorKind::WouldBlock);
        assert!(began.elapsed() < crate::support::patience(), "never answered");
        client.send("y");
    }
    client.stream.set_read_timeout(Some(crate::support::patience())).expect("a timeout");
    expect_408(client, began);
}

#[test]
fn after_earlier_requests() {
    let server = server();
    let mut client = server.connect();
    client.send("GET /health HTTP/1.1\r\nHost: t\r\n\r\n");
    assert_eq!(client.response().status, 200);
    let began = Instant::now();
    client.send("GET /health HTTP/1.1\r\nHost");
    expect_408(client, began);
}
