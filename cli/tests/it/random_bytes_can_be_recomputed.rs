//! `/random/{size}` sends the bytes that follow from its seed by SplitMix64, and then their digest in a trailer.

use crate::support::http2::Http2;
use crate::support::{Client, Response, Server};
use std::io::Write;
use std::process::{Command, Stdio};

/// As documented for clients in docs/origin.md: word i is `mix(seed + (i + 1) * GAMMA)`, little-endian.
fn bytes_of(seed: u64, size: usize) -> Vec<u8> {
    let word = |i: u64| {
        let z = seed.wrapping_add((i + 1).wrapping_mul(0x9E3779B97F4A7C15));
        let z = (z ^ (z >> 30)).wrapping_mul(0xBF58476D1CE4E5B9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94D049BB133111EB);
        z ^ (z >> 31)
    };
    (0..size.div_ceil(8) as u64).flat_map(|i| word(i).to_le_bytes()).take(size).collect()
}

/// The output of sha256sum(1), and the same digest in base64.
fn sha256(bytes: &[u8]) -> (String, String) {
    let script = "sum=$(sha256sum | cut -c1-64); echo $sum; printf $(echo $sum | sed 's/../\\\\x&/g') | base64";
    let mut child = Command::new("bash")
        .args(["-c", script])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("bash runs");
    child.stdin.take().expect("its input").write_all(bytes).expect("it reads");
    let output = String::from_utf8(child.wait_with_output().expect("it ends").stdout).expect("text");
    let (hex, base64) = output.trim().split_once('\n').expect("two lines");
    (hex.to_string(), base64.to_string())
}

fn get(client: &mut Client, path: &str) -> Response {
    client.send(format!("GET {path} HTTP/1.1\r\nHost: t\r\n\r\n"));
    client.response()
}

#[test]
fn random_bytes_can_be_recomputed() {
    let server = Server::start(&["--workers", "1"]);
    let mut client = server.connect();
    for (path, seed, size) in [
        ("1", 0, 1),
        ("8", 0, 8),
        ("37?seed=", 7, 37),
        ("1K?seed=", u64::MAX, 1024),
        ("100001?seed=", 12345, 100_001),
        ("3M?seed=", 0x9E3779B97F4A7C15, 3 << 20),
    ] {
        let path = if seed == 0 { path.to_string() } else { format!("{path}{seed}") };
        let response = get(&mut client, &format!("/random/{path}"));
        assert_eq!((response.status, response.header("content-type")), (200, Some("application/octet-stream")));
        assert_eq!(response.header("transfer-encoding"), Some("chunked"));
        assert_eq!(response.header("trailer"), Some("Content-Digest, X-SHA256"));
        assert!(response.body == bytes_of(seed, size), "{path}: {} bytes", response.body.len());
        let (hex, base64) = sha256(&response.body);
        assert_eq!(response.trailer("x-sha256"), Some(hex.as_str()), "{path}");
        assert_eq!(response.trailer("content-digest"), Some(format!("sha-256=:{base64}:").as_str()), "{path}");
    }
}

#[test]
fn over_http2_the_trailers_are_the_same() {
    let server = Server::start(&["--workers", "1"]);
    let answer = Http2::connect(&server).get(1, "/random/100001?seed=12345");
    assert!(answer.status == 200 && answer.body == bytes_of(12345, 100_001));
    let (hex, base64) = sha256(&answer.body);
    let expected = [("content-digest", format!("sha-256=:{base64}:")), ("x-sha256", hex)];
    assert_eq!(answer.trailers, expected.map(|(name, value)| (name.to_string(), value)));
    assert_eq!(answer.field("trailer"), Some("Content-Digest, X-SHA256"));
}

/// The documented example.
#[test]
fn the_first_word_of_seed_0() {
    let server = Server::start(&["--workers", "1"]);
    assert_eq!(server.get("/random/8").body, 0xE220A8397B1DCDAF_u64.to_le_bytes());
}

#[test]
fn a_declared_length_has_no_trailers() {
    let server = Server::start(&["--workers", "1"]);
    let mut client = server.connect();
    let response = get(&mut client, "/random/300K?seed=9&length=1");
    assert_eq!(response.header("content-length"), Some("307200"));
    assert_eq!((response.header("trailer"), response.trailers.as_str()), (None, ""));
    assert!(response.body == bytes_of(9, 300 << 10));
    client.send("GET /random/300K?seed=9 HTTP/1.0\r\n\r\n");
    let response = client.response();
    assert_eq!((response.header("trailer"), response.header("connection")), (None, Some("close")));
    assert!(response.body == bytes_of(9, 300 << 10));
}

#[test]
fn malformed_values_are_explained() {
    let server = Server::start(&["--workers", "1"]);
    let mut client = server.connect();
    let seed = "seed must be a whole number from 0 to 18446744073709551615, not ";
    for (path, start) in [
        ("", "Please specify size: /random/1M, "),
        ("0", "Invalid size. Supported: K, M, G, T suffixes "),
        ("x?seed=1", "Invalid size. Supported: K, M, G, T suffixes "),
        ("1?seed=", seed),
        ("1?seed", seed),
        ("1?seed=-1", seed),
        ("1?seed=0x10", seed),
        ("1?seed=18446744073709551616", seed),
        ("1?length=maybe", "length must be 1 or 0, not \"maybe\""),
    ] {
        let response = get(&mut client, &format!("/random/{path}"));
        assert_eq!((response.status, response.header("connection")), (400, None), "{path}");
        assert!(response.text().starts_with(start) && response.text().ends_with('\n'), "{path}: {}", response.text());
    }
}

/// A size that no client would wait for begins all the same.
#[test]
fn a_huge_size_begins() {
    let server = Server::start(&["--workers", "1"]);
    let mut client = server.connect();
    client.send("GET /random/8388607T?length=1 HTTP/1.1\r\nHost: t\r\n\r\n");
    let start = client.take(2 << 20).expect("two megabytes");
    assert!(String::from_utf8_lossy(&start[..400]).contains("Content-Length: 9223370937343148032\r\n"));
}
