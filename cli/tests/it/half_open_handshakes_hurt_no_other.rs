//! Handshakes that are begun and not finished cost other clients nothing, and end at `--header-timeout`; at capacity they make room.

use crate::support::tls::{Pair, TlsClients};
use crate::support::{Server, eventually};
use std::io::Write;
use std::net::TcpStream;

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
