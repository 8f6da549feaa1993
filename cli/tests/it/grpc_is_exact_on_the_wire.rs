//! What the origin sends of gRPC, frame by frame: statuses in the head alone, messages that are split anywhere, wrong ones,
//! deadlines, cancellations; and that a client that does not read costs little.

use crate::support::http2::{
    Answer, DATA, END_STREAM, Frame, HEADERS, Http2, RST_STREAM, block, code, request, setting,
};
use crate::support::{Server, eventually};
use prost::Message;

const ECHO: &str = "/echo.EchoService/Echo";
const STREAM_ECHO: &str = "/echo.EchoService/StreamEcho";

#[derive(Clone, PartialEq, Message)]
struct EchoRequest {
    #[prost(string, tag = "1")]
    message: String,
    #[prost(int32, tag = "3")]
    response_code: i32,
}

#[derive(Clone, PartialEq, Message)]
struct EchoResponse {
    #[prost(string, tag = "1")]
    message: String,
}

#[derive(Clone, PartialEq, Message)]
struct OutputRequest {
    #[prost(message, repeated, tag = "2")]
    parameters: Vec<Parameters>,
}

#[derive(Clone, PartialEq, Message)]
struct Parameters {
    #[prost(int32, tag = "1")]
    size: i32,
    #[prost(int32, tag = "2")]
    interval_us: i32,
}

#[derive(Clone, PartialEq, Message)]
struct SimpleRequest {
    #[prost(int32, tag = "2")]
    response_size: i32,
}

fn framed(message: &impl Message) -> Vec<u8> {
    let bytes = message.encode_to_vec();
    [&[0], &(bytes.len() as u32).to_be_bytes()[..], &bytes].concat()
}

fn echo_of(text: &str) -> Vec<u8> {
    framed(&EchoRequest { message: text.to_string(), response_code: 0 })
}

fn call(stream: u32, path: &str, more: &[(&str, &str)]) -> Frame {
    let mut fields = request("POST", path);
    fields.extend_from_slice(&[("content-type", "application/grpc"), ("te", "trailers")]);
    fields.extend_from_slice(more);
    Frame::headers(stream, false, block(&fields))
}

/// The texts of the messages in a body.
fn texts(mut body: &[u8]) -> Vec<String> {
    let mut texts = Vec::new();
    while let [0, a, b, c, d, rest @ ..] = body {
        let (message, after) = rest.split_at(u32::from_be_bytes([*a, *b, *c, *d]) as usize);
        texts.push(EchoResponse::decode(message).expect("an EchoResponse").message);
        body = after;
    }
    texts
}

fn trailer<'a>(answer: &'a Answer, name: &str) -> Option<&'a str> {
    answer.trailers.iter().find(|(field, _)| field == name).map(|(_, value)| &**value)
}

/// A call that ends without a message: the fields of its only frame.
#[track_caller]
fn refused(http2: &mut Http2, stream: u32, frames: &[Frame]) -> Vec<(String, String)> {
    http2.send(frames);
    loop {
        let frame = http2.frame().expect("the server answers").expect("the server keeps the connection");
        assert!(frame.kind != DATA, "a message");
        if frame.kind == HEADERS {
            assert_eq!((frame.stream, frame.ends_stream()), (stream, true));
            return http2.fields(&frame.payload);
        }
    }
}

fn field<'a>(fields: &'a [(String, String)], name: &str) -> &'a str {
    fields.iter().find(|(field, _)| field == name).map_or("", |(_, value)| value)
}

