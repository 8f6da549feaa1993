//! When descriptors run out, clients get a 503 instead of a reset or silence, the worker does not spin, and it recovers
//! by itself when there are descriptors again.

use crate::support::{BUSY, Client, Response, Server, TINE, busy, cpu_ticks, eventually};
use std::process::Command;
use std::time::{Duration, Instant};

const GET: &str = "GET /health HTTP/1.1\r\nHost: t\r\n\r\n";

#[track_caller]
fn answer(server: &Server) -> (Client, Response) {
    let mut client = server.connect();
    client.send(GET);
    let response = client.response();
    (client, response)
}

/// Lowers a running process's soft limit to `count` descriptors; the hard limit stays.
fn limit_descriptors(pid: i32, count: &str) {
    let status = Command::new("prlimit").args(["--pid", &pid.to_string(), &format!("--nofile={count}:")]).status();
    assert!(status.expect("prlimit is part of util-linux").success());
}

/// The limit at the start sets the budget: above it, 503 and a clean end.
#[test]
fn a_low_limit_at_the_start() {
    let mut command = Command::new("sh");
    command.args(["-c", "ulimit -n 120 && exec \"$0\" run 0 --workers 1", TINE]);
    let server = Server::start_command(&mut command);
    let mut inside = Vec::new();
    let mut refused = 0;
    for _ in 0..300 {
        // In use: an idle connection would make room.
        let mut client = server.connect();
        client.send(BUSY);
        let response = client.response();
        match response.status {
            100 => inside.push(client),
            503 => {
                assert_eq!((response.header("retry-after"), response.header("connection")), (Some("5"), Some("close")));
                client.expect_end();
                refused += 1;
            }
            status => panic!("{status}"),
        }
    }
    assert!(inside.len() >= 20 && refused >= 180, "{} were admitted, {refused} refused", inside.len());
    assert_eq!(server.log().matches("refusing connections with 503").count(), 1, "{}", server.log());
    drop(inside);
    eventually("there is room again", || (answer(&server).1.status == 200).then_some(()));
}

/// EMFILE itself, although the budget has room.
#[test]
fn none_left_at_run_time() {
    let server = Server::start(&["--workers", "1"]);
    let worker = server.workers()[0];
    // In use: an idle connection would make room.
    let inside: Vec<Client> = (0..30).map(|_| busy(&server).expect("there is room")).collect();
    limit_descriptors(worker, "32");
    for _ in 0..20 {
        let (mut client, response) = answer(&server);
        assert_eq!((response.status, response.header("retry-after")), (503, Some("5")));
        assert_eq!(response.header("connection"), Some("close"));
        client.expect_end();
    }
    let line = server.wait_log("refusing connections with 503");
    assert!(line.contains("accept"), "{line}");
    assert_eq!(server.log().matches("refusing connections with 503").count(), 1, "{}", server.log());
    // Connected clients are served meanwhile.
    for mut client in inside {
        client.send("x");
        assert_eq!(client.response().status, 200);
    }
    eventually("it recovers when clients leave", || (answer(&server).1.status == 200).then_some(()));
    limit_descriptors(worker, "1000");
    let many: Vec<_> = (0..100).map(|_| answer(&server)).collect();
    assert!(many.iter().all(|(_, response)| response.status == 200));
    server.wait_log("connections with 503 within");
}

/// Not even the spare descriptor is left: then clients wait, and the worker waits too instead of retrying in a loop.
#[test]
fn not_even_a_spare_one() {
    let server = Server::start(&["--workers", "1"]);
    let worker = server.workers()[0];
    let (mut inside, _) = answer(&server);
    limit_descriptors(worker, "3");
    let mut waiting: Vec<Client> = (0..10).map(|_| server.connect()).collect();
    for client in &mut waiting {
        client.send(GET);
    }
    server.wait_log("refusing connections with 503");
    let (began, ticks) = (Instant::now(), cpu_ticks(worker));
    while began.elapsed() < Duration::from_secs(1) {
        inside.send(GET);
        assert_eq!(inside.response().status, 200);
        std::thread::sleep(Duration::from_millis(50)); // part of the measured second, not a wait
    }
    let used = cpu_ticks(worker) - ticks;
    assert!(used <= 20, "{used} hundredths of a second of CPU in one second");
    limit_descriptors(worker, "1000");
    for mut client in waiting {
        assert_eq!(client.response().status, 200);
    }
}
