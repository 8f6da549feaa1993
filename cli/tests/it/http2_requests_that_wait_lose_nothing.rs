//! A request over HTTP/2 that waits for the server's limits is read meanwhile, and what comes for it counts: its body and the length that it has
//! declared, its trailers, its windows, its priority, its cancellation. Other streams go on.

use crate::support::http2::{
    Answer, DATA, Frame, HEADERS, Http2, PING, RST_STREAM, SETTINGS, WINDOW_UPDATE, block, code, handshake, request,
    setting,
};
use crate::support::websocket::{Frame as Message, TEXT};
use crate::support::{Server, eventually};

const KIB: u32 = 1 << 10;

/// One worker, which answers this many at a time.
fn server(concurrency: &str) -> Server {
    let limits = ["--limit-concurrency", concurrency, "--limit-wait", "20s", "--limit-exempt", "/status/*"];
    Server::start(&[&["--workers", "1"], &limits[..]].concat())
}

/// The stream of the request that the others wait for, until it ends.
const FIRST: u32 = 1;

fn upload(stream: u32, more: &[(&str, &str)]) -> Frame {
    Frame::headers(stream, false, block(&[&request("POST", "/upload")[..], more].concat()))
}

fn get(stream: u32, path: &str) -> Frame {
    Frame::headers(stream, true, block(&request("GET", path)))
}

fn connect_with(server: &Server, settings: &[(u16, u32)]) -> Http2 {
    let mut http2 = Http2::connect_with(server, settings);
    http2.send(&[upload(FIRST, &[])]);
    http2
}

fn connect(server: &Server) -> Http2 {
    connect_with(server, &[])
}

/// All that was sent has been handled; the frames of these kinds that came meanwhile. No others did.
#[track_caller]
fn settle(http2: &mut Http2, expected: &[u8]) -> Vec<Frame> {
    http2.send(&[Frame::ping(*b"handled?")]);
    let mut seen = Vec::new();
    loop {
        let frame = http2.frame().expect("the server answers").expect("the server keeps the connection");
        match frame.kind {
            PING => return seen,
            kind if expected.contains(&kind) => seen.push(frame),
            // Of the beginning.
            WINDOW_UPDATE if frame.stream == 0 => {}
            kind => assert_eq!(kind, SETTINGS, "{frame:?}"),
        }
    }
}

/// The first request ends, so that the next is admitted.
fn admit(http2: &mut Http2) {
    http2.send(&[Frame::data(FIRST, true, "")]);
}