#[test]
fn errors_are_in_the_head_alone() {
    let server = Server::start(&["--workers", "1"]);
    let mut http2 = Http2::connect(&server);
    let asks = framed(&EchoRequest { message: String::new(), response_code: 5 });
    let too_large = [&[0], &(10_485_761u32).to_be_bytes()[..]].concat();
    let none: &[(&str, &str)] = &[];
    let cases = [
        (ECHO, none, asks, "5", "requested error: NotFound"),
        (ECHO, &[], Vec::new(), "13", "the call has no message"),
        (ECHO, &[], b"\0\0\0\0\x09abc".to_vec(), "13", "the last message is incomplete"),
        (ECHO, &[], b"\0\0\0\0\x01\xff".to_vec(), "13", "cannot be decoded"),
        (ECHO, &[], too_large, "8", "(10485761 vs. 10485760)"),
        (ECHO, &[("grpc-timeout", "1x")], echo_of("a"), "13", "malformed grpc-timeout"),
        (ECHO, &[("grpc-encoding", "br")], echo_of("a"), "12", "\"br\""),
        ("/echo.EchoService/Nothing", &[], echo_of("a"), "12", "unknown method /echo.EchoService/Nothing"),
        ("/any/%C3%A9", &[], Vec::new(), "12", "unknown method /any/%25C3%25A9"),
    ];
    for (at, (path, more, body, status, message)) in cases.into_iter().enumerate() {
        let stream = at as u32 * 2 + 1;
        let fields = refused(&mut http2, stream, &[call(stream, path, more), Frame::data(stream, true, body)]);
        assert_eq!((field(&fields, ":status"), field(&fields, "content-type")), ("200", "application/grpc"), "{path}");
        assert_eq!(field(&fields, "grpc-status"), status, "{path} {more:?}: {fields:?}");
        assert!(field(&fields, "grpc-message").contains(message), "{path} {more:?}: {fields:?}");
        assert_eq!(field(&fields, "grpc-accept-encoding"), "identity,gzip");
    }
}

/// Whatever is still to come.
#[test]
fn an_unknown_method_is_refused_before_any_message() {
    let server = Server::start(&["--workers", "1"]);
    let mut http2 = Http2::connect(&server);
    let fields = refused(&mut http2, 1, &[call(1, "/any/Nothing", &[])]);
    assert_eq!(field(&fields, "grpc-status"), "12");
    eventually("nothing is in flight", || (server.in_flight() == 0).then_some(()));
}

#[test]
fn what_is_no_call_gets_an_answer_of_http() {
    let server = Server::start(&["--workers", "1"]);
    let mut http2 = Http2::connect(&server);
    let ask = |stream, method, path, content_type| {
        let fields = [&request(method, path)[..], &[("content-type", content_type)]].concat();
        Frame::headers(stream, true, block(&fields))
    };
    for (at, (method, path, content_type, status)) in [
        ("POST", ECHO, "application/json", 415),
        ("POST", ECHO, "application/grpc+json", 415),
        ("POST", ECHO, "application/grpc-web", 415),
        ("POST", ECHO, "application/grpc+proto", 200),
        ("POST", ECHO, "application/grpc; charset=utf-8", 200),
        // Of the other endpoints.
        ("POST", "/echo", "application/json", 200),
        ("GET", ECHO, "application/json", 200),
        ("GET", "/status/404", "application/grpc", 404),
    ]
    .into_iter()
    .enumerate()
    {
        let stream = at as u32 * 2 + 1;
        http2.send(&[ask(stream, method, path, content_type)]);
        assert_eq!(http2.answer(stream).status, status, "{method} {path} {content_type}");
    }
}

#[test]
fn messages_may_be_split_anywhere() {
    let server = Server::start(&["--workers", "1"]);
    let mut http2 = Http2::connect(&server);
    let body = [echo_of("one"), echo_of(""), echo_of(&"three".repeat(100))].concat();
    let expected = ["one".to_string(), String::new(), "three".repeat(100)];
    for (at, length) in [1, 3, 7, body.len()].into_iter().enumerate() {
        let stream = at as u32 * 2 + 1;
        http2.send(&[call(stream, STREAM_ECHO, &[])]);
        http2.send(&body.chunks(length).map(|piece| Frame::data(stream, false, piece)).collect::<Vec<_>>());
        http2.send(&[Frame::data(stream, true, "")]);
        let answer = http2.answer(stream);
        assert_eq!((texts(&answer.body), trailer(&answer, "grpc-status")), (expected.to_vec(), Some("0")), "{length}");
    }
}

