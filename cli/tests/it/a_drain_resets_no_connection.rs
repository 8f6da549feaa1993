//! A stop under clients that keep their connections, with single requests and in pipelines: the server answers what it
//! has read, in order, and a client whose request crosses the end of the connection sees a clean end. tcpdump sees no
//! reset.

use crate::support::Server;
use crate::support::capture::Capture;
use crate::support::keep_alive::{KeepAliveClients, Manner, Tally};
use nix::sys::signal::Signal;

const CLIENTS: [(Manner, usize); 4] =
    [(Manner::OneByOne, 20), (Manner::InEights, 20), (Manner::WithoutEnd, 4), (Manner::WithPauses, 30)];

/// A failure depends on a moment's timing.
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
        let clients = KeepAliveClients::start(server.address(), &CLIENTS);
        clients.wait_answered(1000);
        clients.expect_end();
        let status = server.stop(Signal::SIGTERM);
        let tally = clients.join();
        sum_up(&tally);
        assert_eq!(status.code(), Some(0), "{}", server.log());
        assert!(tally.told_to_close > 20, "clients that sent were told to close: {tally:?}");
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
