//! Conversations as tables: what a client sends, what it gets, and what the connection does then. Each conversation is
//! sent in one piece, byte by byte, and cut in two at every index, with the same result.

use super::*;
use crate::app::Answer;
use crate::http::{Request, Response};
use crate::http1::DISCARD_BYTES_MAX;
use crate::http1::test_client::*;
use crate::protocol::Closing::{Cut, Flushed, Lingering, Reset};
use crate::protocol::Next::{Close, Wait};

fn converse<'a>(pieces: impl IntoIterator<Item = &'a [u8]>, ends: bool) -> (String, Next) {
    let mut client = Client::new(Paths);
    let mut next = client.run();
    for piece in pieces {
        if next != Wait {
            break;
        }
        next = client.send(piece);
    }
    if ends && next == Wait {
        next = client.end();
    }
    (client.text(), next)
}

fn assert_conversations(ends: bool, cases: Vec<(&str, String, String, Next)>) {
    for (name, input, output, next) in cases {
        let input = input.as_bytes();
        let expected = (output, next);
        assert_eq!(converse([input], ends), expected, "{name}, in one piece");
        assert_eq!(converse(input.chunks(1), ends), expected, "{name}, byte by byte");
        for at in 0..input.len() {
            assert_eq!(converse([&input[..at], &input[at..]], ends), expected, "{name}, cut at {at}");
        }
    }
}

#[test]
fn requests_are_answered_in_order() {
    let (both, echo) = (get("/text") + &get("/stream"), |body: &str| sized("200 OK", "", body));
    let cl = |n: usize| format!("Content-Length: {n}\r\n");
    let chunked = "Transfer-Encoding: chunked\r\n";
    assert_conversations(
        false,
        vec![
            ("nothing", "".into(), "".into(), Wait),
            ("one", get("/text"), hi(), Wait),
            ("empty lines before it", "\r\n\r\n".to_string() + &get("/text") + "\r\n", hi(), Wait),
            ("an incomplete one", get("/text")[..20].into(), "".into(), Wait),
            ("two", both.clone(), hi() + STREAMED, Wait),
            (
                "many",
                both.repeat(3) + &get("/x"),
                (hi() + STREAMED).repeat(3) + &text("404 Not Found", "", "no /x"),
                Wait,
            ),
            ("a later minor version", get("/text").replace("1.1", "1.2") + &both, hi() + &hi() + STREAMED, Wait),
            ("the last of them", both.replace("1.1", "1.9"), hi() + STREAMED, Wait),
            ("sized", get("/sized"), echo("abc"), Wait),
            ("echo", post("/echo", &cl(5), "hello") + &get("/text"), echo("hello") + &hi(), Wait),
            ("echo of nothing", post("/echo", "", "") + &get("/text"), echo("") + &hi(), Wait),
            (
                "chunked",
                post("/echo", chunked, "3;x\r\nabc\r\n2\r\nde\r\n0\r\nT: u\r\n\r\n") + &get("/text"),
                echo("abcde") + &hi(),
                Wait,
            ),
            (
                "in bites, idling",
                post("/echo/nibbling", &cl(8), "01234567") + &get("/text"),
                echo("01234567") + &hi(),
                Wait,
            ),
            (
                "chunks in bites",
                post("/echo/nibbling", chunked, "8\r\n01234567\r\n1\r\n8\r\n0\r\n\r\n"),
                echo("012345678"),
                Wait,
            ),
            ("an incomplete body", post("/echo", &cl(5), "hell"), "".into(), Wait),
        ],
    );
}