#[test]
fn a_stream_is_answered_before_it_ends() {
    let server = Server::start(&["--workers", "1"]);
    let mut http2 = Http2::connect(&server);
    http2.send(&[call(1, STREAM_ECHO, &[])]);
    for text in ["a", "b", "c"] {
        http2.send(&[Frame::data(1, false, echo_of(text))]);
        assert_eq!(texts(&http2.frame_of(DATA).payload), [text]);
    }
    http2.send(&[Frame::data(1, false, framed(&EchoRequest { message: String::new(), response_code: 11 }))]);
    let end = http2.frame_of(HEADERS);
    let fields = http2.fields(&end.payload);
    assert_eq!((end.has(END_STREAM), field(&fields, "grpc-status")), (true, "11"));
}

#[test]
fn a_call_ends_at_its_deadline() {
    let server = Server::start(&["--workers", "1"]);
    let mut http2 = Http2::connect(&server);
    for (stream, path) in [(1, STREAM_ECHO), (3, ECHO)] {
        let fields = refused(&mut http2, stream, &[call(stream, path, &[("grpc-timeout", "20m")])]);
        assert_eq!(field(&fields, "grpc-status"), "4", "{fields:?}");
    }
}

#[test]
fn a_call_ends_at_its_deadline_also_while_its_replies_are_not_taken() {
    let server = Server::start(&["--workers", "1"]);
    let mut http2 = Http2::connect_with(&server, &[(setting::INITIAL_WINDOW_SIZE, 100)]);
    let many = framed(&OutputRequest { parameters: vec![Parameters { size: 1000, interval_us: 0 }; 1000] });
    let path = "/grpc.testing.TestService/StreamingOutputCall";
    http2.send(&[call(1, path, &[("grpc-timeout", "300m")]), call(3, path, &[])]);
    http2.send(&[Frame::data(1, true, many.clone()), Frame::data(3, true, many)]);
    let reset = http2.frame_of(RST_STREAM);
    assert_eq!((reset.stream, reset.code()), (1, Some(code::CANCEL)));
    eventually("only the other is left", || (server.in_flight() == 1).then_some(()));
}

#[test]
fn a_call_that_rests_is_kept_and_a_message_that_stalls_is_not() {
    let server = Server::start(&["--workers", "1", "--body-timeout", "300ms"]);
    let mut http2 = Http2::connect(&server);
    http2.send(&[call(1, STREAM_ECHO, &[]), call(3, STREAM_ECHO, &[]), Frame::data(3, false, &b"\0\0"[..])]);
    let stalled = http2.frame_of(HEADERS);
    let fields = http2.fields(&stalled.payload);
    assert_eq!((stalled.stream, field(&fields, ":status")), (3, "408"));
    http2.send(&[Frame::data(1, true, echo_of("still there"))]);
    assert_eq!(texts(&http2.answer(1).body), ["still there"]);
}

#[test]
fn a_cancelled_call_is_freed_at_once() {
    let server = Server::start(&["--workers", "1"]);
    let mut http2 = Http2::connect(&server);
    let slow = framed(&OutputRequest { parameters: vec![Parameters { size: 1, interval_us: i32::MAX }] });
    let path = "/grpc.testing.TestService/StreamingOutputCall";
    http2.send(&[call(1, path, &[]), Frame::data(1, true, slow)]);
    eventually("the call is in flight", || (server.in_flight() == 1).then_some(()));
    http2.send(&[Frame::rst_stream(1, code::CANCEL)]);
    eventually("nothing is in flight", || (server.in_flight() == 0).then_some(()));
}

