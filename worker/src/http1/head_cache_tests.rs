//! What a cache recalls is what [`parse`] reads, whatever it has kept. Each table of `parse_tests` checks that, too.

use super::super::parse::parse;
use super::*;
use crate::http::Error;
use http::StatusCode;
use std::mem::MaybeUninit;

const FIELDS: &str = "Host: a\r\nUser-Agent: t\r\n\r\n";

fn fields() -> [MaybeUninit<httparse::Header<'static>>; 100] {
    [const { MaybeUninit::uninit() }; 100]
}

/// A cache that has parsed each of these heads.
fn cache_after(heads: &[&str]) -> HeadCache {
    let (mut cache, limits) = (HeadCache::default(), Limits::default());
    for head in heads {
        let mut fields = fields();
        let parsed = parse(head.as_bytes(), &mut fields, &limits).expect("a valid head").expect("a complete head");
        cache.note(head.as_bytes(), &parsed);
    }
    cache
}

fn keeps(cache: &mut HeadCache, head: &str) -> bool {
    cache.recall(head.as_bytes(), &Limits::default()).is_some()
}

#[test]
fn fields_are_kept_once_two_heads_in_a_row_have_had_their_length() {
    let (get, post) = (format!("GET / HTTP/1.1\r\n{FIELDS}"), format!("POST /a?b HTTP/1.1\r\n{FIELDS}"));
    let other = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
    for (heads, kept) in [
        (&[&*get][..], false),
        (&[&*get, &*get], true),
        (&[&*get, &*post], true),
        (&[&*get, other, &*get], false),
        (&[&*get, &*get, other], true),
        (&[&*get, &*get, other, other], false),
    ] {
        assert_eq!(keeps(&mut cache_after(heads), &post), kept, "{heads:?}");
    }
}

#[test]
fn credentials_and_long_fields_are_not_kept_and_http10_is_neither() {
    let long = format!("X: {}", "a".repeat(FIELDS_BYTES_MAX));
    for line in ["Cookie: a=b", "cOOKIE: a=b", "Authorization: Basic eDp5", "Proxy-Authorization: a", &long] {
        let head = format!("GET / HTTP/1.1\r\nHost: a\r\n{line}\r\n\r\n");
        assert!(!keeps(&mut cache_after(&[&head, &head, &head]), &head), "{line:?}");
    }
    let head = format!("GET / HTTP/1.0\r\n{FIELDS}");
    assert!(!keeps(&mut cache_after(&[&head, &head]), &head));
    assert!(!keeps(&mut cache_after(&[&head, &head]), &format!("GET / HTTP/1.1\r\n{FIELDS}")));
}

#[test]
fn the_last_line_is_kept_unless_it_is_long_or_has_a_query() {
    let get = |target: &str| format!("GET {target} HTTP/1.1\r\n{FIELDS}");
    let mut cache = cache_after(&[&get("/"), &get("/")]);
    let long = format!("/{}", "a".repeat(LINE_BYTES_MAX));
    for (target, is_kept) in [("/a", true), ("/a", true), ("/a?token=b", false), ("/ab", true), (&*long, false)] {
        assert!(keeps(&mut cache, &get(target)), "{target}");
        let line = if is_kept { format!("GET {target} HTTP/1.1\r\n") } else { String::new() };
        assert_eq!(cache.line, line, "{target}");
    }
    // A line that begins with the kept one's target.
    assert!(keeps(&mut cache, &get("/a")));
    let head = get("/ab");
    let recalled = cache.recall(head.as_bytes(), &Limits::default()).map(|parsed| parsed.request.target().to_string());
    assert_eq!(recalled.as_deref(), Some("/ab"));
}

