//! TERM and INT under load: every request that was sent on a connection is answered, and the exit status is 0.

use crate::support::load::{Habit, Load, Target};
use crate::support::{Server, TINE, scratch_folder};
use nix::sys::signal::Signal;
use std::process::Command;

const CLIENTS: [(Habit, &str); 12] = [
    (Habit::KeepAlive, "/health"),
    (Habit::KeepAlive, "/health"),
    (Habit::KeepAlive, "/bin/200K"),
    (Habit::KeepAlive, "/delay/5"),
    (Habit::KeepAlive, "/delay/100"),
    (Habit::KeepAlive, "/stream/1"),
    (Habit::Close, "/health"),
    (Habit::Close, "/health"),
    (Habit::Close, "/health"),
    (Habit::Close, "/bin/200K"),
    (Habit::Close, "/delay/5"),
    (Habit::Close, "/stream/1"),
];

/// Several rounds: a failure depends on a moment's timing.
const ROUNDS: usize = 4;

fn one_round(mut server: Server, target: &Target, signal: Signal) {
    let workers = server.workers();
    let load = Load::start(target, &CLIENTS);
    load.wait_answered(200);
    load.expect_refusals();
    let status = server.stop(signal);
    let tally = load.join();
    println!("{} answered, {} told to close, {} held up", tally.answered, tally.told_to_close, tally.held_up);
    assert!(tally.failures.is_empty(), "{:#?}", tally.failures);
    assert!(tally.told_to_close > 0, "keep-alive answers have `Connection: close`");
    assert_eq!(status.code(), Some(0), "{}", server.log());
    assert!(server.log().contains("drained: "), "{}", server.log());
    server.wait_gone(&workers);
}

fn over_tcp(accept: &str, signal: Signal) {
    for _ in 0..ROUNDS {
        let server = Server::start(&["--workers", "2", "--accept", accept]);
        let target = Target::Tcp(server.address());
        one_round(server, &target, signal);
    }
}

#[test]
fn term_shared() {
    over_tcp("shared", Signal::SIGTERM);
}

#[test]
fn int_shared() {
    over_tcp("shared", Signal::SIGINT);
}

#[test]
fn term_per_worker() {
    over_tcp("per-worker", Signal::SIGTERM);
}

#[test]
fn term_without_deferred_accept() {
    let server = Server::start(&["--workers", "2", "--defer-accept", "0"]);
    let target = Target::Tcp(server.address());
    one_round(server, &target, Signal::SIGTERM);
}

#[test]
fn term_on_a_unix_socket() {
    for _ in 0..ROUNDS {
        let folder = scratch_folder();
        let path = folder.join("socket");
        let listen = format!("unix:{}", path.display());
        let server =
            Server::start_command(Command::new(TINE).args(["run", "--workers", "2", "--listen", listen.as_str()]));
        one_round(server, &Target::Unix(path.clone()), Signal::SIGTERM);
        assert!(!path.exists(), "the socket is removed");
        std::fs::remove_dir_all(&folder).expect("the folder is ours");
    }
}
