//! An application in Rust has tasks of its own (`Cx::background`), is started and stopped with its worker, and may be the elected one.
//! The app `tasks` serves.

use crate::apps;
use crate::support::{Server, eventually, send_signal};
use nix::sys::signal::Signal;

fn said(server: &Server, line: &str) -> usize {
    server.log().lines().filter(|one| *one == line).count()
}

#[track_caller]
fn wait_said(server: &Server, line: &str, count: usize) {
    eventually(&format!("{line:?} is said {count} times: {}", server.log()), || {
        (said(server, line) == count).then_some(())
    });
}

fn elected(server: &Server) -> Vec<i32> {
    let said = server.log();
    said.lines().filter_map(|line| line.strip_prefix("elected ")?.parse().ok()).collect()
}

#[test]
fn tasks_run_between_requests_and_hold_a_drain() {
    let mut server = apps::serve("tasks", &["--workers", "1"]);
    wait_said(&server, "start 0", 1);
    let count = || server.get("/count").text().parse::<u64>().expect("a count");
    eventually("its timer comes", || (count() > 5).then_some(()));
    server.get("/relay");
    wait_said(&server, "relayed word", 1);
    server.get("/hold");
    let before = server.workers();
    assert!(server.ctl(&["reload"]).status.success());
    server.wait_gone(&before);
    assert_eq!(["held", "stop 0", "last"].map(|line| said(&server, line)), [1, 1, 1], "{}", server.log());
    assert!(server.stop(Signal::SIGTERM).success());
    assert_eq!(["held", "stop 0", "last"].map(|line| said(&server, line)), [1, 2, 2], "{}", server.log());
}

#[test]
fn the_graceful_timeout_cuts_them_and_the_app_is_stopped() {
    let mut server = apps::serve("tasks", &["--workers", "1", "--graceful-timeout", "300ms"]);
    server.get("/stuck");
    assert!(server.stop(Signal::SIGTERM).success());
    server.wait_log("cut 1 background task of the app, by the graceful timeout");
    assert_eq!(["never", "stop 0", "last"].map(|line| said(&server, line)), [0, 1, 1], "{}", server.log());
}

#[test]
fn one_of_its_workers_is_elected() {
    let mut server = apps::serve("tasks", &["--workers", "3"]);
    eventually("one is elected", || (elected(&server).len() == 1).then_some(()));
    send_signal(elected(&server)[0], Signal::SIGKILL);
    eventually("another is elected", || (elected(&server).len() == 2).then_some(()));
    let before = server.workers();
    assert!(server.ctl(&["reload"]).status.success());
    server.wait_gone(&before);
    eventually("one that serves is elected", || {
        elected(&server).last().is_some_and(|pid| server.workers().contains(pid)).then_some(())
    });
    assert!(server.stop(Signal::SIGTERM).success());
}

#[test]
fn an_app_that_cannot_start_is_a_failed_boot() {
    let mut command = apps::app("tasks");
    let mut server = Server::spawn(command.args(["run", "0"]).env("FAILS", "1"));
    assert!(!server.wait_exit().success());
    server.wait_log("the app could not be started: no database");
}
