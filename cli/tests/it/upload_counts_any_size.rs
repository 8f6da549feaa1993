//! `/upload` reads and counts a body of any size, in no more memory than a small one needs.

use crate::support::{Client, Server};
use serde_json::Value;

const MIB: usize = 1 << 20;

/// Sends `count` pieces and samples the server's memory now and then; returns the response's JSON and the growth.
fn upload(server: &Server, head: &str, piece: &[u8], count: usize, end: &str) -> (Value, u64) {
    let mut client: Client = server.connect();
    client.send(format!("PUT /upload HTTP/1.1\r\nHost: t\r\n{head}\r\n\r\n"));
    let before = server.memory_bytes();
    let mut most = before;
    for n in 0..count {
        client.send(piece);
        if n % 20 == 0 {
            most = most.max(server.memory_bytes());
        }
    }
    client.send(end);
    let response = client.response();
    assert_eq!((response.status, response.header("content-type")), (200, Some("application/json")));
    (serde_json::from_slice(&response.body).expect("JSON"), most - before)
}

#[test]
fn upload_counts_any_size() {
    let server = Server::start(&["--workers", "1"]);
    assert_eq!(server.get("/upload").status, 200);
    let piece = vec![b'x'; MIB];
    let chunk = [b"100000;ext\r\n", &piece[..], b"\r\n"].concat();
    // The memory that a first body of any size touches, of the program too, is there before the measurement.
    upload(&server, &format!("Content-Length: {}", 2 * MIB), &piece, 2, "");
    upload(&server, "Transfer-Encoding: chunked", &chunk, 2, "0\r\n\r\n");
    let (known, grown) = upload(&server, &format!("Content-Length: {}", 300 * MIB), &piece, 300, "");
    assert_eq!(
        (&known["bytes_received"], &known["body_size"], &known["body"]),
        (&(300 * MIB).into(), &(300 * MIB).into(), &"".into())
    );
    assert_eq!((&known["method"], known.get("body_truncated")), (&"PUT".into(), None));
    assert!(grown < MIB as u64, "grew by {grown} bytes");
    let (chunked, grown) = upload(&server, "Transfer-Encoding: chunked", &chunk, 200, "0\r\nTrailer: x\r\n\r\n");
    assert_eq!(chunked["bytes_received"], 200 * MIB);
    assert!(grown < MIB as u64, "grew by {grown} bytes");
    let small = b"1\r\nx\r\n".repeat(50_000);
    let (many, grown) = upload(&server, "Transfer-Encoding: chunked", &small, 10, "0\r\n\r\n");
    assert_eq!(many["bytes_received"], 500_000);
    assert!(grown < MIB as u64, "grew by {grown} bytes");
}

#[test]
fn upload_of_nothing() {
    let server = Server::start(&["--workers", "1"]);
    let mut client = server.connect();
    for request in [
        "GET /upload HTTP/1.1\r\nHost: t\r\n\r\n",
        "POST /upload HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    ] {
        client.send(request);
        let response = client.response();
        assert!(response.text().contains("\"bytes_received\":0") && response.status == 200, "{response:?}");
    }
}
