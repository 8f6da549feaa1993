//! `/ws/close` answers one message and closes; `/ws/ticker` sends by itself, `count` times, every `every` milliseconds;
//! every other path that begins with `/ws` echoes.

use crate::support::websocket::{BINARY, CLOSE, Frame, PING, PONG, TEXT, WebSocket, handshake};
use crate::support::{Server, eventually};
use std::time::{Duration, Instant};

fn text(payload: impl Into<Vec<u8>>) -> Option<Frame> {
    Some(Frame::new(true, 0, TEXT, payload))
}

#[test]
fn close_answers_once() {
    let server = Server::start(&["--workers", "1"]);
    for (opcode, payload) in [(TEXT, "hé"), (TEXT, ""), (BINARY, "\0\u{1}")] {
        let mut client = WebSocket::connect(&server, "/ws/close");
        client.send_frame(true, 0, PING, "before");
        assert_eq!(client.next_frame(), Some(Frame::new(true, 0, PONG, "before")), "a ping is not a message");
        client.send_frame(true, 0, opcode, payload);
        // Messages in flight when the server closes are not answered.
        client.send_frame(true, 0, TEXT, "another");
        let answer = format!("Server received: {payload}");
        assert_eq!(client.next_frame(), Some(Frame::new(true, 0, opcode, answer)));
        assert_eq!(client.expect_close(), Frame::close(1000, b"server done"));
    }
}

#[test]
fn close_does_not_wait_for_ever() {
    let server = Server::start(&["--workers", "1"]);
    let sockets = server.sockets();
    let mut silent = WebSocket::connect(&server, "/ws/close");
    let mut chatty = WebSocket::connect(&server, "/ws/close");
    let began = Instant::now();
    for client in [&mut silent, &mut chatty] {
        client.send_frame(true, 0, TEXT, "x");
        assert_eq!(client.next_frame(), text("Server received: x"));
        assert_eq!(client.next_frame().map(|frame| frame.opcode), Some(CLOSE));
    }
    let (pong, mut stream) = (Frame::new(true, 0, PONG, "").masked([0; 4]), chatty.client.sender());
    let chatter =
        std::thread::spawn(move || while std::io::Write::write_all(&mut stream, &pong.repeat(100)).is_ok() {});
    // Neither answers the close; one of them sends other frames without end.
    silent.expect_end();
    chatty.expect_end();
    assert!(began.elapsed() >= Duration::from_secs(2));
    drop((silent, chatty.client.stream.shutdown(std::net::Shutdown::Both)));
    chatter.join().expect("no panic");
    eventually("the sockets are closed", || (server.sockets() == sockets).then_some(()));
}

#[test]
fn the_ticker_counts_and_ends() {
    let server = Server::start(&["--workers", "1"]);
    let began = Instant::now();
    let mut client = WebSocket::connect(&server, "/ws/ticker?every=50&count=4");
    client.send_frame(true, 0, TEXT, "is not answered");
    for n in 1..=4 {
        assert_eq!(client.next_frame(), text(format!("{{\"n\":{n}}}")));
    }
    assert!(began.elapsed() >= Duration::from_millis(150), "three waits between four ticks");
    assert_eq!(client.expect_close(), Frame::close(1000, b""));
    // The first tick comes at once, whatever the interval; the close comes after the last of `count` messages.
    let mut client = WebSocket::connect(&server, "/ws/ticker?every=3600000&count=1");
    assert_eq!(client.next_frame(), text("{\"n\":1}"));
    assert_eq!(client.expect_close(), Frame::close(1000, b""));
    let mut client = WebSocket::connect(&server, "/ws/ticker");
    assert_eq!(client.next_frame(), text("{\"n\":1}"));
    assert_eq!(client.close(1001), Some(1001));
}

/// A client that keeps the server busy gets its ticks all the same.
#[test]
fn the_ticker_gets_through_a_flood() {
    let server = Server::start(&["--workers", "1"]);
    let mut client = WebSocket::connect(&server, "/ws/ticker?every=1");
    let (pong, mut stream) = (Frame::new(true, 0, PONG, "").masked([0; 4]), client.client.sender());
    let flood =
        std::thread::spawn(move || while std::io::Write::write_all(&mut stream, &pong.repeat(10_000)).is_ok() {});
    for n in 1..=50 {
        assert_eq!(client.next_frame(), text(format!("{{\"n\":{n}}}")));
    }
    client.client.stream.shutdown(std::net::Shutdown::Both).expect("an end");
    flood.join().expect("no panic");
}

#[test]
fn bad_parameters_get_400() {
    let server = Server::start(&["--workers", "1"]);
    let mut client = server.connect();
    let longest = "every=3600000&count=18446744073709551615";
    for query in
        ["every=0", "every=", "every=-1", "every=1.5", "every=+5", "every=x", "every=3600001", "count=0", "count=x"]
    {
        // With and without a handshake: the parameters are checked first.
        for request in [
            handshake("/ws/ticker?QUERY", "dGhlIHNhbXBsZSBub25jZQ=="),
            "GET /ws/ticker?QUERY HTTP/1.1\r\nHost: t\r\n\r\n".into(),
        ] {
            client.send(request.replace("QUERY", query));
            let response = client.response();
            assert_eq!(response.status, 400, "{query}");
            assert!(response.text().starts_with("every is 1 to 3600000 milliseconds"), "{}", response.text());
        }
    }
    let mut client = WebSocket::connect(&server, &format!("/ws/ticker?{longest}"));
    assert_eq!(client.next_frame(), text("{\"n\":1}"));
}

#[test]
fn all_other_paths_echo() {
    let server = Server::start(&["--workers", "1"]);
    for path in ["/ws", "/ws?close", "/wsfoo", "/ws/", "/ws/x", "/ws/closed", "/ws/ticker/"] {
        let mut client = WebSocket::connect(&server, path);
        for opcode in [TEXT, BINARY] {
            client.send_frame(true, 0, opcode, "to and fro");
            assert_eq!(client.next_frame(), Some(Frame::new(true, 0, opcode, "to and fro")), "{path}");
        }
        assert_eq!(client.close(1000), Some(1000), "{path}");
    }
}
