//! A HEAD request that is refused gets the same head as GET, and no body (RFC 9110, 9.3.2).

use crate::support::{Server, eventually, lossy};

#[test]
fn when_it_is_malformed_or_too_large() {
    let server = Server::start(&["--workers", "1", "--header-timeout", "200ms", "--body-timeout", "200ms"]);
    let long = "x".repeat(20_000);
    for (rest, status) in [
        ("/ HTTP/1.1\r\n\r\n".to_string(), "400"),
        ("nothing HTTP/1.1\r\nHost: t\r\n\r\n".to_string(), "400"),
        ("/ HTTP/1.1\nHost: t\n\n".to_string(), "400"),
        ("/upload HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\n\r\nx\r\n".to_string(), "400"),
        ("/ HTTP/1.1\r\nHost: t\r\n".to_string(), "408"),
        ("/upload HTTP/1.1\r\nHost: t\r\nContent-Length: 5\r\n\r\n".to_string(), "408"),
        ("/ HTTP/1.1\r\nHost: t\r\nContent-Length: 99999999999999999999\r\n\r\n".to_string(), "413"),
        (format!("/{long} HTTP/1.1\r\nHost: t\r\n\r\n"), "414"),
        ("/ HTTP/1.1\r\nHost: t\r\nExpect: more\r\n\r\n".to_string(), "417"),
        (format!("/ HTTP/1.1\r\nHost: t\r\nX: {long}\r\n\r\n"), "431"),
        ("/ HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: gzip\r\n\r\n".to_string(), "501"),
        ("/ HTTP/2.0\r\nHost: t\r\n\r\n".to_string(), "505"),
    ] {
        let get = expect(&server, &format!("GET {rest}"), status);
        let head = expect(&server, &format!("HEAD {rest}"), status);
        assert!(!get.1.is_empty(), "GET {rest:.60}");
        assert_eq!(head, (get.0, String::new()), "HEAD {rest:.60}");
    }
}

#[test]
fn when_the_server_is_full() {
    let server = Server::start(&["--workers", "1", "--max-connections", "1"]);
    // A connection that is idle would make room.
    let mut inside = server.connect();
    inside.send("GET /delay/60000 HTTP/1.1\r\nHost: t\r\n\r\n");
    eventually("it is inside", || (server.in_flight() == 1).then_some(()));
    for _ in 0..50 {
        let (head, body) = expect(&server, "HEAD / HTTP/1.1\r\nHost: t\r\n\r\n", "503");
        assert!(head.contains("\nContent-Length: ") && body.is_empty(), "{head:?} {body:?}");
    }
}

/// The head, without its date, and the body of the answer that ends the connection.
#[track_caller]
fn expect(server: &Server, request: &str, status: &str) -> (String, String) {
    let mut client = server.connect();
    client.send(request);
    let answer = client.rest().expect("the server closes cleanly");
    let text = String::from_utf8(answer).expect("text");
    assert!(text.starts_with(&format!("HTTP/1.1 {status} ")), "{request:.60}: {}", lossy(text.as_bytes()));
    let (head, body) = text.split_once("\r\n\r\n").expect("a head");
    let dateless: Vec<&str> = head.lines().filter(|line| !line.starts_with("Date: ")).collect();
    (dateless.join("\n"), body.to_string())
}
