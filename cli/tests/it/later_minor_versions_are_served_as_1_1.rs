//! HTTP/1.2 to 1.9 are read as the highest minor version that the server speaks (RFC 9110, 6.2); another major version
//! gets a 505.

use crate::support::{Server, send_signal};
use nix::sys::signal::Signal;

#[test]
fn one_after_another_and_pipelined() {
    let server = Server::start(&["--workers", "1"]);
    let mut client = server.connect();
    for minor in 2..=9 {
        client.send(format!(
            "POST /echo HTTP/1.{minor}\r\nHost: t\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n"
        ));
        let response = client.response();
        assert!(
            response.head.starts_with("HTTP/1.1 200 ") && response.text().contains("\"body\":\"hi\""),
            "{response:?}"
        );
        assert_eq!(response.header("connection"), None, "it is kept, as in 1.1");
    }
    let all: String = (2..=9).map(|minor| format!("GET /bin/{minor} HTTP/1.{minor}\r\nHost: t\r\n\r\n")).collect();
    client.send(all);
    for length in 2..=9 {
        assert_eq!(client.response().body.len(), length);
    }
    client.send("GET /health HTTP/1.2\r\n\r\n");
    assert_eq!(client.response().status, 400, "without a Host, as in 1.1");
    client.expect_end();
}

#[test]
fn another_major_version_is_a_505() {
    let server = Server::start(&["--workers", "1"]);
    for version in ["0.9", "2.0", "2.1", "9.9"] {
        let mut client = server.connect();
        client.send(format!("GET /health HTTP/{version}\r\nHost: t\r\n\r\n"));
        assert_eq!(client.response().status, 505, "HTTP/{version}");
        client.expect_end();
    }
}

/// Pipelined requests that were read are answered, whatever minor version they have.
#[test]
fn in_a_drain_too() {
    let mut server = Server::start(&["--workers", "1"]);
    let mut client = server.connect();
    let slow = "GET /delay/400 HTTP/1.2\r\nHost: t\r\n\r\n";
    client.send(format!("{slow}GET /bin/7 HTTP/1.3\r\nHost: t\r\n\r\n"));
    crate::support::eventually("the request is being answered", || (server.in_flight() == 1).then_some(()));
    send_signal(server.pid(), Signal::SIGTERM);
    assert_eq!(client.response().status, 200);
    let last = client.response();
    assert_eq!((last.body.len(), last.header("connection")), (7, Some("close")));
    client.expect_end();
    server.wait_exit();
}
