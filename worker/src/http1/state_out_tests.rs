//! What an exchange may write besides a head and a body: interim responses, trailers and raw bytes.

use super::test_client::*;
use crate::app::{Answer, App, AppError, ConnectionEnd, Cx, Out, Pull, RawAccess};
use crate::http::{Head, Request, Response, StatusCode, Trailers};
use crate::protocol::Closing::{Cut, Flushed, Lingering, Reset, ResetTaken};
use crate::protocol::IdleEnd;
use crate::protocol::Next::{Close, Wait};
use std::time::Duration;

/// Answers every request with one pull.
struct Once(fn(&mut Out<'_>) -> Result<(), AppError>);

impl App for Once {
    fn call(&mut self, _: &Request<'_>, _: &Cx<'_>) -> Answer {
        let pull = self.0;
        pulled(move |out, _| pull(out).map(|()| Pull::End))
    }
}

fn once(pull: fn(&mut Out<'_>) -> Result<(), AppError>, request: &str) -> (crate::protocol::Next, String) {
    let mut client = Client::new(Once(pull));
    let next = client.send(request.as_bytes());
    (next, client.text())
}

fn hinted(out: &mut Out<'_>) -> Result<(), AppError> {
    out.interim(Head::new(StatusCode::PROCESSING))?;
    out.interim(Head::new(StatusCode::EARLY_HINTS).header("Link", "</a.css>"))?;
    out.head(Head::new(StatusCode::OK).length(2))?;
    out.write(b"hi")
}

#[test]
fn interim_responses_come_before_the_head() {
    let interim = "HTTP/1.1 102 Processing\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\n\r\n";
    assert_eq!(once(hinted, &get("/")), (Wait, format!("{interim}{}", sized("200 OK", "", "hi"))));
    let old = "GET / HTTP/1.0\r\nHost: a\r\n\r\n";
    assert_eq!(once(hinted, old), (Close(Flushed), sized("200 OK", CLOSE, "hi")), "HTTP/1.0 knows none");
}

#[test]
fn wrong_interim_responses_are_the_apps_error() {
    for (which, pull) in [
        (|out: &mut Out<'_>| out.interim(Head::new(StatusCode::OK))) as fn(&mut Out<'_>) -> Result<(), AppError>,
        |out| out.interim(Head::new(StatusCode::SWITCHING_PROTOCOLS)),
        |out| out.interim(Head::new(StatusCode::EARLY_HINTS).header("Link", "a\r\nb")),
    ]
    .into_iter()
    .enumerate()
    {
        assert_eq!(once(pull, &get("/")), (Wait, failed("")), "{which}");
    }
    let late = |out: &mut Out<'_>| {
        out.head(Head::new(StatusCode::OK))?;
        out.interim(Head::new(StatusCode::PROCESSING))
    };
    assert_eq!(once(late, &get("/")), (Close(Cut), CHUNKED.to_string()));
}

fn summed(out: &mut Out<'_>) -> Result<(), AppError> {
    out.head(Head::new(StatusCode::OK))?;
    out.write(b"hi")?;
    out.trailers(Trailers::new().field("X-Sum", "1").field("X-Other", "2"))
}

#[test]
fn trailers_follow_the_last_chunk_and_nothing_follows_them() {
    let whole = format!("{CHUNKED}2\r\nhi\r\n0\r\nX-Sum: 1\r\nX-Other: 2\r\n\r\n");
    assert_eq!(once(summed, &get("/")), (Wait, whole.clone()));
    let more = |out: &mut Out<'_>| {
        summed(out)?;
        out.write(b"more")
    };
    assert_eq!(once(more, &get("/")), (Close(Cut), whole));
    // Without chunks they are dropped: for HTTP/1.0, for HEAD, after a declared length.
    let old = "GET / HTTP/1.0\r\nHost: a\r\n\r\n";
    assert_eq!(once(summed, old), (Close(Flushed), format!("HTTP/1.1 200 OK\r\n{CLOSE}\r\nhi")));
    assert_eq!(once(summed, "HEAD / HTTP/1.1\r\nHost: a\r\n\r\n"), (Wait, CHUNKED.to_string()));
    let declared = |out: &mut Out<'_>| {
        out.head(Head::new(StatusCode::OK).length(2))?;
        out.write(b"hi")?;
        out.trailers(Trailers::new().field("X-Sum", "1"))
    };
    assert_eq!(once(declared, &get("/")), (Wait, sized("200 OK", "", "hi")));
}

