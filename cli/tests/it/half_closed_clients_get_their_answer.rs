//! A client that shuts down its side after its request still gets the whole answer, and then the end of the connection.

use crate::support::Server;

const ADDRESSED: &str = "HTTP/1.1\r\nHost: t\r\n";

#[test]
fn to_one_request() {
    let server = Server::start(&["--workers", "1"]);
    for (request, text) in [
        (format!("GET /health {ADDRESSED}\r\n"), "{\"status\":\"ok\"}"),
        (format!("GET /delay/200 {ADDRESSED}\r\n"), "\"duration_ms\":200"),
        (format!("POST /x {ADDRESSED}Content-Length: 5\r\n\r\nhello"), "\"body\":\"hello\""),
        (format!("POST /delay/100/1 {ADDRESSED}Content-Length: 5\r\n\r\nhello"), "\"body\":\"hello\""),
        (
            format!("POST /upload {ADDRESSED}Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"),
            "\"bytes_received\":5",
        ),
        (format!("POST /health {ADDRESSED}Content-Length: 5\r\n\r\nhello"), "ok"),
    ] {
        let mut client = server.connect();
        client.send(&request);
        client.finish_sending();
        let response = client.response();
        assert!(response.status == 200 && response.text().contains(text), "{request}: {response:?}");
        client.expect_end();
    }
}

#[test]
fn to_pipelined_requests() {
    let server = Server::start(&["--workers", "1"]);
    let mut client = server.connect();
    client.send(format!(
        "GET /delay/100 {ADDRESSED}\r\nGET /bin/1M {ADDRESSED}\r\n\
         POST /x {ADDRESSED}Content-Length: 2\r\n\r\nhiGET /health {ADDRESSED}\r\n"
    ));
    client.finish_sending();
    assert!(client.response().text().contains("duration_ms"));
    assert_eq!(client.response().body.len(), 1 << 20);
    assert!(client.response().text().contains("\"body\":\"hi\""));
    assert!(client.response().text().contains("ok"));
    client.expect_end();
}

/// Whatever precedes an unfinished request is answered in full, also when the end is noticed while part of the answer
/// still waits for the client to read: how much depends on the answer's size.
#[test]
fn to_all_but_an_unfinished_request() {
    let server = Server::start(&["--workers", "1"]);
    for unfinished in ["GET /hea".to_string(), format!("POST /upload {ADDRESSED}Content-Length: 9\r\n\r\nhalf")] {
        for size in (1..40).map(|n| n * 8000) {
            let mut client = server.connect_narrow();
            client.send(format!("GET /bin/{size} {ADDRESSED}\r\n{unfinished}"));
            client.finish_sending();
            assert_eq!(client.response().body.len(), size, "before {unfinished}");
            client.expect_end();
        }
    }
}
