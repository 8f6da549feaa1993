//! What a client of HTTP/2 may do that is of no use ends its connection with ENHANCE_YOUR_CALM, or costs next to no memory; other clients are served
//! meanwhile. Good clients that look similar are not cut.

use crate::support::http2::{
    ACK, DATA, END_HEADERS, END_STREAM, Frame, GOAWAY, HEADERS, Http2, PADDED, PING, RST_STREAM, WITH_PRIORITY, block,
    code, priority_fields, request, setting,
};
use crate::support::site::Site;
use crate::support::{Server, eventually};
use std::time::Duration;

const CALM: Option<u32> = Some(code::ENHANCE_YOUR_CALM);

/// What is sent as the n-th part of a flood.
type Part = fn(u32) -> Vec<Frame>;

fn stream(at: u32) -> u32 {
    2 * at + 3
}

fn ask(stream: u32, ends: bool, path: &str) -> Frame {
    Frame::headers(stream, ends, block(&request(if ends { "GET" } else { "POST" }, path)))
}

#[rustfmt::skip] // a table
const FLOODS: &[(&str, Part)] = &[
    ("rapid reset, CVE-2023-44487", |at| vec![ask(stream(at), true, "/delay/60000"), Frame::rst_stream(stream(at), code::CANCEL)]),
    // MadeYouReset, CVE-2025-8671: violations on a stream, so that the server resets it.
    ("a window of 0", |at| vec![ask(stream(at), true, "/delay/60000"), Frame::window_update(stream(at), 0)]),
    ("a window too far", |at| vec![ask(stream(at), true, "/delay/60000"), Frame::window_update(stream(at), 0x7fff_ffff)]),
    ("DATA after the end", |at| vec![ask(stream(at), true, "/delay/60000"), Frame::data(stream(at), false, "more")]),
    ("a length that is not kept", |at| {
        let head = block(&[&request("POST", "/delay/60000")[..], &[("content-length", "1")]].concat());
        vec![Frame::headers(stream(at), false, head), Frame::data(stream(at), true, "more")]
    }),
    ("malformed trailers", |at| vec![ask(stream(at), false, "/delay/60000"), Frame::headers(stream(at), false, block(&[("x", "y")]))]),
    ("a stream of itself", |at| {
        let head = [priority_fields(stream(at)), block(&request("GET", "/"))].concat();
        vec![Frame::headers(stream(at), true, head).with_flags(WITH_PRIORITY)]
    }),
    ("malformed heads", |at| vec![Frame::headers(stream(at), true, block(&[("x", "y")]))]),
    ("too many fields", |at| {
        let fields = [&request("GET", "/")[..], &vec![("a", "b"); 200]].concat();
        vec![Frame::headers(stream(at), true, block(&fields))]
    }),
    ("cookie crumbs", |at| {
        let fields = [&request("GET", "/")[..], &vec![("cookie", "a=b"); 300]].concat();
        vec![Frame::headers(stream(at), true, block(&fields))]
    }),
    ("PING", |_| vec![Frame::ping(*b"flooding")]),
    ("acknowledgements", |_| vec![Frame::new(PING, ACK, 0, *b"flooding"), Frame::settings_ack()]),
    ("SETTINGS", |at| vec![Frame::settings(&[(setting::INITIAL_WINDOW_SIZE, at)])]),
    ("PRIORITY", |at| vec![Frame::priority(1, at * 2 + 3)]),
    ("PRIORITY_UPDATE", |_| vec![Frame::new(16, 0, 0, *b"\0\0\0\x01u=1")]),
    ("empty DATA", |_| vec![Frame::data(1, false, "")]),
    ("padding alone", |_| vec![Frame::new(DATA, PADDED, 1, *b"\x01\0")]),
    ("tiny windows", |_| vec![Frame::window_update(1, 1)]),
    ("tiny windows of the connection", |_| vec![Frame::window_update(0, 1)]),
    ("unknown frames", |_| vec![Frame::new(0xbb, 0, 0, *b"unknown")]),
    ("GOAWAY", |_| vec![Frame::goaway(0, code::NO_ERROR)]),
];

