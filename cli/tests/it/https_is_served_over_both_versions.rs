//! HTTPS: TLS 1.2 and 1.3, HTTP/1.1 and HTTP/2, whatever the size of the records, on the same code as plain HTTP.

use crate::support::curl::curl;
use crate::support::tls::{Pair, TlsClients, text};
use crate::support::{Server, scratch_folder};
use std::fs;
use std::io::{Read, Write};

#[test]
fn to_curl_with_each_protocol() {
    let pair = Pair::of(&["localhost"]);
    let folder = scratch_folder();
    let body: Vec<u8> = (0..3_000_000u32).map(|n| (n % 251) as u8).collect();
    fs::write(folder.join("file"), &body).expect("written");
    let server = Server::start_https(&pair, &["--workers", "1"]);
    let files = Server::start_https(&pair, &["--workers", "1", "--static", text(&folder)]);
    let port = server.https().port();
    let url = |path: &str| format!("https://localhost:{port}{path}");
    let base = ["--cacert", text(&pair.cert), "--connect-to", "localhost::127.0.0.1:"];
    for (version, protocol, seen) in
        [("1.2", "--http1.1", "1.1"), ("1.2", "--http2", "2"), ("1.3", "--http1.1", "1.1"), ("1.3", "--http2", "2")]
    {
        let options = [&base[..], &[protocol, "--tls-max", version, "--tlsv1.2"]].concat();
        let get = |more: &[&str], path: &str| curl(&[&options[..], more, &[&url(path)]].concat()).body();
        assert_eq!(get(&["-o", "/dev/null", "-w", "%{http_version}"], "/health"), seen.as_bytes(), "{version}");
        let file = format!("https://localhost:{}/file", files.https().port());
        assert!(curl(&[&options[..], &[&file]].concat()).body() == body, "a file by {version} and HTTP/{seen}");
        let upload = format!("@{}", folder.join("file").display());
        let said = String::from_utf8(get(&["--data-binary", &upload], "/upload")).expect("text");
        assert!(said.contains("\"bytes_received\":3000000"), "{said}");
        let said = String::from_utf8(get(&[], "/get")).expect("text");
        assert!(said.contains(&format!("\"uri\":\"https://localhost:{port}/get\"")), "{said}");
    }
}

#[test]
fn in_records_of_one_byte() {
    let pair = Pair::of(&["localhost"]);
    let server = Server::start_https(&pair, &["--workers", "1"]);
    let mut client = TlsClients::trusting(&pair).connect(server.https(), "localhost");
    for byte in b"POST /x HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\nConnection: close\r\n\r\nhello" {
        client.write_all(&[*byte]).expect("sent");
        client.flush().expect("sent");
    }
    let mut response = String::new();
    client.read_to_string(&mut response).expect("all of it, and close_notify");
    assert!(response.starts_with("HTTP/1.1 200") && response.contains("\"body\":\"hello\""), "{response}");
}

/// A record has up to 16 KiB, and the socket nothing more: what is opened must not wait for the socket.
#[test]
fn to_requests_that_come_in_one_record() {
    let pair = Pair::of(&["localhost"]);
    let server = Server::start_https(&pair, &["--workers", "1"]);
    let mut client = TlsClients::trusting(&pair).connect(server.https(), "localhost");
    let request = "GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n";
    let last = "GET /health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    client.write_all((request.repeat(1000) + last).as_bytes()).expect("sent");
    let mut responses = String::new();
    client.read_to_string(&mut responses).expect("all of them, and close_notify");
    assert_eq!(responses.matches("HTTP/1.1 200").count(), 1001);
}
