//! An invalid handshake gets 400, 405 or 426 and leaves the connection as it was; a valid one is answered wherever it
//! is in a pipeline, and the bytes right after it are frames.

use crate::support::curl::trust;
use crate::support::websocket::{Frame, TEXT, WebSocket, accept_key, handshake};
use crate::support::{Client, Response, Server, TINE, eventually, scratch_folder};
use std::process::Command;

const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";

#[track_caller]
fn expect_served(client: &mut Client) {
    client.send("GET /health HTTP/1.1\r\nHost: t\r\n\r\n");
    assert_eq!(client.response().text(), "{\"status\":\"ok\"}");
}

#[track_caller]
fn expect_echo(client: Client) {
    let mut websocket = WebSocket::over(client, "/ws").expect("a handshake");
    websocket.send_frame(true, 0, TEXT, "still there");
    assert_eq!(websocket.next_frame(), Some(Frame::new(true, 0, TEXT, "still there")));
    assert_eq!(websocket.close(1000), Some(1000));
}

#[test]
fn errors_are_explained_and_the_connection_kept() {
    let server = Server::start(&["--workers", "1"]);
    let bad = (400, "Not a websocket handshake\n");
    let old = (426, "Sec-WebSocket-Version has to be 13\n");
    let no_get = (405, "Only GET requests are allowed for WebSocket\n");
    let cases = [
        ("Upgrade: websocket\r\n", "", bad),
        ("Upgrade: websocket", "Upgrade: h2c", bad),
        ("Connection: Upgrade\r\n", "", bad),
        ("Connection: Upgrade", "Connection: keep-alive", bad),
        ("Connection: Upgrade", "Connection: Upgraded", bad),
        ("Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n", "", bad),
        ("dGhlIHNhbXBsZSBub25jZQ==", "", bad),
        ("dGhlIHNhbXBsZSBub25jZQ==", "dGhlIHNhbXBsZSBub25jZQ", bad),
        ("dGhlIHNhbXBsZSBub25jZQ==", "dGhlIHNhbXBsZSBub25jZSE=", bad),
        ("\r\n\r\n", "\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n", bad),
        ("\r\n\r\n", "\r\nContent-Length: 4\r\n\r\nbody", bad),
        ("\r\n\r\n", "\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nbody\r\n0\r\n\r\n", bad),
        ("HTTP/1.1", "HTTP/1.0", bad),
        ("Version: 13", "Version: 8", old),
        ("Version: 13", "Version: 14", old),
        ("Sec-WebSocket-Version: 13\r\n", "", old),
        ("\r\n\r\n", "\r\nSec-WebSocket-Version: 13\r\n\r\n", old),
        ("GET", "POST", no_get),
        ("GET", "OPTIONS", no_get),
        ("GET", "get", no_get),
    ];
    let mut client = server.connect();
    for path in ["/ws", "/ws/close", "/ws/ticker"] {
        for (part, instead, (status, text)) in cases {
            let request = handshake(path, KEY).replacen(part, instead, 1);
            client.send(&request);
            let response = client.response();
            assert_eq!((response.status, response.text().as_str()), (status, text), "{request}");
            match status {
                405 => assert_eq!(response.header("allow"), Some("GET")),
                426 => expect_versions(&response),
                _ => assert_eq!(response.header("upgrade"), None),
            }
            if instead == "HTTP/1.0" {
                client.expect_end();
                client = server.connect();
            }
            expect_served(&mut client);
        }
    }
    client.send(handshake("/ws", KEY).replacen("GET", "HEAD", 1));
    assert_eq!(client.response_to("HEAD").status, 405);
    expect_echo(client);
}

fn expect_versions(response: &Response) {
    let says = ["sec-websocket-version", "upgrade", "connection"].map(|name| response.header(name));
    assert_eq!(says, [Some("13"), Some("websocket"), Some("upgrade")]);
}

