//! `/gzip`, `/brotli` and `/zstd` echo in that coding if Accept-Encoding allows it, and uncompressed if not.

use crate::support::{Client, Response, Server, scheme};
use serde_json::Value;
use std::io::Read;

const ENDPOINTS: [(&str, &str, &str); 3] =
    [("/gzip", "gzip", "gzipped"), ("/brotli", "br", "brotli"), ("/zstd", "zstd", "zstd")];
const MIB: usize = 1 << 20;

/// The body without its coding.
fn decoded(response: &Response) -> Vec<u8> {
    let coded = &response.body[..];
    let mut bytes = Vec::new();
    let read = match response.header("content-encoding") {
        None => return response.body.clone(),
        Some("gzip") => flate2::read::GzDecoder::new(coded).read_to_end(&mut bytes),
        Some("br") => brotli::Decompressor::new(coded, 4096).read_to_end(&mut bytes),
        Some("zstd") => zstd::stream::read::Decoder::new(coded).and_then(|mut read| read.read_to_end(&mut bytes)),
        Some(other) => panic!("{other} is not a coding of ours"),
    };
    read.unwrap_or_else(|e| panic!("{} bytes cannot be decoded: {e}", coded.len()));
    bytes
}

fn json_of(response: &Response) -> Value {
    assert_eq!((response.status, response.header("content-type")), (200, Some("application/json")));
    assert_eq!((response.header("vary"), response.header("etag")), (Some("Accept-Encoding"), None));
    assert!(response.header("content-length").is_some() && response.header("transfer-encoding").is_none());
    serde_json::from_slice(&decoded(response)).expect("JSON")
}

fn post(client: &mut Client, path: &str, body: &[u8]) -> Response {
    client.send(format!("POST {path} HTTP/1.1\r\nHost: t\r\nContent-Length: {}\r\n\r\n", body.len()));
    client.send(body);
    client.response()
}

#[test]
fn the_echo_is_compressed_as_accepted() {
    let server = Server::start(&["--workers", "1"]);
    let mut client = server.connect();
    for (path, token, field) in ENDPOINTS {
        for (accepted, is_coded) in [
            (None, true),
            (Some("*".to_string()), true),
            (Some(token.to_string()), true),
            (Some(format!("gzip, deflate, br, zstd, {token}")), true),
            (Some(token.to_uppercase()), true),
            (Some(format!("{token};q=0.1, identity;q=0.05")), true),
            (Some(format!("identity;q=0, {token};q=0.5")), true),
            (Some(String::new()), false),
            (Some("identity".to_string()), false),
            (Some("deflate".to_string()), false),
            (Some(format!("{token};q=0")), false),
            (Some(format!("{token};q=0.5, identity")), false),
        ] {
            let line = accepted.as_ref().map_or(String::new(), |accepted| format!("Accept-Encoding: {accepted}\r\n"));
            client.send(format!("PUT {path}?x=y HTTP/1.1\r\nHost: t\r\n{line}Content-Length: 5\r\n\r\nh\"llo"));
            let response = client.response();
            assert_eq!(response.header("content-encoding"), is_coded.then_some(token), "{path} {accepted:?}");
            let json = json_of(&response);
            assert_eq!((&json[field], &json["method"]), (&is_coded.into(), &"PUT".into()), "{path} {accepted:?}");
            assert_eq!((&json["body"], &json["body_size"]), (&"h\"llo".into(), &5.into()));
            assert_eq!(json["uri"], format!("{}://t{path}?x=y", scheme()));
            assert_eq!(json["headers"].get("Accept-Encoding").and_then(Value::as_str), accepted.as_deref());
        }
    }
}

/// A body that is long when it is escaped, and one that hardly compresses.
#[test]
fn long_bodies() {
    let server = Server::start(&["--workers", "1"]);
    let mut client = server.connect();
    let nul = vec![0; MIB];
    let mixed: Vec<u8> = (0..300_000u32).map(|i| (i.wrapping_mul(i ^ 0x9E37) >> 5) as u8).collect();
    let long = b"0123456789".repeat(3 * MIB / 10);
    for (path, ..) in ENDPOINTS {
        for body in [&nul, &mixed, &long] {
            let json = json_of(&post(&mut client, path, body));
            assert_eq!(json["body_size"], body.len());
            let kept = String::from_utf8_lossy(&body[..body.len().min(MIB)]);
            let end = if body.len() > MIB { "...[TRUNCATED]" } else { "" };
            assert!(json["body"].as_str() == Some(&format!("{kept}{end}")), "{path} with {} bytes", body.len());
        }
    }
}

#[test]
fn every_level() {
    let server = Server::start(&["--workers", "1"]);
    let mut client = server.connect();
    let body = (0..20_000).map(|i| format!("{} ", i * i % 1009)).collect::<String>();
    for (path, levels) in [("/gzip", 1..=9), ("/brotli", 0..=5), ("/zstd", 1..=6)] {
        let mut lengths: Vec<usize> = levels
            .clone()
            .map(|level| {
                let response = post(&mut client, &format!("{path}?level={level}"), body.as_bytes());
                assert_eq!(json_of(&response)["body"], body);
                response.body.len()
            })
            .collect();
        // The levels differ in their result.
        lengths.dedup();
        assert!(lengths.len() > 2, "{path}: {lengths:?}");
        for level in [levels.end() + 1, 100] {
            let response = post(&mut client, &format!("{path}?level={level}"), b"");
            let text =
                format!("level must be a whole number from {} to {}, not \"{level}\"\n", levels.start(), levels.end());
            assert_eq!((response.status, response.text()), (400, text));
        }
    }
}

#[test]
fn without_an_acceptable_coding() {
    let server = Server::start(&["--workers", "1"]);
    let mut client = server.connect();
    for (path, token, _) in ENDPOINTS {
        for accepted in ["*;q=0", "identity;q=0", "identity;q=0, deflate"] {
            client.send(format!("GET {path} HTTP/1.1\r\nHost: t\r\nAccept-Encoding: {accepted}\r\n\r\n"));
            let response = client.response();
            assert_eq!((response.status, response.header("vary")), (406, Some("Accept-Encoding")));
            let text = format!("406 Not Acceptable: Accept-Encoding allows neither {token} nor identity\n");
            assert_eq!(response.text(), text);
        }
    }
}

/// The echo of HEAD differs from that of GET in one word, with which a coding may do a little better or worse.
#[test]
fn head_has_the_coding_and_the_length() {
    let server = Server::start(&["--workers", "1"]);
    let mut client = server.connect();
    for (path, token, _) in ENDPOINTS {
        client.send(format!("HEAD {path} HTTP/1.1\r\nHost: t\r\n\r\nGET {path} HTTP/1.1\r\nHost: t\r\n\r\n"));
        let (head, get) = (client.response_to("HEAD"), client.response());
        assert_eq!((head.header("content-encoding"), head.header("vary")), (Some(token), Some("Accept-Encoding")));
        let length: usize = head.header("content-length").and_then(|text| text.parse().ok()).expect("a length");
        let (coded, plain) = (get.body.len(), decoded(&get).len());
        assert!(coded < plain, "{path}: {coded} bytes instead of {plain}");
        assert!(length.abs_diff(coded) < (plain - coded) / 2, "{path}: {length}; {coded} bytes instead of {plain}");
    }
}
