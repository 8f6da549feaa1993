//! After the graceful timeout, or on a second signal, what is left is cut and counted in the log. The exit status is 0,
//! since the stop was requested and has been carried out; `tine ctl stop` exits with 1.

use crate::apps;
use crate::support::{Client, Server, eventually, freeze, wait_asleep};
use nix::sys::signal::Signal;

/// Three requests that take longer than the test; two idle connections, which are not counted.
fn with_long_requests(options: &[&str]) -> (Server, Vec<Client>) {
    let server = Server::start(options);
    let mut clients = Vec::new();
    for path in ["/delay/600000", "/delay/600000", "/stream/1000", "/health", "/health"] {
        let mut client = server.connect();
        client.send(format!("GET {path} HTTP/1.1\r\nHost: t\r\n\r\n"));
        match path {
            "/health" => assert_eq!(client.response().status, 200),
            _ => drop(eventually("a worker has the request", || server.worker_of(&client))),
        }
        clients.push(client);
    }
    (server, clients)
}

fn expect_cut(server: &mut Server, workers: &[i32], clients: &mut [Client]) {
    assert_eq!(server.wait_exit().code(), Some(0), "{}", server.log());
    server.wait_log("3 connections cut while in use");
    server.wait_gone(workers);
    for client in &mut clients[..2] {
        assert!(client.try_response("GET").is_err(), "no answer");
    }
}

#[test]
fn at_the_graceful_timeout() {
    for accept in ["shared", "per-worker"] {
        let options = ["--workers", "2", "--accept", accept, "--graceful-timeout", "700ms"];
        let (mut server, mut clients) = with_long_requests(&options);
        let workers = server.workers();
        server.signal(Signal::SIGTERM);
        expect_cut(&mut server, &workers, &mut clients);
        assert!(server.log().contains("by the graceful timeout"), "{}", server.log());
    }
}

#[test]
fn at_a_second_signal() {
    for (first, second) in [(Signal::SIGTERM, Signal::SIGTERM), (Signal::SIGINT, Signal::SIGINT)] {
        let (mut server, mut clients) = with_long_requests(&["--workers", "2", "--graceful-timeout", "1h"]);
        let workers = server.workers();
        server.signal(first);
        server.wait_log("draining");
        // A signal that follows at once is the first one, sent twice.
        eventually("a second one is handled", || {
            server.signal(second);
            server.log().contains("again: cutting what is left").then_some(())
        });
        expect_cut(&mut server, &workers, &mut clients);
        let log = server.log();
        assert!(log.contains("again: cutting what is left") && log.contains("by the master's order"), "{log}");
        assert!(!log.contains("killing it"), "the workers cut by themselves: {log}");
    }
}

#[test]
fn a_stop_over_the_control_socket_reports_it() {
    let (mut server, mut clients) = with_long_requests(&["--workers", "2", "--graceful-timeout", "700ms"]);
    let workers = server.workers();
    let output = server.ctl(&["stop"]);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("not all requests in flight could be finished"), "{said}");
    expect_cut(&mut server, &workers, &mut clients);
}

#[test]
fn a_worker_that_hangs_is_killed_and_its_request_counted() {
    let (mut server, _client, hung) = apps::serve_hung(&["--workers", "2", "--graceful-timeout", "500ms"]);
    let workers = server.workers();
    let status = server.stop(Signal::SIGTERM);
    server.wait_log(&format!("(pid {hung}) did not exit in time; killing it"));
    server.wait_log("1 connection cut while in use");
    assert_eq!(status.code(), Some(0), "{}", server.log());
    server.wait_gone(&workers);
}

#[test]
fn a_stopped_worker_is_killed() {
    let mut server = Server::start(&["--workers", "2", "--graceful-timeout", "500ms"]);
    let workers = server.workers();
    freeze(workers[0]);
    server.stop(Signal::SIGTERM);
    server.wait_log(&format!("(pid {}) did not exit in time; killing it", workers[0]));
    server.wait_gone(&workers);
}

/// The end of a connection that is between two requests loses nothing.
#[test]
fn idle_connections_of_a_killed_worker_are_not_cut() {
    let mut server = Server::start(&["--workers", "1", "--graceful-timeout", "500ms"]);
    let mut client = server.connect();
    client.send("GET /health HTTP/1.1\r\nHost: t\r\n\r\n");
    assert_eq!(client.response().status, 200);
    let worker = server.workers()[0];
    wait_asleep(worker);
    freeze(worker);
    assert_eq!(server.stop(Signal::SIGTERM).code(), Some(0), "{}", server.log());
    server.wait_log("did not exit in time; killing it");
    assert!(!server.log().contains("cut while in use"), "{}", server.log());
}

/// timeout(1) signals its child and then its process group.
#[test]
fn not_at_a_signal_that_was_sent_twice() {
    let mut server = Server::start(&["--workers", "1"]);
    let mut client = server.connect();
    client.send("GET /delay/500 HTTP/1.1\r\nHost: t\r\n\r\n");
    eventually("the worker has the request", || server.worker_of(&client));
    server.signal(Signal::SIGTERM);
    server.wait_log("draining");
    server.signal(Signal::SIGTERM);
    assert_eq!(client.response().status, 200);
    assert_eq!(server.wait_exit().code(), Some(0), "{}", server.log());
}
