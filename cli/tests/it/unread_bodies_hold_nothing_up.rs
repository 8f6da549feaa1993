//! A request body that the app did not read and that does not arrive: once the answer is sent, its request is no longer
//! in flight, its connection ends after `--linger-timeout` and not `--body-timeout`, and a stop does not wait for it.

use crate::support::{Client, Server, eventually, patience};
use nix::sys::signal::Signal;
use std::time::{Duration, Instant};

/// A client that has its answer and has not sent the rest of its body.
fn with_a_debt(server: &Server, framed: &str) -> Client {
    let mut client = server.connect();
    client.send(format!("POST /health HTTP/1.1\r\nHost: t\r\n{framed}"));
    let response = client.response();
    assert_eq!((response.status, response.header("connection")), (200, None));
    client
}

const BODIES: [&str; 3] = [
    "Content-Length: 10\r\n\r\n",
    "Content-Length: 10\r\n\r\nhalf",
    // The beginning of a chunk's framing is buffered in the worker.
    "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n1",
];

#[test]
fn the_connection_ends_soon() {
    let server = Server::start(&["--workers", "1", "--linger-timeout", "300ms", "--body-timeout", "1h"]);
    for framed in BODIES {
        let began = Instant::now();
        let mut client = with_a_debt(&server, framed);
        client.expect_end();
        assert!(began.elapsed() >= Duration::from_millis(300), "{framed:?}");
    }
}

#[test]
fn also_if_the_client_goes_on_byte_by_byte() {
    let server = Server::start(&["--workers", "1", "--linger-timeout", "500ms", "--body-timeout", "1h"]);
    let mut client = with_a_debt(&server, "Content-Length: 1000000\r\n\r\n");
    let began = Instant::now();
    while !client.has_ended().expect("the server closes cleanly") {
        assert!(began.elapsed() < patience(), "the body is waited for without an end");
        client.send("x");
        std::thread::sleep(Duration::from_millis(20)); // being slow is the point
    }
    assert!(began.elapsed() > Duration::from_millis(500), "each byte extends the wait");
}

#[test]
fn the_connection_is_kept_if_the_body_arrives() {
    let server = Server::start(&["--workers", "1"]);
    let mut client = with_a_debt(&server, BODIES[1]);
    client.send("whole!GET /bin/7 HTTP/1.1\r\nHost: t\r\n\r\n");
    assert_eq!(client.response().body.len(), 7);
}

#[test]
fn the_request_is_not_in_flight_and_a_stop_does_not_wait() {
    for framed in BODIES {
        let options = ["--linger-timeout", "1h", "--body-timeout", "1h", "--graceful-timeout", "1h"];
        let mut server = Server::start(&[&["--workers", "1"][..], &options].concat());
        let mut client = with_a_debt(&server, framed);
        eventually("nothing is in flight", || (server.in_flight() == 0).then_some(()));
        server.signal(Signal::SIGTERM);
        client.expect_end();
        drop(client);
        assert!(server.wait_exit().success());
    }
}

/// A worker that is cut counts it as idle.
#[test]
fn it_is_not_counted_as_cut() {
    let mut server = Server::start(&["--workers", "1", "--linger-timeout", "1h", "--graceful-timeout", "100ms"]);
    let _clients = BODIES.map(|framed| with_a_debt(&server, framed));
    eventually("nothing is in flight", || (server.in_flight() == 0).then_some(()));
    assert!(server.stop(Signal::SIGTERM).success());
    assert!(!server.log().contains("cut"), "{}", server.log());
}
