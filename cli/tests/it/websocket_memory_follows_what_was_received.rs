//! A WebSocket costs the bytes that its client has sent, not the length that it announced, and only as long as they are
//! needed.

use crate::support::websocket::{BINARY, CONTINUATION, Frame, TEXT, WebSocket};
use crate::support::{SESSION_BYTES, Server, TINE, eventually, listening};
use std::process::Command;

const MIB: usize = 1 << 20;

/// The longest message, by its header alone. A server that allocated memory for it would run out.
#[test]
fn a_declared_length_costs_nothing() {
    let mut command = Command::new("sh");
    // 400 MB for each process, in KiB; the clients announce 3.2 GB.
    command
        .args(["-c", "ulimit -v 400000 && exec \"$0\" run --workers 1 --defer-accept 0 \"$@\"", TINE])
        .args(listening());
    let server = Server::start_command(&mut command);
    let worker = server.workers();
    let before = server.memory_bytes();
    let mut peers: Vec<WebSocket> = (0..200).map(|_| WebSocket::connect(&server, "/ws")).collect();
    for peer in &mut peers {
        let length = (16 * MIB as u64).to_be_bytes();
        peer.send_raw([&[0x82, 0xff][..], &length, &[0; 4 + 100]].concat());
    }
    let mut other = WebSocket::connect(&server, "/ws");
    other.send_frame(true, 0, TEXT, "served");
    assert_eq!(other.next_frame(), Some(Frame::new(true, 0, TEXT, "served")));
    assert_eq!(server.workers(), worker, "it is still running: {}", server.log());
    let each = server.memory_bytes().saturating_sub(before) / 200;
    assert!(each < 10_000 + SESSION_BYTES / 5, "each costs {each} bytes");
}

/// In one frame and in fragments; the memory of the message is reused for the next one.
#[test]
fn a_long_messages_memory_is_freed() {
    let server = Server::start(&["--workers", "1"]);
    let before = server.memory_bytes();
    let (payload, mut peers) = (vec![b'x'; 4 * MIB], Vec::new());
    for at in 0..12 {
        let mut peer = WebSocket::connect(&server, "/ws");
        let (opcode, whole) = if at % 4 < 2 { (BINARY, true) } else { (TEXT, false) };
        let bytes = match whole {
            true => peer.masked(&Frame::new(true, 0, opcode, payload.clone())),
            false => {
                let (begin, end) = payload.split_at(3 * MIB);
                let parts = [Frame::new(false, 0, opcode, begin), Frame::new(true, 0, CONTINUATION, end)];
                parts.iter().flat_map(|part| peer.masked(part)).collect()
            }
        };
        let mut stream = peer.client.sender();
        let sending = std::thread::spawn(move || std::io::Write::write_all(&mut stream, &bytes));
        let echo = peer.next_frame().expect("an echo");
        assert!(echo.opcode == opcode && echo.payload == payload, "the echo differs");
        sending.join().expect("no panic").expect("all was taken");
        peers.push(peer);
    }
    // What the allocator keeps for the next long message is not the clients'.
    eventually("the memory is given back", || {
        let grown = server.memory_bytes().saturating_sub(before);
        (grown < 4 * 4 * MIB as u64).then_some(())
    });
    assert!(peers.iter().all(|peer| !peer.client.is_hung_up()));
}
