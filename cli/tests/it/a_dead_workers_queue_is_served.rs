//! Connections pending in the queue of a worker that is stopped and then killed are served by another worker.

use crate::support::{Client, Server, eventually, freeze, send_signal};
use nix::sys::signal::Signal;

/// `killed` of the two workers die; the other, if there is one, stays stopped.
fn expect_queue_is_served(accept: &str, killed: usize) {
    let server = Server::start(&["--workers", "2", "--accept", accept]);
    let before = server.workers();
    for &worker in &before {
        freeze(worker);
    }
    let mut clients: Vec<Client> = (0..12).map(|_| server.connect()).collect();
    for client in &mut clients {
        client.send("GET /health HTTP/1.1\r\nHost: t\r\nConnection: close\r\n\r\n");
    }
    assert!(clients.iter().all(|client| server.worker_of(client).is_none()), "all of them are pending");
    for &worker in &before[..killed] {
        send_signal(worker, Signal::SIGKILL);
    }
    for client in &mut clients {
        assert_eq!(client.response().status, 200);
        client.expect_end();
    }
    let now = eventually("two workers are there", || Some(server.workers()).filter(|workers| workers.len() == 2));
    assert!(before[..killed].iter().all(|worker| !now.contains(worker)));
    for &worker in &before[killed..] {
        send_signal(worker, Signal::SIGCONT);
    }
}

#[test]
fn the_shared_queue_is_served_by_the_successor() {
    expect_queue_is_served("shared", 1);
}

#[test]
fn each_workers_own_queue_is_served_by_its_successor() {
    expect_queue_is_served("per-worker", 2);
}

#[test]
fn a_busy_worker_leaves_the_shared_queue_to_the_others() {
    let server = Server::start(&["--workers", "2"]);
    let workers = server.workers();
    freeze(workers[0]);
    for _ in 0..6 {
        assert_eq!(server.get("/health").status, 200);
    }
    send_signal(workers[0], Signal::SIGCONT);
}
