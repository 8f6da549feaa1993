//! A drain completes the responses that are in flight, streams too, with `Connection: close`, and closes idle
//! connections.

use crate::support::{Client, Server, eventually};
use nix::sys::signal::Signal;
use std::time::{Duration, Instant};

fn drain_finishes(accept: &str, signal: Signal) {
    let mut server = Server::start_with(&["--workers", "2", "--accept", accept], &[("TINE_LOG", "debug")]);
    let workers = server.workers();
    let ask = |path: &str| {
        let mut client = server.connect();
        client.send(format!("GET {path} HTTP/1.1\r\nHost: t\r\n\r\n"));
        client
    };
    let mut idle: Vec<Client> = (0..4).map(|_| ask("/health")).collect();
    for client in &mut idle {
        assert_eq!(client.response().header("connection"), None);
    }
    let mut delayed = ask("/delay/1500");
    let mut stream = ask("/stream/20");
    let mut upload = server.connect();
    upload.send("POST /upload HTTP/1.1\r\nHost: t\r\nContent-Length: 6\r\n\r\nabc");
    // Some of the stream is here, and the rest is more than the sockets can hold.
    let mut streamed = stream.take(100_000).expect("the stream begins");
    eventually("the requests are in a worker", || {
        (server.worker_of(&delayed).is_some() && server.worker_of(&upload).is_some()).then_some(())
    });

    server.signal(signal);
    eventually("both workers have the stop", || {
        let log = server.log();
        let told = log.lines().filter(|line| line.contains("DEBUG worker") && line.contains("draining"));
        (told.count() == 2).then_some(())
    });
    for client in &mut idle {
        client.expect_end();
    }
    upload.send("def");
    let response = upload.response();
    assert_eq!((response.status, response.header("connection")), (200, Some("close")));
    upload.expect_end();
    assert_eq!(delayed.response().status, 200);
    delayed.expect_end();
    assert!(server.try_exit().is_none(), "the stream is still in flight");
    // Slowly: a megabyte at a time.
    while let Ok(part) = stream.take(1 << 20) {
        streamed.extend_from_slice(&part);
        std::thread::sleep(Duration::from_millis(10));
    }
    streamed.extend_from_slice(&stream.rest().expect("the stream ends cleanly"));
    assert!(streamed.len() > 20 << 20, "all 20 MB, not {}", streamed.len());
    assert!(streamed.ends_with(b"\r\n0\r\n\r\n"), "and the last chunk");

    assert_eq!(server.wait_exit().code(), Some(0), "{}", server.log());
    server.wait_log("drained: ");
    server.wait_gone(&workers);
    assert!(Client::try_connect(server.address()).is_err(), "the address is no longer listened on");
}

#[test]
fn term_shared() {
    drain_finishes("shared", Signal::SIGTERM);
}

#[test]
fn int_shared() {
    drain_finishes("shared", Signal::SIGINT);
}

#[test]
fn term_per_worker() {
    drain_finishes("per-worker", Signal::SIGTERM);
}

/// Several rounds: a test that is suspended for long comes too late in some.
#[test]
fn a_request_that_crosses_the_drain_is_answered() {
    let mut answered = 0;
    for _ in 0..5 {
        let mut server = Server::start(&["--workers", "2"]);
        let mut idle: Vec<Client> = (0..8).map(|_| server.connect()).collect();
        for client in &mut idle {
            client.send("GET /health HTTP/1.1\r\nHost: t\r\n\r\n");
            assert_eq!(client.response().header("connection"), None);
        }
        server.signal(Signal::SIGTERM);
        server.wait_log("draining");
        for client in &mut idle {
            if client.has_ended().expect("no reset") {
                continue;
            }
            client.send("GET /health HTTP/1.1\r\nHost: t\r\n\r\n");
            // Without an answer, the end crossed the request; without `Connection: close`, its worker did not know of
            // the stop yet.
            if let Ok(response) = client.try_response("GET") {
                assert_eq!(response.status, 200);
                answered += u32::from(response.header("connection") == Some("close"));
            }
        }
        assert_eq!(server.wait_exit().code(), Some(0), "{}", server.log());
        if answered >= 4 {
            return;
        }
    }
    panic!("idle connections have no time for another request: {answered} answered");
}

#[test]
fn a_worker_that_gets_a_stop_signal_finishes_and_is_replaced() {
    let server = Server::start(&["--workers", "2"]);
    let before = server.workers();
    let mut delayed = server.connect();
    delayed.send("GET /delay/500 HTTP/1.1\r\nHost: t\r\n\r\n");
    let worker = eventually("the request is in a worker", || server.worker_of(&delayed));
    crate::support::send_signal(worker, Signal::SIGTERM);
    for _ in 0..20 {
        assert_eq!(server.get("/health").status, 200, "the other worker serves");
    }
    assert_eq!(delayed.response().status, 200);
    server.wait_log(&format!("(pid {worker}) retires after "));
    server.wait_replaced(&before);
}

/// Its head did not have `Connection: close`, so the client may send its next request right after the end.
#[test]
fn a_request_right_after_a_stream_that_outlived_the_grace() {
    let mut server = Server::start(&["--workers", "1"]);
    let mut client = server.connect_narrow();
    client.send("GET /stream/1 HTTP/1.1\r\nHost: t\r\n\r\n");
    let head = String::from_utf8_lossy(&client.take(200).expect("the head")).into_owned();
    assert!(head.starts_with("HTTP/1.1 200") && !head.contains("Connection: close"), "{head}");
    server.signal(Signal::SIGTERM);
    server.wait_log("draining");
    let told = Instant::now();
    eventually("the grace of idle connections is over", || (told.elapsed() > Duration::from_millis(700)).then_some(()));
    let mut end = Vec::new();
    while !end.ends_with(b"\r\n0\r\n\r\n") {
        end = [&end[end.len().saturating_sub(7)..], &client.take(1).expect("the stream")[..]].concat();
    }
    client.send("GET /health HTTP/1.1\r\nHost: t\r\n\r\n");
    let response = client.response();
    assert_eq!((response.status, response.header("connection")), (200, Some("close")));
    assert_eq!(server.wait_exit().code(), Some(0), "{}", server.log());
}

/// The kernel holds back a connection that has sent nothing; its client does not know.
#[test]
fn a_client_that_had_connected_and_sent_nothing_yet() {
    for defer_accept in ["1s", "0"] {
        let mut server = Server::start(&["--workers", "2", "--defer-accept", defer_accept]);
        let mut clients: Vec<Client> = (0..10).map(|_| server.connect()).collect();
        server.signal(Signal::SIGTERM);
        server.wait_log("draining");
        for client in &mut clients {
            client.send("GET /health HTTP/1.1\r\nHost: t\r\n\r\n");
        }
        for client in &mut clients {
            assert_eq!(client.response().status, 200, "--defer-accept {defer_accept}");
        }
        assert_eq!(server.wait_exit().code(), Some(0), "{}", server.log());
    }
}
