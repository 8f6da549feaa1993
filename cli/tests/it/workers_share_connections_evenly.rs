//! Connections are spread evenly over the workers, and busy ones do not end up in the same worker, whether the workers
//! share a queue or have one each.

use crate::support::{Client, Server, patience};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

fn ask(client: &mut Client) {
    client.send("GET /health HTTP/1.1\r\nHost: t\r\n\r\n");
    assert_eq!(client.response().status, 200);
}

/// A worker that gets no CPU for long is passed over, as it should be; so one even round of some is enough.
const ROUNDS: usize = 12;

fn some_round(what: &str, is_even: impl Fn(&[usize]) -> bool, round: impl Fn() -> Vec<usize>) {
    let mut seen = Vec::new();
    for _ in 0..ROUNDS {
        let counts = round();
        if is_even(&counts) {
            return;
        }
        seen.push(counts);
    }
    panic!("{what}: {seen:?}");
}

fn hundred_long_lived_connections(accept: &str) {
    let is_even = |counts: &[usize]| counts.iter().max().unwrap() - counts.iter().min().unwrap() <= 2;
    some_round("at most 2 apart", is_even, || {
        let server = Server::start(&["--workers", "16", "--accept", accept]);
        let mut clients = Vec::new();
        for _ in 0..100 {
            let mut client = server.connect();
            ask(&mut client);
            clients.push(client);
        }
        let counts = server.connections_of(&server.workers());
        assert_eq!(counts.iter().sum::<usize>(), 100, "{counts:?}");
        counts
    });
}

#[test]
fn a_hundred_long_lived_connections_of_16_workers_with_a_queue() {
    hundred_long_lived_connections("shared");
}

#[test]
fn a_hundred_long_lived_connections_of_16_workers_with_a_queue_each() {
    hundred_long_lived_connections("per-worker");
}

fn four_busy_connections(accept: &str) {
    some_round(
        "one each",
        |counts| counts == [1, 1, 1, 1],
        || {
            let server = Server::start(&["--workers", "4", "--accept", accept]);
            let (is_over, began) = (AtomicBool::new(false), Instant::now());
            std::thread::scope(|scope| {
                for _ in 0..4 {
                    let mut client = server.connect();
                    ask(&mut client);
                    let is_over = &is_over;
                    scope.spawn(move || {
                        while !is_over.load(Ordering::Relaxed) && began.elapsed() < patience() {
                            ask(&mut client);
                        }
                    });
                }
                let counts = server.connections_of(&server.workers());
                is_over.store(true, Ordering::Relaxed);
                counts
            })
        },
    );
}

#[test]
fn four_busy_connections_of_four_workers_with_a_queue() {
    four_busy_connections("shared");
}

#[test]
fn four_busy_connections_of_four_workers_with_a_queue_each() {
    four_busy_connections("per-worker");
}
