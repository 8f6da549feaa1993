//! Requests on one connection are answered one after another, and it stays open between them.

use crate::support::Server;

#[test]
fn keep_alive_serves_one_after_another() {
    let server = Server::start(&["--workers", "1"]);
    let mut client = server.connect();
    for _ in 0..3 {
        client.send("GET /health HTTP/1.1\r\nHost: t\r\n\r\n");
        let response = client.response();
        assert_eq!((response.status, response.text().as_str()), (200, "{\"status\":\"ok\"}"));
        assert_eq!(response.header("connection"), None);
    }
    client.send("GET /health HTTP/1.1\r\nHost: t\r\nConnection: close\r\n\r\n");
    assert_eq!(client.response().header("connection"), Some("close"));
    client.expect_end();
}
