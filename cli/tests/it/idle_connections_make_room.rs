//! At capacity, by descriptors or by `--max-connections`, idle connections keep no client out: the longest idle one is
//! closed cleanly, and so is one whose head is incomplete for long.

use crate::support::{Client, Ending, Server, TINE, eventually, listening};
use std::process::Command;
use std::time::{Duration, Instant};

const GET: &str = "GET /health HTTP/1.1\r\nHost: t\r\n\r\n";
/// The minimum idle time of a connection that is closed for another, plus a margin.
const IDLE: Duration = Duration::from_millis(300);

/// A connection that was answered and is kept open, once it is admitted.
fn kept(server: &Server) -> Client {
    eventually("it is let in", || {
        let mut client = server.connect();
        client.send(GET);
        (client.response().status == 200).then_some(client)
    })
}

#[track_caller]
fn expect_served(server: &Server, count: usize) -> Vec<Client> {
    let light = |number| {
        let mut client = server.connect();
        client.send(GET);
        let response = client.response();
        assert_eq!(response.status, 200, "client {number} of {count}; the log says:\n{}", server.log());
        client
    };
    (0..count).map(light).collect()
}

fn wait_idle() {
    let began = Instant::now();
    eventually("all have idled for a while", || (began.elapsed() > IDLE).then_some(()));
}

#[test]
fn where_descriptors_are_few() {
    let mut command = Command::new("sh");
    command.args(["-c", "ulimit -n 256 && exec \"$0\" run --workers 1 \"$@\"", TINE]).args(listening());
    let server = Server::start_command(&mut command);
    let worker = server.workers();
    let mut idle: Vec<Client> = (0..260).map(|_| kept(&server)).collect();
    wait_idle();
    // All of them stay, so that each new one needs room.
    let _light = expect_served(&server, 100);
    // Those idle longest were closed cleanly; the last is still open.
    for client in &mut idle[..50] {
        client.expect_end();
    }
    let last = idle.last_mut().expect("there are many");
    last.send(GET);
    assert_eq!(last.response().status, 200);
    assert_eq!(server.workers(), worker);
    let log = server.log();
    assert!(log.matches("closing those idle longest").count() < 10, "{log}");
    server.wait_log("idle connections within");
}

/// No descriptor is left to accept with, though the budget has room.
#[test]
fn where_there_are_no_more_descriptors() {
    let server = Server::start(&["--workers", "1"]);
    let worker = server.workers()[0];
    let _idle: Vec<Client> = (0..50).map(|_| kept(&server)).collect();
    wait_idle();
    let highest = std::fs::read_dir(format!("/proc/{worker}/fd")).expect("the worker is there").count();
    let status = Command::new("prlimit").args(["--pid", &worker.to_string(), &format!("--nofile={highest}:")]).status();
    assert!(status.expect("prlimit is part of util-linux").success());
    let _light = expect_served(&server, 30);
}

#[test]
fn where_connections_are_limited() {
    for mode in ["shared", "per-worker"] {
        let server = Server::start(&["--workers", "2", "--max-connections", "8", "--accept", mode]);
        let _idle: Vec<Client> = (0..8).map(|_| kept(&server)).collect();
        wait_idle();
        for _ in 0..10 {
            // Each makes room at the worker that accepts it.
            let _light = expect_served(&server, 1);
            wait_idle();
        }
    }
}

/// Long before `--header-timeout`.
#[test]
fn where_heads_are_incomplete_for_long() {
    let server = Server::start(&["--workers", "1", "--max-connections", "20", "--header-timeout", "10m"]);
    let mut slow: Vec<Client> = (0..20).map(|_| server.connect()).collect();
    slow.iter_mut().for_each(|client| client.send("GET / HT"));
    eventually("all are let in", || (server.connections_of(&server.workers()) == [20]).then_some(()));
    let mut light = kept(&server);
    assert_eq!(slow[0].response().status, 408);
    light.send(GET);
    assert_eq!(light.response().status, 200);
}

/// A client that has sent nothing is idle as well.
#[test]
fn where_clients_send_nothing() {
    let server = Server::start(&["--workers", "1", "--max-connections", "20", "--defer-accept", "0"]);
    let mut silent: Vec<Client> = (0..20).map(|_| server.connect()).collect();
    eventually("all are let in", || (server.connections_of(&server.workers()) == [20]).then_some(()));
    let _light = kept(&server);
    assert_eq!(silent[0].read_to_end(), (Vec::new(), Ending::OF_A_CUT));
}
