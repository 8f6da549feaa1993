//! TTIN and TTOU: one worker more or less; WINCH: none, until HUP.

use crate::support::load::{Habit, Load, Target};
use crate::support::{Server, eventually, one_line_of};
use nix::sys::signal::Signal;

#[track_caller]
fn wait_count(server: &Server, wanted: usize) {
    eventually("this many workers", || (server.workers().len() == wanted).then_some(()));
}

#[test]
fn one_more_or_less_under_load_loses_nothing() {
    for accept in ["shared", "per-worker"] {
        let mut server = Server::start(&["--workers", "2", "--accept", accept]);
        let habits = [(Habit::KeepAlive, "/"), (Habit::KeepAlive, "/"), (Habit::Close, "/"), (Habit::Close, "/")];
        let load = Load::start(&Target::Tcp(server.address()), &habits);
        load.expect_drains();
        load.wait_answered(50);
        let first = server.workers();
        for wanted in [3, 4] {
            server.signal(Signal::SIGTTIN);
            wait_count(&server, wanted);
            load.wait_answered(50);
        }
        for wanted in [3, 2, 1] {
            server.signal(Signal::SIGTTOU);
            wait_count(&server, wanted);
            load.wait_answered(50);
        }
        assert_eq!(server.workers(), first[..1], "the youngest go first");
        server.signal(Signal::SIGTTOU);
        server.wait_log("SIGTTOU: at least one worker is needed");
        load.wait_answered(50);
        load.expect_refusals();
        let status = server.stop(Signal::SIGTERM);
        let tally = load.join();
        assert!(tally.failures.is_empty(), "{accept}: {:#?}", tally.failures);
        assert_eq!(status.code(), Some(0), "{}", server.log());
    }
}

#[test]
fn no_worker_runs_until_a_reload() {
    let mut server = Server::start(&["--workers", "2"]);
    let before = server.workers();
    server.signal(Signal::SIGWINCH);
    server.wait_gone(&before);
    wait_count(&server, 0);
    assert!(server.try_exit().is_none());
    // A new client waits.
    let mut client = server.connect();
    client.send("GET /health HTTP/1.1\r\nHost: t\r\n\r\n");
    server.signal(Signal::SIGHUP);
    assert_eq!(client.response().status, 200);
    wait_count(&server, 2);
    // A stop while no worker runs has nothing to wait for.
    server.signal(Signal::SIGWINCH);
    wait_count(&server, 0);
    assert_eq!(server.stop(Signal::SIGTERM).code(), Some(0), "{}", server.log());
}

#[test]
fn an_invalid_number_is_refused() {
    let server = Server::start(&["--workers", "1"]);
    let output = server.ctl(&["drain", "7"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(one_line_of(&output).contains("there is no slot 7; there are 1, counted from 0"));
    assert_ne!(server.ctl(&["scale", "0"]).status.code(), Some(0));
    assert_ne!(server.ctl(&["scale", "100000"]).status.code(), Some(0));
    assert_eq!(server.workers().len(), 1);
}
