//! The types of frames and the error codes: h2spec's group *http2*, sections 6 and 7.

use super::case::{Case, Expected, OCTETS, Paths, Step};
use crate::support::http2::{
    ACK, END_HEADERS, END_STREAM, Frame, GOAWAY, HEADERS, PADDED, PING, PRIORITY, RST_STREAM, SETTINGS, WINDOW_UPDATE,
    block, code, request, setting,
};
use Expected::{Ack, ConnectionError, Data, Headers, PingAck, PingAckOrEnd, StreamError};

pub fn cases(paths: Paths) -> Vec<Case> {
    let mut cases = of_streams(paths);
    cases.extend(of_the_connection(paths));
    cases.extend(windows(paths));
    cases.extend(continuations(paths));
    cases
}

const PROTOCOL: &[u32] = &[code::PROTOCOL_ERROR];
const SIZE: &[u32] = &[code::FRAME_SIZE_ERROR];
const FLOW: &[u32] = &[code::FLOW_CONTROL_ERROR];

/// More than any window may have with what it has.
const MOST: u32 = 0x7fff_ffff;

fn of_streams(paths: Paths) -> Vec<Case> {
    let fields = block(&request("GET", paths.get));
    let get = |stream| Frame::headers(stream, true, &*fields);
    let post = || Frame::headers(1, false, block(&request("POST", paths.post)));
    let begun = || Frame::new(HEADERS, 0, 1, &*fields);
    let rest = || Frame::continuation(1, true, block(&[("x-dummy", "x")]));
    let after_end = vec![
        Step::Handshake,
        Step::Send(vec![get(1)]),
        Step::AwaitEnd(1),
        Step::Send(vec![Frame::data(1, true, *b"test")]),
    ];
    // One more than there is.
    let padding = [&[fields.len() as u8 + 1][..], &fields].concat();
    let padded = Frame::new(HEADERS, PADDED | END_STREAM | END_HEADERS, 1, padding);
    vec![
        Case::new("http2/6.1/1", [Frame::data(0, true, *b"test")], ConnectionError(PROTOCOL)),
        Case::of("http2/6.1/2", after_end, StreamError(&[code::STREAM_CLOSED])),
        Case::new(
            "http2/6.1/3",
            [post(), Frame::data(1, true, *b"\x06Test\0").with_flags(PADDED)],
            ConnectionError(PROTOCOL),
        ),
        Case::new("http2/6.2/1", [begun(), Frame::priority(1, 0), rest()], ConnectionError(PROTOCOL)),
        Case::new("http2/6.2/2", [begun(), get(3), rest()], ConnectionError(PROTOCOL)),
        Case::new("http2/6.2/3", [get(0)], ConnectionError(PROTOCOL)),
        Case::new("http2/6.2/4", [padded], StreamError(PROTOCOL)),
        Case::new("http2/6.3/1", [Frame::priority(0, 1)], ConnectionError(PROTOCOL)),
        Case::new("http2/6.3/2", [post(), Frame::new(PRIORITY, 0, 1, [0x80, 0, 0, 1])], StreamError(SIZE)),
        Case::new("http2/6.4/1", [Frame::rst_stream(0, code::CANCEL)], ConnectionError(PROTOCOL)),
        Case::new("http2/6.4/2", [Frame::rst_stream(1, code::CANCEL)], ConnectionError(PROTOCOL)),
        Case::new("http2/6.4/3", [post(), Frame::new(RST_STREAM, 0, 1, [0, 0, 0])], ConnectionError(SIZE)),
    ]
}

