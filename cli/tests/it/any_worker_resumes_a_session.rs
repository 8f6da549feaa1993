//! A TLS session is resumed by whichever worker gets the connection: across workers, a rotation of keys, a reload and an upgrade.

use crate::support::eventually;
use crate::support::tls::{Pair, TlsClients, text};
use crate::support::upgradable::Upgradable;
use rustls::HandshakeKind;
use std::net::SocketAddr;

fn kind(clients: &TlsClients, address: SocketAddr) -> Option<HandshakeKind> {
    let (_, client) = clients.try_get(address, "localhost", "/health").expect("a response");
    client.conn.handshake_kind()
}

#[test]
fn over_reloads_and_upgrades() {
    let pair = Pair::of(&["localhost"]);
    let (cert, key) = (text(&pair.cert), text(&pair.key));
    let server = Upgradable::start(&format!(
        "workers = 4\ntls-listen = [\"127.0.0.1:0\"]\ntls-cert = [\"{cert}\"]\ntls-key = [\"{key}\"]\n"
    ));
    let address = server.server.https();
    let clients = TlsClients::trusting(&pair);
    assert_eq!(kind(&clients, address), Some(HandshakeKind::Full));
    for step in ["nothing", "reload", "upgrade"] {
        match step {
            "reload" => assert!(server.server.ctl(&["reload"]).status.success()),
            "upgrade" => drop(server.upgrade()),
            _ => {}
        }
        for _ in 0..8 {
            assert_eq!(kind(&clients, address), Some(HandshakeKind::Resumed), "{step}");
        }
    }
    server.end();
}

#[test]
fn while_its_key_is_the_current_one_or_the_last() {
    let pair = Pair::of(&["localhost"]);
    let every = ["--workers", "2", "--tls-ticket-rotation", "1s"];
    let server = crate::support::Server::start_https(&pair, &every);
    let address = server.https();
    let mut resumed = 0;
    let clients = TlsClients::trusting(&pair);
    kind(&clients, address);
    // Over at least one rotation.
    let began = std::time::Instant::now();
    eventually("a rotation has passed", || {
        resumed += usize::from(kind(&clients, address) == Some(HandshakeKind::Resumed));
        (began.elapsed() > std::time::Duration::from_millis(2500)).then_some(())
    });
    assert!(resumed > 10);
    let off = crate::support::Server::start_https(&pair, &["--workers", "1", "--tls-ticket-rotation", "0"]);
    let clients = TlsClients::trusting(&pair);
    for _ in 0..2 {
        assert_eq!(kind(&clients, off.https()), Some(HandshakeKind::Full));
    }
}
