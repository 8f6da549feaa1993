//! `/bin/{size}` sends exactly this many bytes of its pattern, and explains a malformed size.

use crate::support::Server;

const ALPHABET: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789";
const BLOCK: usize = 256 << 10;

/// `A-Z0-9` over and over, starting again with every block.
fn is_pattern(body: &[u8]) -> bool {
    is_pattern_of(BLOCK, body)
}

fn is_pattern_of(block: usize, body: &[u8]) -> bool {
    let expected: Vec<u8> = ALPHABET.iter().copied().cycle().take(block).collect();
    body.chunks(block).all(|part| part == &expected[..part.len()])
}

#[test]
fn bin_sends_its_size() {
    let server = Server::start(&["--workers", "1"]);
    let mut client = server.connect();
    for (size, bytes) in [
        ("1", 1),
        ("+37", 37),
        ("11111", 11111),
        ("1K", 1024),
        ("2k", 2048),
        ("256K", BLOCK),
        ("257k", BLOCK + 1024),
        ("1M", 1 << 20),
        ("3m", 3 << 20),
    ] {
        client.send(format!("GET /bin/{size} HTTP/1.1\r\nHost: t\r\n\r\n"));
        let response = client.response();
        assert_eq!((response.status, response.header("content-type")), (200, Some("application/octet-stream")));
        assert_eq!(response.header("content-disposition"), Some("attachment; filename=\"data.bin\""));
        assert_eq!(response.header("content-length"), Some(bytes.to_string().as_str()));
        assert_eq!(response.header("transfer-encoding"), None);
        assert!(response.body.len() == bytes && is_pattern(&response.body), "{size}");
    }
}

#[test]
fn also_chunked() {
    let server = Server::start(&["--workers", "1"]);
    let mut client = server.connect();
    for (query, is_chunked) in [
        ("chunked=true", true),
        ("chunked=1", true),
        ("chunked=yes", true),
        ("chunked=ON", true),
        ("x=y&chunked=TRUE", true),
        ("chunked=false", false),
        ("chunked=0", false),
        ("chunked=", false),
        ("chunked", false),
        ("chunk=1", false),
    ] {
        client.send(format!("GET /bin/600K?{query} HTTP/1.1\r\nHost: t\r\n\r\n"));
        let response = client.response();
        assert_eq!(response.header("transfer-encoding").is_some(), is_chunked, "{query}");
        assert_eq!(response.header("content-length").is_none(), is_chunked, "{query}");
        assert!(response.body.len() == 600 << 10 && is_pattern(&response.body), "{query}");
    }
}

#[test]
fn the_block_is_as_long_as_the_buffer() {
    // 100 000 is not a multiple of anything here; 3M leaves no room for two in what is sent at once.
    for (size, block) in [("64K", 64 << 10), ("100000", 100_000), ("1M", 1 << 20), ("3M", 3 << 20), ("4M", 4 << 20)] {
        let server = Server::start(&["--workers", "1", "--buffer-size", size]);
        let mut client = server.connect();
        for query in ["", "?chunked=1"] {
            client.send(format!("GET /bin/9M{query} HTTP/1.1\r\nHost: t\r\n\r\n"));
            let response = client.response();
            assert!(response.body.len() == 9 << 20 && is_pattern_of(block, &response.body), "{size}{query}");
        }
    }
}

#[test]
fn a_wrong_size_is_explained() {
    let server = Server::start(&["--workers", "1"]);
    let mut client = server.connect();
    let none = "Please specify size: /bin/1M, ";
    let wrong = "Invalid size. Supported: K, M, G, T suffixes ";
    for (size, start) in [
        ("", none),
        ("0", wrong),
        ("0K", wrong),
        ("K", wrong),
        ("-1", wrong),
        ("1.5M", wrong),
        ("1KB", wrong),
        ("x", wrong),
        ("1/2", wrong),
        ("18446744073709551616", wrong),
        ("8388608T", wrong), // 2^63
        ("9223372036854775808", wrong),
        ("16777216T", wrong),
        ("99999999999999999999G", wrong),
    ] {
        client.send(format!("GET /bin/{size} HTTP/1.1\r\nHost: t\r\n\r\n"));
        let response = client.response();
        assert_eq!((response.status, response.header("connection")), (400, None), "{size}");
        assert_eq!(response.header("content-type"), Some("text/plain; charset=utf-8"));
        assert!(response.text().starts_with(start) && response.text().ends_with('\n'), "{size}: {}", response.text());
    }
}

/// A size that no client would wait for begins all the same.
#[test]
fn a_huge_size_begins() {
    let server = Server::start(&["--workers", "1"]);
    let mut client = server.connect();
    client.send("GET /bin/10000G HTTP/1.1\r\nHost: t\r\n\r\n");
    let start = client.take(2 << 20).expect("two megabytes");
    assert!(String::from_utf8_lossy(&start[..400]).contains("Content-Length: 10737418240000\r\n"));
}
