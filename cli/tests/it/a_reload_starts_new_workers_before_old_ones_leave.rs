//! HUP replaces every worker: its successor is ready before it leaves. Old workers finish what is in flight, and the
//! number of generations that do not end is capped.

use crate::apps;
use crate::support::{Server, eventually, send_signal};
use nix::sys::signal::Signal;
use serde_json::Value;
use std::time::Duration;

/// The processes of the server, as reported by `tine ctl`.
#[track_caller]
fn workers(server: &Server) -> Vec<Value> {
    let output = server.ctl(&["workers", "--json"]);
    let answer: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    answer["status"]["workers"].as_array().expect("workers").clone()
}

fn count(workers: &[Value], state: &str) -> usize {
    workers.iter().filter(|worker| worker["state"] == state).count()
}

#[test]
fn every_worker_is_replaced_and_none_is_missing_meanwhile() {
    for accept in ["shared", "per-worker"] {
        let mut server = Server::start(&["--workers", "3", "--accept", accept]);
        for generation in 2..5 {
            let before = server.workers();
            server.signal(Signal::SIGHUP);
            let done = format!("reloaded: 3 workers of generation {generation} ");
            eventually("the end of the reload", || {
                let workers = workers(&server);
                assert!(count(&workers, "ready") >= 3, "{accept}: {workers:?}\n{}", server.log());
                assert!(count(&workers, "booting") <= 1, "one at a time: {workers:?}");
                server.log().contains(&done).then_some(())
            });
            server.wait_gone(&before);
            assert!(workers(&server).iter().all(|worker| worker["generation"] == generation));
        }
        assert_eq!(server.stop(Signal::SIGTERM).code(), Some(0), "{}", server.log());
    }
}

#[test]
fn workers_are_replaced_as_many_at_a_time_as_configured() {
    // Without a surge the old workers leave first, at most two at a time.
    let server = Server::start(&["--workers", "4", "--max-surge", "0", "--max-unavailable", "2"]);
    let before = server.workers();
    server.signal(Signal::SIGHUP);
    eventually("the end of the reload", || {
        let workers = workers(&server);
        assert!(count(&workers, "ready") >= 2, "{workers:?}");
        server.log().contains("reloaded: 4 workers of generation 2 ").then_some(())
    });
    server.wait_gone(&before);
    let server = Server::start(&["--workers", "4", "--max-surge", "4"]);
    let before = server.workers();
    assert_eq!(server.ctl(&["reload"]).status.code(), Some(0));
    server.wait_gone(&before);
    eventually("four workers", || (server.workers().len() == 4).then_some(()));
}

#[test]
fn what_is_in_flight_is_finished_however_long_it_takes() {
    // Longer than the graceful timeout of a stop.
    let server = Server::start(&["--workers", "2", "--graceful-timeout", "100ms"]);
    let mut delayed = server.connect();
    delayed.send("GET /delay/6000 HTTP/1.1\r\nHost: t\r\n\r\n");
    let old = eventually("the request is in a worker", || server.worker_of(&delayed));
    server.signal(Signal::SIGHUP);
    server.wait_log("reloaded: ");
    assert_eq!(server.get("/health").status, 200);
    assert!(workers(&server).iter().any(|worker| worker["pid"] == old && worker["state"] == "leaving"));
    let response = delayed.response();
    assert_eq!((response.status, response.header("connection")), (200, Some("close")));
    server.wait_gone(&[old]);
}

/// A proxy that is held up when the old workers leave sends its next requests on the connections that it has.
#[test]
fn a_client_that_pauses_is_answered_by_the_worker_it_knows() {
    const PAUSE: Duration = Duration::from_secs(1);
    let mut server = Server::start(&["--workers", "1"]);
    let mut clients: Vec<_> = (0..8).map(|_| server.connect()).collect();
    let mut ask = |expected| {
        for client in &mut clients {
            client.send("GET /health HTTP/1.1\r\nHost: t\r\n\r\n");
            let response = client.response();
            assert_eq!((response.status, response.header("connection")), (200, expected));
        }
    };
    ask(None);
    let before = server.workers();
    server.signal(Signal::SIGHUP);
    server.wait_log("reloaded: ");
    std::thread::sleep(PAUSE);
    ask(Some("close"));
    server.wait_gone(&before);
    assert_eq!(server.stop(Signal::SIGTERM).code(), Some(0), "{}", server.log());
}

/// While a worker leaves because it is replaced, a stop of the server shortens the time that idle connections have.
#[test]
fn a_stop_waits_no_longer_for_idle_connections_of_a_leaving_worker() {
    let mut server = Server::start(&["--workers", "1", "--graceful-timeout", "60s"]);
    let mut client = server.connect();
    client.send("GET /health HTTP/1.1\r\nHost: t\r\n\r\n");
    assert_eq!(client.response().status, 200);
    server.signal(Signal::SIGHUP);
    server.wait_log("reloaded: ");
    assert_eq!(server.stop(Signal::SIGTERM).code(), Some(0), "{}", server.log());
    assert!(!server.log().contains("cut "), "{}", server.log());
    client.expect_end();
}

#[test]
fn the_oldest_generation_is_cut_when_there_are_too_many() {
    let server = Server::start(&["--workers", "1", "--generations-max", "2"]);
    let (mut clients, mut older) = (Vec::new(), Vec::new());
    for generation in 2..5 {
        // One that is about to leave may still accept.
        clients.push(eventually("the request is in the newest worker", || {
            let mut client = server.connect();
            client.send("GET /delay/60000 HTTP/1.1\r\nHost: t\r\n\r\n");
            let worker = eventually("the request is in a worker", || server.worker_of(&client));
            (!older.contains(&worker)).then_some(client)
        }));
        older.extend(server.workers());
        assert_eq!(server.ctl(&["reload"]).status.code(), Some(0), "{}", server.log());
        server.wait_log(&format!("reloaded: 1 worker of generation {generation} "));
    }
    server.wait_log("cutting the oldest");
    // The first two clients lost their answers; the last is still being served.
    let (last, first) = clients.split_last_mut().expect("three clients");
    assert!(first.iter_mut().all(|client| client.try_response("GET").is_err()));
    assert!(server.worker_of(last).is_some());
}

#[test]
fn a_stop_during_a_reload_ends_everything() {
    for signal in [Signal::SIGTERM, Signal::SIGQUIT] {
        let mut server = Server::start(&["--workers", "4"]);
        server.signal(Signal::SIGHUP);
        assert_eq!(server.stop(signal).code(), Some(0), "{}", server.log());
    }
}

#[test]
fn a_successor_that_is_killed_ends_the_reload_and_the_next_one_works() {
    let mut command = apps::app("faults");
    let server = Server::start_command(command.args(["run", "0", "--workers", "1"]).env("FAULTS_BOOT", "slow"));
    let before = server.workers();
    server.signal(Signal::SIGHUP);
    let successor = eventually("a successor", || server.workers().into_iter().find(|pid| !before.contains(pid)));
    send_signal(successor, Signal::SIGKILL);
    let line = server.wait_log("the reload failed, generation 2: ");
    assert!(line.contains(&format!("(pid {successor}) was killed by SIGKILL")), "{line}");
    assert!(line.ends_with("the previous workers continue to serve"), "{line}");
    assert_eq!(server.get("/").status, 200);
    assert_eq!(server.workers(), before);
    assert_eq!(server.ctl(&["reload"]).status.code(), Some(0), "{}", server.log());
    server.wait_gone(&before);
}
