//! A request that is answered before its body was read: the answer reaches the client although it keeps sending, and
//! the connection ends cleanly. A small body is read and dropped instead, and the connection goes on.

use crate::support::{Server, eventually, send_signal};
use nix::sys::signal::Signal;
use std::io::Write;

const HUGE: &str = "HTTP/1.1\r\nHost: t\r\nContent-Length: 1000000000000\r\n\r\n";

#[test]
fn while_the_client_keeps_sending() {
    let server = Server::start(&["--workers", "1"]);
    let send = &|path: &str, status: u16| {
        let mut client = server.connect();
        client.send(format!("POST {path} {HUGE}"));
        let mut sender = client.sender();
        // Until the server stops reading it.
        let sending = std::thread::spawn(move || while sender.write_all(&[b'x'; 65536]).is_ok() {});
        let response = client.response();
        assert_eq!(response.status, status, "{path}");
        client.expect_end();
        sending.join().expect("the sender");
    };
    std::thread::scope(|scope| {
        for (path, status) in [("/health", 200), ("/bin/bad", 400), ("/bin/100", 200), ("/delay/x", 400)] {
            scope.spawn(move || send(path, status));
        }
    });
}

#[test]
fn when_the_client_reads_only_after_sending() {
    let server = Server::start(&["--workers", "1"]);
    let sockets = server.sockets();
    let mut client = server.connect();
    client.send(format!("POST /health {HUGE}"));
    client.send(vec![b'x'; 8 << 20]);
    let response = client.response();
    assert_eq!((response.status, response.header("connection")), (200, Some("close")));
    client.expect_end();
    // All of it was read: closing did not reset the connection.
    eventually("the socket is closed", || (server.sockets() == sockets).then_some(()));
    assert!(!client.is_hung_up());
    assert!(client.stream.take_error().expect("the error is known").is_none());
}

/// As above, with everything in the kernel's buffer before the worker sees any of it: no further event comes.
#[test]
fn when_much_was_sent_before_the_answer() {
    let server = Server::start(&["--workers", "1"]);
    let sockets = server.sockets();
    let mut client = server.connect();
    // An upload makes the kernel's buffer large.
    client.send(format!("POST /upload HTTP/1.1\r\nHost: t\r\nContent-Length: {}\r\n\r\n", 64 << 20));
    for _ in 0..64 {
        client.send(vec![b'x'; 1 << 20]);
    }
    assert_eq!(client.response().status, 200);
    let worker = server.workers()[0];
    send_signal(worker, Signal::SIGSTOP);
    client.send(format!("POST /health {HUGE}"));
    client.send_until_blocked(&[b'x'; 65536], 6 << 20);
    send_signal(worker, Signal::SIGCONT);
    assert_eq!(client.response().status, 200);
    client.expect_end();
    eventually("the socket is closed", || (server.sockets() == sockets).then_some(()));
    assert!(client.stream.take_error().expect("the error is known").is_none(), "the connection was reset");
}

#[test]
fn a_small_unread_body_does_not_desynchronise() {
    let server = Server::start(&["--workers", "1"]);
    let trap = "GET /bin/7 HTTP/1.1\r\nHost: t\r\n\r\n";
    let mut client = server.connect();
    for path in ["/health", "/bin/bad", "/bin/100", "/delay/x", "/help"] {
        for _ in 0..3 {
            client.send(format!("POST {path} HTTP/1.1\r\nHost: t\r\nContent-Length: {}\r\n\r\n{trap}", trap.len()));
            client.send(format!(
                "POST {path} HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\n\r\n{:x}\r\n{trap}\r\n0\r\n\r\n",
                trap.len()
            ));
            let large = trap.repeat(20_000);
            client.send(format!("PUT {path} HTTP/1.1\r\nHost: t\r\nContent-Length: {}\r\n\r\n{large}", large.len()));
        }
        client.send("GET /bin/11 HTTP/1.1\r\nHost: t\r\n\r\n");
        let status = if ["/bin/bad", "/delay/x"].contains(&path) { 400 } else { 200 };
        for _ in 0..9 {
            let response = client.response();
            assert_eq!(response.status, status, "{path}");
            assert_ne!(response.body.len(), 7, "the body was parsed as a request");
        }
        assert_eq!(client.response().body.len(), 11);
    }
}

/// An unread body that turns out to be malformed: the answer stands, and nothing after it is trusted.
#[test]
fn a_malformed_unread_body_ends_the_connection() {
    let server = Server::start(&["--workers", "1"]);
    for body in ["zz\r\n", "5\r\nhello!\r\n0\r\n\r\n", "0\r\nno colon\r\n\r\n", "ffffffffffffffffff\r\n"] {
        let mut client = server.connect();
        client.send(format!(
            "POST /health HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\n\r\n{body}GET / HTTP/1.1\r\nHost: t\r\n\r\n"
        ));
        assert_eq!(client.response().status, 200);
        client.expect_end();
    }
}
