//! `/range/{size}` sends the bytes of `/bin/{size}`, whole or in parts, as in RFC 9110, 14. (All cases of the field
//! itself are in the tables of the worker's range_tests.rs.)

use crate::support::curl::trust;
use crate::support::{Client, Response, Server};
use std::process::Command;

const ALPHABET: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789";
const BLOCK: u64 = 256 << 10;
const LAST_MODIFIED: &str = "Wed, 01 Jan 2025 00:00:00 GMT";

/// Bytes `first` to `last` of the pattern: `A-Z0-9` over and over, starting again with every block.
fn pattern(first: u64, last: u64) -> Vec<u8> {
    (first..=last).map(|at| ALPHABET[(at % BLOCK) as usize % ALPHABET.len()]).collect()
}

fn ask(client: &mut Client, method: &str, path: &str, fields: &str) -> Response {
    client.send(format!("{method} {path} HTTP/1.1\r\nHost: t\r\n{fields}\r\n"));
    client.response_to(method)
}

#[test]
fn one_range() {
    let server = Server::start(&["--workers", "1"]);
    let mut client = server.connect();
    let whole = server.get("/bin/1M").body;
    for (range, first, last) in [
        ("0-0", 0, 0),
        ("0-", 0, (1 << 20) - 1),
        ("-1", (1 << 20) - 1, (1 << 20) - 1),
        ("-300000", (1 << 20) - 300_000, (1 << 20) - 1),
        ("262143-262144", BLOCK - 1, BLOCK),
        ("262144-524287", BLOCK, 2 * BLOCK - 1),
        ("100-900000", 100, 900_000),
        ("1048575-99999999", (1 << 20) - 1, (1 << 20) - 1),
        ("5-9,1048576-", 5, 9),
    ] {
        let response = ask(&mut client, "GET", "/range/1M", &format!("Range: bytes={range}\r\n"));
        assert_eq!(response.status, 206, "{range}");
        assert_eq!(response.header("content-range"), Some(format!("bytes {first}-{last}/1048576").as_str()));
        assert_eq!(response.header("content-length"), Some((last - first + 1).to_string().as_str()));
        assert_eq!(response.header("content-type"), Some("application/octet-stream"));
        assert_eq!(response.header("last-modified"), Some(LAST_MODIFIED));
        assert!(response.header("etag").is_some_and(|etag| etag.starts_with('"')));
        assert!(response.body == whole[first as usize..=last as usize], "{range}");
        assert!(response.body == pattern(first, last), "{range}");
    }
}

#[test]
fn several_ranges() {
    let server = Server::start(&["--workers", "1"]);
    let mut client = server.connect();
    for (ranges, parts) in [
        ("0-0,-1", vec![(0, 0), (999_999, 999_999)]),
        ("500000-800000, 10-20 ,,7-7,1000000-", vec![(500_000, 800_000), (10, 20), (7, 7)]),
        (&["9-9"; 200].join(","), vec![(9, 9); 200]),
    ] {
        let response = ask(&mut client, "GET", "/range/1000000", &format!("Range: bytes={ranges}\r\n"));
        assert_eq!((response.status, response.header("content-range")), (206, None), "{ranges}");
        let content_type = response.header("content-type").expect("a type");
        let boundary = content_type.strip_prefix("multipart/byteranges; boundary=").expect("its boundary");
        let mut expected = Vec::new();
        for (first, last) in &parts {
            let start = if expected.is_empty() { "" } else { "\r\n" };
            let content_range = format!("bytes {first}-{last}/1000000");
            expected.extend_from_slice(
                format!(
                    "{start}--{boundary}\r\nContent-Type: application/octet-stream\r\nContent-Range: {content_range}\r\n\r\n"
                )
                .as_bytes(),
            );
            expected.extend_from_slice(&pattern(*first, *last));
        }
        expected.extend_from_slice(format!("\r\n--{boundary}--\r\n").as_bytes());
        assert_eq!(response.header("content-length"), Some(expected.len().to_string().as_str()));
        assert!(response.body == expected, "{ranges}");
        // The boundary does not occur in any part.
        assert!(!String::from_utf8_lossy(&pattern(0, BLOCK)).contains(boundary));
    }
}

#[test]
fn the_whole_where_no_range_counts() {
    let server = Server::start(&["--workers", "1"]);
    let mut client = server.connect();
    let many = format!("Range: bytes={}\r\n", ["9-9"; 201].join(","));
    for (method, fields) in [
        ("GET", ""),
        ("GET", "Range: bytes=5-4\r\n"),
        ("GET", "Range: bytes=x\r\n"),
        ("GET", "Range: lines=0-1\r\n"),
        ("GET", "Range: bytes=0-1\r\nRange: bytes=2-3\r\n"),
        ("GET", "Range: bytes=0-,0-\r\n"),
        ("GET", many.as_str()),
        ("POST", "Range: bytes=0-1\r\n"),
        ("HEAD", "Range: bytes=0-1\r\n"),
        ("HEAD", "Range: bytes=1000-\r\n"),
        ("GET", "Range: bytes=0-1\r\nIf-Range: \"other\"\r\n"),
        ("GET", "Range: bytes=0-1\r\nIf-Range: Tue, 31 Dec 2024 23:59:59 GMT\r\n"),
    ] {
        let response = ask(&mut client, method, "/range/1000", fields);
        assert_eq!((response.status, response.header("content-length")), (200, Some("1000")), "{method} {fields}");
        assert_eq!((response.header("accept-ranges"), response.header("content-range")), (Some("bytes"), None));
        assert!(method == "HEAD" || response.body == pattern(0, 999), "{method} {fields}");
    }
}

