//! Conversations with one connection: what a client sends, and what it is told. Each is also fed byte by byte, and cut at each
//! index.

use super::frame::{PREFACE, flag, kind};
use super::test_client::*;
use crate::http1::test_client::Paths;
use crate::protocol::{Closing, Next};

/// Runs a conversation whole, byte by byte and in two parts. It has to say the same each time.
fn says(sent: &[u8], expected: &str) {
    let run = |parts: &[&[u8]]| {
        let mut client = Client::new(Paths);
        parts.iter().for_each(|part| {
            client.send(part);
        });
        client.told()
    };
    assert_eq!(run(&[sent]), expected, "whole");
    assert_eq!(run(&sent.chunks(1).collect::<Vec<_>>()), expected, "byte by byte");
    for at in 0..sent.len() {
        assert_eq!(run(&[&sent[..at], &sent[at..]]), expected, "cut at {at}");
    }
}

const HI: &str = " :status=200 content-type=text/plain; charset=utf-8 content-length=2\n";

#[test]
fn requests_are_answered() {
    let post = |id, path, more: &[(&str, &str)], parts: &[&[u8]]| {
        let mut all = request(id, parts.is_empty(), "POST", path, more);
        for (at, part) in parts.iter().enumerate() {
            all.extend(data(id, part, at + 1 == parts.len()));
        }
        all
    };
    let failed = " :status=500 content-type=text/plain; charset=utf-8 content-length=54\n";
    let failure = "500 Internal Server Error: the application failed\n";
    assert_eq!(failure.len() + 4, 54);
    let failed = failed.replace("54", "50");
    for (sent, expected) in [
        (get(1, "/text"), format!("HEADERS 1{HI}DATA 1 end hi\n")),
        (
            [get(1, "/text"), get(3, "/text")].concat(),
            format!("HEADERS 1{HI}DATA 1 end hi\nHEADERS 3{HI}DATA 3 end hi\n"),
        ),
        (request(1, true, "HEAD", "/text", &[]), format!("HEADERS 1 end{HI}")),
        (get(1, "/204"), "HEADERS 1 end :status=204\n".into()),
        (get(1, "/304"), "HEADERS 1 end :status=304\n".into()),
        (get(1, "/204/stream"), "HEADERS 1 end :status=204\n".into()),
        (get(1, "/sized"), "HEADERS 1 :status=200 content-length=3\nDATA 1 end abc\n".into()),
        (get(1, "/stream"), "HEADERS 1 :status=200\nDATA 1 end onetwothree\n".into()),
        (request(1, true, "HEAD", "/stream", &[]), "HEADERS 1 end :status=200\n".into()),
        (post(1, "/echo", &[], &[b"ab", b"", b"c"]), "HEADERS 1 :status=200 content-length=3\nDATA 1 end abc\n".into()),
        (post(1, "/echo", &[], &[]), "HEADERS 1 end :status=200 content-length=0\n".into()),
        (
            post(1, "/echo", &[("content-length", "2")], &[b"ab"]),
            "HEADERS 1 :status=200 content-length=2\nDATA 1 end ab\n".into(),
        ),
        (
            post(1, "/echo/nibbling", &[], &[b"abcdefgh"]),
            "HEADERS 1 :status=200 content-length=8\nDATA 1 end abcdefgh\n".into(),
        ),
        // The body is not needed: it is dropped.
        (post(1, "/text", &[], &[b"ab", b"c"]), format!("HEADERS 1{HI}DATA 1 end hi\n")),
        // curl ends a body early that is not needed.
        (
            [request(1, false, "POST", "/text", &[("content-length", "4")]), data(1, b"", true)].concat(),
            format!("HEADERS 1{HI}DATA 1 end hi\n"),
        ),
        (get(1, "/fails"), format!("HEADERS 1{failed}DATA 1 end {failure}\n")),
        (get(1, "/headless"), format!("HEADERS 1{failed}DATA 1 end {failure}\n")),
        (get(1, "/splitting"), format!("HEADERS 1{failed}DATA 1 end {failure}\n")),
        (get(1, "/fails/late"), "HEADERS 1 :status=200\nRST_STREAM 1 2\n".into()),
        (get(1, "/too-short"), "HEADERS 1 :status=200 content-length=3\nRST_STREAM 1 2\n".into()),
        (frame(kind::PING, 0, 0, b"12345678"), "PING ACK 12345678\n".into()),
        (frame(99, 7, 5, b"unknown"), String::new()),
        (settings(&[(4, 1)]), "SETTINGS ACK\n".into()),
    ] {
        says(&sent, &expected);
    }
}

