//! An exchange or a WebSocket peer that waits for another socket (`Cx::watch`) holds up nothing else in its worker, and
//! lets go of that socket when its request ends, however it ends. The example `gateway` serves, and the app `watches`.

use crate::apps;
use crate::support::websocket::WebSocket;
use crate::support::{Client, Server, eventually, lossy, patience};
use nix::sys::signal::Signal;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;

/// A service that does nothing by itself, for the gateway to connect to.
struct Service(TcpListener);

impl Service {
    fn new() -> Service {
        Service(TcpListener::bind("127.0.0.1:0").expect("a port"))
    }

    fn address(&self) -> String {
        self.0.local_addr().expect("it is bound").to_string()
    }

    /// Served by one worker, so that requests that wait at the same time wait in the same process.
    fn gateway(&self, options: &[&str]) -> Server {
        let options = [&["--workers", "1"], options].concat();
        apps::serve_with("gateway", &options, &[("GATEWAY_TO", &self.address())])
    }

    fn accept(&self) -> TcpStream {
        let (stream, _) = self.0.accept().expect("the worker connects");
        stream.set_read_timeout(Some(patience())).expect("a timeout");
        stream
    }

    /// A request whose body has come here, and which waits for an answer.
    fn request(&self, server: &Server, body: &str) -> (Client, TcpStream) {
        let client = ask(server, body);
        let mut stream = self.accept();
        assert_eq!(read_all(&mut stream), body);
        (client, stream)
    }
}

fn ask(server: &Server, body: &str) -> Client {
    let mut client = server.connect();
    client.send(format!("POST / HTTP/1.1\r\nHost: t\r\nContent-Length: {}\r\n\r\n{body}", body.len()));
    client
}

fn read_all(stream: &mut TcpStream) -> String {
    let mut text = String::new();
    stream.read_to_string(&mut text).expect("the gateway ends its side after the body");
    text
}

/// None is answered before all have come, and the last to come is the first to be answered.
#[test]
fn fifty_requests_wait_at_the_same_time_in_one_worker() {
    let service = Service::new();
    let mut server = service.gateway(&[]);
    let mut clients: Vec<Client> = (0..50).map(|number| ask(&server, &format!("request {number}"))).collect();
    let mut waiting: Vec<(TcpStream, String)> = Vec::new();
    for _ in &clients {
        let mut stream = service.accept();
        let body = read_all(&mut stream);
        waiting.push((stream, body));
    }
    assert_eq!(server.in_flight(), 50);
    for (mut stream, body) in waiting.into_iter().rev() {
        stream.write_all(format!("answer to {body}").as_bytes()).expect("the gateway reads");
        drop(stream);
        let number: usize = body.trim_start_matches("request ").parse().expect("the number of a request");
        let response = clients[number].response();
        assert_eq!((response.status, response.text()), (200, format!("answer to request {number}")));
    }
    assert!(server.stop(Signal::SIGTERM).success());
}

/// More than all sockets between them can hold, so that each side waits for the next one again and again.
#[test]
fn a_body_goes_through_in_both_directions() {
    const BYTES: usize = 16 << 20;
    let service = Service::new();
    let server = service.gateway(&[]);
    let body: Vec<u8> = (0..BYTES).map(|at| (at / 7 % 251) as u8).collect();
    let mut client = server.connect();
    let mut sender = client.sender();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            sender.write_all(format!("POST / HTTP/1.1\r\nHost: t\r\nContent-Length: {BYTES}\r\n\r\n").as_bytes())?;
            sender.write_all(&body)
        });
        scope.spawn(|| {
            let stream = service.accept();
            std::io::copy(&mut &stream, &mut &stream)
        });
        let response = client.response();
        assert!(response.status == 200 && response.body == body, "{} bytes came back", response.body.len());
    });
}