#[test]
fn clients_that_do_not_read_cost_little() {
    let server = Server::start(&["--workers", "1"]);
    // 1 KiB a hundred thousand times.
    let much = framed(&OutputRequest { parameters: vec![Parameters { size: 1024, interval_us: 0 }; 20_000] });
    let path = "/grpc.testing.TestService/StreamingOutputCall";
    let before = server.memory_bytes();
    let connections: Vec<Http2> = (0..5)
        .map(|_| {
            let mut http2 = Http2::connect(&server);
            for stream in (0..20).map(|at| at * 2 + 1) {
                let body = much.chunks(16 << 10);
                let frames = body.map(|piece| Frame::data(stream, false, piece));
                http2.send(&[call(stream, path, &[])]);
                http2.send(&frames.collect::<Vec<_>>());
                http2.send(&[Frame::data(stream, true, "")]);
            }
            http2
        })
        .collect();
    eventually("all calls are in flight", || (server.in_flight() == 100).then_some(()));
    let grown = server.memory_bytes().saturating_sub(before);
    // What they asked for is 2 GB; each keeps the list of it, and its share of the output.
    assert!(grown < 120 << 20, "{grown} bytes");
    drop(connections);
    eventually("nothing is in flight", || (server.in_flight() == 0).then_some(()));
}

/// A client may ask for ten megabytes by a few bytes, on each of its streams.
#[test]
fn long_replies_are_refused_while_many_are_held() {
    const HELD_BYTES_MAX: u64 = 128 << 20;
    let server = Server::start(&["--workers", "1"]);
    let asked = framed(&SimpleRequest { response_size: 10_000_000 });
    let path = "/grpc.testing.TestService/UnaryCall";
    let before = server.memory_bytes();
    let mut holder = Http2::connect_with(&server, &[(setting::INITIAL_WINDOW_SIZE, 0)]);
    for stream in (0..40).map(|at| at * 2 + 1) {
        holder.send(&[call(stream, path, &[]), Frame::data(stream, true, asked.clone())]);
    }
    let refusals = (0..40)
        .map(|_| {
            let head = holder.frame_of(HEADERS);
            let fields = holder.fields(&head.payload);
            match (field(&fields, ":status"), field(&fields, "grpc-status")) {
                ("200", "8") => 1,
                ("200", "") => 0,
                other => panic!("{other:?}"),
            }
        })
        .sum::<u64>();
    let held = 10_000_000 * (40 - refusals);
    assert!((HELD_BYTES_MAX - 10_000_000..HELD_BYTES_MAX).contains(&held), "{refusals} are refused");
    let grown = server.memory_bytes().saturating_sub(before);
    assert!(grown < 2 * HELD_BYTES_MAX, "{grown} bytes");
    // Others have theirs, if they are short.
    let mut http2 = Http2::connect(&server);
    http2.send(&[call(1, ECHO, &[]), Frame::data(1, true, echo_of("hello"))]);
    let answer = http2.answer(1);
    assert_eq!(texts(&answer.body), ["hello"]);
    drop(holder);
    eventually("nothing is in flight", || (server.in_flight() == 0).then_some(()));
    http2.send(&[call(3, path, &[]), Frame::data(3, true, asked)]);
    let answer = http2.answer(3);
    assert_eq!(trailer(&answer, "grpc-status"), Some("0"));
}

#[test]
fn the_address_of_grpc_is_one_more() {
    let server = Server::start(&["--workers", "1", "--grpc", "127.0.0.1:0"]);
    let ports: Vec<u16> = server
        .log()
        .split("http://127.0.0.1:")
        .skip(1)
        .filter_map(|rest| rest.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok())
        .collect();
    let other = ports.into_iter().find(|&port| port != server.address().port()).expect("a second address");
    for port in [server.address().port(), other] {
        let mut http2 = Http2::try_connect(([127, 0, 0, 1], port).into(), &[]).expect("HTTP/2");
        http2.send(&[call(1, ECHO, &[]), Frame::data(1, true, echo_of("here"))]);
        let answer = http2.answer(1);
        assert_eq!(
            (answer.field("content-type"), texts(&answer.body)),
            (Some("application/grpc"), vec!["here".to_string()])
        );
    }
}