#[test]
fn what_breaks_the_rules_of_one_stream_ends_that() {
    let with = |more: &[(&str, &str)]| request(1, true, "GET", "/text", more);
    let pseudo = |fields: &[(&str, &str)]| headers(1, true, fields);
    let (m, s, p) = ((":method", "GET"), (":scheme", "http"), (":path", "/text"));
    let malformed = [
        with(&[("Upper", "x")]),
        with(&[("connection", "close")]),
        with(&[("transfer-encoding", "chunked")]),
        with(&[("te", "gzip")]),
        with(&[("x", "a\nb")]),
        with(&[("x", " a")]),
        with(&[("", "a")]),
        with(&[("x y", "a")]),
        with(&[(":path", "/late")]),
        with(&[("host", "other")]),
        with(&[("content-length", "1")]),
        pseudo(&[m, s]),
        pseudo(&[m, p]),
        pseudo(&[s, p]),
        pseudo(&[m, m, s, p]),
        pseudo(&[m, s, p, (":status", "200")]),
        pseudo(&[m, s, (":path", "")]),
        pseudo(&[m, s, (":path", "text")]),
        pseudo(&[m, s, (":path", "*")]),
    ];
    for sent in &malformed {
        // The connection goes on.
        says(&[&sent[..], &get(3, "/text")].concat(), &format!("RST_STREAM 1 1\nHEADERS 3{HI}DATA 3 end hi\n"));
    }
    let open = request(1, false, "POST", "/idle", &[("content-length", "2")]);
    for (after, code) in [
        (data(1, b"abc", false), 1),
        (data(1, b"a", true), 1),
        (headers(1, false, &[("trailer", "x")]), 1),
        (headers(1, true, &[(":path", "x")]), 1),
        (window(1, 0x7fff_ffff), 3),
        (frame(kind::WINDOW_UPDATE, 0, 1, &[0; 4]), 1),
        (frame(kind::PRIORITY, 0, 1, &[0; 4]), 6),
        (frame(kind::PRIORITY, 0, 1, &[0, 0, 0, 1, 0]), 1),
    ] {
        says(
            &[&open[..], &after, &get(3, "/text")].concat(),
            &format!("RST_STREAM 1 {code}\nHEADERS 3{HI}DATA 3 end hi\n"),
        );
    }
    let ended = request(1, true, "GET", "/head-first", &[]);
    // What the head's exchange says first is told, too.
    let waiting = Client::new(Paths).send(&ended);
    assert_ne!(waiting, Next::Close(Closing::Lingering));
}

#[test]
fn what_breaks_the_rules_of_the_connection_ends_it() {
    let first_part = |flags| frame(kind::HEADERS, flags, 1, &block(&[(":method", "GET")]));
    for (sent, last, code) in [
        (data(1, b"x", true), 0, 1),
        (data(0, b"x", true), 0, 1),
        (rst(1, 8), 0, 1),
        (window(1, 1), 0, 1),
        (window(0, 0x7fff_ffff), 0, 3),
        (frame(kind::WINDOW_UPDATE, 0, 0, &[0; 4]), 0, 1),
        (frame(kind::WINDOW_UPDATE, 0, 0, &[0; 3]), 0, 6),
        (headers(2, true, &[]), 0, 1),
        (headers(0, true, &[]), 0, 1),
        (frame(kind::HEADERS, flag::END_HEADERS, 1, &[0x80]), 0, 9),
        (frame(kind::PING, 0, 0, b"1234567"), 0, 6),
        (frame(kind::PING, 0, 1, b"12345678"), 0, 1),
        (frame(kind::SETTINGS, 0, 0, &[0; 5]), 0, 6),
        (frame(kind::SETTINGS, flag::ACK, 0, &[0; 6]), 0, 6),
        (settings(&[(2, 2)]), 0, 1),
        (settings(&[(4, 0x8000_0000)]), 0, 3),
        (settings(&[(5, 1)]), 0, 1),
        (frame(kind::PUSH_PROMISE, 0, 1, &[0; 4]), 0, 1),
        (frame(kind::CONTINUATION, flag::END_HEADERS, 1, b""), 0, 1),
        ([first_part(0), get(3, "/text")].concat(), 0, 1),
        ([first_part(0), frame(99, 0, 1, b"")].concat(), 0, 1),
        ([first_part(0), frame(kind::CONTINUATION, 0, 3, b"")].concat(), 0, 1),
        (vec![0, 0x40, 1, 0, 0, 0, 0, 0, 1], 0, 6),
        // Streams of the server.
        ([get(3, "/text"), rst(2, 8)].concat(), 3, 1),
        ([get(3, "/text"), data(2, b"x", true)].concat(), 3, 1),
        ([get(3, "/text"), window(2, 1)].concat(), 3, 1),
        ([get(3, "/text"), window(2, 0)].concat(), 3, 1),
        ([get(3, "/text"), frame(kind::PRIORITY, 0, 2, &[0; 4])].concat(), 3, 6),
        ([get(3, "/text"), frame(kind::PRIORITY_UPDATE, 0, 0, b"\0\0\0\x02u=1")].concat(), 3, 1),
        // Streams that have ended.
        ([get(1, "/text"), data(1, b"x", true)].concat(), 1, 5),
        ([get(3, "/text"), get(1, "/text")].concat(), 3, 5),
        ([get(1, "/text"), get(1, "/text")].concat(), 1, 5),
        ([request(1, false, "POST", "/idle", &[]), rst(1, 8), data(1, b"x", true)].concat(), 1, 5),
    ] {
        let mut client = Client::new(Paths);
        assert_eq!(client.send(&sent), Next::Close(Closing::Lingering), "{sent:?}");
        let told = client.told();
        assert!(told.ends_with(&format!("GOAWAY {last} {code}\n")), "{sent:?}: {told}");
    }
}

