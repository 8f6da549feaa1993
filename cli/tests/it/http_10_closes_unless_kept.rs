//! HTTP/1.0 clients: the connection ends with the answer unless both sides keep it alive, and nothing is chunked.

use crate::support::Server;

#[test]
fn without_keep_alive() {
    let server = Server::start(&["--workers", "1"]);
    for fields in ["", "Connection: close\r\n", "Connection: close, keep-alive\r\n", "Host: t\r\n"] {
        let mut client = server.connect();
        client.send(format!("GET /health HTTP/1.0\r\n{fields}\r\nGET /health HTTP/1.0\r\n\r\n"));
        let response = client.response();
        assert_eq!((response.status, response.header("connection")), (200, Some("close")), "{fields:?}");
        client.expect_end();
    }
}

#[test]
fn with_keep_alive() {
    let server = Server::start(&["--workers", "1"]);
    let mut client = server.connect();
    for fields in
        ["Connection: keep-alive\r\n", "connection: Keep-Alive, x\r\n", "Connection: x\r\nConnection: keep-alive\r\n"]
    {
        client.send(format!("GET /bin/10 HTTP/1.0\r\n{fields}\r\n"));
        let response = client.response();
        assert_eq!((response.status, response.header("connection")), (200, Some("keep-alive")));
        assert_eq!(response.body.len(), 10);
    }
    client.send("GET /health HTTP/1.0\r\n\r\n");
    assert_eq!(client.response().header("connection"), Some("close"));
    client.expect_end();
}

#[test]
fn with_a_body_of_unknown_length() {
    let server = Server::start(&["--workers", "1"]);
    for path in ["/stream/1", "/bin/1M?chunked=1"] {
        let mut client = server.connect();
        client.send(format!("GET {path} HTTP/1.0\r\nConnection: keep-alive\r\n\r\n"));
        let response = client.response();
        assert_eq!((response.header("transfer-encoding"), response.header("content-length")), (None, None));
        assert_eq!(response.header("connection"), Some("close"));
        assert_eq!(response.body.len(), 1 << 20);
    }
}

#[test]
fn http_11_is_kept_unless_closed() {
    let server = Server::start(&["--workers", "1"]);
    for close in
        ["Connection: close", "Connection: Close", "Connection: x, CLOSE ,y", "Connection: x\r\nConnection: close"]
    {
        let mut client = server.connect();
        client.send("GET /health HTTP/1.1\r\nHost: t\r\nConnection: keep-alive\r\n\r\n");
        assert_eq!(client.response().header("connection"), None);
        client.send(format!("GET /stream/1 HTTP/1.1\r\nHost: t\r\n{close}\r\n\r\n"));
        let response = client.response();
        assert_eq!((response.header("connection"), response.body.len()), (Some("close"), 1 << 20), "{close:?}");
        client.expect_end();
    }
}