/// The code of the GOAWAY that ends a flood; `None`: 20 000 parts have not.
fn flood(http2: &mut Http2, part: Part) -> Option<u32> {
    for batch in (0..20_000).collect::<Vec<_>>().chunks(50) {
        let frames: Vec<Frame> = batch.iter().flat_map(|&at| part(at)).chain([Frame::ping(*b"are we ?")]).collect();
        // After GOAWAY the server may take no more.
        let is_sent = http2.try_send(&frames).is_ok();
        loop {
            match http2.frame() {
                Ok(Some(frame)) if frame.kind == GOAWAY => return frame.code(),
                Ok(Some(frame)) if frame.kind == PING && frame.payload == b"are we ?" && is_sent => break,
                Ok(Some(_)) => {}
                other => panic!("no GOAWAY: {other:?}"),
            }
        }
    }
    None
}

#[test]
fn floods_end_with_enhance_your_calm() {
    let server = Server::start(&["--workers", "1"]);
    let mut other = Http2::connect(&server);
    for (at, (name, part)) in FLOODS.iter().enumerate() {
        let mut http2 = Http2::connect(&server);
        http2.send(&[ask(1, false, "/upload")]);
        assert_eq!(flood(&mut http2, *part), CALM, "{name}");
        assert_eq!(other.get(at as u32 * 2 + 1, "/health").status, 200, "during {name}");
    }
    drop(other);
    eventually("nothing is left in flight", || (server.in_flight() == 0).then_some(()));
}

/// The code of GOAWAY, whatever comes before.
fn goaway(http2: &mut Http2) -> Option<u32> {
    loop {
        match http2.frame() {
            Ok(Some(frame)) if frame.kind == GOAWAY => return frame.code(),
            Ok(Some(_)) => {}
            other => panic!("no GOAWAY: {other:?}"),
        }
    }
}

#[test]
fn heads_without_an_end_and_bombs_end_and_leave_nothing() {
    let server = Server::start(&["--workers", "1"]);
    let before = server.memory_bytes();
    // CVE-2024-27316, with bytes and without.
    for fragment in [&b""[..], &[0x82; 16 << 10], &[0x82]] {
        let mut http2 = Http2::connect(&server);
        http2.send(&[Frame::new(HEADERS, 0, 1, block(&request("GET", "/")))]);
        let frames = vec![Frame::continuation(1, false, fragment); 1200];
        let _ = http2.try_send(&frames); // the server may have ended it by then
        assert_eq!(goaway(&mut http2), CALM, "CONTINUATION of {} bytes", fragment.len());
    }
    // An entry of 4000 bytes in the table, and thousands of references to it of a byte each; the same with cookies.
    for name in ["x-bomb", "cookie"] {
        let mut http2 = Http2::connect(&server);
        let value = "b".repeat(4000);
        let entry = block(&[(name, &value)]);
        let mut head = block(&request("GET", "/"));
        head.push(0x40); // that enters the table
        head.extend_from_slice(&entry[1..]);
        head.extend_from_slice(&[0xbe; 10_000]);
        http2.send(&[Frame::headers(1, true, head)]);
        assert_eq!(goaway(&mut http2), CALM, "{name}");
    }
    let grown = server.memory_bytes().saturating_sub(before);
    assert!(grown < 4 << 20, "{grown} bytes");
}

/// Connections whose windows are closed, each with a hundred requests of 100 MB; what another client gets meanwhile.
#[track_caller]
fn held(server: &Server, head: &[u8], (path, status): (&str, u16), each_max: u64) {
    let connect = || {
        let mut http2 = Http2::connect_with(server, &[(setting::INITIAL_WINDOW_SIZE, 0)]);
        http2.send(&(0..100).map(|at| Frame::headers(stream(at), true, head)).collect::<Vec<_>>());
        http2
    };
    let wait = |count| eventually("all are in flight", || (server.in_flight() == count).then_some(()));
    // The first have the server's buffers grow, and take what is free in memory that the worker shares with its master.
    let first: Vec<Http2> = (0..HELD_FIRST).map(|_| connect()).collect();
    wait(HELD_FIRST * 100);
    let before = server.memory_bytes();
    let held: Vec<Http2> = (0..HELD).map(|_| connect()).collect();
    wait((HELD_FIRST + HELD) * 100);
    let each = server.memory_bytes().saturating_sub(before) / HELD;
    println!("{each} bytes for each connection");
    assert!(each <= each_max, "{each} bytes for each connection");
    assert_eq!(Http2::connect(server).get(1, path).status, status);
    drop((first, held));
}

