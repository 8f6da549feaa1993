//! `--max-requests`, `--max-lifetime`, `--max-rss`: healthy workers are replaced as well, at the pace of a reload.

use crate::apps;
use crate::support::load::{Habit, Load, Target};
use crate::support::{Server, eventually};
use nix::sys::signal::Signal;
use serde_json::Value;

/// The number of workers in one of these states.
#[track_caller]
fn count(server: &Server, states: &[&str]) -> usize {
    let output = server.ctl(&["workers", "--json"]);
    let answer: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let workers = answer["status"]["workers"].as_array().expect("workers");
    workers.iter().filter(|worker| states.iter().any(|state| worker["state"] == *state)).count()
}

/// Waits until none of the workers in `before` is left; meanwhile no worker is missing, and at most one boots at a
/// time.
#[track_caller]
fn wait_recycled(server: &Server, before: &[i32]) {
    let workers = before.len();
    eventually("all are replaced", || {
        // A worker that waits for a CPU on a busy machine is taken for hung; it is not missing.
        let (serving, booting) = (count(server, &["ready", "hung"]), count(server, &["booting"]));
        assert!(serving >= workers && booting <= 1, "{serving} serve, {booting} boot:\n{}", server.log());
        server.workers().iter().all(|pid| !before.contains(pid)).then_some(())
    });
    assert!(!server.log().contains("quick deaths"), "{}", server.log());
}

#[test]
fn after_max_requests_under_load() {
    let mut server = Server::start(&["--workers", "3", "--max-requests", "2000", "--max-requests-jitter", "500"]);
    let habits = [(Habit::KeepAlive, "/"), (Habit::KeepAlive, "/"), (Habit::Close, "/"), (Habit::Close, "/")];
    let load = Load::start(&Target::Tcp(server.address()), &habits);
    load.expect_drains();
    for _ in 0..2 {
        wait_recycled(&server, &server.workers());
    }
    load.expect_refusals();
    let status = server.stop(Signal::SIGTERM);
    let tally = load.join();
    assert!(tally.failures.is_empty(), "{:#?}", tally.failures);
    assert_eq!(status.code(), Some(0), "{}", server.log());
}

#[test]
fn at_an_age() {
    let server = Server::start(&["--workers", "2", "--max-lifetime", "2s", "--max-lifetime-jitter", "500ms"]);
    wait_recycled(&server, &server.workers());
    assert!(server.log().contains(" s old; replacing it"), "{}", server.log());
}

#[test]
fn with_too_much_memory() {
    let server = apps::serve("faults", &["--workers", "2", "--max-rss", "100M"]);
    let before = server.workers();
    let mut client = server.connect();
    client.send("GET /hoard HTTP/1.1\r\nHost: t\r\n\r\n");
    let fat = eventually("the request is in a worker", || server.worker_of(&client));
    assert_eq!(client.response().status, 200);
    server.wait_log(&format!("(pid {fat}) holds "));
    server.wait_replaced(&before);
    server.wait_gone(&[fat]);
    assert!(before.iter().all(|pid| *pid == fat || server.workers().contains(pid)), "only that one");
}

#[test]
fn on_request() {
    let server = Server::start(&["--workers", "2"]);
    let before = server.workers();
    assert_eq!(server.ctl(&["recycle", "1"]).status.code(), Some(0), "{}", server.log());
    server.wait_gone(&before[1..]);
    assert!(server.workers().contains(&before[0]));
}
