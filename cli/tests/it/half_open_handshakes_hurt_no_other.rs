//! Handshakes that are begun and not finished cost other clients nothing, and end at `--header-timeout`; at capacity they make room.

use crate::support::tls::{Pair, TlsClients};
use crate::support::{Server, eventually};
use nix::sys::resource::{Resource, getrlimit};
use std::io::Write;
use std::net::TcpStream;

/// Half of the descriptors that this process may have, if that is less.
const MANY: usize = 10_000;
/// Of the server, each: its hello is kept until the rest of it comes.
const BYTES_EACH_MAX: u64 = 16 << 10;

#[test]
fn beside_a_busy_client() {
    let pair = Pair::of(&["localhost"]);
    let server = Server::start_https(&pair, &["--workers", "1", "--max-connections", "300", "--defer-accept", "0"]);
    let half_open: Vec<TcpStream> = (0..290)
        .map(|_| {
            let mut socket = TcpStream::connect(server.https()).expect("connect");
            // A record begins.
            socket.write_all(&[0x16, 3, 1, 2]).expect("sent");
            socket
        })
        .collect();
    let clients = TlsClients::trusting(&pair);
    for _ in 0..20 {
        assert!(clients.get(server.https(), "localhost", "/health").contains("200 OK"));
    }
    let more: Vec<TcpStream> = (0..20).filter_map(|_| TcpStream::connect(server.https()).ok()).collect();
    eventually("one gets in", || {
        clients.try_get(server.https(), "localhost", "/health").ok().filter(|(text, _)| text.contains("200 OK"))
    });
    drop((half_open, more));
}

#[test]
fn ten_thousand_of_them() {
    let pair = Pair::of(&["localhost"]);
    let options = ["--workers", "2", "--max-connections", "12000", "--header-timeout", "60s"];
    let server = Server::start_https(&pair, &[&options[..], &["--defer-accept", "0"]].concat());
    let clients = TlsClients::trusting(&pair);
    let served = || assert!(clients.get(server.https(), "localhost", "/health").contains("200 OK"));
    served();
    let before = server.memory_bytes();
    let (descriptors_max, _) = getrlimit(Resource::RLIMIT_NOFILE).expect("a limit of this process");
    let many = MANY.min(descriptors_max as usize / 2);
    let half_open: Vec<TcpStream> = (0..many)
        .map(|number| {
            let mut socket = TcpStream::connect(server.https()).unwrap_or_else(|e| panic!("connection {number}: {e}"));
            socket.write_all(&[0x16, 3, 1, 2]).expect("sent");
            if number % 100 == 0 {
                served();
            }
            socket
        })
        .collect();
    served();
    let each = server.memory_bytes().saturating_sub(before) / many as u64;
    assert!(each < BYTES_EACH_MAX, "{each} bytes each");
    drop(half_open);
    served();
}
