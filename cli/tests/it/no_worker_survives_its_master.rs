//! When the master is killed with -9, its workers finish what is in flight and exit; so do workers that were stopped or
//! hang.

use crate::apps;
use crate::support::{Client, Server, eventually, freeze, was_killed_by};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

#[test]
fn workers_finish_what_is_in_flight_and_end() {
    for accept in ["shared", "per-worker"] {
        let mut server = Server::start(&["--workers", "3", "--accept", accept]);
        let workers = server.workers();
        let mut idle = server.connect();
        idle.send("GET /health HTTP/1.1\r\nHost: t\r\n\r\n");
        assert_eq!(idle.response().status, 200);
        let mut delayed = server.connect();
        delayed.send("GET /delay/1000 HTTP/1.1\r\nHost: t\r\n\r\n");
        let mut uploads: Vec<Client> = (0..4).map(|_| server.connect()).collect();
        for client in &mut uploads {
            client.send("POST /upload HTTP/1.1\r\nHost: t\r\nContent-Length: 6\r\n\r\nabc");
        }
        let mut stream = server.connect();
        stream.send("GET /stream/20 HTTP/1.1\r\nHost: t\r\n\r\n");
        for client in uploads.iter().chain([&delayed, &stream]) {
            eventually("a worker has the request", || server.worker_of(client));
        }
        assert!(was_killed_by(server.stop(Signal::SIGKILL), Signal::SIGKILL));
        eventually("all workers know that they are alone", || {
            (server.log().matches("the master is gone; draining").count() == 3).then_some(())
        });
        for client in &mut uploads {
            client.send("def");
            let response = client.response();
            assert_eq!((response.status, response.header("connection")), (200, Some("close")));
        }
        assert_eq!(delayed.response().status, 200);
        assert_eq!(stream.response().body.len(), 20 << 20);
        idle.expect_end();
        server.wait_gone(&workers);
        assert!(Client::try_connect(server.address()).is_err(), "the address is no longer listened on");
    }
}

#[test]
fn a_stopped_worker_ends_when_it_is_continued() {
    let mut server = Server::start(&["--workers", "2"]);
    let workers = server.workers();
    freeze(workers[0]);
    server.stop(Signal::SIGKILL);
    // The kernel may have continued it already, as a stopped member of an orphaned process group, and it may be gone.
    let _ = kill(Pid::from_raw(workers[0]), Signal::SIGCONT);
    server.wait_gone(&workers);
}

#[test]
fn a_worker_that_hangs_is_ended_after_its_graceful_timeout() {
    let (mut server, _client, _) = apps::serve_hung(&["--workers", "2", "--graceful-timeout", "500ms"]);
    let workers = server.workers();
    server.stop(Signal::SIGKILL);
    server.wait_gone(&workers);
}

#[test]
fn a_master_that_dies_while_it_drains_leaves_no_worker() {
    let mut server = Server::start(&["--workers", "2", "--graceful-timeout", "500ms"]);
    let workers = server.workers();
    let mut client = server.connect();
    client.send("GET /delay/600000 HTTP/1.1\r\nHost: t\r\n\r\n");
    eventually("a worker has the request", || server.worker_of(&client));
    server.signal(Signal::SIGTERM);
    server.wait_log("draining");
    server.stop(Signal::SIGKILL);
    server.wait_gone(&workers);
}