#[test]
fn if_range_names_this_version() {
    let server = Server::start(&["--workers", "1"]);
    let mut client = server.connect();
    let etag = server.get("/range/1000").header("etag").expect("a tag").to_string();
    assert_ne!(server.get("/range/1001").header("etag"), Some(etag.as_str()), "another size is another representation");
    for (validator, status) in
        [(etag.as_str(), 206), (LAST_MODIFIED, 206), (&format!("W/{etag}"), 200), (&format!("{etag}, {etag}"), 200)]
    {
        let fields = format!("Range: bytes=1-2\r\nIf-Range: {validator}\r\n");
        let response = ask(&mut client, "GET", "/range/1000", &fields);
        assert_eq!(response.status, status, "{validator}");
        assert_eq!(response.header("etag"), Some(etag.as_str()));
        // Fields that the client has with that version are not repeated (15.3.7).
        assert_eq!(response.header("last-modified").is_some(), status == 200);
        assert_eq!(response.header("content-type").is_some(), status == 200);
    }
}

/// Preconditions are evaluated first (13.2.2).
#[test]
fn preconditions_come_before_ranges() {
    let server = Server::start(&["--workers", "1"]);
    let mut client = server.connect();
    let etag = server.get("/range/1000").header("etag").expect("a tag").to_string();
    for (fields, status) in [
        (format!("If-None-Match: {etag}\r\n"), 304),
        ("If-Match: \"other\"\r\n".to_string(), 412),
        (format!("If-Match: {etag}\r\n"), 206),
        ("If-None-Match: \"other\"\r\n".to_string(), 206),
    ] {
        let response = ask(&mut client, "GET", "/range/1000", &format!("Range: bytes=1-2\r\n{fields}"));
        assert_eq!(response.status, status, "{fields}");
        let response = ask(&mut client, "GET", "/range/1000", &format!("Range: bytes=1000-\r\n{fields}"));
        assert_eq!(response.status, if status == 206 { 416 } else { status }, "{fields}");
    }
}

#[test]
fn a_range_past_the_end_is_416() {
    let server = Server::start(&["--workers", "1"]);
    let mut client = server.connect();
    for range in ["1000-", "1000-2000", "-0", "1000-1000,-0"] {
        let response = ask(&mut client, "GET", "/range/1000", &format!("Range: bytes={range}\r\n"));
        assert_eq!((response.status, response.header("content-range")), (416, Some("bytes */1000")), "{range}");
        assert_eq!(response.text(), "416 Range Not Satisfiable: the positions are 0 to 999\n");
    }
}

/// Far beyond what any memory holds.
#[test]
fn a_huge_range_begins_where_it_should() {
    let server = Server::start(&["--workers", "1"]);
    let mut client = server.connect();
    let first = 5_000_000_000_123_u64;
    client.send(format!("GET /range/10000G HTTP/1.1\r\nHost: t\r\nRange: bytes={first}-\r\n\r\n"));
    let mut start = client.take(2 << 20).expect("two megabytes");
    let head = String::from_utf8_lossy(&start[..1000]).into_owned();
    assert!(head.contains(&format!("Content-Range: bytes {first}-10737418239999/10737418240000\r\n")), "{head}");
    let body = start.split_off(head.find("\r\n\r\n").expect("a whole head") + 4);
    assert!(body == pattern(first, first + body.len() as u64 - 1));
    // HEAD makes none of the body.
    let mut client = server.connect();
    let response = ask(&mut client, "HEAD", "/range/8388607T", "Range: bytes=1-2\r\n");
    assert_eq!(response.header("content-length"), Some("9223370937343148032"));
    assert_eq!(ask(&mut client, "GET", "/health", "").status, 200);
}

/// A client that resumes a download.
#[test]
fn curl_resumes() {
    let server = Server::start(&["--workers", "1"]);
    let file = server.folder().join("download");
    std::fs::write(&file, pattern(0, 699_999)).expect("a file");
    let status = Command::new("curl")
        .args(["-sS", "--max-time", "20", "-C", "-", "-o", file.to_str().expect("text"), &server.url("/range/2M")])
        .args(trust())
        .status()
        .expect("curl runs");
    assert!(status.success());
    assert!(std::fs::read(&file).expect("a file") == server.get("/bin/2M").body);
}

#[test]
fn a_wrong_size_is_explained() {
    let server = Server::start(&["--workers", "1"]);
    for (size, text) in [
        ("", "Please specify size: /range/1M, "),
        ("0", "Invalid size. Supported: K, M, G, T suffixes "),
        ("x", "Invalid size. Supported: K, M, G, T suffixes "),
    ] {
        let response = server.get(&format!("/range/{size}"));
        assert_eq!(response.status, 400);
        assert!(response.text().starts_with(text), "{}", response.text());
    }
}
