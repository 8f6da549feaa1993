//! The server stops reading from clients that send and never read: each costs its watermark and what was read from it,
//! however much it would send; others are served meanwhile, and the write timeout ends it.

use crate::support::websocket::{BINARY, Frame, PING, TEXT, WebSocket};
use crate::support::{Server, Transport, eventually, patience};
use socket2::SockRef;
use std::io::{ErrorKind, Write};
use std::time::{Duration, Instant};

/// Input that was read and is not answered yet.
const INPUT_BYTES: u64 = 64 << 10;
/// Output up to the low watermark and one more message, in a buffer that may have twice the capacity.
const OUTPUT_BYTES: u64 = 2 * (16 << 10) + 4096;
/// The connection itself, its context, its peer.
const OWN_BYTES: u64 = 4096;
/// What the allocator leaves unused between buffers that grow in turns, since connections share a turn by time
/// (measured: 18 to 27 KiB a connection; none where each buffer is a mapping of its own).
const HOLES_BYTES: u64 = 32 << 10;
/// What TLS keeps of an idle connection, and a record that has come in part.
const TLS_BYTES: u64 = match crate::TRANSPORT {
    Transport::Tls => (9 << 10) + (17 << 10),
    Transport::Plain => 0,
};
/// The kernel buffers some megabytes for a connection; the server must have read anything beyond this.
const SENT_BYTES_MAX: usize = 8 << 20;

fn connect(server: &Server) -> WebSocket {
    let client = server.connect_narrow();
    SockRef::from(&client.stream).set_send_buffer_size(4096).expect("a send buffer");
    WebSocket::over(client, "/ws").expect("a handshake")
}

/// Sends `bytes` over and over on each connection until all are blocked for half a second; returns how much each has
/// sent.
fn send_until_all_are_blocked(peers: &mut [WebSocket], bytes: &[u8]) -> Vec<usize> {
    let mut sent = vec![0; peers.len()];
    for peer in peers.iter() {
        peer.client.stream.set_nonblocking(true).expect("a mode");
    }
    let (began, mut progressed) = (Instant::now(), Instant::now());
    while progressed.elapsed() < Duration::from_millis(500) {
        for (peer, sent) in peers.iter_mut().zip(&mut sent) {
            match peer.client.write(&bytes[*sent % bytes.len()..]) {
                Ok(count) => (*sent, progressed) = (*sent + count, Instant::now()),
                Err(e) if e.kind() == ErrorKind::WouldBlock => {}
                Err(e) => panic!("the write blocks: {e}"),
            }
            assert!(*sent < SENT_BYTES_MAX, "the server goes on reading");
        }
        assert!(began.elapsed() < patience(), "they are never all blocked");
    }
    sent
}

/// `each_max`: the most that each may cost.
fn cost(what: &str, count: usize, message: &Frame, each_max: u64) {
    // The worker's own buffer may be much larger than what is kept for each.
    let options = ["--workers", "2", "--defer-accept", "0", "--buffer-size", "1M", "--ws-ping-interval", "0"];
    let server = Server::start(&options);
    let mut other = WebSocket::connect(&server, "/ws");
    // The workers' own buffers have grown before the measurement.
    connect(&server).send_raw(message.masked([0; 4]));
    assert_eq!(server.get("/bin/10M").body.len(), 10 << 20);
    let before = server.memory_bytes();
    let mut peers: Vec<WebSocket> = (0..count).map(|_| connect(&server)).collect();
    let sent = send_until_all_are_blocked(&mut peers, &message.masked([1, 2, 3, 4]).repeat(16));
    other.send_frame(true, 0, TEXT, "served");
    assert_eq!(other.next_message(), Some(Frame::new(true, 0, TEXT, "served")));
    assert_eq!(server.get("/bin/10M").body.len(), 10 << 20);
    let each = server.memory_bytes().saturating_sub(before) / count as u64;
    println!("{what}: each costs {each} bytes and has sent {} on average", sent.iter().sum::<usize>() / count);
    assert!(each <= each_max + TLS_BYTES, "{what}: each costs {each} bytes");
    assert!(peers.iter().all(|peer| !peer.client.is_hung_up()));
}

#[test]
fn of_short_messages() {
    cost("short messages", 1000, &Frame::new(true, 0, BINARY, vec![7; 1000]), INPUT_BYTES + OUTPUT_BYTES + OWN_BYTES);
}

/// One message fills the output: nothing is read after it.
#[test]
fn of_long_messages() {
    const MESSAGE: u64 = 100 << 10;
    let message = Frame::new(true, 0, BINARY, vec![7; MESSAGE as usize]);
    // It was assembled in a buffer of up to twice its length.
    cost("long messages", 200, &message, INPUT_BYTES + 2 * MESSAGE + OWN_BYTES + HOLES_BYTES);
}

#[test]
fn of_pings() {
    cost("pings", 200, &Frame::new(true, 0, PING, vec![7; 125]), INPUT_BYTES + OUTPUT_BYTES + OWN_BYTES);
}

#[test]
fn they_are_reset_by_the_write_timeout() {
    let server = Server::start(&["--workers", "2", "--write-timeout", "1s"]);
    let sockets = server.sockets();
    let mut peers: Vec<WebSocket> = (0..50).map(|_| connect(&server)).collect();
    let mut stream = WebSocket::over(server.connect_narrow(), "/ws").expect("a handshake");
    let bytes = Frame::new(true, 0, BINARY, vec![7; 1000]).masked([1, 2, 3, 4]).repeat(16);
    let began = Instant::now();
    for peer in &mut peers {
        peer.client.stream.set_nonblocking(true).expect("a mode");
    }
    // As much as the kernel accepts, again and again: the server has more to send to each than it can send.
    eventually("they are reset", || {
        peers.retain_mut(|peer| match peer.client.write(&bytes) {
            Ok(_) => true,
            Err(e) => e.kind() == ErrorKind::WouldBlock,
        });
        // A client that reads the echoes stays.
        stream.send_frame(true, 0, TEXT, "reads");
        assert_eq!(stream.next_message(), Some(Frame::new(true, 0, TEXT, "reads")));
        peers.is_empty().then_some(())
    });
    assert!(began.elapsed() >= Duration::from_secs(1));
    drop(stream);
    eventually("the sockets are closed", || (server.sockets() == sockets).then_some(()));
}
