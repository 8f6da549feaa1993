//! A master that waits for the last request, in a drain or after an upgrade, sleeps.

use crate::support::cpu_ticks;
use crate::support::{Server, eventually};
use nix::sys::signal::Signal;
use std::time::Duration;

/// CPU ticks (a hundredth of a second) that the master uses in two seconds; a loop that does not sleep uses them all.
fn ticks_of_two_seconds(server: &Server) -> u64 {
    let before = cpu_ticks(server.pid());
    std::thread::sleep(Duration::from_secs(2)); // the time that is measured, after the second in which nothing is due
    cpu_ticks(server.pid()) - before
}

fn with_a_request_in_flight(options: &[&str]) -> (Server, crate::support::Client) {
    let server = Server::start(options);
    let mut client = server.connect();
    client.send("GET /delay/60000 HTTP/1.1\r\nHost: t\r\n\r\n");
    eventually("the request is in a worker", || server.worker_of(&client));
    (server, client)
}

#[test]
fn in_a_drain_and_after_an_upgrade() {
    let (server, _client) = with_a_request_in_flight(&["--workers", "1"]);
    server.signal(Signal::SIGTERM);
    server.wait_log("draining");
    assert!(ticks_of_two_seconds(&server) < 20);
    let (server, _client) = with_a_request_in_flight(&["--workers", "1"]);
    server.signal(Signal::SIGUSR2);
    server.wait_log("has taken over");
    assert!(ticks_of_two_seconds(&server) < 20);
}

#[test]
fn a_stop_during_an_upgrade_ends_both() {
    let mut server = Server::start(&["--workers", "1", "--drain-delay", "500ms"]);
    server.signal(Signal::SIGUSR2);
    server.signal(Signal::SIGTERM);
    assert_eq!(server.wait_exit().code(), Some(0), "{}", server.log());
}
