//! `/trickle/{bytes}?every=` declares its length and sends its body a byte at a time.

use crate::support::{Client, Server, Trace};
use std::time::{Duration, Instant};

fn pattern(bytes: usize) -> Vec<u8> {
    b"ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789".iter().copied().cycle().take(bytes).collect()
}

/// Sends the request, and reads the head.
#[track_caller]
fn begin(server: &Server, path: &str, bytes: usize) -> Client {
    let mut client = server.connect();
    client.send(format!("GET {path} HTTP/1.1\r\nHost: t\r\n\r\n"));
    let head = client.head();
    assert!(head.starts_with("HTTP/1.1 200 OK\r\n"), "{head}");
    assert!(head.contains(&format!("\r\nContent-Length: {bytes}\r\n")), "{head}");
    assert!(head.contains("\r\nContent-Type: text/plain; charset=utf-8\r\n"), "{head}");
    client
}

#[test]
fn none_before_its_time() {
    let server = Server::start(&["--workers", "1"]);
    for (path, every_ms) in [("/trickle/10?every=30", 30), ("/trickle/4", 100)] {
        let bytes = if every_ms == 30 { 10 } else { 4 };
        let began = Instant::now();
        let mut client = begin(&server, path, bytes);
        for (n, byte) in pattern(bytes).into_iter().enumerate() {
            assert_eq!(client.take(1).expect("a byte"), [byte]);
            let least = Duration::from_millis(every_ms * n as u64);
            assert!(began.elapsed() >= least, "{path}: byte {n} came after {:?}", began.elapsed());
        }
        client.send("GET /health HTTP/1.1\r\nHost: t\r\n\r\n");
        assert_eq!(client.response().text(), "{\"status\":\"ok\"}");
    }
}

/// Also without a pause between them.
#[test]
fn each_by_itself() {
    const BYTES: usize = 200;
    let server = Server::start(&["--workers", "1"]);
    for every_ms in [0, 3] {
        let Some(trace) = Trace::begin(server.workers()[0]) else { return };
        let mut client = begin(&server, &format!("/trickle/{BYTES}?every={every_ms}"), BYTES);
        assert_eq!(client.take(BYTES).expect("the body"), pattern(BYTES));
        let calls = trace.end();
        let sent: Vec<&str> = calls.lines().filter(|call| call.starts_with("sendto(")).collect();
        let of_one_byte = sent.iter().filter(|call| call.ends_with(" = 1")).count();
        assert_eq!((sent.len(), of_one_byte), (BYTES + 1, BYTES), "the head and each byte: {sent:#?}");
    }
}

#[test]
fn not_to_head() {
    let server = Server::start(&["--workers", "1"]);
    let mut client = server.connect();
    client.send("HEAD /trickle/1G?every=3600000 HTTP/1.1\r\nHost: t\r\n\r\nGET /health HTTP/1.1\r\nHost: t\r\n\r\n");
    assert_eq!(client.response_to("HEAD").header("content-length"), Some("1073741824"));
    assert_eq!(client.response().text(), "{\"status\":\"ok\"}");
}

#[test]
fn malformed_values_are_explained() {
    let server = Server::start(&["--workers", "1"]);
    let mut client = server.connect();
    let (none, size, every) = ("Please specify size: ", "Invalid size. 1 to 1G ", "Invalid every. 0 to 3600000 ");
    for (path, start) in [
        ("", none),
        ("?every=1", none),
        ("0", size),
        ("-1", size),
        ("x", size),
        ("1073741825", size),
        ("1T", size),
        ("18446744073709551616", size),
        ("5?every=-1", every),
        ("5?every=", every),
        ("5?every", every),
        ("5?every=1.5", every),
        ("5?every=3600001", every),
        ("5?every=18446744073709551616", every),
    ] {
        client.send(format!("GET /trickle/{path} HTTP/1.1\r\nHost: t\r\n\r\n"));
        let response = client.response();
        assert_eq!((response.status, response.header("content-type")), (400, Some("text/plain; charset=utf-8")));
        assert!(response.text().starts_with(start) && response.text().ends_with('\n'), "{path}: {}", response.text());
    }
}
