//! A stop under clients that keep their connections, alone and in pipelines: what the server has read it answers, in
//! order, and whoever sends across its end finds an end. tcpdump sees no reset.

use crate::support::Server;
use crate::support::capture::Capture;
use crate::support::regulars::{Manner, Regulars, Tally};
use nix::sys::signal::Signal;

const CLIENTS: [(Manner, usize); 4] =
    [(Manner::OneByOne, 20), (Manner::InEights, 20), (Manner::WithoutEnd, 4), (Manner::WithPauses, 30)];

/// What may go wrong is a matter of moments.
const ROUNDS: usize = 3;

fn sum_up(tally: &Tally) {
    println!(
        "{} answered; ends: {} told, {} idle, {} crossed, {} held up",
        tally.answered, tally.told_to_close, tally.ended_idle, tally.crossed, tally.held_up
    );
    assert!(tally.failures.is_empty(), "{:#?}", tally.failures);
}

fn stop_under(options: &[&str]) {
    for _ in 0..ROUNDS {
        let mut server = Server::start(options);
        let capture = Capture::start(server.address());
        let clients = Regulars::start(server.address(), &CLIENTS);
        clients.wait_answered(1000);
        clients.expect_end();
        let status = server.stop(Signal::SIGTERM);
        let tally = clients.join();
        sum_up(&tally);
        assert_eq!(status.code(), Some(0), "{}", server.log());
        assert!(tally.told_to_close > 20, "those that sent were told: {tally:?}");
        if let Some(endings) = capture.map(Capture::stop) {
            println!("{} connections ended by the server", endings.fins);
            assert!(endings.resets.is_empty(), "{:#?}", endings.resets);
            assert!(endings.fins > 20, "the capture has seen the ends: {endings:?}");
        }
    }
}

#[test]
fn with_a_shared_queue() {
    stop_under(&["--workers", "2"]);
}

#[test]
fn with_queues_per_worker() {
    stop_under(&["--workers", "2", "--accept", "per-worker"]);
}
