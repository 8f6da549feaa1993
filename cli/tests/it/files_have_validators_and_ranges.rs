//! Conditional and range requests for files: entity tags follow the file, and parts are its bytes.

use crate::support::curl::curl;
use crate::support::site::{Site, sparse_bytes};
use crate::support::{Client, Response};
use std::fs;
use std::time::Duration;

fn get(client: &mut Client, fields: &str) -> Response {
    client.send(format!("GET /x.txt HTTP/1.1\r\nHost: t\r\n{fields}\r\n"));
    client.response()
}

fn value(response: &Response, name: &str) -> String {
    response.header(name).unwrap_or_else(|| panic!("no {name} in {}", response.head)).to_string()
}

#[test]
fn a_client_that_has_the_file_gets_304() {
    let site = Site::of(&[("x.txt", b"0123456789")]);
    let server = site.serve(&[]);
    let mut client = server.connect();
    let whole = get(&mut client, "");
    let (tag, date) = (value(&whole, "etag"), value(&whole, "last-modified"));
    assert!(tag.starts_with('"'), "an old file has a strong tag: {tag}");
    let before = "Sat, 01 Jan 2000 00:00:00 GMT";
    for (fields, status) in [
        (format!("If-None-Match: {tag}"), 304),
        (format!("If-None-Match: W/{tag}"), 304),
        (format!("If-None-Match: \"other\", {tag}"), 304),
        ("If-None-Match: *".into(), 304),
        ("If-None-Match: \"other\"".into(), 200),
        (format!("If-Modified-Since: {date}"), 304),
        (format!("If-Modified-Since: {before}"), 200),
        (format!("If-None-Match: \"other\"\r\nIf-Modified-Since: {date}"), 200),
        (format!("If-Match: {tag}"), 200),
        ("If-Match: \"other\"".into(), 412),
        (format!("If-Match: W/{tag}"), 412),
        (format!("If-Unmodified-Since: {date}"), 200),
        (format!("If-Unmodified-Since: {before}"), 412),
    ] {
        let response = get(&mut client, &format!("{fields}\r\n"));
        assert_eq!(response.status, status, "{fields}");
        if status == 304 {
            assert_eq!((value(&response, "etag"), value(&response, "vary")), (tag.clone(), "Accept-Encoding".into()));
            assert!(response.header("content-length").is_none() && response.header("content-type").is_none());
        }
    }
    // A file that does not exist has no version that a condition could match.
    client.send(format!("GET /none HTTP/1.1\r\nHost: t\r\nIf-None-Match: {tag}\r\n\r\n"));
    assert_eq!(client.response().status, 404);
}

/// Caches keep variants apart by Accept-Encoding (RFC 9110, 12.5.5), also for answers without a file.
#[test]
fn every_answer_about_a_file_has_vary() {
    let site = Site::of(&[("x.txt", b"0123456789"), ("x.txt.gz", b"gz")]);
    let server = site.serve(&[]);
    let mut client = server.connect();
    for (fields, status) in [
        ("", 200),
        ("Accept-Encoding: gzip\r\n", 200),
        ("Accept-Encoding: gzip;q=0, identity;q=0\r\n", 406),
        ("If-None-Match: *\r\n", 304),
        ("If-Match: \"other\"\r\n", 412),
        ("Range: bytes=0-1\r\n", 206),
        ("Range: bytes=0-1,3-4\r\n", 206),
        ("Range: bytes=10-\r\n", 416),
        ("Accept-Encoding: gzip\r\nRange: bytes=5-\r\n", 416),
    ] {
        let response = get(&mut client, fields);
        assert_eq!((response.status, response.header("vary")), (status, Some("Accept-Encoding")), "{fields}");
    }
}

#[test]
fn a_changed_file_has_another_tag() {
    let site = Site::of(&[("x.txt", b"0123456789")]);
    let server = site.serve(&["--static-cache", "0"]);
    let mut client = server.connect();
    let first = value(&get(&mut client, ""), "etag");
    // The same length and time in another file, as builds with fixed times make them.
    let time = fs::metadata(site.path("x.txt")).and_then(|metadata| metadata.modified()).expect("a time");
    site.write("new", b"9876543210");
    fs::File::open(site.path("new")).and_then(|file| file.set_modified(time)).expect("its time can be set");
    fs::rename(site.path("new"), site.path("x.txt")).expect("it can be renamed");
    let changed = get(&mut client, &format!("If-None-Match: {first}\r\n"));
    assert_eq!((changed.status, changed.text().as_str()), (200, "9876543210"));
    // A file written a moment ago may be written again with the same time and length: its tag is weak.
    site.age("x.txt", Duration::ZERO);
    let fresh = value(&get(&mut client, ""), "etag");
    assert!(fresh.starts_with("W/"), "{fresh}");
    assert_eq!(get(&mut client, &format!("If-None-Match: {fresh}\r\n")).status, 304);
    let doubted = get(&mut client, &format!("Range: bytes=0-0\r\nIf-Range: {fresh}\r\n"));
    assert_eq!(doubted.status, 200, "a weak tag does not match for ranges");
}

