//! A TLS session is resumed by whichever of 16 workers gets the connection, each time, before and after a reload, an upgrade and a
//! rotation of keys, with TLS 1.2 and 1.3.

use crate::support::admin::workers_of;
use crate::support::tls::{Pair, TlsClients, text};
use crate::support::upgradable::Upgradable;
use crate::support::{Server, eventually};
use rustls::HandshakeKind;
use rustls::version::{TLS12, TLS13};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

const WORKERS: usize = 16;

fn kind(clients: &TlsClients, address: SocketAddr) -> Option<HandshakeKind> {
    let (_, client) = clients.try_get(address, "localhost", "/health").expect("a response");
    client.conn.handshake_kind()
}

#[test]
fn over_reloads_and_upgrades() {
    let pair = Pair::of(&["localhost"]);
    let (cert, key) = (text(&pair.cert), text(&pair.key));
    let server = Upgradable::start(&format!(
        "workers = {WORKERS}\ntls-listen = [\"127.0.0.1:0\"]\ntls-cert = [\"{cert}\"]\ntls-key = [\"{key}\"]\n"
    ));
    let address = server.server.https();
    let versions = [&TLS12, &TLS13].map(|version| TlsClients::of_version(&pair, version));
    for clients in &versions {
        assert_eq!(kind(clients, address), Some(HandshakeKind::Full));
    }
    for step in ["nothing", "a reload", "an upgrade", "a reload"] {
        match step {
            "a reload" => assert!(server.server.ctl(&["reload"]).status.success()),
            "an upgrade" => drop(server.upgrade()),
            _ => {}
        }
        let workers = eventually("the workers of before have left", || {
            Some(workers_of(server.master())).filter(|workers| workers.len() == WORKERS)
        });
        for clients in &versions {
            let all = clients.reach_all(address, "/health", &workers);
            let resumed = all.iter().filter(|client| client.conn.handshake_kind() == Some(HandshakeKind::Resumed));
            assert_eq!(resumed.count(), all.len(), "after {step}");
            assert!(all.len() >= WORKERS);
        }
    }
    server.end();
}

#[test]
fn while_its_key_is_the_current_one_or_the_last() {
    const EVERY: Duration = Duration::from_secs(2);
    let pair = Pair::of(&["localhost"]);
    let options = ["--workers", &WORKERS.to_string(), "--tls-ticket-rotation", "2s"];
    let server = Server::start_https(&pair, &options);
    for version in [&TLS12, &TLS13] {
        let clients = TlsClients::of_version(&pair, version);
        kind(&clients, server.https());
        let (began, mut last, mut resumed) = (Instant::now(), Instant::now(), 0);
        while began.elapsed() < EVERY + EVERY / 4 || resumed < 2 * WORKERS {
            let (asked, kind) = (Instant::now(), kind(&clients, server.https()));
            // A client that was held up for longer than a ticket lasts proves nothing.
            if asked - last < EVERY / 2 {
                assert_eq!(kind, Some(HandshakeKind::Resumed), "{:?}: after {resumed}", version.version);
                resumed += 1;
            }
            last = Instant::now();
            std::thread::sleep(Duration::from_millis(10));
        }
    }
    let off = Server::start_https(&pair, &["--workers", "1", "--tls-ticket-rotation", "0"]);
    let clients = TlsClients::trusting(&pair);
    for _ in 0..2 {
        assert_eq!(kind(&clients, off.https()), Some(HandshakeKind::Full));
    }
}
