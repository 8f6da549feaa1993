//! Heads as tables: what is accepted and how it is read, what is refused and with which status.
//!
//! In the tables `\n` stands for CRLF; a bare LF is written `␊` and a bare CR `␍`, so that they are visible.

use super::*;
use crate::http1::HeadCache;
use BodyLength::{Chunked, Known as Length, None as WithoutBody};

fn bytes(text: &str) -> Vec<u8> {
    text.replace('\n', "\r\n").replace('␊', "\n").replace('␍', "\r").into_bytes()
}

/// The head of a GET with these header lines after Host.
fn with(lines: &str) -> String {
    format!("GET / HTTP/1.1\nHost: a\n{lines}\n\n")
}

/// The head of a GET for this target.
fn get(target: &str) -> String {
    format!("GET {target} HTTP/1.1\nHost: a\n\n")
}

/// The parts of an accepted head that the tests check, owned.
#[derive(Debug, PartialEq)]
struct Read {
    method: String,
    path: String,
    query: Option<String>,
    host: String,
    version: Version,
    fields: Vec<(String, Vec<u8>)>,
    body: BodyLength,
    keep_alive: bool,
    expects_continue: bool,
    length: usize,
}

fn read_with(bytes: &[u8], limits: &Limits) -> Result<Option<Read>, Error> {
    let mut fields = vec![MaybeUninit::uninit(); limits.header_count_max];
    let Some(parsed) = parse(bytes, &mut fields, limits)? else { return Ok(None) };
    let mut cache = HeadCache::default();
    (0..2).for_each(|_| cache.note(bytes, &parsed));
    let read = owned(parsed);
    // With its line as another one, and then as the same.
    for _ in 0..2 {
        let recalled = cache.recall(bytes, limits).map(owned);
        assert!(recalled.is_none_or(|recalled| recalled == read), "{read:?}");
    }
    Ok(Some(read))
}

fn owned(parsed: Parsed<'_>) -> Read {
    let Parsed { request, length, keep_alive, expects_continue } = parsed;
    Read {
        method: request.method().to_string(),
        path: request.path().to_string(),
        query: request.query().map(str::to_string),
        host: request.host().to_string(),
        version: request.version(),
        fields: request.headers().iter().map(|(name, value)| (name.to_string(), value.to_vec())).collect(),
        body: request.body_length(),
        keep_alive,
        expects_continue,
        length,
    }
}

fn read(bytes: &[u8]) -> Result<Option<Read>, Error> {
    read_with(bytes, &Limits::default())
}

/// Parses a valid head, and checks that each prefix of it needs more bytes and that what follows it changes nothing.
fn read_good(text: &str) -> Read {
    let head = bytes(text);
    for at in 0..head.len() {
        assert_eq!(read(&head[..at]), Ok(None), "{text:?} cut at {at}");
    }
    let got = read(&head).unwrap_or_else(|e| panic!("{text:?} is refused: {e}"));
    let got = got.unwrap_or_else(|| panic!("{text:?} is not complete"));
    assert_eq!(got.length, head.len(), "{text:?}");
    for next in ["GET / HTTP/1.1\r\n", "\n", "\0", " x"] {
        let followed = [&head, next.as_bytes()].concat();
        assert_eq!(read(&followed).unwrap().as_ref(), Some(&got), "{text:?} before {next:?}");
    }
    got
}

/// The status that a head is refused with; no prefix of it is accepted or refused with another status.
fn status_of_refused(text: &str) -> u16 {
    let head = bytes(text);
    let status = match read(&head) {
        Err(error) => error.status.as_u16(),
        Ok(Some(got)) => panic!("{text:?} is accepted: {got:?}"),
        Ok(None) => panic!("{text:?} is taken for incomplete"),
    };
    for at in 0..head.len() {
        match read(&head[..at]) {
            Ok(None) => {}
            Ok(Some(got)) => panic!("{text:?} cut at {at} is accepted: {got:?}"),
            Err(early) => assert_eq!(early.status.as_u16(), status, "{text:?} cut at {at}: {early}"),
        }
    }
    status
}

fn assert_refused(cases: &[(u16, String)]) {
    for (status, head) in cases {
        assert_eq!(status_of_refused(head), *status, "{head:?}");
    }
}