#[test]
fn frames_of_a_stream_that_was_reset_are_ignored() {
    // Too much data: the server resets the stream.
    let open = [request(1, false, "POST", "/idle", &[("content-length", "1")]), data(1, b"ab", false)].concat();
    let late = [data(1, b"on its way", false), headers(1, true, &[("trailer", "x")]), window(1, 5), rst(1, 8)].concat();
    says(&[&open[..], &late, &get(3, "/text")].concat(), &format!("RST_STREAM 1 1\nHEADERS 3{HI}DATA 3 end hi\n"));
}

#[test]
fn the_preface_comes_first_and_settings_after_it() {
    for (sent, code) in [
        (b"PRI * HTTP/2.0\r\n\r\nXM\r\n\r\n".to_vec(), 1),
        ([&PREFACE[..], &get(1, "/text")].concat(), 1),
        ([&PREFACE[..], &frame(kind::SETTINGS, flag::ACK, 0, b"")].concat(), 1),
    ] {
        let mut client = Client::silent(Paths);
        assert_eq!(client.send(&sent), Next::Close(Closing::Lingering));
        let told = client.told();
        assert!(told.ends_with(&format!("GOAWAY 0 {code}\n")), "{told}");
    }
    for at in 0..PREFACE.len() {
        let mut client = Client::silent(Paths);
        assert_eq!(client.send(&PREFACE[..at]), Next::Wait);
        client.send(&[&PREFACE[at..], &settings(&[]), &get(1, "/text")].concat());
        let told = client.told();
        assert!(told.ends_with(&format!("SETTINGS ACK\nHEADERS 1{HI}DATA 1 end hi\n")), "{told}");
    }
}

#[test]
fn what_does_no_work_ends_the_connection_after_a_while() {
    let opened = |path| move |at: u32| [request(2 * at + 1, false, "POST", path, &[]), rst(2 * at + 1, 8)].concat();
    type Frames = Box<dyn Fn(u32) -> Vec<u8>>;
    let floods: [(&str, Frames); 10] = [
        // The first resets it.
        ("of a stream that was reset", Box::new(|_| headers(1, true, &[("x", "y")]))),
        ("windows of a stream that has ended", Box::new(|at| if at == 0 { get(1, "/text") } else { window(1, 1000) })),
        ("rapid reset", Box::new(opened("/idle"))),
        (
            "made to reset",
            Box::new(|at| [request(2 * at + 1, false, "POST", "/idle", &[]), window(2 * at + 1, 0x7fff_ffff)].concat()),
        ),
        ("malformed", Box::new(|at| headers(2 * at + 1, true, &[("x", "y")]))),
        ("pings", Box::new(|_| frame(kind::PING, 0, 0, b"12345678"))),
        ("settings", Box::new(|_| settings(&[]))),
        ("priorities", Box::new(|_| frame(kind::PRIORITY, 0, 1, &[0, 0, 0, 3, 0]))),
        ("tiny windows", Box::new(|_| window(0, 1))),
        ("unknown", Box::new(|_| frame(99, 0, 0, b""))),
    ];
    for (name, one) in floods {
        let mut client = Client::new(Paths);
        let count = (0..20_000).take_while(|&at| client.send(&one(at)) == Next::Wait).count();
        assert!((90..1100).contains(&count), "{name}: {count}");
        let told = client.told();
        assert!(told.trim_end().ends_with(" 11"), "{name}: {}", told.lines().last().unwrap_or_default());
    }
    let mut client = Client::new(Paths);
    client.send(&frame(kind::HEADERS, 0, 1, &block(&[(":method", "GET")])));
    let count = (0..20_000).take_while(|_| client.send(&frame(kind::CONTINUATION, 0, 1, b"")) == Next::Wait).count();
    assert!(count < 1100, "{count}");
}

#[test]
fn a_block_that_is_repeated_enters_the_table_each_time() {
    let get = [&[0x82, 0x86, 0x44, 5][..], b"/text", &[0x41, 1, b't']].concat();
    let enters = [&get[..], &[0x40, 1, b'x', 1, b'y']].concat();
    // The first of the nine entries: in a table that lacks any of them it does not exist.
    let refers = [&get[..], &[0x80 | (61 + 9)]].concat();
    let ends = flag::END_STREAM | flag::END_HEADERS;
    let blocks = [&enters, &enters, &enters, &refers];
    let sent: Vec<u8> =
        blocks.iter().zip([1, 3, 5, 7]).flat_map(|(block, id)| frame(kind::HEADERS, ends, id, block)).collect();
    let expected = [1, 3, 5, 7].map(|id| format!("HEADERS {id}{HI}DATA {id} end hi\n"));
    says(&sent, &expected.concat());
}
