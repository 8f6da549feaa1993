//! `/fault/stall` and `/fault/dribble-head` wait where and for as long as they were asked to, and then go on; a stop
//! waits for them no longer than for any other answer.

use crate::support::{Client, Ending, Server, eventually, patience};
use nix::sys::signal::Signal;
use std::io::ErrorKind;
use std::time::{Duration, Instant};

fn ask(server: &Server, path: &str) -> Client {
    let mut client = server.connect();
    client.send(format!("GET /fault/{path} HTTP/1.1\r\nHost: t\r\n\r\n"));
    client
}

/// Reads a head byte by byte, as its length is not known, because of its date.
fn head(client: &mut Client) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.extend(client.take(1).expect("a head"));
    }
    String::from_utf8(head).expect("ASCII")
}

fn pattern(length: usize) -> Vec<u8> {
    (b'A'..=b'Z').chain(b'0'..=b'9').cycle().take(length).collect()
}

#[test]
fn a_stall_sends_the_requested_bytes_and_no_more() {
    let server = Server::start(&["--workers", "1"]);
    for after in [0, 1, 1000, 300_000] {
        let mut client = ask(&server, &format!("stall?after={after}&for=86400000"));
        assert!(head(&mut client).contains(&format!("Content-Length: {}\r\n", after + 1024)));
        assert_eq!(client.take(after).expect("the body's start"), pattern(after));
        client.stream.set_read_timeout(Some(Duration::from_millis(300))).expect("a timeout");
        let more = client.read(&mut [0]).expect_err("nothing more comes");
        assert_eq!(more.kind(), ErrorKind::WouldBlock, "after {after}");
        assert_eq!(server.get("/health").status, 200, "the worker serves others");
    }
}

#[test]
fn a_stall_goes_on_after_its_time() {
    let server = Server::start(&["--workers", "1"]);
    for after in [0, 1, 1000, 300_000] {
        let began = Instant::now();
        let mut client = ask(&server, &format!("stall?after={after}&for=300"));
        let response = client.response();
        assert!(began.elapsed() >= Duration::from_millis(300), "{:?}", began.elapsed());
        assert!(response.status == 200 && response.body == pattern(after + 1024), "after {after}");
        client.send("GET /health HTTP/1.1\r\nHost: t\r\n\r\n");
        assert_eq!(client.response().status, 200, "the connection is kept");
    }
    let mut client = server.connect();
    client.send("HEAD /fault/stall?for=86400000 HTTP/1.1\r\nHost: t\r\n\r\n");
    assert_eq!(client.response_to("HEAD").status, 200, "a head has no body that could stall");
}

#[test]
fn a_dribbled_head_comes_byte_by_byte() {
    let server = Server::start(&["--workers", "1"]);
    let expected = "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 5\r\n\r\nslow\n";
    let began = Instant::now();
    let mut client = ask(&server, "dribble-head?every=10");
    assert_eq!(client.take(expected.len()).expect("all of it"), expected.as_bytes());
    let gaps = expected.len() as u64 - "slow\n".len() as u64 - 1;
    assert!(began.elapsed() >= Duration::from_millis(10 * gaps), "{:?}", began.elapsed());
    let mut client = ask(&server, "dribble-head?every=86400000");
    assert_eq!(client.take(1).expect("the first byte"), b"H");
    client.stream.set_read_timeout(Some(Duration::from_millis(300))).expect("a timeout");
    assert_eq!(client.read(&mut [0]).expect_err("no second byte").kind(), ErrorKind::WouldBlock);
    assert_eq!(server.get("/health").status, 200);
}

#[test]
fn a_stop_waits_for_them() {
    let mut server = Server::start(&["--workers", "1"]);
    let began = Instant::now();
    let mut stalled = ask(&server, "stall?after=10&for=1500");
    let mut dribbled = ask(&server, "dribble-head?every=20");
    let mut told = head(&mut stalled);
    assert_eq!(stalled.take(10).expect("the body's start"), pattern(10));
    told.push_str(&String::from_utf8_lossy(&dribbled.take(1).expect("the head's start")));
    server.signal(Signal::SIGTERM);
    server.wait_log("draining");
    // Told that the server stops, they keep their time: everything comes, and in order.
    assert_eq!(stalled.take(1024).expect("the body's rest"), pattern(1034)[10..], "{told}");
    assert!(began.elapsed() >= Duration::from_millis(1500), "{:?}", began.elapsed());
    let (rest, ending) = dribbled.read_to_end();
    let expected = "TTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 5\r\n\r\nslow\n";
    assert_eq!((String::from_utf8_lossy(&rest), ending), (expected.into(), Ending::Fin));
    assert_eq!(stalled.read_to_end(), (Vec::new(), Ending::Fin));
    assert_eq!(server.wait_exit().code(), Some(0), "{}", server.log());
}

#[test]
fn a_stop_cuts_them_at_the_graceful_timeout() {
    let mut server = Server::start(&["--workers", "1", "--graceful-timeout", "700ms"]);
    let clients = [ask(&server, "stall?for=86400000"), ask(&server, "dribble-head?every=86400000")];
    for client in &clients {
        client.peek().expect("it begins");
    }
    let began = Instant::now();
    assert_eq!(server.stop(Signal::SIGTERM).code(), Some(0), "{}", server.log());
    server.wait_log("2 connections cut while in use");
    assert!(began.elapsed() < patience());
}

/// A client that gives up costs nothing after it has left.
#[test]
fn a_client_that_resets_is_forgotten() {
    let server = Server::start(&["--workers", "1"]);
    let before = server.sockets();
    for path in ["stall?for=86400000", "dribble-head?every=86400000"] {
        let client = ask(&server, path);
        client.peek().expect("it begins");
        socket2::SockRef::from(&client.stream).set_linger(Some(Duration::ZERO)).expect("linger");
        drop(client);
        eventually("its socket is closed", || (server.sockets() == before).then_some(()));
    }
}
