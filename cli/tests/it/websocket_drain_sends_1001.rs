//! When the server stops, every WebSocket gets 1001 soon, whatever it or its client is doing, while requests in flight
//! go on; and none of them delays the end or is counted as lost.
//!
//! All timeouts are an hour, so that only the drain can end a WebSocket.

use crate::support::websocket::{BINARY, CLOSE, CONTINUATION, Frame, PONG, TEXT, WebSocket, handshake};
use crate::support::{Client, Server, eventually};
use nix::sys::signal::Signal;
use std::io::Write;
use std::net::Shutdown;

const HOUR: [&str; 8] =
    ["--graceful-timeout", "1h", "--ws-ping-interval", "0", "--ws-idle-timeout", "1h", "--write-timeout", "1h"];

fn start(accept: &str) -> Server {
    Server::start(&[&["--workers", "2", "--accept", accept], &HOUR[..]].concat())
}

/// A request in flight that does not end before the test lets it end.
fn in_flight(server: &Server) -> Client {
    let mut client = server.connect_narrow();
    client.send("GET /stream/1000 HTTP/1.1\r\nHost: t\r\n\r\n");
    client.peek().expect("the answer begins");
    client
}

#[track_caller]
fn expect_1001(client: &mut WebSocket) {
    assert_eq!(client.expect_close(), Frame::close(1001, b"Server shutting down"));
}

#[track_caller]
fn expect_clean_end(server: &mut Server) {
    assert_eq!(server.wait_exit().code(), Some(0), "{}", server.log());
    assert!(!server.log().contains("cut"), "{}", server.log());
}

/// Sends without reading until the server has stopped reading and has more output than the socket takes.
fn stuck(server: &Server, message: &[u8]) -> WebSocket {
    let mut client = WebSocket::over(server.connect_narrow(), "/ws").expect("a handshake");
    let most = 64 << 20;
    assert!(client.client.send_until_blocked(message, most) < most, "the server does not stop reading");
    client
}

fn flood(client: &Client) -> std::thread::JoinHandle<()> {
    let mut sender = client.sender();
    let pongs = Frame::new(true, 0, PONG, "").masked([0; 4]).repeat(10_000);
    std::thread::spawn(move || while sender.write_all(&pongs).is_ok() {})
}

fn to_all(accept: &str) {
    let mut server = start(accept);
    let request = in_flight(&server);
    let mut clients: Vec<WebSocket> = (0..20).map(|_| WebSocket::connect(&server, "/ws")).collect();
    clients[1].send_frame(false, 0, TEXT, "half a mess");
    clients[2].send_raw(&Frame::new(true, 0, TEXT, "half a frame").masked([1, 2, 3, 4])[..9]);
    clients[3].send_raw([0x81]);
    clients[4].send_raw([&[0x82, 0xff][..], &(1u64 << 24).to_be_bytes(), &[0; 10_000]].concat());
    clients[5].send_frame(true, 0, TEXT, "not read yet");
    clients[6] = WebSocket::connect(&server, "/ws/ticker?every=10");
    clients[7] = WebSocket::connect(&server, "/ws/ticker?every=3600000");
    clients[9] = stuck(&server, &Frame::new(true, 0, BINARY, vec![7; 1000]).masked([0; 4]));
    let chatter = flood(&clients[8].client);
    server.signal(Signal::SIGTERM);
    // All at the same time: the stuck client first gets what was queued, and then its close.
    std::thread::scope(|scope| {
        for client in &mut clients {
            scope.spawn(|| {
                expect_1001(client);
                let _ = client.client.stream.shutdown(Shutdown::Both);
            });
        }
    });
    chatter.join().expect("no panic");
    assert!(!request.is_hung_up(), "the request in flight goes on");
    assert!(server.try_exit().is_none());
    drop((request, clients));
    expect_clean_end(&mut server);
}

#[test]
fn to_all_with_one_queue() {
    to_all("shared");
}

#[test]
fn to_all_with_a_queue_for_each_worker() {
    to_all("per-worker");
}