fn of_the_connection(paths: Paths) -> Vec<Case> {
    let get = || Frame::headers(1, true, block(&request("GET", paths.get)));
    let post = || Frame::headers(1, false, block(&request("POST", paths.post)));
    let ping = || Frame::ping(OCTETS);
    let set = |id, value| [Frame::settings(&[(id, value)])];
    let window = setting::INITIAL_WINDOW_SIZE;
    let window_twice = [Frame::settings(&[(window, 100), (window, 1)]), get()];
    let of_stream = |kind, length| Frame::new(kind, 0, 1, vec![0; length]);
    vec![
        Case::new("http2/6.5/1", [Frame::new(SETTINGS, ACK, 0, [0])], ConnectionError(SIZE)),
        Case::new("http2/6.5/2", [of_stream(SETTINGS, 6)], ConnectionError(PROTOCOL)),
        Case::new("http2/6.5/3", [Frame::new(SETTINGS, 0, 0, [0, 3, 0])], ConnectionError(SIZE)),
        Case::new("http2/6.5.2/1", set(setting::ENABLE_PUSH, 2), ConnectionError(PROTOCOL)),
        Case::new("http2/6.5.2/2", set(window, MOST + 1), ConnectionError(FLOW)),
        Case::new("http2/6.5.2/3", set(setting::MAX_FRAME_SIZE, 16_383), ConnectionError(PROTOCOL)),
        Case::new("http2/6.5.2/4", set(setting::MAX_FRAME_SIZE, 16_777_216), ConnectionError(PROTOCOL)),
        Case::new("http2/6.5.2/5", [Frame::settings(&[(0xff, 1)]), ping()], PingAck(OCTETS)),
        Case::new("http2/6.5.3/1", window_twice, Data(1)),
        Case::new("http2/6.5.3/2", [Frame::settings(&[])], Ack),
        Case::new("http2/6.7/1", [ping()], PingAck(OCTETS)),
        Case::new("http2/6.7/2", [Frame::new(PING, ACK, 0, *b"invalid\0"), ping()], PingAck(OCTETS)),
        Case::new("http2/6.7/3", [of_stream(PING, 8)], ConnectionError(PROTOCOL)),
        Case::new("http2/6.7/4", [Frame::new(PING, 0, 0, [0; 6])], ConnectionError(SIZE)),
        Case::new("http2/6.8/1", [of_stream(GOAWAY, 8)], ConnectionError(PROTOCOL)),
        Case::new("http2/7/1", [Frame::goaway(0, 0xff), ping()], PingAckOrEnd(OCTETS)),
        Case::new("http2/7/2", [post(), Frame::rst_stream(1, 0xff), ping()], PingAck(OCTETS)),
    ]
}

fn windows(paths: Paths) -> Vec<Case> {
    let get = || Step::Send(vec![Frame::headers(1, true, block(&request("GET", paths.get)))]);
    let post = || Frame::headers(1, false, block(&request("POST", paths.post)));
    let update = Frame::window_update;
    let initial = |bytes| Step::Send(vec![Frame::settings(&[(setting::INITIAL_WINDOW_SIZE, bytes)])]);
    let opened_later = vec![Step::Handshake, initial(0), Step::AwaitAcks(1), get(), initial(1), Step::AwaitAcks(1)];
    let negative = vec![
        Step::Handshake,
        initial(3),
        Step::AwaitAcks(1),
        get(),
        Step::AwaitData,
        initial(2),
        Step::AwaitAcks(1),
        Step::Send(vec![update(1, 2)]),
    ];
    vec![
        Case::new("http2/6.9/1", [update(0, 0)], ConnectionError(PROTOCOL)),
        Case::new("http2/6.9/2", [post(), update(1, 0)], StreamError(PROTOCOL)),
        Case::new("http2/6.9/3", [Frame::new(WINDOW_UPDATE, 0, 0, [0, 0, 1])], ConnectionError(SIZE)),
        Case::of("http2/6.9.1/1", vec![Step::Handshake, initial(1), Step::AwaitAcks(1), get()], Data(1)),
        Case::new("http2/6.9.1/2", [update(0, MOST), update(0, MOST)], ConnectionError(FLOW)),
        Case::new("http2/6.9.1/3", [post(), update(1, MOST), update(1, MOST)], StreamError(FLOW)),
        Case::of("http2/6.9.2/1", opened_later, Data(1)),
        Case::of("http2/6.9.2/2", negative, Data(1)),
        Case::of("http2/6.9.2/3", vec![Step::Handshake, initial(MOST + 1)], ConnectionError(FLOW)),
    ]
}

fn continuations(paths: Paths) -> Vec<Case> {
    let fields = block(&request("GET", paths.get));
    let begun = || Frame::new(HEADERS, END_STREAM, 1, &*fields);
    let begun_post = || Frame::new(HEADERS, 0, 1, block(&request("POST", paths.post)));
    let data = || Frame::data(1, true, *b"test");
    let more = |stream, ends| Frame::continuation(stream, ends, block(&[("x-dummy", "x")]));
    let error = || ConnectionError(PROTOCOL);
    vec![
        Case::new("http2/6.10/1", [begun(), more(1, false), more(1, true)], Headers(1)),
        Case::new("http2/6.10/2", [begun_post(), more(1, false), data()], error()),
        Case::new("http2/6.10/3", [begun(), more(0, true)], error()),
        Case::new("http2/6.10/4", [Frame::headers(1, true, &*fields), more(1, true)], error()),
        Case::new("http2/6.10/5", [begun(), more(1, true), more(1, true)], error()),
        Case::new("http2/6.10/6", [begun_post(), data(), more(1, false), more(0, true)], error()),
    ]
}