#[test]
fn a_head_is_read_completely() {
    let got =
        read_good("PUT /a/b%20c?x=1&y=?z HTTP/1.1\nhOsT: example.org:8080\nX-Odd:  a\t\"b\" é \nEmpty:\nX-Odd: 2\n\n");
    let field = |name: &str, value: &str| (name.to_string(), value.as_bytes().to_vec());
    assert_eq!(
        got,
        Read {
            method: "PUT".to_string(),
            path: "/a/b%20c".to_string(),
            query: Some("x=1&y=?z".to_string()),
            host: "example.org:8080".to_string(),
            version: Version::Http11,
            fields: vec![
                field("hOsT", "example.org:8080"),
                field("X-Odd", "a\t\"b\" é"),
                field("Empty", ""),
                field("X-Odd", "2"),
            ],
            body: WithoutBody,
            keep_alive: true,
            expects_continue: false,
            length: got.length,
        }
    );
}

#[test]
fn valid_targets() {
    for (method, target, path, query, host) in [
        ("GET", "/", "/", None, "a"),
        ("GET", "//", "//", None, "a"),
        ("GET", "/?", "/", Some(""), "a"),
        ("GET", "/a?b", "/a", Some("b"), "a"),
        ("GET", "/a?%zz%", "/a", Some("%zz%"), "a"),
        ("GET", "/%2e%2E/%ff", "/%2e%2E/%ff", None, "a"),
        ("GET", "/a%00b", "/a%00b", None, "a"),
        ("GET", "/é/€?ü", "/é/€", Some("ü"), "a"),
        ("GET", "http://b/é?ü", "/é", Some("ü"), "b"),
        ("GET", "/http://b/c", "/http://b/c", None, "a"),
        ("GET", "/a:b@c;d,e'f(g)[h]", "/a:b@c;d,e'f(g)[h]", None, "a"),
        ("OPTIONS", "*", "*", None, "a"),
        ("OPTIONS", "/", "/", None, "a"),
        ("GET", "http://b", "/", None, "b"),
        ("GET", "http://b/", "/", None, "b"),
        ("GET", "HTTPS://b:443/c?d", "/c", Some("d"), "b:443"),
        ("GET", "http://b?c=http://d/e", "/", Some("c=http://d/e"), "b"),
        ("GET", "http://[::1]:80/x", "/x", None, "[::1]:80"),
        ("M-SEARCH", "/", "/", None, "a"),
        ("get", "/", "/", None, "a"),
        ("!#$%&'*+-.^_`|~09", "/", "/", None, "a"),
    ] {
        let got = read_good(&format!("{method} {target} HTTP/1.1\nHost: a\n\n"));
        let got = (&*got.method, &*got.path, got.query.as_deref(), &*got.host);
        assert_eq!(got, (method, path, query, host), "{target}");
    }
}

#[test]
fn valid_hosts() {
    for host in ["", "a", "A.example-1.org", "127.0.0.1:80", "[::1]", "[::ffff:1.2.3.4]:8080", "a_b", "a:", "x%20y"] {
        assert_eq!(read_good(&format!("GET / HTTP/1.1\nHost: {host}\n\n")).host, host);
    }
    assert_eq!(read_good("GET / HTTP/1.0\n\n").host, "", "HTTP/1.0 may come without one");
}

#[test]
fn framing_fields() {
    const LINE_11: &str = "POST / HTTP/1.1\nHost: a\n";
    const LINE_10: &str = "POST / HTTP/1.0\n";
    for (start, lines, body, keep_alive, expects_continue) in [
        (LINE_11, "", WithoutBody, true, false),
        (LINE_11, "Content-Length: 0\n", Length(0), true, false),
        (LINE_11, "content-length:\t 5 \t\n", Length(5), true, false),
        (LINE_11, "Content-Length: 0005\n", Length(5), true, false),
        (LINE_11, "Content-Length: 9223372036854775807\n", Length(i64::MAX as u64), true, false),
        (LINE_11, "Transfer-Encoding: chunked\n", Chunked, true, false),
        (LINE_11, "TRANSFER-ENCODING: Chunked \n", Chunked, true, false),
        (LINE_11, "Connection: close\n", WithoutBody, false, false),
        (LINE_11, "Connection: x, CLOSE\n", WithoutBody, false, false),
        (LINE_11, "Connection: keep-alive\nConnection: ,close,\n", WithoutBody, false, false),
        (LINE_11, "Connection: closed\n", WithoutBody, true, false),
        (LINE_11, "Expect: 100-Continue\nContent-Length: 1\n", Length(1), true, true),
        (LINE_11, "Expect: , 100-continue ,,100-continue\nContent-Length: 1\n", Length(1), true, true),
        (LINE_11, "Expect: 100-continue\nExpect:\nContent-Length: 1\n", Length(1), true, true),
        (LINE_11, "Expect:\nContent-Length: 1\n", Length(1), true, false),
        (LINE_11, "Expect: ,\nContent-Length: 1\n", Length(1), true, false),
        (LINE_11, "X-Content-Length: 5\nContent_Length: 6\n", WithoutBody, true, false),
        (LINE_10, "", WithoutBody, false, false),
        (LINE_10, "Connection: Keep-Alive\n", WithoutBody, true, false),
        (LINE_10, "Connection: keep-alive, close\n", WithoutBody, false, false),
        (LINE_10, "Connection: x\nContent-Length: 5\n", Length(5), false, false),
        // HTTP/1.0 has no expectations (RFC 9110, 10.1.1).
        (LINE_10, "Expect: 100-continue\nContent-Length: 5\n", Length(5), false, false),
        (LINE_10, "Expect: something\n", WithoutBody, false, false),
    ] {
        let got = read_good(&format!("{start}{lines}\n"));
        assert_eq!((got.body, got.keep_alive, got.expects_continue), (body, keep_alive, expects_continue), "{lines:?}");
    }
}

