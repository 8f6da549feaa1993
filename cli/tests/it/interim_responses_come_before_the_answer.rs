//! `/fault/100s`: a run of 1xx responses, as many as requested, then one 200.

use crate::support::Server;

#[test]
fn the_1xx_codes_alternate() {
    let server = Server::start(&["--workers", "1"]);
    let mut client = server.connect();
    for (query, count) in [("", 10), ("?count=0", 0), ("?count=1", 1), ("?count=4", 4), ("?count=100000", 100_000)] {
        for method in ["GET", "POST"] {
            client.send(format!("{method} /fault/100s{query} HTTP/1.1\r\nHost: t\r\nContent-Length: 2\r\n\r\nhi"));
            for n in 0..count {
                let response = client.response();
                assert_eq!(response.status, [100, 102, 103][n % 3], "{query}");
                assert_eq!(response.header("link").is_some(), n % 3 == 2, "{query}");
            }
            let response = client.response();
            let text = format!("after {count} interim responses\n");
            assert_eq!((response.status, response.text()), (200, text), "{query}");
        }
    }
}

#[test]
fn not_for_http_10() {
    let server = Server::start(&["--workers", "1"]);
    let mut client = server.connect();
    client.send("GET /fault/100s HTTP/1.0\r\n\r\n");
    assert_eq!(client.response().status, 200);
    client.expect_end();
}

/// Made only as fast as they are read.
#[test]
fn to_a_client_that_does_not_read() {
    let server = Server::start(&["--workers", "1"]);
    assert_eq!(server.get("/fault/100s").status, 100);
    let before = server.memory_bytes();
    let mut client = server.connect_narrow();
    client.send("GET /fault/100s?count=100000 HTTP/1.1\r\nHost: t\r\n\r\n");
    client.peek().expect("they begin");
    assert_eq!(server.get("/health").status, 200);
    let grown = server.memory_bytes().saturating_sub(before);
    assert!(grown < 512 << 10, "grew by {grown} bytes");
    for _ in 0..100_000 {
        assert!(client.response().status < 200);
    }
    assert_eq!(client.response().status, 200);
}

/// Wherever the high watermark falls: in the run, after its last response or after the head.
#[test]
fn the_answer_waits_for_room_like_the_responses_before_it() {
    let server = Server::start(&["--workers", "1", "--write-high-watermark", "4096", "--write-low-watermark", "1K"]);
    let mut client = server.connect();
    for count in 60..140 {
        client.send(format!("GET /fault/100s?count={count} HTTP/1.1\r\nHost: t\r\n\r\n"));
        for _ in 0..count {
            assert!(client.response().status < 200, "{count}");
        }
        assert_eq!(client.response().text(), format!("after {count} interim responses\n"));
    }
}
