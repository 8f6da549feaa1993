//! A stop of a server without capabilities, as under deploy/tine.service: each client that has connected gets its
//! answer, also if it sends its request only then; later ones are refused.

use crate::support::{Client, Server, TINE};
use nix::sys::signal::Signal;
use std::io::ErrorKind;
use std::process::Command;
use std::time::{Duration, Instant};

const REQUEST: &str = "GET /health HTTP/1.1\r\nHost: t\r\nConnection: close\r\n\r\n";

/// Starts a client every few milliseconds until one is refused; each sends its request `wait` after it has connected.
fn stop_among(options: &[&str], wait: Duration) {
    let mut command = Command::new("setpriv");
    // The bounding set is what root keeps across an exec; other users have no capabilities to begin with.
    command.args(["--bounding-set", "-all", TINE, "run", "0", "--workers", "2"]).args(options);
    let mut server = Server::start_command(&mut command);
    let address = server.address();
    let client = move |mut client: Client| {
        std::thread::spawn(move || {
            std::thread::sleep(wait); // what is tested
            client.try_send(REQUEST)?;
            client.try_response("GET").map(|response| response.status)
        })
    };
    let mut clients = Vec::new();
    loop {
        match Client::try_connect(address) {
            Ok(connected) => clients.push(client(connected)),
            Err(e) => break assert_eq!(e.kind(), ErrorKind::ConnectionRefused, "{e}"),
        }
        if clients.len() == 20 {
            server.signal(Signal::SIGTERM);
        }
        assert!(clients.len() < 2000, "the server does not stop");
        std::thread::sleep(Duration::from_millis(5)); // the clients' pace
    }
    let count = clients.len();
    let failed: Vec<_> = clients
        .into_iter()
        .map(|client| client.join().expect("a client"))
        .filter(|answer| !matches!(answer, Ok(200)))
        .collect();
    assert!(failed.is_empty(), "{} of {count} failed: {failed:?}", failed.len());
    assert_eq!(server.wait_exit().code(), Some(0));
    assert!(!server.log().contains("may be reset"), "{}", server.log());
}

#[test]
fn with_a_pause_before_the_request() {
    for wait in [0, 5, 50, 200].map(Duration::from_millis) {
        stop_among(&[], wait);
    }
}

#[test]
fn that_the_kernel_does_not_hold_back() {
    stop_among(&["--defer-accept", "0"], Duration::from_millis(50));
}

/// A client that is 240 ms away takes that long to connect.
#[test]
fn that_is_far_away() {
    for defer_accept in ["0", "1s"] {
        let mut server = Server::start(&["--workers", "1", "--defer-accept", defer_accept]);
        let began = Instant::now();
        assert_eq!(server.stop(Signal::SIGTERM).code(), Some(0));
        let drained_for = began.elapsed();
        assert!(drained_for >= Duration::from_millis(480), "two round trips, not {drained_for:?}");
    }
}

#[test]
fn with_queues_per_worker() {
    stop_among(&["--accept", "per-worker"], Duration::from_millis(50));
}