const HELD_FIRST: u64 = 20;
const HELD: u64 = 50;
/// What a connection may cost whose client holds a hundred files, and a hundred other responses.
const HELD_FILES_BYTES_MAX: u64 = 70 << 10;
const HELD_BYTES_MAX: u64 = 74 << 10;

#[test]
fn held_responses_cost_little() {
    let server = Server::start(&["--workers", "1"]);
    held(&server, &block(&request("GET", "/bin/100M")), ("/health", 200), HELD_BYTES_MAX);
    let site = Site::of(&[]);
    site.write_sparse("large", 100);
    held(&site.serve(&[]), &block(&request("GET", "/large")), ("/none", 404), HELD_FILES_BYTES_MAX);
}

/// CVE-2026-49975: what a head stands for is not kept with the response that its client holds.
#[test]
fn held_bombs_cost_no_more() {
    let server = Server::start(&["--workers", "1"]);
    let value = "b".repeat(60);
    let fields = [&request("GET", "/bin/100M")[..], &vec![("x-field", &*value); 120]].concat();
    held(&server, &block(&fields), ("/health", 200), HELD_BYTES_MAX);
}

/// CVE-2026-49975 as it was published: heads of a few bytes that stand for as much as a head may, their responses held, and windows that are opened by
/// a byte at a time.
#[test]
fn bombs_that_are_kept_alive_cost_little_and_end() {
    const BOMBS: u32 = 8;
    let site = Site::of(&[]);
    site.write_sparse("large", 100);
    let server = site.serve(&["--write-timeout", "1s"]);
    // An entry of the table, and references to it of a byte each, which are one cookie.
    let bomb = |path, references| {
        let mut head = block(&request("GET", path));
        head.push(0x40); // that enters the table
        head.extend_from_slice(&block(&[("cookie", &"b".repeat(60))])[1..]);
        head.extend_from_slice(&vec![0xbe; references]);
        head
    };
    let connect = || {
        let mut http2 = Http2::connect_with(&server, &[(setting::INITIAL_WINDOW_SIZE, 0)]);
        http2.send(&(0..BOMBS).map(|at| Frame::headers(stream(at), true, bomb("/large", 110))).collect::<Vec<_>>());
        // Of too many parts.
        http2.send(&[Frame::headers(stream(BOMBS), true, bomb("/large", 150))]);
        let mut status = || {
            let head = http2.frame_of(HEADERS);
            http2.fields(&head.payload)[0].1.clone()
        };
        let mut statuses: Vec<_> = (0..=BOMBS).map(|_| status()).collect();
        statuses.sort();
        assert_eq!(statuses, [&["200"; BOMBS as usize][..], &["431"]].concat());
        http2
    };
    let first: Vec<Http2> = (0..HELD_FIRST).map(|_| connect()).collect();
    let before = server.memory_bytes();
    let mut held: Vec<Http2> = (0..HELD).map(|_| connect()).collect();
    let each = server.memory_bytes().saturating_sub(before) / HELD;
    println!("{each} bytes for each connection");
    assert!(each <= 20 << 10, "{each} bytes for each connection");
    drop(first);
    // All others end meanwhile, too.
    let http2 = &mut held[0];
    let end = (0..500).find_map(|_| {
        http2.send(&[Frame::window_update(stream(0), 1)]);
        let is_end = |frame: &Frame| frame.kind == RST_STREAM && frame.stream == stream(0);
        while http2.client.is_readable_within(Duration::from_millis(20)).expect("it is not reset") {
            let frame = http2.frame().expect("the server goes on").expect("the server keeps the connection");
            if is_end(&frame) {
                return Some(frame.code());
            }
        }
        None
    });
    assert_eq!(end, Some(Some(code::CANCEL)), "a byte at a time does not keep it alive");
    eventually("nothing is left in flight", || (server.in_flight() == 0).then_some(()));
    held[1].send(&[Frame::headers(stream(99), true, block(&request("HEAD", "/large")))]);
    assert_eq!(held[1].answer(stream(99)).status, 200);
}

