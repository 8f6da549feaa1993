//! Starting HTTP/2, frames in general, and the states of streams: h2spec's group *http2*, sections 3 to 5.

use super::case::{Case, Expected, OCTETS, Paths, Step};
use crate::support::http2::{
    CONTINUATION, END_HEADERS, END_STREAM, Frame, HEADERS, PING, PREFACE, WITH_PRIORITY, block, code, priority_fields,
    request, setting,
};
use Expected::{ConnectionError, End, Headers, PingAck, Settings, StreamError};

pub fn cases(paths: Paths) -> Vec<Case> {
    let mut cases = starting();
    cases.extend(frames(paths));
    cases.extend(states(paths));
    cases.extend(others(paths));
    cases
}

const PROTOCOL: &[u32] = &[code::PROTOCOL_ERROR];
const CLOSED: &[u32] = &[code::STREAM_CLOSED];
const CLOSED_OR_PROTOCOL: &[u32] = &[code::STREAM_CLOSED, code::PROTOCOL_ERROR];

fn starting() -> Vec<Case> {
    let preface = [PREFACE, &Frame::settings(&[]).bytes()].concat();
    vec![
        Case::of("http2/3.5/1", vec![Step::Bytes(preface)], Settings),
        Case::of("http2/3.5/2", vec![Step::Bytes(b"INVALID CONNECTION PREFACE\r\n\r\n".to_vec())], End),
    ]
}

fn frames(paths: Paths) -> Vec<Case> {
    let fields = block(&request("GET", paths.get));
    let post = || Frame::headers(1, false, block(&request("POST", paths.post)));
    let ping = |flags, stream| Frame::new(PING, flags, stream, OCTETS);
    let unknown = Frame::new(22, 0, 0, [0; 8]);
    let begun = || Frame::new(HEADERS, 0, 1, &*fields);
    let rest = || Frame::continuation(1, true, block(&[("x-dummy", "x")]));
    let long = [fields.clone(), block(&[("x-dummy", &"x".repeat(16_384))])].concat();
    const SIZE: &[u32] = &[code::FRAME_SIZE_ERROR];
    vec![
        Case::new("http2/4.1/1", [unknown, ping(0, 0)], PingAck(OCTETS)),
        Case::new("http2/4.1/2", [ping(0x16, 0)], PingAck(OCTETS)),
        Case::new("http2/4.1/3", [ping(0, 0x8000_0000)], PingAck(OCTETS)),
        Case::new("http2/4.2/1", [post(), Frame::data(1, true, [b'x'; 16_384])], Headers(1)),
        Case::new("http2/4.2/2", [post(), Frame::data(1, true, [b'x'; 16_385])], StreamError(SIZE)),
        Case::new("http2/4.2/3", [Frame::headers(1, true, long)], ConnectionError(SIZE)),
        Case::new("http2/4.3/1", [Frame::headers(1, true, [0x40])], ConnectionError(&[code::COMPRESSION_ERROR])),
        Case::new("http2/4.3/2", [begun(), Frame::priority(1, 0), rest()], ConnectionError(PROTOCOL)),
        Case::new("http2/4.3/3", [begun(), Frame::headers(3, true, &*fields), rest()], ConnectionError(PROTOCOL)),
    ]
}

fn states(paths: Paths) -> Vec<Case> {
    let fields = block(&request("GET", paths.get));
    let get = |ends_stream| Frame::headers(1, ends_stream, &*fields);
    let data = || Frame::data(1, true, *b"test");
    let continuation = || Frame::new(CONTINUATION, END_HEADERS, 1, &*fields);
    let reset = || Frame::rst_stream(1, code::CANCEL);
    let after_end =
        |frame| vec![Step::Handshake, Step::Send(vec![get(true)]), Step::AwaitEnd(1), Step::Send(vec![frame])];
    vec![
        // idle
        Case::new("http2/5.1/1", [data()], ConnectionError(PROTOCOL)),
        Case::new("http2/5.1/2", [reset()], ConnectionError(PROTOCOL)),
        Case::new("http2/5.1/3", [Frame::window_update(1, 100)], ConnectionError(PROTOCOL)),
        Case::new("http2/5.1/4", [continuation()], ConnectionError(PROTOCOL)),
        // half-closed by the client
        Case::new("http2/5.1/5", [get(true), data()], StreamError(CLOSED)),
        Case::new("http2/5.1/6", [get(true), get(true)], StreamError(CLOSED)),
        Case::new("http2/5.1/7", [get(true), continuation()], StreamError(CLOSED_OR_PROTOCOL)),
        // closed by RST_STREAM
        Case::new("http2/5.1/8", [get(false), reset(), data()], StreamError(CLOSED)),
        Case::new("http2/5.1/9", [get(false), reset(), get(true)], StreamError(CLOSED)),
        Case::new("http2/5.1/10", [get(false), reset(), continuation()], StreamError(CLOSED_OR_PROTOCOL)),
        // closed by both sides
        Case::of("http2/5.1/11", after_end(data()), ConnectionError(CLOSED)),
        Case::of("http2/5.1/12", after_end(get(true)), ConnectionError(CLOSED)),
        Case::of("http2/5.1/13", after_end(continuation()), ConnectionError(CLOSED_OR_PROTOCOL)),
    ]
}

fn others(paths: Paths) -> Vec<Case> {
    let fields = block(&request("GET", paths.get));
    let get = |stream| Frame::headers(stream, true, &*fields);
    let ping = || Frame::ping(OCTETS);
    let invalid_ping = || Frame::new(PING, 0, 3, OCTETS);
    let unknown = || Frame::new(22, 0, 0, [0; 8]);
    let begun = Frame::new(HEADERS, END_STREAM, 1, &*fields);
    let flags = END_STREAM | END_HEADERS | WITH_PRIORITY;
    let on_itself = Frame::new(HEADERS, flags, 1, [priority_fields(1), fields.clone()].concat());
    let too_many = vec![
        Step::Handshake,
        Step::Send(vec![Frame::settings(&[(setting::INITIAL_WINDOW_SIZE, 0)])]),
        Step::ExceedStreams,
    ];
    vec![
        Case::new("http2/5.1.1/1", [get(2)], ConnectionError(PROTOCOL)),
        // A stream that was skipped is closed (RFC 9113, 5.1.1), so that both codes are right.
        Case::new("http2/5.1.1/2", [get(5), get(3)], ConnectionError(CLOSED_OR_PROTOCOL)),
        Case::of("http2/5.1.2/1", too_many, StreamError(&[code::PROTOCOL_ERROR, code::REFUSED_STREAM])),
        Case::new("http2/5.3.1/1", [on_itself], StreamError(PROTOCOL)),
        Case::new("http2/5.3.1/2", [Frame::priority(2, 2)], StreamError(PROTOCOL)),
        Case::new("http2/5.4.1/1", [invalid_ping()], End),
        Case::new("http2/5.4.1/2", [invalid_ping()], ConnectionError(PROTOCOL)),
        Case::new("http2/5.5/1", [unknown(), ping()], PingAck(OCTETS)),
        Case::new("http2/5.5/2", [begun, unknown()], ConnectionError(PROTOCOL)),
    ]
}
