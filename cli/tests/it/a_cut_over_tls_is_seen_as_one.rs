//! Over TLS a response that is cut has no close_notify, so that the client knows it for truncated; a whole one has it. The other way
//! round, a request that is not whole is none.

use crate::support::Server;
use crate::support::site::Site;
use crate::support::tls::{Pair, TlsClients};
use std::fs::File;
use std::io::{ErrorKind, Read, Write};
use std::net::Shutdown;

#[test]
fn a_whole_response_ends_with_close_notify() {
    let pair = Pair::of(&["localhost"]);
    let site = Site::of(&[("small", b"all of it")]);
    site.write_sparse("large", 64);
    let root = site.path("").display().to_string();
    let server = Server::start_https(&pair, &["--workers", "1", "--static", &root, "--static-url", "/s/"]);
    let clients = TlsClients::trusting(&pair);
    assert!(clients.get(server.https(), "localhost", "/s/small").ends_with("all of it"));
    let mut client = clients.connect(server.https(), "localhost");
    client.write_all(b"GET /s/large HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").expect("sent");
    client.read_exact(&mut vec![0; 1 << 20]).expect("the beginning");
    File::options().write(true).open(site.path("large")).and_then(|file| file.set_len(2 << 20)).expect("truncated");
    let error = client.read_to_end(&mut Vec::new()).expect_err("it is cut");
    assert!(matches!(error.kind(), ErrorKind::UnexpectedEof | ErrorKind::ConnectionReset), "{error}");
    server.wait_log("before the length that it had");
}

#[test]
fn a_request_that_is_cut_is_none() {
    let pair = Pair::of(&["localhost"]);
    let server = Server::start_https(&pair, &["--workers", "1"]);
    let mut client = TlsClients::trusting(&pair).connect(server.https(), "localhost");
    client.write_all(b"POST /upload HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n\r\nhalf").expect("sent");
    client.sock.shutdown(Shutdown::Write).expect("half closed");
    let mut response = String::new();
    // With or without close_notify.
    let _ = client.read_to_string(&mut response);
    assert!(!response.contains("200 OK"), "{response}");
}