#[test]
fn a_service_that_does_not_answer_as_hoped_is_reported() {
    let service = Service::new();
    let server = service.gateway(&[]);
    let (mut client, stream) = service.request(&server, "x");
    // Closed with SO_LINGER 0: a reset.
    socket2::SockRef::from(&stream).set_linger(Some(std::time::Duration::ZERO)).expect("a socket");
    drop(stream);
    let response = client.response();
    assert!(response.status == 502 && response.text().starts_with("the service: "), "{response:?}");
    drop(service);
    assert_eq!(ask(&server, "x").response().status, 502, "nothing listens any more");
}

#[test]
fn a_client_that_leaves_takes_the_descriptor_with_it() {
    let service = Service::new();
    let server = service.gateway(&[]);
    let before = server.sockets();
    let (client, mut stream) = service.request(&server, "hello");
    assert_eq!(server.sockets(), before + 2);
    drop(client);
    eventually("both sockets are closed", || (server.sockets() == before).then_some(()));
    eventually("the service sees it", || stream.write_all(b"too late").is_err().then_some(()));
    assert_eq!(server.in_flight(), 0);
}

#[test]
fn a_drain_waits_for_what_is_waited_for() {
    let service = Service::new();
    let mut server = service.gateway(&[]);
    let (mut client, mut stream) = service.request(&server, "hello");
    server.signal(Signal::SIGTERM);
    server.wait_log("draining");
    stream.write_all(b"at last").expect("the gateway waits");
    drop(stream);
    let response = client.response();
    assert_eq!((response.status, response.text().as_str()), (200, "at last"));
    assert_eq!(server.wait_exit().code(), Some(0), "{}", server.log());
}

#[test]
fn a_drain_that_times_out_lets_go_of_it() {
    let service = Service::new();
    let mut server = service.gateway(&["--graceful-timeout", "500ms"]);
    let (mut client, mut stream) = service.request(&server, "hello");
    server.signal(Signal::SIGTERM);
    server.wait_log("cut 1 connection in use");
    server.wait_exit();
    assert!(client.try_response("POST").is_err(), "it is cut");
    eventually("the service sees it", || stream.write_all(b"too late").is_err().then_some(()));
}

#[test]
fn a_websocket_peer_is_called_when_its_descriptor_is_ready() {
    let service = Service::new();
    let address = service.address();
    let server = apps::serve_with("watches", &["--workers", "1"], &[("NEWS_FROM", &address)]);
    let mut readers: Vec<(WebSocket, TcpStream)> =
        (0..3).map(|_| (WebSocket::connect(&server, "/news"), service.accept())).collect();
    for round in 0..3 {
        for (number, (reader, stream)) in readers.iter_mut().enumerate().rev() {
            let piece = format!("piece {round} for {number}");
            stream.write_all(piece.as_bytes()).expect("the peer reads");
            assert_eq!(lossy(&reader.next_message().expect("a message").payload), piece);
        }
    }
    for (mut reader, stream) in readers {
        drop(stream);
        assert_eq!(reader.expect_close().close_code(), Some(1000));
    }
}

/// The app closes the descriptor and keeps the watch; a client gets the number, and is served for as long as it likes.
#[test]
fn a_watch_that_outlives_its_descriptor_does_no_harm_to_a_client_of_that_number() {
    let server = apps::serve("watches", &["--workers", "1", "--idle-timeout", "1h"]);
    let worker = server.workers()[0];
    let send = |client: &mut Client, path: &str| client.send(format!("GET {path} HTTP/1.1\r\nHost: t\r\n\r\n"));
    let mut holder = server.connect();
    send(&mut holder, "/closed-first");
    holder.head();
    let number = lossy(&holder.chunk().expect("the number"));
    let path = format!("/proc/{worker}/fd/{number}");
    eventually("it is closed", || (!Path::new(&path).exists()).then_some(()));
    let mut next = server.connect();
    send(&mut next, "/");
    assert_eq!(next.response().text(), "ok");
    assert!(Path::new(&path).exists(), "the next connection has the number");
    send(&mut next, "/release");
    assert_eq!(next.response().text(), "released");
    assert_eq!(holder.chunk().expect("the end"), b"");
    for _ in 0..3 {
        send(&mut next, "/");
        assert_eq!(next.response().text(), "ok");
    }
}
