//! Workers whose master was killed hold its addresses for a moment, to accept connections in progress: a server that is
//! started again at once waits for that. A worker that hangs does not keep it from starting; if all hang, the message
//! names them.

use crate::apps;
use crate::support::{Client, Server, TINE, is_alive, one_line_of, run_to_end, scratch_folder};
use nix::sys::signal::Signal;
use std::process::Command;

/// `tine run` on this port.
fn start_on(port: u16, options: &[&str]) -> Server {
    Server::start_command(Command::new(TINE).args(["run", &port.to_string(), "--workers", "2"]).args(options))
}

#[track_caller]
fn expect_restart(options: &[&str]) {
    let mut first = Server::start(&[&["--workers", "2"], options].concat());
    let (port, workers) = (first.address().port(), first.workers());
    let mut client = first.connect();
    client.send("GET /chunked/1000?delay=100 HTTP/1.1\r\nHost: t\r\n\r\n");
    client.head();
    first.stop(Signal::SIGKILL);
    let mut second = start_on(port, options);
    assert_eq!(second.get("/health").status, 200);
    let waits = second.log().matches("workers whose master has died still listen there while they finish").count();
    assert!(waits <= 1, "{}", second.log());
    assert!(workers.iter().any(|&pid| is_alive(pid)), "one finishes its request: {}", first.log());
    assert_eq!(second.stop(Signal::SIGTERM).code(), Some(0), "{}", second.log());
    drop(client);
    first.wait_gone(&workers);
}

#[test]
fn with_a_shared_queue() {
    expect_restart(&["--accept", "shared"]);
}

#[test]
fn with_queues_per_worker() {
    expect_restart(&["--accept", "per-worker"]);
}

#[test]
fn on_a_unix_socket() {
    let folder = scratch_folder();
    let path = folder.join("socket");
    let listen = format!("unix:{}", path.display());
    let start = || Server::start_command(Command::new(TINE).args(["run", "--listen", &listen, "--workers", "1"]));
    let mut first = start();
    let workers = first.workers();
    first.stop(Signal::SIGKILL);
    let _second = start();
    let mut client = Client::try_connect_unix(&path).expect("the second listens");
    client.send("GET /health HTTP/1.1\r\nHost: t\r\n\r\n");
    assert_eq!(client.response().status, 200);
    first.wait_gone(&workers);
    std::fs::remove_dir_all(folder).expect("the folder");
}

/// A server with one hung worker, and that worker's process id.
fn with_one_that_hangs(workers: &str, accept: &str) -> (Server, i32) {
    let (server, _, hung) = apps::serve_hung(&["--workers", workers, "--accept", accept]);
    (server, hung)
}

#[test]
fn a_worker_that_hangs_does_not_keep_it() {
    for accept in ["shared", "per-worker"] {
        let (mut first, hung) = with_one_that_hangs("2", accept);
        let port = first.address().port();
        first.stop(Signal::SIGKILL);
        let second = start_on(port, &["--accept", accept]);
        for _ in 0..20 {
            assert_eq!(second.get("/health").status, 200, "{accept}");
        }
        assert!(is_alive(hung), "{accept}: it was not waited for");
    }
}

#[test]
fn where_all_hang_they_are_named() {
    let (mut first, hung) = with_one_that_hangs("1", "shared");
    let port = first.address().port().to_string();
    first.stop(Signal::SIGKILL);
    let output = run_to_end(&["check", &port]);
    let line = one_line_of(&output);
    let words = format!("workers whose master has died still listen there while they finish (process {hung})");
    assert!(line.contains(&words) && line.contains("choose another port"), "{line}");
    assert_eq!(output.status.code(), Some(1));
}