#[test]
fn trailers_that_cannot_be_sent_cut_the_response() {
    let splitting = |out: &mut Out<'_>| {
        out.head(Head::new(StatusCode::OK))?;
        out.trailers(Trailers::new().field("X", "a\r\n\r\nHTTP/1.1 200 OK"))
    };
    assert_eq!(once(splitting, &get("/")), (Close(Cut), CHUNKED.to_string()));
    let headless = |out: &mut Out<'_>| out.trailers(Trailers::new());
    assert_eq!(once(headless, &get("/")), (Wait, failed("")));
}

/// A chunk of six bytes in three writes, and one without `begin_chunk`.
fn chunks(out: &mut Out<'_>) -> Result<(), AppError> {
    out.head(Head::new(StatusCode::OK))?;
    out.begin_chunk(6)?;
    for part in [&b"ab"[..], b"c", b"", b"def", b"ghi"] {
        out.write(part)?;
    }
    out.begin_chunk(0)
}

#[test]
fn a_chunk_that_was_begun_is_one_whatever_the_writes() {
    assert_eq!(once(chunks, &get("/")), (Wait, format!("{CHUNKED}6\r\nabcdef\r\n3\r\nghi\r\n0\r\n\r\n")));
    let old = "GET / HTTP/1.0\r\nHost: a\r\n\r\n";
    assert_eq!(once(chunks, old), (Close(Flushed), format!("HTTP/1.1 200 OK\r\n{CLOSE}\r\nabcdefghi")));
    assert_eq!(once(chunks, "HEAD / HTTP/1.1\r\nHost: a\r\n\r\n"), (Wait, CHUNKED.to_string()));
    let declared = |out: &mut Out<'_>| {
        out.head(Head::new(StatusCode::OK).length(2))?;
        out.begin_chunk(6)?;
        out.write(b"hi")
    };
    assert_eq!(once(declared, &get("/")), (Wait, sized("200 OK", "", "hi")));
}

/// Even if it is larger than what may be queued.
#[test]
fn a_chunk_may_span_pulls() {
    struct Large;
    impl App for Large {
        fn call(&mut self, _: &Request<'_>, _: &Cx<'_>) -> Answer {
            const WRITES: usize = 100;
            let mut left = WRITES;
            pulled(move |out, _| {
                if !out.has_head() {
                    out.head(Head::new(StatusCode::OK))?;
                    out.begin_chunk(WRITES as u64 * 10_000)?;
                }
                while left > 0 && out.has_room() {
                    out.write(&[b'x'; 10_000])?;
                    left -= 1;
                }
                Ok(if left == 0 { Pull::End } else { Pull::More })
            })
        }
    }
    let mut client = Client::new(Large);
    assert_eq!(client.send(get("/").as_bytes()), Wait);
    assert_eq!(client.text(), format!("{CHUNKED}f4240\r\n{}\r\n0\r\n\r\n", "x".repeat(1_000_000)));
}

