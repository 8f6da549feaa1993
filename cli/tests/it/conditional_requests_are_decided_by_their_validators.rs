//! `/etag/{tag}` answers conditional requests as in RFC 9110, 13: 200, 304 or 412. (All cases are in the tables of the
//! worker's conditional_tests.rs; these go over the wire.)

use crate::support::{Client, Response, Server};
use serde_json::{Value, json};

const AT: &str = "Wed, 01 Jan 2025 00:00:00 GMT";
const BEFORE: &str = "Tue, 31 Dec 2024 23:59:59 GMT";

fn ask(client: &mut Client, method: &str, path: &str, fields: &str) -> Response {
    client.send(format!("{method} {path} HTTP/1.1\r\nHost: t\r\n{fields}\r\n"));
    client.response_to(method)
}

#[test]
fn conditional_requests_are_decided_by_their_validators() {
    let server = Server::start(&["--workers", "1"]);
    let mut client = server.connect();
    for (fields, get, put) in [
        ("".to_string(), 200, 200),
        ("If-None-Match: \"v1\"\r\n".into(), 304, 412),
        ("if-none-match:   W/\"v1\" \t\r\n".into(), 304, 412),
        ("If-None-Match: \"v0\",\"v1\"\r\n".into(), 304, 412),
        ("If-None-Match: \"v0\"\r\nIf-None-Match: \"v1\"\r\n".into(), 304, 412),
        ("If-None-Match: * \r\n".into(), 304, 412),
        ("If-None-Match: \"v0\"\r\n".into(), 200, 200),
        ("If-None-Match: v1\r\n".into(), 200, 200),
        ("If-Match: \"v1\"\r\n".into(), 200, 200),
        ("If-Match: *\r\n".into(), 200, 200),
        ("If-Match: W/\"v1\"\r\n".into(), 412, 412),
        ("If-Match: \"v0\"\r\n".into(), 412, 412),
        (format!("If-Modified-Since: {AT}\r\n"), 304, 200),
        (format!("If-Modified-Since: {BEFORE}\r\n"), 200, 200),
        ("If-Modified-Since: Wednesday, 01-Jan-25 00:00:00 GMT\r\n".into(), 304, 200),
        ("If-Modified-Since: Wed Jan  1 00:00:00 2025\r\n".into(), 304, 200),
        ("If-Modified-Since: today\r\n".into(), 200, 200),
        (format!("If-Unmodified-Since: {AT}\r\n"), 200, 200),
        (format!("If-Unmodified-Since: {BEFORE}\r\n"), 412, 412),
        (format!("If-Modified-Since: {AT}\r\nIf-None-Match: \"v0\"\r\n"), 200, 200),
        (format!("If-Unmodified-Since: {BEFORE}\r\nIf-Match: \"v1\"\r\n"), 200, 200),
        (format!("If-None-Match: \"v1\"\r\nIf-Unmodified-Since: {BEFORE}\r\n"), 412, 412),
    ] {
        for (method, status) in [("GET", get), ("HEAD", get), ("PUT", put), ("DELETE", put), ("OPTIONS", 200)] {
            let response = ask(&mut client, method, "/etag/v1", &fields);
            assert_eq!(response.status, status, "{method} with {fields:?}");
            let has_validators = status != 412;
            assert_eq!(response.header("etag"), has_validators.then_some("\"v1\""), "{fields:?}");
            assert_eq!(response.header("last-modified"), has_validators.then_some(AT));
            assert_eq!(response.header("cache-control"), has_validators.then_some("no-cache"));
            assert_eq!(response.header("content-type").is_none(), status == 304);
            assert_eq!(response.header("content-length").is_none(), status == 304);
            match (status, method) {
                (304, _) | (_, "HEAD") => assert_eq!(response.text(), ""),
                (200, _) => {
                    let json: Value = serde_json::from_slice(&response.body).expect("JSON");
                    assert_eq!(json, json!({"etag": "\"v1\"", "last_modified": AT}));
                }
                _ => assert!(response.text().starts_with("412 Precondition Failed: "), "{}", response.text()),
            }
        }
    }
}

#[test]
fn a_weak_tag_never_matches_strongly() {
    let server = Server::start(&["--workers", "1"]);
    let mut client = server.connect();
    for (fields, status) in [
        ("", 200),
        ("If-Match: W/\"a,b/c\"\r\n", 412),
        ("If-Match: \"a,b/c\"\r\n", 412),
        ("If-Match: *\r\n", 200),
        ("If-None-Match: \"a,b/c\"\r\n", 304),
        ("If-None-Match: W/\"a,b/c\"\r\n", 304),
        ("If-None-Match: W/\"a\"\r\n", 200),
    ] {
        let response = ask(&mut client, "GET", "/etag/a,b/c?weak=1", fields);
        assert_eq!(response.status, status, "{fields}");
        if status != 412 {
            assert_eq!(response.header("etag"), Some("W/\"a,b/c\""));
        }
    }
}

#[test]
fn a_wrong_tag_is_explained() {
    let server = Server::start(&["--workers", "1"]);
    for (path, text) in [
        ("", "Please specify a tag: /etag/v1 or /etag/v1?weak=1\n"),
        ("a\"b", "a tag cannot have a quote, a space or a control character in it, as \"a\\\"b\" has\n"),
        ("a%20b", "a tag cannot have a quote, a space or a control character in it, as \"a b\" has\n"),
        ("a?weak=very", "weak must be 1 or 0, not \"very\"\n"),
    ] {
        let response = server.get(&format!("/etag/{path}"));
        assert_eq!((response.status, response.text().as_str()), (400, text));
    }
}