#[test]
fn responses_without_bodies_and_older_clients() {
    let head = |path: &str| get(path).replace("GET", "HEAD");
    let old = |path: &str, fields: &str| format!("GET {path} HTTP/1.0\r\n{fields}\r\n");
    let keep = "Connection: keep-alive\r\n";
    let first = |response: String| response.split_inclusive("\r\n\r\n").next().unwrap_or_default().to_string();
    let closed = get("/text").replace("Host: a", "Host: a\r\nConnection: close");
    assert_conversations(
        false,
        vec![
            ("HEAD of a response", head("/text") + &get("/text"), first(hi()) + &hi(), Wait),
            ("HEAD of a sized one", head("/sized") + &get("/text"), first(sized("200 OK", "", "abc")) + &hi(), Wait),
            ("HEAD of a stream", head("/stream") + &get("/text"), CHUNKED.to_string() + &hi(), Wait),
            ("204", get("/204") + &get("/text"), "HTTP/1.1 204 No Content\r\n\r\n".to_string() + &hi(), Wait),
            (
                "204, streamed",
                get("/204/stream") + &get("/text"),
                "HTTP/1.1 204 No Content\r\n\r\n".to_string() + &hi(),
                Wait,
            ),
            ("304", get("/304") + &get("/text"), "HTTP/1.1 304 Not Modified\r\n\r\n".to_string() + &hi(), Wait),
            ("close", closed, text("200 OK", CLOSE, "hi"), Close(Flushed)),
            ("1.0", old("/text", ""), text("200 OK", CLOSE, "hi"), Close(Flushed)),
            ("1.0, kept", old("/text", keep).repeat(2), text("200 OK", keep, "hi").repeat(2), Wait),
            (
                "1.0, stream",
                old("/stream", keep),
                format!("HTTP/1.1 200 OK\r\n{CLOSE}\r\nonetwothree"),
                Close(Lingering),
            ),
            ("1.0, HEAD", old("/stream", keep).replace("GET", "HEAD"), format!("HTTP/1.1 200 OK\r\n{keep}\r\n"), Wait),
        ],
    );
}

#[test]
fn unread_bodies_do_not_desynchronise() {
    let looks_like_a_request = get("/evil");
    let cl = format!("Content-Length: {}\r\n", looks_like_a_request.len());
    let chunked = "Transfer-Encoding: chunked\r\n";
    let chunk = format!("{:x}\r\n{looks_like_a_request}\r\n0\r\nGET: /evil\r\n\r\n", looks_like_a_request.len());
    let no = sized("403 Forbidden", "", "no");
    let huge = (DISCARD_BYTES_MAX + 1).to_string();
    let close = format!("{cl}{CLOSE}");
    assert_conversations(
        false,
        vec![
            ("known", post("/text", &cl, &looks_like_a_request) + &get("/text"), hi() + &hi(), Wait),
            ("chunked", post("/text", chunked, &chunk) + &get("/text"), hi() + &hi(), Wait),
            (
                "left by an exchange",
                post("/refuse", &cl, &looks_like_a_request) + &get("/text"),
                no.clone() + &hi(),
                Wait,
            ),
            ("left, chunked", post("/refuse", chunked, &chunk) + &get("/text"), no.clone() + &hi(), Wait),
            (
                "after a failure",
                post("/fails/push", &cl, &looks_like_a_request) + &get("/text"),
                failed("") + &hi(),
                Wait,
            ),
            ("incomplete", post("/text", &cl, "abc"), hi(), Wait),
            ("malformed after the answer", post("/text", chunked, "x\r\n"), hi(), Close(Lingering)),
            (
                "larger than what is dropped",
                post("/text", &format!("Content-Length: {huge}\r\n"), ""),
                text("200 OK", CLOSE, "hi"),
                Close(Lingering),
            ),
            ("a body of a closing request", post("/text", &close, ""), text("200 OK", CLOSE, "hi"), Close(Lingering)),
        ],
    );
}

#[test]
fn an_endless_unread_body_is_dropped_up_to_a_limit() {
    let mut client = Client::new(Paths);
    assert_eq!(client.send(post("/text", "Transfer-Encoding: chunked\r\n", "").as_bytes()), Wait);
    let chunk = format!("10000\r\n{}\r\n", "x".repeat(0x10000));
    let kept = (0..100).take_while(|_| client.send(chunk.as_bytes()) == Wait).count();
    assert_eq!(kept as u64, DISCARD_BYTES_MAX >> 16);
}