#[test]
fn a_chunk_that_is_not_as_long_as_declared_cuts_the_response() {
    let short = |out: &mut Out<'_>| {
        out.head(Head::new(StatusCode::OK))?;
        out.begin_chunk(3)?;
        out.write(b"ab")
    };
    let started = format!("{CHUNKED}3\r\nab");
    assert_eq!(once(short, &get("/")), (Close(Cut), started.clone()));
    for (which, then) in [
        (|out: &mut Out<'_>| out.write(b"cd")) as fn(&mut Out<'_>) -> Result<(), AppError>,
        |out| out.begin_chunk(1),
        |out| out.trailers(Trailers::new()),
    ]
    .into_iter()
    .enumerate()
    {
        let mut client = Client::new(Both(short, then));
        assert_eq!((client.send(get("/").as_bytes()), client.text()), (Close(Cut), started.clone()), "{which}");
    }
    assert_eq!(once(|out| out.begin_chunk(1), &get("/")), (Wait, failed("")), "before the head");
}

/// One step after the other, in one pull.
struct Both(fn(&mut Out<'_>) -> Result<(), AppError>, fn(&mut Out<'_>) -> Result<(), AppError>);

impl App for Both {
    fn call(&mut self, _: &Request<'_>, _: &Cx<'_>) -> Answer {
        let Both(first, then) = *self;
        pulled(move |out, _| first(out).and_then(|()| then(out)).map(|()| Pull::End))
    }
}

fn raw(out: &mut Out<'_>, end: ConnectionEnd) -> Result<(), AppError> {
    let mut raw = out.raw(RawAccess::new())?;
    raw.write(b"HTTP/1.1 200 Fine\r\nContent-Length: 9\r\n\r\nhalf")?;
    raw.end(end);
    Ok(())
}

#[test]
fn raw_bytes_are_sent_as_they_are_and_the_app_decides_the_connections_end() {
    let bytes = "HTTP/1.1 200 Fine\r\nContent-Length: 9\r\n\r\nhalf".to_string();
    assert_eq!(once(|out| raw(out, ConnectionEnd::Kept), &get("/")), (Wait, bytes.clone()));
    assert_eq!(once(|out| raw(out, ConnectionEnd::Closed), &get("/")), (Close(Lingering), bytes.clone()));
    assert_eq!(once(|out| raw(out, ConnectionEnd::Reset), &get("/")), (Close(ResetTaken), bytes.clone()));
    let closing = "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
    assert_eq!(once(|out| raw(out, ConnectionEnd::Kept), closing), (Close(Lingering), bytes.clone()));
    let pipelined = format!("{}x", get("/"));
    assert_eq!(once(|out| raw(out, ConnectionEnd::Closed), &pipelined), (Close(Lingering), bytes));
    let nothing = |out: &mut Out<'_>| out.raw(RawAccess::new()).map(|_| ());
    assert_eq!(once(nothing, &get("/")), (Close(Lingering), String::new()));
}

#[test]
fn raw_and_framed_do_not_mix() {
    let raw_then_head = |out: &mut Out<'_>| {
        raw(out, ConnectionEnd::Kept)?;
        out.head(Head::new(StatusCode::OK))
    };
    assert_eq!(once(raw_then_head, &get("/")).0, Close(Reset));
    let raw_then_body = |out: &mut Out<'_>| {
        raw(out, ConnectionEnd::Kept)?;
        out.write(b"x")
    };
    assert_eq!(once(raw_then_body, &get("/")).0, Close(Reset));
    let head_then_raw = |out: &mut Out<'_>| {
        out.head(Head::new(StatusCode::OK))?;
        out.raw(RawAccess::new()).map(|_| ())
    };
    assert_eq!(once(head_then_raw, &get("/")), (Close(Cut), CHUNKED.to_string()));
}

/// Answers with the request's place on its connection.
struct Place;

impl App for Place {
    fn call(&mut self, request: &Request<'_>, _: &Cx<'_>) -> Answer {
        Response::text(StatusCode::OK, request.place().to_string()).into()
    }
}

#[test]
fn requests_know_their_place_on_the_connection() {
    let mut client = Client::new(Place);
    client.send(format!("{}{}", get("/"), post("/", "Content-Length: 2\r\n", "ab")).as_bytes());
    client.send(get("/").as_bytes());
    let answers: String = ["1", "2", "3"].map(|place| text("200 OK", "", place)).concat();
    assert_eq!(client.text(), answers);
}

