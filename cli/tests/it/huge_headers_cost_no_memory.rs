//! `/fault/huge-header`: a field of the requested size, made only as fast as the client reads it.

use crate::support::{SESSION_BYTES, Server};

#[test]
fn of_64_mebibytes() {
    const SIZE: usize = 64 << 20;
    let server = Server::start(&["--workers", "1"]);
    let mut client = server.connect();
    client.send("GET /fault/huge-header?size=64M HTTP/1.1\r\nHost: t\r\n\r\n");
    let start = "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 5\r\nX-Fill: ";
    assert_eq!(client.take(start.len()).expect("the head's start"), start.as_bytes());
    assert!(client.take(SIZE).expect("the value").iter().all(|&b| b == b'x'));
    assert_eq!(client.take(9).expect("the rest"), b"\r\n\r\nfill\n");
    client.send("GET /health HTTP/1.1\r\nHost: t\r\n\r\n");
    assert_eq!(client.response().status, 200, "the connection is kept");
}

#[test]
fn for_clients_that_do_not_read() {
    let server = Server::start(&["--workers", "1"]);
    assert_eq!(server.get("/fault/100s").status, 100); // allocates what the first use needs
    let before = server.memory_bytes();
    let clients: Vec<_> = (0..50)
        .map(|_| {
            let mut client = server.connect_narrow();
            client.send("GET /fault/huge-header?size=64M HTTP/1.1\r\nHost: t\r\n\r\n");
            client.peek().expect("the head begins");
            client
        })
        .collect();
    assert_eq!(server.get("/health").status, 200);
    // Each holds at most what fits below the high watermark.
    let grown = server.memory_bytes().saturating_sub(before);
    assert!(grown < clients.len() as u64 * ((64 << 10) + SESSION_BYTES) + (1 << 20), "grew by {grown} bytes");
}