#[test]
fn valid_handshakes_are_accepted_in_any_spelling() {
    let server = Server::start(&["--workers", "1"]);
    for (part, instead) in [
        ("Upgrade: websocket", "upgrade:   WebSocket"),
        ("Upgrade: websocket", "Upgrade: h2c, websocket"),
        ("Connection: Upgrade", "Connection: keep-alive, UPGRADE"),
        ("Connection: Upgrade", "Connection: keep-alive\r\nConnection: upgrade"),
        ("\r\n\r\n", "\r\nOrigin: http://elsewhere\r\n\r\n"),
        ("\r\n\r\n", "\r\nSec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n\r\n"),
        ("\r\n\r\n", "\r\nContent-Length: 0\r\n\r\n"),
    ] {
        let mut client = server.connect();
        client.send(handshake("/ws", KEY).replacen(part, instead, 1));
        let response = client.response();
        assert_eq!((response.status, response.header("sec-websocket-accept")), (101, Some(&*accept_key(KEY))));
        let chosen = ["sec-websocket-extensions", "sec-websocket-protocol"].map(|name| response.header(name));
        assert_eq!(chosen, [None, None], "what is not served or not offered is not chosen");
    }
}

/// The client may have sent other requests first, and need not wait for the answer to the handshake.
#[test]
fn after_other_requests_and_before_frames() {
    let server = Server::start(&["--workers", "1"]);
    let request = "POST /echo HTTP/1.1\r\nHost: t\r\nContent-Length: 5\r\n\r\nhello";
    let frame = Frame::new(true, 0, TEXT, "at once").masked([1, 2, 3, 4]);
    let bytes = [request.repeat(20).as_bytes(), handshake("/ws", KEY).as_bytes(), &frame, &frame[..3]].concat();
    // All at once, and in pieces that end anywhere.
    for size in [bytes.len(), 1000, 7] {
        let mut client = server.connect();
        for piece in bytes.chunks(size) {
            client.send(piece);
        }
        for _ in 0..20 {
            assert_eq!(client.response().status, 200);
        }
        assert_eq!(client.response().status, 101);
        assert_eq!(client.take(9).expect("the echo"), b"\x81\x07at once");
        client.send(&frame[3..]);
        assert_eq!(client.take(9).expect("the echo"), b"\x81\x07at once");
    }
    // After answers that the client has not read yet, the handshake waits until there is room for its own.
    let mut client = server.connect_narrow();
    let long = "GET /bin/100K HTTP/1.1\r\nHost: t\r\n\r\n";
    client.send([long.repeat(5).as_bytes(), handshake("/ws", KEY).as_bytes(), &frame].concat());
    eventually("the worker holds the connection", || server.worker_of(&client));
    for _ in 0..5 {
        assert_eq!(client.response().body.len(), 100 << 10);
    }
    assert_eq!(client.response().status, 101);
    assert_eq!(client.take(9).expect("the echo"), b"\x81\x07at once");
}

#[test]
fn over_a_unix_socket() {
    let folder = scratch_folder();
    let path = folder.join("socket");
    let listen = format!("unix:{}", path.display());
    let server = Server::start_command(Command::new(TINE).args(["run", "--workers", "2", "--listen", &listen]));
    expect_echo(Client::try_connect_unix(&path).expect("the server listens"));
    drop(server);
    std::fs::remove_dir_all(folder).expect("the folder can be removed");
}

#[test]
fn curl_sees_the_same() {
    let server = Server::start(&["--workers", "1"]);
    let fields = |version| {
        let version = format!("Sec-WebSocket-Version: {version}");
        [format!("Sec-WebSocket-Key: {KEY}"), "Upgrade: websocket".into(), "Connection: Upgrade".into(), version]
    };
    for (options, fields, expected) in [
        (vec![], vec![], "HTTP/1.1 400 Bad Request\r\n"),
        (vec!["-X", "POST"], fields(13).to_vec(), "HTTP/1.1 405 Method Not Allowed\r\n"),
        (vec![], fields(12).to_vec(), "HTTP/1.1 426 Upgrade Required\r\n"),
        // The ticker ends by itself, and curl with it.
        (vec![], fields(13).to_vec(), "HTTP/1.1 101 Switching Protocols\r\n"),
    ] {
        let mut command = Command::new("curl");
        command.args(["-sSi", "--max-time", "20", "--http1.1"]).args(trust()).args(options);
        command.args(fields.iter().flat_map(|field| ["-H", field]));
        let Ok(output) = command.arg(server.url("/ws/ticker?every=1&count=2")).output() else {
            println!("skipped: curl is not installed");
            return;
        };
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(said.starts_with(expected), "{said}");
        assert!(!expected.contains("101") || said.contains("{\"n\":2}"), "{said}");
    }
}
