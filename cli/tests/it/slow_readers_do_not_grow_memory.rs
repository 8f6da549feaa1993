//! Responses are made as fast as they are read: slow readers cost next to nothing, and do not slow down other clients.

use crate::support::{Client, SESSION_BYTES, Server};
use std::time::{Duration, Instant};

/// 20 clients at 100 KB/s on `/stream/50` grow the memory of all processes together by less than 3 MB.
fn slow_readers(chunk_size: &str) {
    let server = Server::start(&["--workers", "2", "--chunk-size", chunk_size]);
    assert_eq!(server.get("/stream/1").body.len(), 1 << 20);
    let before = server.memory_bytes();
    let mut clients: Vec<Client> = (0..20).map(|_| server.connect_narrow()).collect();
    for client in &mut clients {
        client.send("GET /stream/50 HTTP/1.1\r\nHost: t\r\n\r\n");
    }
    let began = Instant::now();
    let mut most = 0;
    while began.elapsed() < Duration::from_secs(3) {
        for client in &mut clients {
            client.read_exact(&mut [0; 10_000]).expect("more of the stream");
        }
        most = most.max(server.memory_bytes());
        std::thread::sleep(Duration::from_millis(100)); // being slow is the point
    }
    let grown = most.saturating_sub(before);
    assert!(grown < 3_000_000 + clients.len() as u64 * SESSION_BYTES, "grew by {grown} bytes");
    println!("20 slow readers, chunks of {chunk_size}: {grown} bytes");
}

/// 500 clients that never read cost at most 64 KB and 8 KB each, and a client that reads gets its bytes all the same.
fn non_readers(chunk_size: &str) {
    const CLIENTS: usize = 500;
    let server = Server::start(&["--workers", "2", "--defer-accept", "0", "--chunk-size", chunk_size]);
    assert_eq!(server.get("/stream/1").body.len(), 1 << 20);
    let before = server.memory_bytes();
    let request = "GET /stream/1000 HTTP/1.1\r\nHost: t\r\n\r\n";
    let mut clients: Vec<Client> = (0..CLIENTS).map(|_| server.connect_narrow()).collect();
    for client in &mut clients {
        client.send(request);
    }
    // Each has the start of its answer, so that each is being answered.
    for client in &mut clients {
        client.peek().expect("the answer begins");
    }
    for _ in 0..3 {
        assert_eq!(server.get("/bin/10M").body.len(), 10 << 20);
    }
    let grown = server.memory_bytes().saturating_sub(before) / CLIENTS as u64;
    assert!(grown <= 72_000 + SESSION_BYTES, "each costs {grown} bytes");
    println!("each non-reader, chunks of {chunk_size}: {grown} bytes");
    assert!(clients.iter().all(|client| !client.is_hung_up()));
}

/// Chunks of this size are queued as references to the pattern.
const REFERENCED: &str = "4096";
/// Chunks of this size are copied into the queue.
const COPIED: &str = "500";

#[test]
fn slow_readers_of_static_memory_do_not_grow_memory() {
    slow_readers(REFERENCED);
}

#[test]
fn slow_readers_of_copied_chunks_do_not_grow_memory() {
    slow_readers(COPIED);
}

#[test]
fn non_readers_of_static_memory_cost_little() {
    non_readers(REFERENCED);
}

#[test]
fn non_readers_of_copied_chunks_cost_little() {
    non_readers(COPIED);
}