#[test]
fn framing_that_two_servers_could_read_differently() {
    let refused = |status, lines: &str| (status, with(lines));
    assert_refused(&[
        refused(400, "Content-Length: 5\nTransfer-Encoding: chunked"),
        refused(400, "Transfer-Encoding: chunked\nContent-Length: 0"),
        refused(400, "Content-Length: 5\nContent-Length: 5"),
        refused(400, "Content-Length: 5\ncontent-length: 6"),
        refused(400, "Content-Length: 5, 5"),
        refused(400, "Content-Length: +5"),
        refused(400, "Content-Length: -5"),
        refused(400, "Content-Length: 0x5"),
        refused(400, "Content-Length: 5.0"),
        refused(400, "Content-Length: 5 5"),
        refused(400, "Content-Length: ٥"),
        refused(400, "Content-Length: 5;"),
        refused(400, "Content-Length:"),
        refused(413, "Content-Length: 9223372036854775808"),
        refused(413, "Content-Length: 18446744073709551615"),
        refused(413, "Content-Length: 18446744073709551616"),
        refused(413, "Content-Length: 99999999999999999999999999"),
        refused(400, "Transfer-Encoding: chunked\nTransfer-Encoding: chunked"),
        refused(400, "Transfer-Encoding: chunked, chunked"),
        refused(400, "Transfer-Encoding: chunked, gzip"),
        refused(400, "Transfer-Encoding: chunked,"),
        refused(400, "Transfer-Encoding: ,chunked"),
        refused(400, "Transfer-Encoding: chunked;x"),
        refused(400, "Transfer-Encoding: chunked;q=1"),
        refused(400, "Transfer-Encoding: \"chunked\""),
        refused(400, "Transfer-Encoding: chun ked"),
        refused(400, "Transfer-Encoding:"),
        refused(501, "Transfer-Encoding: gzip, chunked"),
        refused(501, "Transfer-Encoding: gzip"),
        refused(501, "Transfer-Encoding: identity"),
        refused(501, "Transfer-Encoding: xchunked"),
        refused(400, "Transfer-Encoding: \u{b}chunked"),
        refused(417, "Expect: 200-ok"),
        refused(417, "Expect: 100-continue, x"),
        refused(417, "Expect: 100-continue\nExpect: x"),
        refused(417, "Expect: 100-continue=1"),
        refused(417, "Expect: 100-continue;q=1"),
        (400, "POST / HTTP/1.0\nTransfer-Encoding: chunked\n\n".to_string()),
        (400, "POST / HTTP/1.0\nTransfer-Encoding: gzip\n\n".to_string()),
    ]);
}

#[test]
fn malformed_fields() {
    let refused = |lines: &str| (400, with(lines));
    assert_refused(&[
        // Folding, and space where it is not allowed.
        refused("X: a\n b"),
        refused("X: a\n\tb"),
        refused("X:\n a"),
        refused("X : a"),
        refused("X\t: a"),
        refused(" X: a"),
        refused("Content-Length : 5"),
        refused("Transfer-Encoding : chunked"),
        (400, "GET / HTTP/1.1\n Host: a\n\n".to_string()),
        // Names.
        refused("X"),
        refused(": a"),
        refused("X y: a"),
        refused("X\u{e9}: a"),
        refused("X(: a"),
        refused("X\0: a"),
        // Control bytes in values.
        refused("X: a\0b"),
        refused("X: \0"),
        refused("X: a\u{7f}b"),
        refused("X: a\u{1}"),
        refused("X: a\u{1b}[1m"),
        // Host.
        (400, "GET / HTTP/1.1\n\n".to_string()),
        (400, "GET / HTTP/1.1\nX-Host: a\n\n".to_string()),
        (400, "GET http://a/ HTTP/1.1\n\n".to_string()),
        refused("Host: a"),
        refused("host: b"),
        (400, "GET / HTTP/1.0\nHost: a\nHost: a\n\n".to_string()),
    ]);
    for host in [
        "a b", "a/b", "a@b", "a?b", "a#b", "a\\b", "<a>", "\"a\"", "é", "http://a", "a:b", "a:80:80", ":80", "::1",
        "[::1", "::1]", "[::1]x", "[a:80", "[]", "[::1]:x", "a]", "a[1]", "a:+80", "a:8 0", "a%", "a%zz",
    ] {
        assert_refused(&[(400, format!("GET / HTTP/1.1\nHost: {host}\n\n"))]);
    }
}

