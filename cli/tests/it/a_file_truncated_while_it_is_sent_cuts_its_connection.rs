//! A file that is truncated while it is sent ends its connection before the announced length, and nothing else: the
//! worker and its other clients go on.

use crate::support::site::Site;
use crate::support::{Client, Server};
use std::fs::File;

const MEBIBYTES: u64 = 64;

fn truncate(site: &Site, length: u64) {
    File::options()
        .write(true)
        .open(site.path("x"))
        .and_then(|file| file.set_len(length))
        .expect("it can be truncated");
}

/// Reads half of the response's bytes, truncates the file to `length`, and expects an early end.
fn cut(server: &Server, site: &Site, request: &str, length: u64) {
    site.write_sparse("x", MEBIBYTES);
    let worker = server.workers();
    let mut other = server.connect();
    let mut client: Client = server.connect_narrow();
    client.send(request);
    let head = client.head();
    assert!(head.starts_with("HTTP/1.1 20"), "{head}");
    client.read_exact(&mut vec![0; 8 << 20]).expect("the first bytes");
    truncate(site, length);
    // An error (a reset) ends it as well.
    let (rest, _) = client.read_to_end();
    let got = (8 << 20) + rest.len() as u64;
    assert!(got < MEBIBYTES << 20, "{got} bytes came of a file of {length}");
    server.wait_log("before the length that it had");
    other.send("GET /y HTTP/1.1\r\nHost: t\r\n\r\n");
    assert_eq!(other.response().text(), "y");
    assert_eq!(server.workers(), worker, "the worker is the same");
}

#[test]
fn only_its_connection_ends() {
    let site = Site::of(&[("y", b"y")]);
    let server = site.serve(&[]);
    let requests = [
        "GET /x HTTP/1.1\r\nHost: t\r\n\r\n",
        "GET /x HTTP/1.0\r\nHost: t\r\n\r\n",
        "GET /x HTTP/1.1\r\nHost: t\r\nRange: bytes=0-60000000\r\n\r\n",
    ];
    for (request, length) in requests.iter().flat_map(|request| [0, 20 << 20].map(|length| (request, length))) {
        cut(&server, &site, request, length);
    }
}

/// A file that grows is sent with the length that was announced.
#[test]
fn a_file_that_grows_is_sent_with_its_announced_length() {
    let site = Site::of(&[]);
    site.write_sparse("x", MEBIBYTES);
    let server = site.serve(&[]);
    let mut client: Client = server.connect_narrow();
    client.send("GET /x HTTP/1.1\r\nHost: t\r\nConnection: close\r\n\r\n");
    client.head();
    truncate(&site, (MEBIBYTES + 10) << 20);
    let body = client.rest().expect("all of it");
    let buffered = (MEBIBYTES << 20) - body.len() as u64;
    assert!(buffered < 64 << 10, "{buffered} bytes were read with the head, or are missing");
}
