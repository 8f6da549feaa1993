//! A request body that is waited for and of which nothing arrives for `--body-timeout` is answered with 408 and the
//! end.

use crate::support::Server;
use std::time::{Duration, Instant};

#[test]
fn stalled_bodies_get_408() {
    let server = Server::start(&["--workers", "1", "--body-timeout", "400ms"]);
    for start in [
        "Content-Length: 10\r\n\r\n",
        "Content-Length: 10\r\n\r\nhalf",
        "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n4\r\nhal",
    ] {
        let began = Instant::now();
        let mut client = server.connect();
        client.send(format!("POST /upload HTTP/1.1\r\nHost: t\r\n{start}"));
        let response = client.response();
        assert!(began.elapsed() >= Duration::from_millis(400));
        assert_eq!((response.status, response.header("connection")), (408, Some("close")), "{start:?}");
        assert!(response.text().contains("body"), "{}", response.text());
        client.expect_end();
    }
}

/// The timeout counts from the last byte, not from the first.
#[test]
fn slow_bodies_are_read_to_their_end() {
    let server = Server::start(&["--workers", "1", "--body-timeout", "3s"]);
    let began = Instant::now();
    let mut client = server.connect();
    client.send("POST /upload HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\n\r\n");
    let mut count = 0;
    while began.elapsed() < Duration::from_millis(3500) {
        client.send("1\r\nx\r\n");
        count += 1;
        std::thread::sleep(Duration::from_millis(50)); // being slow is the point
    }
    client.send("0\r\n\r\n");
    let response = client.response();
    assert!(response.text().contains(&format!("\"bytes_received\":{count}")), "{response:?}");
}