#[test]
fn if_range_sends_a_part_only_of_what_the_client_has() {
    let site = Site::of(&[("x.txt", b"0123456789")]);
    let server = site.serve(&[]);
    let mut client = server.connect();
    let whole = get(&mut client, "");
    let (tag, date) = (value(&whole, "etag"), value(&whole, "last-modified"));
    for (condition, status) in [
        (tag.as_str(), 206),
        (&date, 206),
        (&format!("W/{tag}"), 200),
        ("\"other\"", 200),
        ("Sat, 01 Jan 2000 00:00:00 GMT", 200),
    ] {
        let response = get(&mut client, &format!("Range: bytes=2-4\r\nIf-Range: {condition}\r\n"));
        let text = if status == 206 { "234" } else { "0123456789" };
        assert_eq!((response.status, response.text().as_str()), (status, text), "{condition}");
        assert_eq!(
            response.header("content-type").is_none(),
            status == 206,
            "the client knows it already: {condition}"
        );
    }
}

#[test]
fn parts_are_the_requested_bytes() {
    let site = Site::of(&[("x.txt", b"0123456789")]);
    let server = site.serve(&[]);
    let mut client = server.connect();
    for (range, status, content_range, text) in [
        ("bytes=0-0", 206, "bytes 0-0/10", "0"),
        ("bytes=3-", 206, "bytes 3-9/10", "3456789"),
        ("bytes=-2", 206, "bytes 8-9/10", "89"),
        ("bytes=5-99", 206, "bytes 5-9/10", "56789"),
        ("bytes=0-9", 206, "bytes 0-9/10", "0123456789"),
        ("bytes=10-", 416, "bytes */10", "416 Range Not Satisfiable: the file has 10 bytes\n"),
        ("bytes=5-4", 200, "", "0123456789"),
        ("lines=1-2", 200, "", "0123456789"),
    ] {
        let response = get(&mut client, &format!("Range: {range}\r\n"));
        assert_eq!((response.status, response.text().as_str()), (status, text), "{range}");
        assert_eq!(response.header("content-range").unwrap_or_default(), content_range, "{range}");
    }
    let several = get(&mut client, "Range: bytes=0-1,-1\r\n");
    let content_type = value(&several, "content-type");
    let boundary = content_type.strip_prefix("multipart/byteranges; boundary=").expect("a boundary");
    let part = |range: &str, text: &str| {
        format!(
            "--{boundary}\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Range: bytes {range}/10\r\n\r\n{text}\r\n"
        )
    };
    assert_eq!(several.text(), part("0-1", "01") + &part("9-9", "9") + &format!("--{boundary}--\r\n"));
}

/// Parts of a gibibyte, each beginning and ending at an edge of what is read, sent or queued at once.
#[test]
fn parts_of_a_large_file_are_exact() {
    const GIBIBYTE: u64 = 1 << 30;
    let site = Site::of(&[]);
    site.write_sparse("x.txt", 1024);
    let server = site.serve(&[]);
    let mut client = server.connect();
    let ends = [
        (0, 0),
        (0, (4 << 10) - 1),
        (0, 4 << 10),
        (5, (1 << 20) + 4),
        ((1 << 20) - 1, 3 << 20),
        (GIBIBYTE - 1, GIBIBYTE - 1),
        (GIBIBYTE - (2 << 20) - 3, GIBIBYTE - 1),
        ((512 << 20) - 7, (512 << 20) + 100_000),
    ];
    for (first, last) in ends {
        let response = get(&mut client, &format!("Range: bytes={first}-{last}\r\n"));
        assert_eq!(response.header("content-range"), Some(format!("bytes {first}-{last}/{GIBIBYTE}").as_str()));
        assert!(response.body == sparse_bytes(first, last), "{first}-{last}");
    }
    let list = ends[3..6].iter().map(|(first, last)| format!("{first}-{last}")).collect::<Vec<_>>().join(",");
    let several = get(&mut client, &format!("Range: bytes={list}\r\n"));
    let mut rest = several.body.as_slice();
    for (first, last) in &ends[3..6] {
        let begin = rest.windows(4).position(|four| four == b"\r\n\r\n").expect("a part's head") + 4;
        let length = (last - first + 1) as usize;
        assert!(rest[begin..][..length] == sparse_bytes(*first, *last), "{first}-{last} among several");
        rest = &rest[begin + length..];
    }
    // curl fetches the whole file, and reports its size.
    let whole = curl(&["-o", "/dev/null", "-w", "%{http_code} %{size_download}", &server.url("/x.txt")]);
    assert_eq!(whole.text(), format!("200 {GIBIBYTE}"));
}