/// Streams until it learns that the server stops.
struct Forever;

impl App for Forever {
    fn call(&mut self, _: &Request<'_>, _: &Cx<'_>) -> Answer {
        pulled(|out, cx| {
            if !out.has_head() {
                out.head(Head::new(StatusCode::OK))?;
            }
            let goes_on = Pull::NotBefore(cx.now() + Duration::from_secs(3600));
            Ok(if cx.is_draining() { Pull::End } else { goes_on })
        })
    }
}

#[test]
fn an_exchange_that_waits_for_a_time_is_pulled_once_when_the_server_stops() {
    let mut client = Client::new(Forever);
    assert_eq!(client.send(get("/").as_bytes()), Wait);
    assert_eq!(client.later(Duration::from_secs(5)), Wait);
    let end = IdleEnd { began: client.now, stay: Duration::from_millis(300) };
    client.idle_end = Some(end);
    let deadline = client.deadline();
    assert_eq!(deadline, Some(end.at()));
    assert_eq!(client.later(Duration::from_millis(200)), Wait);
    assert_eq!(client.later(Duration::from_millis(100)), Wait);
    assert_eq!(client.text(), format!("{CHUNKED}0\r\n\r\n"));
}

/// Writes a dot whenever it is pulled, and waits to be woken; ends when the server stops.
struct Sleeper;

impl App for Sleeper {
    fn call(&mut self, _: &Request<'_>, _: &Cx<'_>) -> Answer {
        pulled(|out, cx| {
            if !out.has_head() {
                out.head(Head::new(StatusCode::OK))?;
            }
            out.write(b".")?;
            Ok(if cx.is_draining() { Pull::End } else { Pull::Wait })
        })
    }
}

#[test]
fn an_exchange_that_waits_to_be_woken_is_pulled_when_it_is_woken_and_when_the_server_stops() {
    let mut client = Client::new(Sleeper);
    client.waits_to_be_woken = true;
    let dots = |count: usize| format!("{CHUNKED}{}", "1\r\n.\r\n".repeat(count));
    assert_eq!((client.send(get("/").as_bytes()), client.text()), (Wait, dots(1)));
    assert_eq!(client.deadline(), None);
    assert_eq!((client.later(Duration::from_secs(86400)), client.text()), (Wait, dots(1)));
    for woken in 2..4 {
        client.http1.wake();
        assert_eq!((client.run(), client.text()), (Wait, dots(woken)));
    }
    let end = IdleEnd { began: client.now, stay: Duration::from_millis(300) };
    client.idle_end = Some(end);
    assert_eq!(client.deadline(), Some(end.at()));
    assert_eq!((client.later(Duration::from_millis(200)), client.text()), (Wait, dots(3)));
    assert_eq!(client.later(Duration::from_millis(100)), Wait);
    assert_eq!(client.text(), format!("{}0\r\n\r\n", dots(4)));
}

#[test]
fn an_exchange_that_continues_although_the_server_stops_is_pulled_only_once() {
    let mut client = Client::new(Stubborn);
    client.send(get("/").as_bytes());
    let end = IdleEnd { began: client.now, stay: Duration::ZERO };
    client.idle_end = Some(end);
    assert_eq!(client.later(Duration::from_millis(1)), Wait);
    assert!(client.deadline().is_some_and(|at| at > client.now));
    assert_eq!(client.text(), format!("{CHUNKED}1\r\n.\r\n1\r\n.\r\n"));
}

/// Writes a dot at each pull, whatever its reason.
struct Stubborn;

impl App for Stubborn {
    fn call(&mut self, _: &Request<'_>, _: &Cx<'_>) -> Answer {
        pulled(|out, cx| {
            if !out.has_head() {
                out.head(Head::new(StatusCode::OK))?;
            }
            out.write(b".")?;
            Ok(Pull::NotBefore(cx.now() + Duration::from_secs(3600)))
        })
    }
}
