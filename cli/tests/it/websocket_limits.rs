//! `--ws-message-max`, `--ws-message-timeout`, `--ws-ping-interval` and `--ws-idle-timeout`.

use crate::support::Server;
use crate::support::websocket::{BINARY, CONTINUATION, Frame, PING, PONG, TEXT, WebSocket};
use std::time::{Duration, Instant};

#[test]
fn a_message_above_the_limit_gets_1009() {
    let server = Server::start(&["--workers", "1", "--ws-message-max", "100K"]);
    let max = 100 << 10;
    let too_big = Frame::close(1009, b"message too big");
    let mut client = WebSocket::connect(&server, "/ws");
    for _ in 0..2 {
        client.send_frame(true, 0, BINARY, vec![7; max]);
        assert_eq!(client.next_frame(), Some(Frame::new(true, 0, BINARY, vec![7; max])));
        for at in 0..4 {
            let opcode = if at == 0 { BINARY } else { CONTINUATION };
            client.send_frame(at == 3, 0, opcode, vec![at; max / 4]);
            // It is not counted.
            client.send_frame(true, 0, PONG, vec![0; 125]);
        }
        let whole = [0, 1, 2, 3].map(|at| vec![at; max / 4]).concat();
        assert_eq!(client.next_frame(), Some(Frame::new(true, 0, BINARY, whole)));
    }
    client.send_frame(true, 0, BINARY, vec![7; max + 1]);
    assert_eq!(client.expect_close(), too_big);

    // The header is enough: the server waits neither for the payload nor for the end of the message.
    for (begun, declared) in [(None, max as u64 + 1), (None, u64::MAX >> 1), (Some(1), max as u64), (Some(max), 1)] {
        let mut client = WebSocket::connect(&server, "/ws");
        if let Some(length) = begun {
            client.send_frame(false, 0, BINARY, vec![7; length]);
        }
        let first = if begun.is_some() { CONTINUATION } else { BINARY };
        client.send_raw([&[first, 0xff][..], &declared.to_be_bytes(), &[0; 4]].concat());
        assert_eq!(client.expect_close(), too_big, "{begun:?} and {declared}");
    }
}

#[test]
fn a_message_that_takes_too_long_gets_1008() {
    let server = Server::start(&["--workers", "1", "--ws-message-timeout", "400ms"]);
    let mut client = WebSocket::connect(&server, "/ws");
    client.send_frame(true, 0, TEXT, "whole");
    assert_eq!(client.next_frame(), Some(Frame::new(true, 0, TEXT, "whole")));
    let began = Instant::now();
    client.send_frame(false, 0, TEXT, "half");
    assert_eq!(client.expect_close(), Frame::close(1008, b"message took too long"));
    assert!(began.elapsed() >= Duration::from_millis(350), "{:?}", began.elapsed());
}

#[test]
fn a_silent_client_is_pinged_and_then_closed() {
    let options = ["--workers", "1", "--ws-ping-interval", "200ms", "--ws-idle-timeout", "800ms"];
    let server = Server::start(&options);
    let mut client = WebSocket::connect(&server, "/ws");
    let began = Instant::now();
    assert_eq!(client.next_frame(), Some(Frame::new(true, 0, PING, "")));
    assert!(began.elapsed() >= Duration::from_millis(150), "{:?}", began.elapsed());
    assert_eq!(client.expect_close(), Frame::close(1001, b"Idle timeout"), "one ping, and no more");
    assert!(began.elapsed() >= Duration::from_millis(750), "{:?}", began.elapsed());
}

#[test]
fn a_client_that_answers_pings_stays() {
    let options = ["--workers", "1", "--ws-ping-interval", "100ms", "--ws-idle-timeout", "2s"];
    let server = Server::start(&options);
    let mut client = WebSocket::connect(&server, "/ws");
    let began = Instant::now();
    while began.elapsed() < Duration::from_millis(2500) {
        assert_eq!(client.next_frame(), Some(Frame::new(true, 0, PING, "")));
        client.send_frame(true, 0, PONG, "");
    }
    client.send_frame(true, 0, TEXT, "alive");
    let echo = Some(Frame::new(true, 0, TEXT, "alive"));
    while client.next_message() != echo {}
}

/// A client is silent only while it could send: not while the server's output to it waits, nor while it sends slowly.
#[test]
fn a_client_that_sends_or_reads_slowly_is_not_silent() {
    let server = Server::start(&["--workers", "1", "--ws-ping-interval", "0", "--ws-idle-timeout", "1s"]);
    let mut slow = WebSocket::connect(&server, "/ws");
    let mut late = WebSocket::over(server.connect_narrow(), "/ws").expect("a handshake");
    let long = Frame::new(true, 0, BINARY, vec![7; 3 << 20]);
    let (bytes, mut stream) = (long.masked([1, 2, 3, 4]), late.client.sender());
    let sending = std::thread::spawn(move || std::io::Write::write_all(&mut stream, &bytes));
    late.client.peek().expect("the echo begins");
    let message = Frame::new(true, 0, TEXT, "slowly").masked([1, 2, 3, 4]);
    let began = Instant::now();
    for byte in &message {
        slow.send_raw([*byte]);
        // Being slow is the point.
        std::thread::sleep(Duration::from_millis(200));
    }
    assert_eq!(slow.next_frame(), Some(Frame::new(true, 0, TEXT, "slowly")));
    assert!(began.elapsed() > Duration::from_secs(2));
    assert!(late.next_frame() == Some(long), "it began to read after twice the timeout");
    sending.join().expect("no panic").expect("all is taken");
    assert_eq!(late.expect_close(), Frame::close(1001, b"Idle timeout"));
}

#[test]
fn without_a_ping_interval_no_client_is_pinged() {
    let server = Server::start(&["--workers", "1", "--ws-ping-interval", "0", "--ws-idle-timeout", "500ms"]);
    let mut client = WebSocket::connect(&server, "/ws");
    assert_eq!(client.next_frame(), Some(Frame::close(1001, b"Idle timeout")));
}