#[test]
fn refusals_close() {
    let bad = |reason| refused("400 Bad Request", reason);
    let chunked = |body| post("/echo", "Transfer-Encoding: chunked\r\n", body);
    let both = get("/text").replace("Host: a", "Host: a\r\nContent-Length: 0\r\nTransfer-Encoding: chunked");
    assert_conversations(
        false,
        vec![
            (
                "no Host",
                "GET / HTTP/1.1\r\n\r\n".into(),
                bad("an HTTP/1.1 request must have a Host header"),
                Close(Lingering),
            ),
            (
                "bare LF",
                "GET / HTTP/1.1\nHost: a\n\n".into(),
                bad("a line of the head ends with a bare LF; lines end with CRLF"),
                Close(Lingering),
            ),
            (
                "an LF before the request",
                "\n".to_string() + &get("/text"),
                bad("a line of the head ends with a bare LF; lines end with CRLF"),
                Close(Lingering),
            ),
            (
                "after a good one",
                get("/text") + &both + &get("/evil"),
                hi() + &bad("both Transfer-Encoding and Content-Length are given"),
                Close(Lingering),
            ),
            (
                "a version",
                "GET / HTTP/2.0\r\nHost: a\r\n\r\n".into(),
                refused("505 HTTP Version Not Supported", "this server speaks HTTP/1.1 and HTTP/1.0"),
                Close(Lingering),
            ),
            (
                "an expectation",
                post("/echo", "Expect: x\r\n", ""),
                refused("417 Expectation Failed", "100-continue is the only expectation met here"),
                Close(Lingering),
            ),
            ("a bad chunk", chunked("x\r\n"), bad("a chunk's size is not a hexadecimal number"), Close(Lingering)),
            (
                "too large a chunk",
                chunked("8000000000000000\r\n"),
                refused("413 Payload Too Large", "a chunk is larger than any body"),
                Close(Lingering),
            ),
        ],
    );
}

#[test]
fn refusals_of_head_have_no_body() {
    let head = |status: &str, length: usize| {
        let kind = "Content-Type: text/plain; charset=utf-8";
        format!("HTTP/1.1 {status}\r\n{kind}\r\nContent-Length: {length}\r\n{CLOSE}\r\n")
    };
    for (request, status) in [
        ("GET /text HTTP/1.1\r\n\r\n".to_string(), 400),
        (get("/text").replace("\r\n", "\n"), 400),
        (get("http:"), 400),
        (get("/text").replace("1.1", "1"), 400),
        (get(&format!("/{}", "x".repeat(9000))), 414),
        (get("/text").replace("Host", &format!("X: {}\r\nHost", "x".repeat(17_000))), 431),
        (get("/text").replace("Host", "Transfer-Encoding: gzip\r\nHost"), 501),
        (get("/text").replace("1.1", "2.0"), 505),
        (get("/text").replace("Host", "Content-Length: 9223372036854775808\r\nHost"), 413),
        (get("/text").replace("Host", "Expect: x\r\nHost"), 417),
        (get("/echo").replace("Host", "Transfer-Encoding: chunked\r\nHost") + "x\r\n", 400),
        (get("/echo").replace("Host", "Content-Length: 5\r\nHost"), 408),
        ("\r\nGET /text HTTP/1.1\r\n".to_string(), 408),
    ] {
        let answer = |method: &str| {
            let mut client = Client::new(Paths);
            let next = match client.send(request.replace("GET", method).as_bytes()) {
                Wait => client.later(client.limits.body_timeout),
                next => next,
            };
            assert_eq!(next, Close(Lingering), "{method} {request:.100}");
            client.text()
        };
        let got = answer("GET");
        let (told, body) = got.split_once("\r\n\r\n").expect("a head");
        assert!(told.starts_with(&format!("HTTP/1.1 {status} ")) && !body.is_empty(), "{request:.100}: {got}");
        let line = told.lines().next().and_then(|line| line.strip_prefix("HTTP/1.1 ")).expect("a status");
        assert_eq!(answer("HEAD"), head(line, body.len()), "{request:.100}");
    }
}

