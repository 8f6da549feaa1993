//! `/stream[/{MB}]`: this many megabytes in chunks of the configured size, of a printable pattern.

use crate::support::{Response, Server};

/// `chr(32 + i % 95)` over 256 bytes, over and over, starting again with every chunk.
fn pattern(chunk_bytes: usize) -> Vec<u8> {
    (0..chunk_bytes).map(|i| 32 + (i % 256 % 95) as u8).collect()
}

#[track_caller]
fn expect_headers(response: &Response, megabytes: usize, chunk_bytes: usize) {
    let size = megabytes << 20;
    assert_eq!((response.status, response.header("content-type")), (200, Some("application/octet-stream")));
    assert_eq!((response.header("transfer-encoding"), response.header("content-length")), (Some("chunked"), None));
    assert_eq!(response.header("x-stream-size"), Some(size.to_string().as_str()));
    assert_eq!(response.header("x-chunk-size"), Some(chunk_bytes.to_string().as_str()));
    assert_eq!(response.header("x-chunk-count"), Some(size.div_ceil(chunk_bytes).to_string().as_str()));
}

#[test]
fn of_the_default_size() {
    let server = Server::start(&["--workers", "1"]);
    let response = server.get("/stream");
    expect_headers(&response, 10, 4096);
    assert!(response.body.len() == 10 << 20 && response.body.chunks(4096).all(|chunk| chunk == pattern(4096)));
}

#[test]
fn of_the_requested_size() {
    let server = Server::start(&["--workers", "1"]);
    let response = server.get("/stream/3");
    expect_headers(&response, 3, 4096);
    assert_eq!(response.body.len(), 3 << 20);
    let mut client = server.connect();
    for (asked, megabytes) in
        [("0", 1), ("1", 1), ("007", 7), ("1000", 1000), ("1001", 1000), ("99999999999999999999", 1000)]
    {
        client.send(format!("HEAD /stream/{asked} HTTP/1.1\r\nHost: t\r\n\r\n"));
        expect_headers(&client.response_to("HEAD"), megabytes, 4096);
    }
}

/// One chunk of the application is one chunk on the wire.
#[test]
fn of_the_configured_sizes() {
    for (option, variable) in [(true, false), (false, true)] {
        let options = ["--workers", "1", "--stream-mb", "2", "--chunk-size", "10000"];
        let options = if option { &options[..] } else { &options[..2] };
        let variables = [("TINE_STREAM_MB", "2"), ("TINE_CHUNK_SIZE", "10000")];
        let server = Server::start_with(options, if variable { &variables } else { &[] });
        let mut client = server.connect();
        client.send("GET /stream HTTP/1.1\r\nHost: t\r\nConnection: close\r\n\r\n");
        let wire = client.rest().expect("the whole response");
        let head_end = wire.windows(4).position(|four| four == b"\r\n\r\n").expect("a head") + 4;
        let head = String::from_utf8_lossy(&wire[..head_end]).into_owned();
        expect_headers(&Response { status: 200, head, body: Vec::new(), trailers: String::new() }, 2, 10000);
        let pattern = pattern(10000);
        let whole = [b"2710\r\n", &pattern[..], b"\r\n"].concat().repeat((2 << 20) / 10000);
        let rest = (2 << 20) % 10000;
        let expected = [&whole[..], format!("{rest:x}\r\n").as_bytes(), &pattern[..rest], b"\r\n0\r\n\r\n"].concat();
        assert!(wire[head_end..] == expected, "the chunks do not have the configured size");
    }
}

#[test]
fn after_the_request_body() {
    let server = Server::start(&["--workers", "1"]);
    let mut client = server.connect();
    client.send("POST /stream/1 HTTP/1.1\r\nHost: t\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n");
    assert_eq!(client.response().status, 100);
    client.send("hello");
    assert_eq!(client.response().body.len(), 1 << 20);
}