#[track_caller]
fn expect_received(answer: &Answer, bytes: u32) {
    let text = answer.text();
    assert_eq!((answer.status, answer.reset), (200, None), "{text}");
    assert!(text.contains(&format!(r#""bytes_received":{bytes}"#)), "{text}");
}

#[test]
fn a_body_of_a_declared_length_may_come_in_parts_before_and_after() {
    let server = server("1");
    let mut http2 = connect(&server);
    let length = [("content-length", "6")];
    http2.send(&[upload(3, &length), Frame::data(3, false, "abc"), upload(5, &length), Frame::data(5, false, "abcd")]);
    settle(&mut http2, &[]);
    http2.send(&[Frame::data(3, true, "def")]);
    settle(&mut http2, &[]);
    admit(&mut http2);
    expect_received(&http2.answer(3), 6);
    http2.send(&[Frame::data(5, true, "ef")]);
    expect_received(&http2.answer(5), 6);
}

#[test]
fn a_body_of_another_length_is_seen_at_once_or_after_the_wait() {
    let server = server("1");
    let mut http2 = connect(&server);
    let length = [("content-length", "6")];
    let wrong = [("too short", "abc", true), ("too long", "abcdefg", false), ("too long at its end", "abcdefg", true)];
    for ((name, data, ends), stream) in wrong.into_iter().zip((3..).step_by(2)) {
        http2.send(&[upload(stream, &length), Frame::data(stream, ends, data)]);
        let seen = settle(&mut http2, &[RST_STREAM]);
        let seen: Vec<_> = seen.iter().map(|frame| (frame.stream, frame.code())).collect();
        assert_eq!(seen, [(stream, Some(code::PROTOCOL_ERROR))], "{name}");
    }
    // After the wait what came before still counts.
    http2.send(&[upload(11, &length), Frame::data(11, false, "abc"), upload(13, &[]), Frame::data(13, true, "abc")]);
    admit(&mut http2);
    expect_received(&http2.answer(FIRST), 0);
    http2.send(&[Frame::data(11, false, "defg")]);
    let reset = http2.answer(11);
    assert_eq!(reset.reset, Some(code::PROTOCOL_ERROR));
    // None of these keeps its place.
    expect_received(&http2.answer(13), 3);
    eventually("nothing is left in flight", || (server.in_flight() == 0).then_some(()));
}

#[test]
fn trailers_end_its_body() {
    let server = server("1");
    let mut http2 = connect(&server);
    let trailers = |stream| Frame::headers(stream, true, block(&[("x-sum", "1")]));
    let length = [("content-length", "3")];
    http2.send(&[upload(3, &length), Frame::data(3, false, "abc"), trailers(3)]);
    settle(&mut http2, &[]);
    http2.send(&[upload(5, &length), Frame::data(5, false, "ab"), trailers(5)]);
    let seen = settle(&mut http2, &[RST_STREAM]);
    assert!(seen.len() == 1 && seen[0].stream == 5 && seen[0].code() == Some(code::PROTOCOL_ERROR), "{seen:?}");
    http2.send(&[upload(7, &[]), Frame::data(7, false, "abcd"), trailers(7)]);
    admit(&mut http2);
    expect_received(&http2.answer(3), 3);
    expect_received(&http2.answer(7), 4);
}

#[test]
fn head_gets_a_head_alone() {
    let server = server("1");
    let mut http2 = connect(&server);
    http2.send(&[Frame::headers(3, true, block(&request("HEAD", "/bin/10K")))]);
    settle(&mut http2, &[]);
    admit(&mut http2);
    let answer = http2.answer(3);
    assert_eq!((answer.status, answer.field("content-length"), answer.body.len()), (200, Some("10240"), 0));
}

/// Its own window is not opened, so that what a client can send to requests that wait is bounded.
#[test]
fn a_client_may_send_its_window_and_no_more() {
    let server = server("1");
    let mut http2 = connect(&server);
    let window = vec![Frame::data(3, false, vec![b'x'; 16 << 10]); 16];
    http2.send(&[&[upload(3, &[])], &window[..]].concat());
    assert_eq!(settle(&mut http2, &[]), []);
    http2.send(&[Frame::data(3, false, "x")]);
    let seen = settle(&mut http2, &[RST_STREAM]);
    assert!(seen.len() == 1 && seen[0].code() == Some(code::FLOW_CONTROL_ERROR), "{seen:?}");
    // What was given back for it is the other's.
    http2.send(&[upload(5, &[])]);
    http2.send(&window.into_iter().map(|frame| Frame { stream: 5, ..frame }).collect::<Vec<_>>());
    assert_eq!(settle(&mut http2, &[]), []);
    admit(&mut http2);
    let opened = next_window(&mut http2, 5);
    assert!(opened >= 128 * KIB, "{opened}");
    http2.send(&[Frame::data(5, true, "")]);
    expect_received(&http2.answer(5), 256 * KIB);
}

/// By how much the window of a stream is opened next.
#[track_caller]
fn next_window(http2: &mut Http2, stream: u32) -> u32 {
    loop {
        let update = http2.frame_of(WINDOW_UPDATE);
        if update.stream == stream {
            return u32::from_be_bytes(*update.payload.first_chunk().expect("four bytes"));
        }
    }
}

#[test]
fn windows_that_the_client_opens_meanwhile_are_open() {
    let server = server("1");
    let mut http2 = connect_with(&server, &[(setting::INITIAL_WINDOW_SIZE, 0)]);
    http2.send(&[get(3, "/bin/10K"), Frame::window_update(3, 2 * KIB)]);
    http2.send(&[Frame::settings(&[(setting::INITIAL_WINDOW_SIZE, KIB)])]);
    settle(&mut http2, &[]);
    admit(&mut http2);
    let mut come = 0;
    while come < 3 * KIB {
        let data = http2.frame_of(DATA);
        assert!(data.stream == 3 || data.stream == FIRST, "{data:?}");
        come += if data.stream == 3 { data.payload.len() as u32 } else { 0 };
    }
    assert_eq!(come, 3 * KIB);
    assert_eq!(settle(&mut http2, &[]), [], "no byte comes beyond the window");
}

#[test]
fn a_priority_that_is_changed_meanwhile_counts() {
    let server = server("2");
    let mut http2 = Http2::connect(&server);
    // Its last byte holds up the connection's window of 65 535 bytes.
    http2.send(&[get(1, "/bin/64K")]);
    let mut come = 0;
    while come < 65_535 {
        come += http2.frame_of(DATA).payload.len();
    }
    http2.send(&[upload(3, &[]), upload(5, &[])]);
    let urgent = [&request("GET", "/bin/40K")[..], &[("priority", "u=0")]].concat();
    http2.send(&[Frame::headers(7, true, block(&urgent)), get(9, "/bin/40K")]);
    settle(&mut http2, &[]);
    // PRIORITY_UPDATE (RFC 9218, 7.1).
    http2.send(&[Frame::new(16, 0, 0, [&7u32.to_be_bytes()[..], b"u=7"].concat())]);
    settle(&mut http2, &[]);
    http2.send(&[Frame::data(3, true, ""), Frame::data(5, true, "")]);
    // The heads of both have come, and no body can.
    let mut heads = [3, 5, 7, 9].to_vec();
    while !heads.is_empty() {
        let head = http2.frame_of(HEADERS);
        heads.retain(|&stream| stream != head.stream);
    }
    http2.send(&[Frame::window_update(0, 1 << 20)]);
    let mut order = Vec::new();
    while order.iter().filter(|&&stream| stream == 7).count() < 3 {
        order.push(http2.frame_of(DATA).stream);
    }
    let last_of_9 = order.iter().rposition(|&stream| stream == 9);
    assert!(last_of_9 < order.iter().position(|&stream| stream == 7) && last_of_9.is_some(), "{order:?}");
}

#[test]
fn one_that_is_cancelled_with_its_body_leaves_its_place() {
    let server = server("1");
    let mut http2 = connect(&server);
    http2.send(&[upload(3, &[("content-length", "9")]), Frame::data(3, false, "abc"), upload(5, &[])]);
    http2.send(&[Frame::rst_stream(3, code::CANCEL), Frame::data(5, true, "abcd")]);
    settle(&mut http2, &[]);
    admit(&mut http2);
    expect_received(&http2.answer(5), 4);
    assert_eq!(http2.get(7, "/status/204").status, 204);
}

#[test]
fn a_websocket_begins_after_the_wait() {
    let server = server("1");
    let mut http2 = connect(&server);
    http2.send(&[Frame::headers(3, false, block(&handshake("/ws")))]);
    // No client would send before the 200, but it may.
    http2.send(&[Frame::data(3, false, Message::new(true, 0, TEXT, "early").masked([1, 2, 3, 4]))]);
    settle(&mut http2, &[]);
    admit(&mut http2);
    loop {
        let head = http2.frame_of(HEADERS);
        let status = http2.fields(&head.payload)[0].1.clone();
        assert_eq!(status, "200", "{head:?}");
        if head.stream == 3 {
            break;
        }
    }
    let mut bytes = Vec::new();
    while !bytes.ends_with(b"early") {
        let data = http2.frame_of(DATA);
        bytes.extend_from_slice(if data.stream == 3 { &data.payload } else { b"" });
    }
}