#[test]
fn a_line_with_anything_unusual_is_parsed() {
    let get = format!("GET / HTTP/1.1\r\n{FIELDS}");
    let mut cache = cache_after(&[&get, &get]);
    for (line, is_usual) in [
        ("GET / HTTP/1.1\r\n", true),
        ("PUT /a/b?c=d HTTP/1.1\r\n", true),
        ("HEAD /~!$&'()*+,;=:@-._ HTTP/1.1\r\n", true),
        ("GET /%20 HTTP/1.1\r\n", false),
        ("GET /\u{e9} HTTP/1.1\r\n", false),
        ("GET /#a HTTP/1.1\r\n", false),
        ("GET http://a/ HTTP/1.1\r\n", false),
        ("GET / HTTP/1.0\r\n", false),
        ("GET / HTTP/1.2\r\n", false),
        ("GET  / HTTP/1.1\r\n", false),
        ("GET /  HTTP/1.1\r\n", false),
        ("GET / HTTP/1.1\n", false),
        ("DELETE / HTTP/1.1\r\n", false),
        ("OPTIONS * HTTP/1.1\r\n", false),
        ("CONNECT a:1 HTTP/1.1\r\n", false),
        ("get / HTTP/1.1\r\n", false),
    ] {
        assert_eq!(keeps(&mut cache, &format!("{line}{FIELDS}")), is_usual, "{line:?}");
    }
    let limits = Limits { request_line_bytes_max: 14, ..Limits::default() };
    for (target, is_short) in [("/", true), ("/a", false)] {
        let head = format!("GET {target} HTTP/1.1\r\n{FIELDS}");
        assert_eq!(cache.recall(head.as_bytes(), &limits).is_some(), is_short, "{target}");
    }
}

#[test]
fn what_is_recalled_is_what_would_be_parsed() {
    let heads = [
        format!("GET /a HTTP/1.1\r\n{FIELDS}"),
        format!("POST /a HTTP/1.1\r\nContent-Length: 3\r\n{FIELDS}abc"),
        format!("POST /a HTTP/1.1\r\nContent-Length: 4\r\n{FIELDS}abcd"),
        format!("POST /a HTTP/1.1\r\nTransfer-Encoding: chunked\r\n{FIELDS}"),
        format!("GET /a HTTP/1.1\r\nConnection: close\r\n{FIELDS}"),
        format!("GET /a HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 1\r\n{FIELDS}"),
        format!("GET /a HTTP/1.0\r\nConnection: keep-alive\r\n{FIELDS}"),
        "GET /a HTTP/1.1\r\nHost: b\r\nUser-Agent: t\r\n\r\n".to_string(),
        "GET /a HTTP/1.1\r\nHost: a\r\nUser-Agent: t \r\n\r\n".to_string(),
    ];
    let seen = |parsed: Result<Option<Parsed<'_>>, Error>| {
        let parsed = parsed.map_err(|error| error.status)?;
        Ok::<_, StatusCode>(parsed.map(|Parsed { request, length, keep_alive, expects_continue }| {
            let fields =
                request.headers().iter().map(|(name, value)| (name.to_string(), value.to_vec())).collect::<Vec<_>>();
            let line = format!("{} {} {}", request.method(), request.target(), request.version().as_str());
            (line, fields, request.text().to_vec(), request.body_length(), length, keep_alive, expects_continue)
        }))
    };
    let limits = Limits::default();
    let mut recalls = 0;
    for kept in &heads {
        let mut cache = cache_after(&[kept, kept]);
        for head in &heads {
            // Cut anywhere, and with any byte another.
            let cut = (0..=head.len()).map(|end| head.as_bytes()[..end].to_vec());
            let changed = (0..head.len()).map(|at| {
                let mut bytes = head.clone().into_bytes();
                bytes[at] ^= 0x20;
                bytes
            });
            for bytes in cut.chain(changed) {
                let mut fields = fields();
                let expected = seen(parse(&bytes, &mut fields, &limits));
                // The second time by its line.
                for _ in 0..2 {
                    let Some(parsed) = cache.recall(&bytes, &limits) else { continue };
                    recalls += 1;
                    assert_eq!(
                        seen(Ok(Some(parsed))),
                        expected,
                        "{:?} after {kept:?}",
                        String::from_utf8_lossy(&bytes)
                    );
                }
            }
        }
    }
    assert!(recalls > heads.len(), "{recalls}");
}
