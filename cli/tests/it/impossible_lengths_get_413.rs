//! A Content-Length that does not fit a signed 64-bit number is refused at once; the body is not waited for.

use crate::support::Server;

#[test]
fn impossible_lengths_get_413() {
    let server = Server::start(&["--workers", "1"]);
    for path in ["/upload", "/health"] {
        for framed in [
            "Content-Length: 9223372036854775808\r\n\r\n",
            "Content-Length: 18446744073709551615\r\n\r\n",
            "Content-Length: 18446744073709551616\r\n\r\n",
        ] {
            refused(&server, path, framed);
        }
    }
    for size in ["8000000000000000", "ffffffffffffffff", "10000000000000000", "0008000000000000000;a=b"] {
        refused(&server, "/upload", &format!("Transfer-Encoding: chunked\r\n\r\n{size}\r\nx"));
    }
    // The largest that fits is accepted.
    let mut client = server.connect();
    client.send("POST /health HTTP/1.1\r\nHost: t\r\nContent-Length: 9223372036854775807\r\n\r\n");
    assert_eq!(client.response().status, 200);
}

#[track_caller]
fn refused(server: &Server, path: &str, framed: &str) {
    let mut client = server.connect();
    client.send(format!("POST {path} HTTP/1.1\r\nHost: t\r\n{framed}"));
    let response = client.response();
    assert_eq!((response.status, response.header("connection")), (413, Some("close")), "{path} {framed:?}");
    client.expect_end();
}
