//! Files over TCP and Unix sockets, HTTP/1.0 and 1.1, pipelined, and read in pieces of any size: always all their
//! bytes, in order.

use crate::support::curl::curl;
use crate::support::patience;
use crate::support::site::{Site, sparse_bytes};
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;

/// Small files, which are read, and large ones, which sendfile(2) sends, on both sides of the limit between them.
fn site() -> Site {
    let bytes = |length: usize| (0..length).map(|i| (i % 253) as u8).collect::<Vec<_>>();
    let site = Site::of(&[
        ("0", b""),
        ("2", b"ab"),
        ("4096", &bytes(4096)),
        ("4097", &bytes(4097)),
        ("400000", &bytes(400_000)),
        ("3145728", &bytes(3 << 20)),
    ]);
    site.write_sparse("sparse", 20);
    site
}

const NAMES: [&str; 6] = ["2", "400000", "0", "4097", "3145728", "4096"];

#[test]
fn pipelined_files_come_in_order() {
    let site = site();
    let server = site.serve(&[]);
    let mut client = server.connect();
    let requests: String =
        NAMES.iter().cycle().take(60).map(|name| format!("GET /{name} HTTP/1.1\r\nHost: t\r\n\r\n")).collect();
    client.send(requests);
    for name in NAMES.iter().cycle().take(60) {
        let response = client.response();
        assert!(response.body == std::fs::read(site.path(name)).expect("the file"), "/{name}");
    }
}

#[test]
fn a_client_that_reads_little_at_a_time_gets_all_of_them() {
    let site = site();
    let server = site.serve(&[]);
    let mut client = server.connect_narrow();
    let requests: String = NAMES.iter().map(|name| format!("GET /{name} HTTP/1.1\r\nHost: t\r\n\r\n")).collect();
    client.send(requests + "GET /2 HTTP/1.1\r\nHost: t\r\nConnection: close\r\n\r\n");
    let mut all = Vec::new();
    let mut piece = [0; 7001];
    loop {
        let count = client.read(&mut piece).expect("more of it");
        if count == 0 {
            break;
        }
        all.extend_from_slice(&piece[..count]);
    }
    for name in NAMES.iter().chain(&["2"]) {
        let head = all.windows(4).position(|four| four == b"\r\n\r\n").expect("a head") + 4;
        let bytes = std::fs::read(site.path(name)).expect("the file");
        assert!(all[head..].starts_with(&bytes), "/{name}");
        all.drain(..head + bytes.len());
    }
    assert!(all.is_empty(), "{} bytes too many", all.len());
}

#[test]
fn over_http_10_too() {
    let site = site();
    let server = site.serve(&[]);
    for name in NAMES {
        let mut client = server.connect();
        client.send(format!("GET /{name} HTTP/1.0\r\nHost: t\r\n\r\n"));
        let response = client.response();
        assert!(response.body == std::fs::read(site.path(name)).expect("the file"), "/{name}");
        assert_eq!(response.header("content-length"), Some(name));
        let got = curl(&["-0", &server.url(&format!("/{name}"))]).body();
        assert!(got == response.body, "/{name}");
    }
}

#[test]
fn over_unix_sockets_too() {
    let site = site();
    let socket = site.path("server.sock");
    let listen = format!("unix:{}", socket.display());
    let _server = site.serve(&["--listen", &listen]);
    for name in NAMES.iter().chain(&["sparse"]) {
        let got = curl(&["--unix-socket", socket.to_str().expect("UTF-8"), &format!("http://t/{name}")]).body();
        assert!(got == std::fs::read(site.path(name)).expect("the file"), "/{name}");
    }
    // The socket itself is not a file that is served.
    let mut stream = UnixStream::connect(&socket).expect("it listens");
    stream.set_read_timeout(Some(patience())).expect("a deadline");
    stream.write_all(b"GET /server.sock HTTP/1.1\r\nHost: t\r\n\r\n").expect("it is read");
    let mut answer = [0; 12];
    stream.read_exact(&mut answer).expect("an answer");
    assert_eq!(&answer, b"HTTP/1.1 404");
}

#[test]
fn a_client_that_leaves_is_forgotten_with_its_file() {
    let site = site();
    let server = site.serve(&["--static-cache", "0"]);
    let worker = server.workers()[0];
    let descriptors = || std::fs::read_dir(format!("/proc/{worker}/fd")).expect("the worker is there").count();
    let before = descriptors();
    let mut clients: Vec<_> = (0..20).map(|_| server.connect_narrow()).collect();
    for client in &mut clients {
        client.send("GET /sparse HTTP/1.1\r\nHost: t\r\n\r\n");
        client.head();
    }
    assert!(descriptors() >= before + 40, "a socket and a file for each");
    drop(clients);
    crate::support::eventually("all descriptors are given back", || (descriptors() <= before).then_some(()));
    let mut client = server.connect();
    client.send("GET /sparse HTTP/1.1\r\nHost: t\r\nRange: bytes=1048576-1048583\r\n\r\n");
    assert_eq!(client.response().body, sparse_bytes(1 << 20, (1 << 20) + 7));
    client.send("GET /2 HTTP/1.1\r\nHost: t\r\n\r\n");
    assert_eq!(client.response().text(), "ab", "the connection is kept");
}