#[test]
fn errors_of_the_app() {
    let then = |path: &str| get(path) + &get("/text");
    let kept = || failed("") + &hi();
    assert_conversations(
        false,
        vec![
            ("splits its response", then("/splitting"), kept(), Wait),
            ("fails before its head", then("/fails"), kept(), Wait),
            ("fails in a push", then("/fails/push"), kept(), Wait),
            ("ends without a head", then("/headless"), kept(), Wait),
            ("writes before its head", then("/body-first"), kept(), Wait),
            ("idles with nothing to wait for", then("/idle"), kept(), Wait),
            (
                "idles over a body that it does not want",
                post("/idle/past", "Content-Length: 1\r\n", "") + "x" + &get("/text"),
                kept(),
                Wait,
            ),
            (
                "takes more than there is",
                post("/takes/too-much", "Content-Length: 1\r\n", "x") + &get("/text"),
                kept(),
                Wait,
            ),
            (
                "idles and takes nothing",
                post("/takes/nothing", "Content-Length: 1\r\n", "x") + &get("/text"),
                kept(),
                Wait,
            ),
            ("fails after its head", get("/fails/late"), format!("{CHUNKED}4\r\npart\r\n"), Close(Cut)),
            (
                "fails after its head, where only the end of the connection ends the body",
                get("/fails/late").replace("HTTP/1.1", "HTTP/1.0"),
                "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\npart".into(),
                Close(Reset),
            ),
            ("writes two heads", get("/two-heads"), CHUNKED.into(), Close(Cut)),
            ("writes too much", get("/too-long"), "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n".into(), Close(Cut)),
            (
                "writes too little",
                get("/too-short"),
                "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nab".into(),
                Close(Cut),
            ),
        ],
    );
}

#[test]
fn half_closed_clients_get_their_responses() {
    let cl = "Content-Length: 8\r\n";
    let echoed = sized("200 OK", "", "01234567");
    assert_conversations(
        true,
        vec![
            ("nothing", "".into(), "".into(), Close(Flushed)),
            ("one", get("/text"), hi(), Close(Flushed)),
            (
                "some",
                get("/text") + &get("/stream") + &get("/sized"),
                hi() + STREAMED + &sized("200 OK", "", "abc"),
                Close(Flushed),
            ),
            ("an echo", post("/echo", cl, "01234567"), echoed.clone(), Close(Flushed)),
            ("an echo in bites, idling", post("/echo/nibbling", cl, "01234567"), echoed, Close(Flushed)),
            ("an unread body", post("/text", cl, "0123"), hi(), Close(Flushed)),
            // An incomplete request gets no response, but the ones before it do.
            ("half a head", get("/text") + "GET /te", hi(), Close(Flushed)),
            ("half a body", get("/text") + &post("/echo", cl, "0123"), hi(), Close(Flushed)),
        ],
    );
}

/// Answers at once with the body that has arrived with the head.
struct Arrived;

impl App for Arrived {
    fn call(&mut self, request: &Request<'_>, _: &Cx<'_>) -> Answer {
        let body = request.arrived_body().map_or("-".to_string(), |body| String::from_utf8_lossy(body).into_owned());
        Response::text(StatusCode::OK, body).into()
    }
}

#[test]
fn a_body_has_arrived_if_all_of_it_has() {
    let both = post("/", "Content-Length: 3\r\n", "abc") + &get("/");
    let head = both.find("abc").expect("the body");
    let ok = |body| text("200 OK", "", body);
    for at in 0..both.len() {
        let mut client = Client::new(Arrived);
        client.send(&both.as_bytes()[..at]);
        client.send(&both.as_bytes()[at..]);
        // The rest of a body that was not there yet is dropped, and is not the next request.
        let expected = if (head..head + 3).contains(&at) { "-" } else { "abc" };
        assert_eq!(client.text(), ok(expected) + &ok("-"), "cut at {at}");
    }
    for (fields, body) in [("Transfer-Encoding: chunked\r\n", "1\r\na\r\n0\r\n\r\n"), ("Content-Length: 0\r\n", "")] {
        let mut client = Client::new(Arrived);
        client.send((post("/", fields, body) + &get("/")).as_bytes());
        assert_eq!(client.text(), ok("-") + &ok("-"), "{fields}");
    }
    let long = DISCARD_BYTES_MAX as usize + 1;
    assert_eq!(arrived_body(BodyLength::Known(long as u64), &vec![0; long]), None, "such a body ends the connection");
    assert_eq!(arrived_body(BodyLength::Known(2), b"abc"), Some(&b"ab"[..]));
}