#[test]
fn bare_line_ends() {
    let good = ["GET / HTTP/1.1\n", "Host: a\n", "X: b\n", "Y:\n", "\n"];
    // Every line end in turn as LF, as CR, doubled, and reversed.
    for at in 0..good.len() {
        for end in ["␊", "␍", "␍␍␊", "␊␍"] {
            let line = |(i, line): (usize, &&str)| if i == at { line.replace('\n', end) } else { line.to_string() };
            let head: String = good.iter().enumerate().map(line).collect();
            // A final CR may still become a CRLF.
            let head = if at + 1 == good.len() { head + "x" } else { head };
            assert_refused(&[(400, head)]);
        }
    }
    // A bare one, or a NUL, before each byte of a valid head and in its place.
    let head = bytes(&good.concat());
    for at in 0..head.len() {
        for odd in [b'\n', b'\r', b'\0'] {
            for (how, rest) in [("before", &head[at..]), ("instead of", &head[at + 1..])] {
                let broken = [&head[..at], &[odd], rest].concat();
                // Before the last LF it only follows a valid head.
                let is_good = broken.starts_with(&head);
                assert_eq!(read(&broken).is_err(), !is_good, "{odd:#x} {how} byte {at} of {:?}", good.concat());
            }
        }
    }
}

#[test]
fn bad_request_lines_and_targets() {
    let refused = |line: &str| (400, format!("{line}\nHost: a\n\n"));
    assert_refused(&[
        refused("GET a HTTP/1.1"),
        refused("GET a/b HTTP/1.1"),
        refused("GET ?a HTTP/1.1"),
        refused("GET * HTTP/1.1"),
        refused("OPTIONS ** HTTP/1.1"),
        refused("GET a:80 HTTP/1.1"),
        refused("GET /a#b HTTP/1.1"),
        refused("GET # HTTP/1.1"),
        refused("GET /\u{7f} HTTP/1.1"),
        refused("GET /\0 HTTP/1.1"),
        refused("GET /\u{1} HTTP/1.1"),
        refused("GET /\t HTTP/1.1"),
        refused("GET /a b HTTP/1.1"),
        refused("GET  / HTTP/1.1"),
        refused("GET /  HTTP/1.1"),
        refused("GET / HTTP/1.1 "),
        refused(" GET / HTTP/1.1"),
        refused("GET\t/\tHTTP/1.1"),
        refused("G(T / HTTP/1.1"),
        refused("G\0T / HTTP/1.1"),
        refused("É / HTTP/1.1"),
        refused("GET"),
        refused("GET /"),
        refused("GET / "),
        refused("GET / http/1.1"),
        refused("GET / HTTP"),
        refused("GET / HTTP/1"),
        refused("GET / HTTP/1.11"),
        refused("GET / HTTP/11.1"),
        refused("GET / HTTP/-1.1"),
        refused("GET / HTTP/1.x"),
        refused("GET / HTTQ/1.1"),
        refused("GET / HTTP/1.1\0"),
    ]);
    for path in ["/%", "/%4", "/%g0", "/%0g", "/a%20%", "/%%20", "/%?%20", "http://b/%0", "/é%"] {
        assert_refused(&[(400, get(path))]);
    }
    for absolute in [
        "http://",
        "http:///a",
        "http://?a",
        "http://b@c/",
        "http://b:c@d/",
        "http://b\\c/",
        "http://é/",
        "ftp://b/",
        "http:/b",
        "http:b",
        "://b/",
        "http//b/",
        "http://b:x/",
        "http://:80/",
        "http://[::1/",
        "http://[::1]b/",
    ] {
        assert_refused(&[(400, get(absolute))]);
    }
}

