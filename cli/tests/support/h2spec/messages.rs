//! Requests: h2spec's group *http2*, section 8.

use super::case::{Case, Expected, Paths};
use crate::support::http2::{END_HEADERS, Frame, PUSH_PROMISE, block, code, request};
use Expected::{ConnectionError, StreamError};

const PROTOCOL: &[u32] = &[code::PROTOCOL_ERROR];

pub fn cases(paths: Paths) -> Vec<Case> {
    let fields = request("GET", paths.get);
    let with = |more: &[(&'static str, &'static str)]| [&fields[..], more].concat();
    let without = |name: &str| fields.iter().copied().filter(|field| field.0 != name).collect::<Vec<_>>();
    let empty_path = [without(":path"), vec![(":path", "")]].concat();
    let heads = [
        ("8.1.2/1", with(&[("X-TEST", "ok")])),
        ("8.1.2.1/1", with(&[(":test", "ok")])),
        ("8.1.2.1/2", with(&[(":status", "200")])),
        ("8.1.2.1/4", [&[("x-test", "ok")], &fields[..]].concat()),
        ("8.1.2.2/1", with(&[("connection", "keep-alive")])),
        ("8.1.2.2/2", with(&[("trailers", "test"), ("te", "trailers, deflate")])),
        ("8.1.2.3/1", empty_path),
        ("8.1.2.3/2", without(":method")),
        ("8.1.2.3/3", without(":scheme")),
        ("8.1.2.3/4", without(":path")),
        ("8.1.2.3/5", with(&[(":method", "GET")])),
        ("8.1.2.3/6", with(&[(":scheme", "http")])),
        ("8.1.2.3/7", with(&[(":path", paths.get)])),
    ];
    let head = |(id, fields): (&str, Vec<(&str, &str)>)| {
        Case::new(format!("http2/{id}"), [Frame::headers(1, true, block(&fields))], StreamError(PROTOCOL))
    };
    let mut cases: Vec<Case> = heads.into_iter().map(head).collect();
    cases.extend(bodies(paths));
    let promise = [&2u32.to_be_bytes()[..], &block(&fields)].concat();
    let pushed = Frame::new(PUSH_PROMISE, END_HEADERS, 1, promise);
    cases.push(Case::new("http2/8.2/1", [Frame::headers(1, false, block(&fields)), pushed], ConnectionError(PROTOCOL)));
    cases
}

fn bodies(paths: Paths) -> Vec<Case> {
    let post = |more: &[(&'static str, &'static str)]| {
        Frame::headers(1, false, block(&[&request("POST", paths.post), more].concat()))
    };
    let data = |ends_stream| Frame::data(1, ends_stream, *b"test");
    let one = || post(&[("content-length", "1")]);
    let trailers = |ends_stream, name| Frame::headers(1, ends_stream, block(&[(name, "200")]));
    vec![
        Case::new("http2/8.1/1", [post(&[]), data(false), trailers(false, "x-test")], StreamError(PROTOCOL)),
        Case::new("http2/8.1.2.1/3", [post(&[]), data(false), trailers(true, ":status")], StreamError(PROTOCOL)),
        Case::new("http2/8.1.2.6/1", [one(), data(true)], StreamError(PROTOCOL)),
        Case::new("http2/8.1.2.6/2", [one(), data(false), data(true)], StreamError(PROTOCOL)),
    ]
}
