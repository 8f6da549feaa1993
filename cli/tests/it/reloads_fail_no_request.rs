//! HUP under load, again and again: hey has no failed request, keep-alive connections get whole answers and no reset,
//! and no worker of the old generations is left. `scripts/reload` does it fifty times.

use crate::support::capture::Capture;
use crate::support::hey::Hey;
use crate::support::keep_alive::{KeepAliveClients, Manner};
use crate::support::load::{Habit, Load, Target};
use crate::support::proxy::LoadProxy;
use crate::support::{Server, eventually};
use nix::sys::signal::Signal;

/// Reloads under each load; the variable sets how many, else a few.
fn reloads() -> usize {
    std::env::var("RELOADS").map_or(6, |text| text.parse().expect("RELOADS is a number"))
}

fn start(accept: &str) -> Server {
    Server::start(&["--workers", "2", "--accept", accept])
}

/// Reloads `count` times, each time until all workers are new.
#[track_caller]
fn reload(server: &Server, count: usize) {
    for n in 1..=count {
        let before = server.workers();
        server.signal(Signal::SIGHUP);
        eventually(&format!("reload {n} is over; the log says:\n{}", server.log()), || {
            (server.log().matches("reloaded: 2 workers").count() == n).then_some(())
        });
        server.wait_gone(&before);
    }
}

/// The rest of a round: a stop that cuts no connection, and a log in which no worker died.
#[track_caller]
fn end(mut server: Server) {
    let workers = eventually("two workers are left", || Some(server.workers()).filter(|workers| workers.len() == 2));
    assert_eq!(server.stop(Signal::SIGTERM).code(), Some(0), "{}", server.log());
    for wrong in ["WARN", "ERROR"] {
        assert!(!server.log().contains(wrong), "{}", server.log());
    }
    server.wait_gone(&workers);
}

fn under_hey(accept: &str, over_nginx: bool) {
    for keep_alive in [true, false] {
        let server = start(accept);
        let nginx = over_nginx.then(|| LoadProxy::start(&server.address().to_string()));
        let url = nginx.as_ref().map_or_else(|| server.url("/any"), |nginx| nginx.url("/any"));
        let hey = Hey::start(&url, keep_alive);
        reload(&server, reloads());
        let verdict = hey.stop();
        println!("{accept}, nginx {over_nginx}, keep-alive {keep_alive}: {} answered", verdict.answered);
        assert!(verdict.complaints.is_empty(), "{:#?}\n{}", verdict.complaints, server.log());
        if let Some(nginx) = nginx {
            assert_eq!(nginx.log(), "", "nginx has nothing to complain of");
        }
        end(server);
    }
}

#[test]
fn of_hey_with_a_shared_queue() {
    under_hey("shared", false);
}

#[test]
fn of_hey_with_queues_per_worker() {
    under_hey("per-worker", false);
}

#[test]
fn of_hey_over_nginx_with_a_shared_queue() {
    under_hey("shared", true);
}

#[test]
fn of_hey_over_nginx_with_queues_per_worker() {
    under_hey("per-worker", true);
}

/// Streams and delays, too, on new connections and on keep-alive ones.
#[test]
fn of_requests_of_any_kind() {
    const CLIENTS: [(Habit, &str); 9] = [
        (Habit::KeepAlive, "/health"),
        (Habit::KeepAlive, "/bin/200K"),
        (Habit::KeepAlive, "/delay/100"),
        (Habit::KeepAlive, "/stream/1"),
        (Habit::Close, "/health"),
        (Habit::Close, "/health"),
        (Habit::Close, "/bin/200K"),
        (Habit::Close, "/delay/5"),
        (Habit::Close, "/stream/1"),
    ];
    for accept in ["shared", "per-worker"] {
        let server = start(accept);
        let load = Load::start(&Target::Tcp(server.address()), &CLIENTS);
        load.wait_answered(50);
        load.expect_drains();
        reload(&server, reloads());
        load.expect_refusals();
        end(server);
        let tally = load.join();
        println!("{accept}: {} answered, {} told to close", tally.answered, tally.told_to_close);
        assert!(tally.failures.is_empty(), "{:#?}", tally.failures);
    }
}

#[test]
fn of_clients_that_keep_their_connections() {
    const CLIENTS: [(Manner, usize); 4] =
        [(Manner::OneByOne, 10), (Manner::InEights, 10), (Manner::WithoutEnd, 2), (Manner::WithPauses, 20)];
    for accept in ["shared", "per-worker"] {
        let server = start(accept);
        let capture = Capture::start(server.address());
        let clients = KeepAliveClients::start(server.address(), &CLIENTS);
        clients.wait_answered(200);
        reload(&server, reloads());
        clients.expect_end();
        end(server);
        let tally = clients.join();
        println!(
            "{} answered; ends: {} told, {} idle, {} crossed, {} held up",
            tally.answered, tally.told_to_close, tally.ended_idle, tally.crossed, tally.held_up
        );
        assert!(tally.failures.is_empty(), "{:#?}", tally.failures);
        if let Some(endings) = capture.map(Capture::stop) {
            assert!(endings.resets.is_empty(), "{:#?}", endings.resets);
            assert!(endings.fins > 20, "the capture has seen the ends: {endings:?}");
        }
    }
}
