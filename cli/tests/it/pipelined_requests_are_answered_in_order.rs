//! Pipelined requests are answered in order, and only as many at a time as the client reads.

use crate::support::{SESSION_BYTES, Server, scheme};

#[test]
fn a_hundred_in_one_segment() {
    let server = Server::start(&["--workers", "1"]);
    let mut client = server.connect();
    let requests: String = (1..=100).map(|n| format!("GET /bin/{n} HTTP/1.1\r\nHost: t\r\n\r\n")).collect();
    client.send(requests);
    for n in 1..=100 {
        let response = client.response();
        assert_eq!((response.status, response.body.len()), (200, n));
    }
    client.send("GET /health HTTP/1.1\r\nHost: t\r\nConnection: close\r\n\r\n");
    assert_eq!(client.response().status, 200);
    client.expect_end();
}

#[test]
fn of_all_kinds() {
    let server = Server::start(&["--workers", "1"]);
    let mut client = server.connect();
    let round = "GET /health HTTP/1.1\r\nHost: t\r\n\r\n\
        GET /bin/100 HTTP/1.1\r\nHost: t\r\n\r\n\
        POST /echo HTTP/1.1\r\nHost: t\r\nContent-Length: 5\r\n\r\nhello\
        HEAD /bin/100 HTTP/1.1\r\nHost: t\r\n\r\n\
        POST /echo HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\n\r\n3\r\none\r\n4;x=y\r\n two\r\n0\r\nT: v\r\n\r\n\
        GET /bin/200?chunked=1 HTTP/1.1\r\nHost: t\r\n\r\n\
        POST /health HTTP/1.1\r\nHost: t\r\nContent-Length: 4\r\n\r\nGET \
        GET /bin/bad HTTP/1.1\r\nHost: t\r\n\r\n";
    client.send(round.repeat(30));
    for _ in 0..30 {
        assert_eq!(client.response().text(), "{\"status\":\"ok\"}");
        assert_eq!(client.response().body.len(), 100);
        let echo: serde_json::Value = serde_json::from_slice(&client.response().body).expect("JSON");
        assert_eq!((&echo["body"], &echo["body_size"]), (&"hello".into(), &5.into()));
        assert_eq!(client.response_to("HEAD").header("content-length"), Some("100"));
        let echo: serde_json::Value = serde_json::from_slice(&client.response().body).expect("JSON");
        assert_eq!((&echo["body"], &echo["body_size"]), (&"one two".into(), &7.into()));
        assert_eq!(client.response().body.len(), 200);
        assert_eq!(client.response().text(), "{\"status\":\"ok\"}");
        assert_eq!(client.response().status, 400);
    }
}

#[test]
fn thousands_from_a_client_that_does_not_read_yet() {
    const COUNT: usize = 20_000;
    let server = Server::start(&["--workers", "1"]);
    // The worker's own buffers have grown before the measurement.
    let mut first = server.connect();
    first.send("POST /upload HTTP/1.1\r\nHost: t\r\nContent-Length: 1048576\r\n\r\n");
    first.send(vec![b'x'; 1 << 20]);
    assert_eq!(first.response().status, 200);
    assert_eq!(server.get("/").status, 200);
    let before = server.memory_bytes();
    let mut client = server.connect_narrow();
    let requests: String = (0..COUNT).map(|n| format!("GET /{n} HTTP/1.1\r\nHost: t\r\n\r\n")).collect();
    let mut sender = client.sender();
    let sending = std::thread::spawn(move || std::io::Write::write_all(&mut sender, requests.as_bytes()));
    client.peek().expect("the answers begin");
    assert_eq!(server.get("/health").status, 200);
    // No process holds the 10 MB of answers: an answer is made only as it is read.
    let grown = server.memory_bytes().saturating_sub(before);
    assert!(grown < (512 << 10) + 8 * SESSION_BYTES, "grew by {grown} bytes");
    for n in 0..COUNT {
        let text = client.response().text();
        assert!(text.contains(&format!("\"uri\":\"{}://t/{n}\"", scheme())), "answer {n} is {text}");
    }
    sending.join().expect("the sender").expect("all requests were taken");
}
