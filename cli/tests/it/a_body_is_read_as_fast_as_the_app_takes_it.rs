//! A request body that the app reads slowly stays with the client: its window closes.

use crate::support::Server;

const MIB: usize = 1 << 20;

#[test]
fn a_body_is_read_as_fast_as_the_app_takes_it() {
    let server = Server::start(&["--workers", "1"]);
    assert_eq!(server.get("/delay/1").status, 200);
    let before = server.memory_bytes();
    let mut client = server.connect();
    // The app reads 64 KiB every ten seconds and keeps up to 1 MiB itself.
    let size = 1000 * MIB;
    client.send(format!("POST /delay/0/10000 HTTP/1.1\r\nHost: t\r\nContent-Length: {size}\r\n\r\n"));
    let sent = client.send_until_blocked(&[b'x'; 65536], size);
    // The rest is in the kernel's buffers (tcp_rmem, tcp_wmem: some megabytes each), not in the server.
    assert!(sent < 64 * MIB, "the server took {sent} bytes");
    let grown = server.memory_bytes().saturating_sub(before);
    assert!(grown < MIB as u64, "grew by {grown} bytes");
    assert_eq!(server.get("/health").status, 200);
}

#[test]
fn the_body_is_read_to_its_end() {
    let server = Server::start(&["--workers", "1"]);
    let mut client = server.connect();
    let size = 12 * MIB;
    client.send(format!("POST /delay/0/2 HTTP/1.1\r\nHost: t\r\nContent-Length: {size}\r\n\r\n"));
    for _ in 0..12 {
        client.send(vec![b'x'; MIB]);
    }
    let echo: serde_json::Value = serde_json::from_slice(&client.response().body).expect("JSON");
    assert_eq!(echo["body_size"], size);
}
