//! A client that asked to close the connection and then sends more (old clients end a body with an empty line, RFC
//! 9112, 2.2) gets its whole answer: the server does not close a socket in a way that makes the kernel reset it (RFC
//! 9112, 9.6).

use crate::support::site::Site;
use crate::support::{Client, Ending, Server, eventually, lossy};
use std::net::SocketAddr;
use std::time::Duration;

const SIZE: usize = 8 << 20;
const CLOSE: &str = "HTTP/1.1\r\nHost: t\r\nConnection: close\r\n";

/// Reads to the end, which must not be a reset, and checks that all bytes are one answer.
#[track_caller]
fn whole_answer(client: &mut Client, size: usize, request: &str) {
    let (bytes, ending) = client.read_to_end();
    let head = bytes.windows(4).position(|four| four == b"\r\n\r\n").map_or(0, |at| at + 4);
    assert!(bytes.starts_with(b"HTTP/1.1 200 "), "{request:?}: {:?}", lossy(&bytes));
    assert_eq!((bytes.len() - head, ending), (size, Ending::Fin), "{request:?}");
}

/// Late bytes that arrive while the answer is being sent, so that they are unread when the last of it is handed to the
/// kernel.
#[test]
fn that_arrive_while_the_answer_is_sent() {
    let site = Site::of(&[("8M", &vec![b'f'; SIZE])]);
    for (server, requests) in [
        (
            Server::start(&["--workers", "1"]),
            &[
                "POST /bin/8M HTTP/1.0\r\nContent-Length: 5\r\n\r\nhello".to_string(),
                format!("POST /bin/8M {CLOSE}Content-Length: 5\r\n\r\nhello"),
                format!("GET /bin/8M {CLOSE}\r\n"),
                "GET /bin/8M HTTP/1.0\r\n\r\n".to_string(),
            ][..],
        ),
        (site.serve(&[]), &[format!("GET /8M {CLOSE}\r\n"), "GET /8M HTTP/1.0\r\n\r\n".to_string()]),
    ] {
        for request in requests {
            for late in ["\r\n", "GET /health HTTP/1.1\r\nHost: t\r\n\r\n"] {
                let mut client = server.connect();
                client.send(request);
                assert!(client.is_readable_within(crate::support::patience()).expect("an answer"), "{request:?}");
                client.send(late);
                whole_answer(&mut client, SIZE, request);
            }
        }
    }
}

/// Late bytes that arrive while the app makes a small answer, and the socket is not read from.
#[test]
fn that_arrive_while_the_answer_is_made() {
    let server = Server::start(&["--workers", "1"]);
    for path in ["/delay/300", "/delay/300/1"] {
        let mut client = server.connect();
        client.send(format!("POST {path} HTTP/1.0\r\nContent-Length: 5\r\n\r\nhello"));
        eventually("the request is being answered", || (server.in_flight() == 1).then_some(()));
        client.send("\r\n");
        assert_eq!(client.response().status, 200, "{path}");
        client.expect_end();
    }
}

/// Late bytes that arrive when the server has sent everything and the kernel still holds part of the answer, for longer
/// than a connection lingers otherwise.
#[test]
fn that_arrive_when_the_server_has_sent_everything() {
    let server = Server::start(&["--workers", "1"]);
    for (size, wait) in [(60_000, Duration::ZERO), (60_000, Duration::from_millis(4500))] {
        let request = format!("GET /bin/{size} {CLOSE}\r\n");
        let mut client = server.connect_narrow();
        client.send(&request);
        eventually("the server has ended its side", || has_ended_its_side(server.address(), &client).then_some(()));
        std::thread::sleep(wait); // not reading is the point
        client.send("\r\n");
        whole_answer(&mut client, size, &request);
    }
}

/// Whether the server's socket is in FIN_WAIT1: it has closed, and not all that it sent is acknowledged.
fn has_ended_its_side(server: SocketAddr, client: &Client) -> bool {
    let ports = [server.port(), client.stream.local_addr().expect("an address").port()];
    let table = std::fs::read_to_string("/proc/net/tcp").expect("/proc/net/tcp");
    table.lines().skip(1).any(|line| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let port = |at: usize| u16::from_str_radix(fields[at].rsplit(':').next().unwrap_or(""), 16).ok();
        [port(1), port(2)] == ports.map(Some) && fields[3] == "04"
    })
}
