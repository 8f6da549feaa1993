//! What is recorded of each request: what it was, how it ended, its bytes in both directions.

use super::test_client::{Client, Paths, get, post, pulled};
use crate::app::{Answer, App, AppError, Cx, Pull};
use crate::dispatch::{Cut, Outcome, Record};
use crate::http::{Head, Request, StatusCode, Version};
use std::time::Duration;
use tine_common::method::Method;

/// Of the requests that these bytes are.
fn records(bytes: &str) -> Vec<Record> {
    let mut client = Client::new(Paths);
    client.send(bytes.as_bytes());
    client.recorder.take_completed()
}

#[track_caller]
fn check(bytes: &str, method: Method, version: Option<Version>, status: u16, outcome: Outcome) {
    let records = records(bytes);
    assert_eq!(records.len(), 1, "{bytes:?}");
    let record = &records[0];
    let seen = (record.method, record.version, record.status.map(|status| status.as_u16()), record.outcome);
    assert_eq!(seen, (method, version, Some(status), outcome), "{bytes:?}");
    assert_eq!(record.request_bytes, bytes.len() as u64, "{bytes:?}");
}

#[test]
fn each_request_has_its_method_version_status_and_outcome() {
    let (http11, answered) = (Some(Version::Http11), Outcome::Answered);
    check(&get("/text"), Method::Get, http11, 200, answered);
    check(&get("/text").replace("1.1", "1.0"), Method::Get, Some(Version::Http10), 200, answered);
    check(&get("/text").replace("GET", "HEAD"), Method::Head, http11, 200, answered);
    check(&get("/nothing").replace("GET", "PROPFIND"), Method::Other, http11, 404, answered);
    check(&post("/echo", "Content-Length: 5\r\n", "hello"), Method::Post, http11, 200, answered);
    let chunked = post("/echo", "Transfer-Encoding: chunked\r\n", "5\r\nhello\r\n0\r\n\r\n");
    check(&chunked, Method::Post, http11, 200, answered);
    check("GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", Method::Get, None, 400, Outcome::Refused);
    check("\0\x01\x02 \r\n\r\n", Method::Other, None, 400, Outcome::Refused);
    let broken = post("/echo", "Transfer-Encoding: chunked\r\n", "nonsense\r\n");
    let record = records(&broken).pop().expect("a record");
    assert_eq!((record.version, record.outcome), (http11, Outcome::Refused), "its head is known");
    assert_eq!(record.status, Some(StatusCode::BAD_REQUEST));
}

#[test]
fn a_head_that_is_late_is_recorded_as_far_as_it_came() {
    let mut client = Client::new(Paths);
    client.send(b"DELETE /x HTT");
    client.later(client.limits.header_timeout + Duration::from_secs(1));
    let record = client.recorder.take_completed().pop().expect("a record");
    assert_eq!((record.method, record.version, record.request_bytes), (Method::Delete, None, 13));
    assert_eq!((record.status, record.outcome), (Some(StatusCode::REQUEST_TIMEOUT), Outcome::Refused));
}

#[test]
fn the_bytes_of_each_pipelined_request_are_its_own() {
    let mut client = Client::new(Paths);
    let requests = [get("/text"), post("/echo", "Content-Length: 5\r\n", "hello"), get("/nothing"), get("/text")];
    client.send(requests.concat().as_bytes());
    let records = client.recorder.take_completed();
    let lengths: Vec<_> = records.iter().map(|record| record.request_bytes as usize).collect();
    assert_eq!(lengths, requests.each_ref().map(String::len));
    let sent: u64 = records.iter().map(|record| record.response_bytes).sum();
    assert_eq!(sent, client.taken.len() as u64);
}

/// What an app does with its response.
#[derive(Clone, Copy)]
enum Fails {
    BeforeHead,
    AfterHead,
    Never,
}

impl App for Fails {
    fn call(&mut self, _: &Request<'_>, _: &Cx<'_>) -> Answer {
        let fails = *self;
        pulled(move |out, cx| {
            match fails {
                Fails::BeforeHead => return Err(AppError::new("as the test wants it")),
                Fails::AfterHead if out.has_head() => return Err(AppError::new("as the test wants it")),
                _ => {}
            }
            if !out.has_head() {
                out.head(Head::new(StatusCode::ACCEPTED))?;
                out.write(b"begun")?;
            }
            Ok(Pull::NotBefore(cx.now() + Duration::from_secs(1)))
        })
    }
}

#[test]
fn a_response_that_is_not_completed_says_why() {
    for (app, status, outcome) in [
        (Fails::BeforeHead, 500, Outcome::Answered),
        (Fails::AfterHead, 202, Outcome::Cut(Cut::App)),
        (Fails::Never, 202, Outcome::ClientLeft),
    ] {
        let mut client = Client::new(app);
        client.send(get("/").as_bytes());
        client.later(Duration::from_secs(1));
        let written = client.taken.len() as u64;
        client.http1.end(get("/").len() as u64, written, Outcome::ClientLeft, &mut client.recorder);
        let mut records = client.recorder.take_completed();
        let record = records.pop().expect("a record");
        assert!(records.is_empty(), "it ends once");
        assert_eq!((record.status.map(|status| status.as_u16()), record.outcome), (Some(status), outcome));
        assert_eq!((record.request_bytes, record.response_bytes), (get("/").len() as u64, written));
    }
}

#[test]
fn a_record_ends_with_what_the_kernel_took() {
    let now = std::time::Instant::now();
    let record = |sent_bytes| {
        let mut record = Record::new(Method::Get, None, 100, now);
        record.head_at(150);
        record.written(400);
        record.end(sent_bytes, now);
        (record.response_bytes, record.first_byte.is_some())
    };
    assert_eq!(
        [50, 100, 101, 150, 151, 400, 500].map(record),
        [(0, false), (0, false), (1, false), (50, false), (51, true), (300, true), (300, true)]
    );
}