#[test]
fn a_target_that_is_not_utf8_is_reported() {
    for target in [&b"/caf\xe9"[..], b"/\xff", b"/?x=\xc3", b"\x80", b"/\xc3\xa9\xc3"] {
        let head = [b"GET ", target, b" HTTP/1.1\r\nHost: a\r\n\r\n"].concat();
        let error = read(&head).unwrap_err();
        assert_eq!((error.status.as_u16(), error.reason), (400, NOT_UTF8.reason), "{}", target.escape_ascii());
    }
    // Nothing else is reported so.
    for head in ["GET / é HTTP/1.1\n", "GET /a\u{7f} HTTP/1.1\nX: é\n\n", "É /é HTTP/1.1\n\n"] {
        assert_ne!(read(&bytes(head)).unwrap_err().reason, NOT_UTF8.reason, "{head:?}");
    }
}

#[test]
fn unsupported_methods_and_versions() {
    let refused = |status, line: &str| (status, format!("{line}\nHost: a\n\n"));
    assert_refused(&[
        refused(501, "CONNECT a:80 HTTP/1.1"),
        refused(501, "CONNECT / HTTP/1.1"),
        refused(505, "GET / HTTP/2.0"),
        refused(505, "PRI * HTTP/2.0"),
        refused(505, "GET / HTTP/1.2"),
        refused(505, "GET / HTTP/0.9"),
        refused(505, "GET / HTTP/3.0"),
        refused(505, "GET /a/longer/path HTTP/9.9"),
    ]);
}

#[test]
fn a_later_minor_version_is_found() {
    for (head, expected) in [
        ("GET / HTTP/1.2\r\n", Some(13)),
        ("GET / HTTP/1.9\nHost", Some(13)),
        ("GET /a HTTP/1.3\r\nX: HTTP/1.4\r\n", Some(14)),
        ("GET / HTTP/1.2", None), // its line is incomplete
        ("GET / HTTP/1.1\r\n", None),
        ("GET / HTTP/1.0\r\n", None),
        ("GET / HTTP/1.1\r\nX: HTTP/1.2\r\n", None),
        ("GET / HTTP/2.2\r\n", None),
        ("GET / HTTP/1.10\r\n", None),
        ("GET / HTTP/1.22\r\n", None),
        ("GET / http/1.2\r\n", None),
        ("GET / HTTP/1.2 \r\n", None),
        ("GET  / HTTP/1.2\r\n", None),
        ("GET / x HTTP/1.2\r\n", None),
        ("HTTP/1.2\r\n", None),
        ("\r\n", None),
    ] {
        assert_eq!(later_minor_version(head.as_bytes()), expected, "{head:?}");
    }
}

#[test]
fn limits_at_their_edge() {
    let limits = Limits { request_line_bytes_max: 40, header_bytes_max: 60, header_count_max: 4, ..Limits::default() };
    let line = |bytes: usize| format!("GET /{} HTTP/1.1\r\n", "x".repeat(bytes - "GET / HTTP/1.1".len()));
    let fields = |bytes: usize| format!("Host: a\r\nX: {}\r\n\r\n", "y".repeat(bytes - "Host: a\r\nX: \r\n\r\n".len()));
    let count = |count: usize| format!("Host: a\r\n{}\r\n", "X: y\r\n".repeat(count - 1));
    for (name, head, status) in [
        ("line at its limit", line(40) + &fields(30), None),
        ("line above", line(41) + &fields(30), Some(414)),
        ("header at its limit", line(20) + &fields(60), None),
        ("header above", line(20) + &fields(61), Some(431)),
        ("both at their limit", line(40) + &fields(60), None),
        ("count at its limit", line(20) + &count(4), None),
        ("count above", line(20) + &count(5), Some(431)),
        ("endless line", "G".repeat(400), Some(414)),
        ("endless header", line(20) + "Host: a\r\nX: " + &"y".repeat(400), Some(431)),
        ("endless fields", line(20) + &"X: y\r\n".repeat(100), Some(431)),
        ("endless empty lines", "\r\n".repeat(100), Some(431)),
    ] {
        let got = |at: usize| {
            let read = read_with(&head.as_bytes()[..at], &limits);
            read.map(|read| read.is_some()).map_err(|e| e.status.as_u16())
        };
        // A limit may be exceeded before the end; then it stays exceeded.
        let refused_at = (0..=head.len()).find(|&at| got(at).is_err());
        for at in 0..head.len() {
            let expected =
                if refused_at.is_some_and(|from| at >= from) { status.map_or(Ok(true), Err) } else { Ok(false) };
            assert_eq!(got(at), expected, "{name}, cut at {at}");
        }
        assert_eq!(got(head.len()), status.map_or(Ok(true), Err), "{name}");
    }
}