/// One worker gets the stop signal, the others go on.
#[test]
fn to_all_of_a_worker_that_is_stopped_alone() {
    let server = start("shared");
    let mut clients: Vec<WebSocket> = (0..20).map(|_| WebSocket::connect(&server, "/ws")).collect();
    let worker = server.workers()[0];
    let of_it = |client: &WebSocket| server.worker_of(&client.client) == Some(worker);
    let (mut its, mut others): (Vec<_>, Vec<_>) = clients.drain(..).partition(of_it);
    assert!(!its.is_empty() && !others.is_empty(), "{} and {}", its.len(), others.len());
    crate::support::send_signal(worker, Signal::SIGTERM);
    its.iter_mut().for_each(expect_1001);
    for client in &mut others {
        client.send_frame(true, 0, TEXT, "not me");
        assert_eq!(client.next_frame(), Some(Frame::new(true, 0, TEXT, "not me")));
    }
}

#[test]
fn to_a_connection_that_becomes_one_meanwhile() {
    let mut server = start("shared");
    // The head of the stream is written before the drain: the handshake after it is read during the drain.
    let mut client = server.connect_narrow();
    let frame = Frame::new(true, 0, TEXT, "x").masked([0; 4]);
    let request = "GET /stream/2 HTTP/1.1\r\nHost: t\r\n\r\n";
    client.send([request.as_bytes(), handshake("/ws", "dGhlIHNhbXBsZSBub25jZQ==").as_bytes(), &frame].concat());
    client.peek().expect("the answer begins");
    server.signal(Signal::SIGTERM);
    server.wait_log("draining");
    assert_eq!(client.response().body.len(), 2 << 20);
    assert_eq!(client.response().status, 101);
    let rest = client.rest().expect("a clean end");
    assert!(rest.ends_with(b"\x88\x16\x03\xe9Server shutting down"), "{rest:?}");
    drop(client);
    expect_clean_end(&mut server);
}

/// Neither a client that does not answer 1001 nor one that never reads it is waited for until the graceful timeout.
#[test]
fn also_to_clients_that_ignore_it() {
    let mut server = start("shared");
    let mut silent = WebSocket::connect(&server, "/ws");
    let mut chatty = WebSocket::connect(&server, "/ws");
    let mut long = stuck(&server, &Frame::new(true, 0, BINARY, vec![7; 1 << 20]).masked([0; 4]));
    let never = stuck(&server, &Frame::new(true, 0, BINARY, vec![7; 100]).masked([0; 4]));
    let chatter = flood(&chatty.client);
    server.signal(Signal::SIGTERM);
    for client in [&mut silent, &mut chatty] {
        assert_eq!(client.next_frame(), Some(Frame::close(1001, b"Server shutting down")));
    }
    // It is not waited for any longer, though it never stops sending.
    chatty.expect_end();
    let _ = chatty.client.stream.shutdown(Shutdown::Both);
    chatter.join().expect("no panic");
    eventually("it is given up", || never.client.is_hung_up().then_some(()));
    // It was given up, too, with a reset.
    while let Ok(Some(frame)) = long.try_next_frame() {
        assert_ne!(frame.opcode, CLOSE);
    }
    expect_clean_end(&mut server);
}

/// A client that has been sent 1001 and does not answer is not counted as cut by the graceful timeout.
#[test]
fn a_client_that_ignores_it_is_not_counted_as_lost() {
    let mut server = Server::start(&["--workers", "2", "--graceful-timeout", "1s"]);
    let mut clients: Vec<WebSocket> = (0..10).map(|_| WebSocket::connect(&server, "/ws")).collect();
    clients[0].send_frame(false, 0, TEXT, "half");
    clients[0].send_frame(false, 0, CONTINUATION, "");
    server.signal(Signal::SIGTERM);
    expect_clean_end(&mut server);
    for client in &mut clients {
        assert_eq!(client.next_frame(), Some(Frame::close(1001, b"Server shutting down")));
    }
}
