//! `/chunked/{n}[?size=&delay=]` sends n chunks of `size` bytes, each a chunk on the wire; with a delay, each comes at
//! its time and by itself.

use crate::support::{Client, Server, Trace};
use std::time::{Duration, Instant};

const ALPHABET: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789";
const BLOCK: usize = 256 << 10;

/// The bytes of a chunk of this size, with its size line.
fn chunk(size: usize) -> Vec<u8> {
    let pattern = (0..size).map(|at| ALPHABET[at % BLOCK % ALPHABET.len()]);
    format!("{size:x}\r\n").into_bytes().into_iter().chain(pattern).chain(*b"\r\n").collect()
}

/// Sends the request, and reads the head.
#[track_caller]
fn begin(server: &Server, path: &str) -> Client {
    let mut client = server.connect();
    client.send(format!("GET {path} HTTP/1.1\r\nHost: t\r\n\r\n"));
    let head = client.head();
    assert!(head.starts_with("HTTP/1.1 200 OK\r\n"), "{head}");
    assert!(head.contains("Content-Type: text/plain; charset=utf-8\r\nTransfer-Encoding: chunked\r\n\r\n"), "{head}");
    client
}

#[test]
fn of_the_requested_number_and_size() {
    let server = Server::start(&["--workers", "1"]);
    for (path, count, size) in [
        ("/chunked/1", 1, 1024),
        ("/chunked/3", 3, 1024),
        ("/chunked/+3?size=1", 3, 1),
        ("/chunked/21?size=36", 21, 36),
        ("/chunked/5?size=2048&delay=1", 5, 2048),
        ("/chunked/10000?size=7", 10_000, 7),
        // Larger than what may be queued, and than what is written at once.
        ("/chunked/3?size=100000", 3, 100_000),
        ("/chunked/2?size=2097152", 2, 2 << 20),
        ("/chunked/2?size=5000000", 2, 5_000_000),
        ("/chunked/2?size=5000000&delay=1", 2, 5_000_000),
        // A malformed value means the default, and so does zero.
        ("/chunked/2?size=0", 2, 1024),
        ("/chunked/2?size=-5&delay=-1", 2, 1024),
        ("/chunked/2?size=x&delay=x", 2, 1024),
        ("/chunked/2?size=%2B5&delay=", 2, 1024),
        ("/chunked/2?size=+5", 2, 1024),
        ("/chunked/2?size=18446744073709551616", 2, 1024),
        ("/chunked/2?sizes=5&size=6&size=7", 2, 6),
    ] {
        let mut client = begin(&server, path);
        let expected = [chunk(size).repeat(count), b"0\r\n\r\n".to_vec()].concat();
        assert!(client.take(expected.len()).expect("the chunks") == expected, "{path}");
        client.send("GET /health HTTP/1.1\r\nHost: t\r\n\r\n");
        assert_eq!(client.response().text(), "{\"status\":\"ok\"}", "after {path}");
    }
}

/// A chunk that no client would wait for begins all the same, and costs no memory.
#[test]
fn of_any_number_and_size() {
    let server = Server::start(&["--workers", "1"]);
    assert_eq!(server.get("/").status, 200);
    let before = server.memory_bytes();
    for (path, size) in [
        ("/chunked/18446744073709551615?size=10", "a"),
        ("/chunked/18446744073709551615?size=18446744073709551615&delay=18446744073709551615", "ffffffffffffffff"),
        ("/chunked/1?size=1099511627776", "10000000000"),
    ] {
        let mut client = begin(&server, path);
        let line = client.take(size.len() + 2).expect("a size");
        assert_eq!(line, format!("{size}\r\n").into_bytes());
        client.take(20 << 20).expect("twenty megabytes");
        let grown = server.memory_bytes().saturating_sub(before);
        assert!(grown < 1 << 20, "{path}: grew by {grown} bytes");
    }
    // A delay without end is waited for, too.
    let mut client = begin(&server, "/chunked/2?size=1&delay=18446744073709551615");
    assert_eq!(client.take(6).expect("the first chunk"), b"1\r\nA\r\n");
    assert_eq!(server.get("/health").status, 200);
    assert!(!client.has_ended().expect("the connection is open"));
}

