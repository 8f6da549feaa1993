//! HUP and upgrades under clients of HTTP/2, which do what GOAWAY says: each request is answered, or was said not to be served; the same for calls
//! of gRPC, whose address of its own is handed over.

use crate::support::http2_load::{Asks, Http2Load};
use crate::support::upgradable::Upgradable;
use crate::support::{Server, eventually};
use nix::sys::signal::Signal;
use std::net::SocketAddr;

const ROUNDS: usize = 3;

/// The address that --grpc adds.
fn grpc_address(server: &Server) -> SocketAddr {
    let addresses = server.stdout() + &server.log();
    let listed =
        addresses.split("http://").skip(1).filter_map(|rest| rest.split([',', ' ', '\n']).next()?.trim().parse().ok());
    listed.into_iter().find(|&address| address != server.address()).expect("a second address")
}

#[track_caller]
fn under_load(server: &Server, mut replace: impl FnMut(usize)) {
    let loads = [(server.address(), Asks::Paths), (grpc_address(server), Asks::Grpc)]
        .map(|(address, asks)| Http2Load::start(address, asks, 3));
    for round in 0..ROUNDS {
        let before = loads.each_ref().map(Http2Load::answered);
        eventually("both loads are answered", || {
            loads.iter().zip(before).all(|(load, before)| load.answered() > before + 30).then_some(())
        });
        replace(round);
    }
    for load in loads {
        let seen = load.stop();
        assert!(seen.answered > 0 && seen.connections > ROUNDS as u64, "{seen:?}");
    }
    for wrong in ["WARN", "ERROR"] {
        assert!(!server.log().contains(wrong), "{}", server.log());
    }
}

#[test]
fn of_a_reload() {
    for accept in ["shared", "per-worker"] {
        let server = Server::start(&["--workers", "2", "--accept", accept, "--grpc", "127.0.0.1:0"]);
        under_load(&server, |_| {
            let before = server.workers();
            server.signal(Signal::SIGHUP);
            server.wait_gone(&before);
        });
    }
}

#[test]
fn of_an_upgrade() {
    let upgradable = Upgradable::start("workers = 2\ngrpc = \"127.0.0.1:0\"\n");
    under_load(&upgradable.server, |_| {
        upgradable.upgrade();
    });
    upgradable.end();
}