#[test]
fn good_clients_are_not_cut() {
    let server = Server::start(&["--workers", "1"]);
    // Every fifth request is cancelled, in its first milliseconds.
    let mut http2 = Http2::connect(&server);
    for at in 0..2000u32 {
        if at % 5 == 4 {
            http2.send(&[ask(stream(at), true, "/delay/60000"), Frame::rst_stream(stream(at), code::CANCEL)]);
        } else {
            assert_eq!(http2.get(stream(at), "/health").status, 200, "request {at}");
        }
    }
    // 128 fields, with those of the request.
    let mut fields = request("GET", "/any");
    fields.extend(vec![("x-field", "value"); 124]);
    http2.send(&[Frame::headers(stream(3000), true, block(&fields))]);
    assert_eq!(http2.answer(stream(3000)).status, 200);
    // Messages of gRPC of a few bytes, a frame each, with windows given back for each reply, and pings.
    let mut http2 = Http2::connect(&server);
    let head = [&request("POST", "/echo.EchoService/StreamEcho")[..], &[("content-type", "application/grpc")]].concat();
    http2.send(&[Frame::headers(1, false, block(&head))]);
    for at in 0..3000 {
        http2.send(&[Frame::data(1, false, *b"\0\0\0\0\x03\x0a\x01m")]);
        let reply = http2.frame_of(DATA).payload.len() as u32;
        http2.send(&[Frame::window_update(0, reply), Frame::window_update(1, reply)]);
        if at % 10 == 0 {
            http2.send(&[Frame::ping(*b"keepaliv")]);
        }
    }
    http2.send(&[Frame::data(1, true, "")]);
    let end = http2.frame_of(HEADERS);
    assert!(end.has(END_STREAM) && end.has(END_HEADERS), "{end:?}");
}

/// 1 000 streams at a time on ten connections, each of which has a reply for each of its messages.
#[test]
fn a_thousand_calls_at_a_time_cost_little() {
    let messages: usize = std::env::var("MESSAGES").map_or(20, |text| text.parse().expect("MESSAGES is a number"));
    let server = Server::start(&["--workers", "1"]);
    let head = [&request("POST", "/echo.EchoService/StreamEcho")[..], &[("content-type", "application/grpc")]].concat();
    let head = block(&head);
    let before = server.memory_bytes();
    let mut connections: Vec<Http2> = (0..10).map(|_| Http2::connect(&server)).collect();
    for http2 in &mut connections {
        http2.send(&(0..100).map(|at| Frame::headers(stream(at), false, head.clone())).collect::<Vec<_>>());
    }
    let mut most = 0;
    for message in 0..messages {
        for http2 in &mut connections {
            http2.send(
                &(0..100).map(|at| Frame::data(stream(at), false, *b"\0\0\0\0\x03\x0a\x01m")).collect::<Vec<_>>(),
            );
        }
        for http2 in &mut connections {
            for _ in 0..100 {
                let reply = http2.frame_of(DATA);
                let by = reply.payload.len() as u32;
                http2.send(&[Frame::window_update(0, by), Frame::window_update(reply.stream, by)]);
            }
        }
        if message % 10 == 0 {
            most = most.max(server.memory_bytes().saturating_sub(before));
        }
    }
    assert_eq!(server.in_flight(), 1000);
    println!("{most} bytes more with 1000 streams");
    assert!(most < 5 << 20, "{most} bytes");
}
