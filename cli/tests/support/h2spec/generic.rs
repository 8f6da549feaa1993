//! What every server must accept: h2spec's group *generic*.

use super::case::{Case, Expected, OCTETS, Paths, Step};
use crate::support::http2::{
    END_HEADERS, END_STREAM, Frame, HEADERS, PADDED, PREFACE, WITH_PRIORITY, block, code, priority_fields, request,
    setting,
};
use Expected::{Ack, AnyData, Headers, PingAck, PingAckOrEnd, Settings};

pub fn cases(paths: Paths) -> Vec<Case> {
    let mut cases = streams(paths);
    cases.extend(frames(paths));
    cases.extend(messages(paths));
    cases.extend(representations(paths));
    cases
}

fn ping() -> Frame {
    Frame::ping(OCTETS)
}

fn streams(paths: Paths) -> Vec<Case> {
    let get = || Frame::headers(1, true, block(&request("GET", paths.get)));
    let no_window = || Frame::settings(&[(setting::INITIAL_WINDOW_SIZE, 0)]);
    let preface = [PREFACE, &Frame::settings(&[]).bytes()].concat();
    let priority = || Frame::priority(1, 0);
    let after_end =
        vec![Step::Handshake, Step::Send(vec![get()]), Step::AwaitEnd(1), Step::Send(vec![priority(), ping()])];
    vec![
        Case::of("generic/1/1", vec![Step::Bytes(preface)], Settings),
        Case::new("generic/2/1", [priority(), ping()], PingAck(OCTETS)),
        Case::new("generic/2/2", [no_window(), get(), Frame::window_update(1, 1)], AnyData),
        Case::new("generic/2/3", [no_window(), get(), priority(), Frame::window_update(1, 1)], AnyData),
        Case::new("generic/2/4", [get(), Frame::rst_stream(1, code::CANCEL), ping()], PingAck(OCTETS)),
        Case::of("generic/2/5", after_end, PingAck(OCTETS)),
    ]
}

fn frames(paths: Paths) -> Vec<Case> {
    let fields = block(&request("GET", paths.get));
    let get = || Frame::headers(1, true, &*fields);
    let post = || Frame::headers(1, false, block(&request("POST", paths.post)));
    let data = |ends_stream| Frame::data(1, ends_stream, *b"test");
    let flags = END_STREAM | END_HEADERS;
    let padded = [&[6][..], &fields, &[0; 6]].concat();
    let padded_data = Frame::data(1, true, *b"\x06test\0\0\0\0\0\0").with_flags(PADDED);
    let prioritised = [priority_fields(0), fields.clone()].concat();
    let weighted = |weight: u8| Frame::new(2, 0, 1, [0, 0, 0, 0, weight]);
    let dependent = |on: u32| [Frame::priority(1, 0), Frame::priority(3, on), get()];
    let begun = || Frame::new(HEADERS, END_STREAM, 1, &*fields);
    let more = |ends_headers| Frame::continuation(1, ends_headers, block(&[("x-dummy", &"x".repeat(4000))]));
    vec![
        Case::new("generic/3.1/1", [post(), data(true)], Headers(1)),
        Case::new("generic/3.1/2", [post(), data(false), data(true)], Headers(1)),
        Case::new("generic/3.1/3", [post(), padded_data], Headers(1)),
        Case::new("generic/3.2/1", [get()], Headers(1)),
        Case::new("generic/3.2/2", [Frame::new(HEADERS, flags | PADDED, 1, padded)], Headers(1)),
        Case::new("generic/3.2/3", [Frame::new(HEADERS, flags | WITH_PRIORITY, 1, prioritised)], Headers(1)),
        Case::new("generic/3.3/1", [weighted(0), get()], Headers(1)),
        Case::new("generic/3.3/2", [weighted(255), get()], Headers(1)),
        Case::new("generic/3.3/3", dependent(1), Headers(1)),
        Case::new("generic/3.3/4", dependent(0x8000_0001), Headers(1)),
        Case::new("generic/3.3/5", [Frame::priority(3, 0), get()], Headers(1)),
        Case::new("generic/3.4/1", [get(), Frame::rst_stream(1, code::CANCEL), ping()], PingAck(OCTETS)),
        Case::new("generic/3.5/1", [Frame::settings(&[(setting::MAX_CONCURRENT_STREAMS, 100)])], Ack),
        Case::new("generic/3.7/1", [ping()], PingAck(OCTETS)),
        Case::new("generic/3.8/1", [Frame::goaway(0, code::NO_ERROR), ping()], PingAckOrEnd(OCTETS)),
        Case::new("generic/3.9/1", [Frame::window_update(0, 1), ping()], PingAck(OCTETS)),
        Case::new("generic/3.9/2", [get(), Frame::window_update(1, 1)], Headers(1)),
        Case::new("generic/3.10/1", [begun(), more(true)], Headers(1)),
        Case::new("generic/3.10/2", [begun(), more(false), more(true)], Headers(1)),
    ]
}

fn messages(paths: Paths) -> Vec<Case> {
    let head = |method: &str, path: &str, ends_stream| Frame::headers(1, ends_stream, block(&request(method, path)));
    let with_trailers = [request("POST", paths.post), vec![("trailer", "x-test")]].concat();
    let trailers = Frame::headers(1, true, block(&[("x-test", "ok")]));
    let data = |ends_stream| Frame::data(1, ends_stream, *b"test");
    vec![
        Case::new("generic/4/1", [head("GET", paths.get, true)], Headers(1)),
        Case::new("generic/4/2", [head("HEAD", paths.get, true)], Headers(1)),
        Case::new("generic/4/3", [head("POST", paths.post, false), data(true)], Headers(1)),
        Case::new("generic/4/4", [Frame::headers(1, false, block(&with_trailers)), data(false), trailers], Headers(1)),
    ]
}

/// The representations of fields (RFC 7541, 6): after the fields of a request, or before them.
fn representations(paths: Paths) -> Vec<Case> {
    // `user-agent` and `x-test` plainly, and with Huffman coding; `h2spec` likewise.
    let user_agent: [&[u8]; 2] = [b"\x0auser-agent", b"\x87\xb5\x05\xb1\x61\xcc\x5a\x93"];
    let x_test: [&[u8]; 2] = [b"\x06x-test", b"\x85\xf2\xb2\x4a\x84\xff"];
    let value: [&[u8]; 2] = [b"\x06h2spec", b"\x84\x9c\x48\xac\xa4"];
    // Entry 58 of the static table is `user-agent` with an empty value.
    let mut after = vec![vec![0xba]];
    for kind in [0x40u8, 0x00, 0x10] {
        for name in [user_agent, x_test] {
            after.extend([0, 1].map(|coding| [&[kind], name[coding], value[coding]].concat()));
        }
    }
    let fields = block(&request("GET", paths.get));
    let mut blocks: Vec<_> = after.into_iter().map(|after| [&fields[..], &after].concat()).collect();
    for resized in [&b"\x20"[..], b"\x20\x3f\xe1\x1f"] {
        blocks.push([resized, &fields].concat());
    }
    let cases = blocks.into_iter().enumerate();
    cases
        .map(|(at, block)| Case::new(format!("generic/5/{}", at + 1), [Frame::headers(1, true, block)], Headers(1)))
        .collect()
}
