//! Connections in a worker's own queue are served by other workers while that worker is stopped, hangs in its app,
//! drains, or is dead and not replaced.

use crate::apps;
use crate::support::load::{Habit, Load, Target};
use crate::support::{Client, Server, eventually, freeze, is_alive, send_signal};
use nix::sys::signal::Signal;

/// Enough connections for each queue to get some of them, except once in a million million runs.
const CLIENTS: usize = 40;
const TWO_QUEUES: [&str; 4] = ["--workers", "2", "--accept", "per-worker"];

/// New connections, all at once; each is answered.
fn expect_all_served(server: &Server) {
    let mut clients: Vec<Client> = (0..CLIENTS).map(|_| server.connect()).collect();
    for client in &mut clients {
        client.send("GET /health HTTP/1.1\r\nHost: t\r\nConnection: close\r\n\r\n");
    }
    for client in &mut clients {
        assert_eq!(client.response().status, 200);
        client.expect_end();
    }
}

/// A connection with a request that takes long, and the worker that holds it.
fn long_request(server: &Server, path: &str) -> (Client, i32) {
    let mut client = server.connect();
    client.send(format!("GET {path} HTTP/1.1\r\nHost: t\r\n\r\n"));
    let worker = eventually("the request has a worker", || server.worker_of(&client));
    (client, worker)
}

#[test]
fn while_it_is_stopped() {
    let server = Server::start(&TWO_QUEUES);
    let stopped = server.workers()[0];
    freeze(stopped);
    expect_all_served(&server);
    send_signal(stopped, Signal::SIGCONT);
    expect_all_served(&server);
    assert!(server.workers().contains(&stopped));
}

#[test]
fn while_it_hangs_in_its_app() {
    let server = apps::serve("faults", &TWO_QUEUES);
    let (_client, hanging) = long_request(&server, "/hang");
    expect_all_served(&server);
    assert!(is_alive(hanging), "it has not been replaced");
}

#[test]
fn while_it_drains() {
    let server = Server::start(&TWO_QUEUES);
    let (_client, draining) = long_request(&server, "/delay/25000");
    let load = Load::start(&Target::Tcp(server.address()), &[(Habit::Close, "/health"); 4]);
    load.wait_answered(100);
    // So that no worker succeeds it.
    freeze(server.pid());
    send_signal(draining, Signal::SIGTERM);
    load.wait_answered(2000);
    assert!(is_alive(draining), "it still has its request");
    expect_all_served(&server);
    let tally = load.finish();
    assert!(tally.failures.is_empty(), "{:#?}", tally.failures);
}

#[test]
fn while_it_is_dead() {
    let server = Server::start(&TWO_QUEUES);
    let dead = server.workers()[0];
    // The dead worker is neither reaped nor replaced.
    freeze(server.pid());
    send_signal(dead, Signal::SIGKILL);
    eventually("it is dead", || (!is_alive(dead)).then_some(()));
    expect_all_served(&server);
    send_signal(server.pid(), Signal::SIGCONT);
    server.wait_replaced(&[dead]);
    expect_all_served(&server);
}