#[test]
fn none_before_its_time() {
    let server = Server::start(&["--workers", "1"]);
    let began = Instant::now();
    let mut client = begin(&server, "/chunked/8?size=36&delay=40");
    for n in 0..8u32 {
        assert_eq!(client.take(42).expect("a chunk"), chunk(36));
        let least = Duration::from_millis(40) * n;
        assert!(began.elapsed() >= least, "chunk {n} came after {:?}", began.elapsed());
    }
    assert_eq!(client.take(5).expect("the end"), b"0\r\n\r\n");
}

/// More of the request's body arriving does not make a chunk come early.
#[test]
fn none_earlier_when_more_of_the_body_arrives() {
    let server = Server::start(&["--workers", "1"]);
    let mut client = server.connect();
    let began = Instant::now();
    client.send("POST /chunked/2?size=1&delay=300 HTTP/1.1\r\nHost: t\r\nContent-Length: 3\r\n\r\na");
    client.head();
    assert_eq!(client.take(6).expect("the first chunk"), b"1\r\nA\r\n");
    client.send("b");
    client.send("c");
    assert_eq!(client.take(11).expect("the second chunk"), b"1\r\nA\r\n0\r\n\r\n");
    assert!(began.elapsed() >= Duration::from_millis(300), "it came after {:?}", began.elapsed());
}

/// Each chunk takes no more than two calls: the wait for its time and its send.
#[test]
fn each_by_itself() {
    const CHUNKS: usize = 100;
    let server = Server::start(&["--workers", "1"]);
    let Some(trace) = Trace::begin(server.workers()[0]) else { return };
    let mut client = begin(&server, &format!("/chunked/{CHUNKS}?size=36&delay=5"));
    client.take(CHUNKS * 42 + 5).expect("the chunks");
    let calls = trace.end();
    let sent: Vec<&str> = calls.lines().filter(|call| call.starts_with("sendto(")).collect();
    let ends_with = |end: &str| sent.iter().filter(|call| call.ends_with(end)).count();
    assert_eq!((sent.len(), ends_with(" = 42"), ends_with(" = 47")), (CHUNKS, CHUNKS - 2, 1), "{sent:#?}");
    // Beside them, a heartbeat or two and the start of the connection.
    assert!(calls.lines().count() <= 2 * CHUNKS + 40, "{} calls for {CHUNKS} chunks", calls.lines().count());
}

#[test]
fn many_in_one_call_without_a_delay() {
    let server = Server::start(&["--workers", "1"]);
    let Some(trace) = Trace::begin(server.workers()[0]) else { return };
    let mut client = begin(&server, "/chunked/1000?size=36");
    client.take(1000 * 42 + 5).expect("the chunks");
    let sends = trace.end().lines().filter(|call| call.starts_with("send")).count();
    assert!(sends <= 3, "{sends} sends");
}

#[test]
fn to_http_10_without_chunks() {
    let server = Server::start(&["--workers", "1"]);
    let mut client = server.connect();
    client.send("GET /chunked/3?size=5000000 HTTP/1.0\r\n\r\n");
    let response = client.response();
    assert_eq!((response.header("transfer-encoding"), response.body.len()), (None, 15_000_000));
}

#[test]
fn a_malformed_count_is_explained() {
    let server = Server::start(&["--workers", "1"]);
    let mut client = server.connect();
    let none = "Please specify chunk count: /chunked/10?size=1024&delay=100\n";
    let wrong = "Invalid chunk count. Must be a positive integer\n";
    for (count, text) in [
        ("", none),
        ("?size=5", none),
        ("0", wrong),
        ("-1", wrong),
        ("abc", wrong),
        ("1.5", wrong),
        ("10K", wrong),
        ("5/", wrong),
        ("18446744073709551616", wrong),
    ] {
        client.send(format!("GET /chunked/{count} HTTP/1.1\r\nHost: t\r\n\r\n"));
        let response = client.response();
        assert_eq!((response.status, response.text().as_str()), (400, text), "{count}");
        assert_eq!(response.header("content-type"), Some("text/plain; charset=utf-8"));
    }
}
