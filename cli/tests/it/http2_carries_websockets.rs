//! WebSockets over HTTP/2 (RFC 8441): an extended CONNECT makes one of a stream, to an application that cannot tell. Messages, closes,
//! limits, timeouts, back-pressure and the drain are those of a WebSocket of its own connection, and other streams go on.

use crate::support::admin::{admin_of, samples};
use crate::support::http2::{
    DATA, END_STREAM, Frame, GOAWAY, HEADERS, Http2, PING as HTTP2_PING, RST_STREAM, SETTINGS, WINDOW_UPDATE, block,
    code, handshake,
};
use crate::support::websocket::{BINARY, Frame as Message, PING, TEXT};
use crate::support::{Server, eventually};
use nix::sys::signal::Signal;

const MASK: [u8; 4] = [7, 77, 177, 3];

/// A stream that is a WebSocket, the only one whose frames are not dropped.
struct OnStream {
    http2: Http2,
    stream: u32,
    bytes: Vec<u8>,
    /// END_STREAM, or the code of RST_STREAM.
    end: Option<Result<(), u32>>,
    /// Windows are given back.
    takes: bool,
}

fn connect_request(path: &str, more: &[(&str, &str)]) -> Vec<u8> {
    block(&[&handshake(path)[..], more].concat())
}

impl OnStream {
    #[track_caller]
    fn open(mut http2: Http2, stream: u32, path: &str) -> OnStream {
        http2.send(&[Frame::headers(stream, false, connect_request(path, &[]))]);
        let head = http2.frame_of(HEADERS);
        assert!(head.stream == stream && !head.ends_stream(), "{head:?}");
        let fields = http2.fields(&head.payload);
        assert_eq!(fields[0], (":status".into(), "200".into()));
        assert!(!fields.iter().any(|(name, _)| name == "upgrade" || name == "connection"), "{fields:?}");
        OnStream { http2, stream, bytes: Vec::new(), end: None, takes: true }
    }

    fn connect(server: &Server, path: &str) -> OnStream {
        OnStream::open(Http2::connect(server), 1, path)
    }

    #[track_caller]
    fn say(&mut self, opcode: u8, payload: impl Into<Vec<u8>>) {
        self.say_bytes(&Message::new(true, 0, opcode, payload).masked(MASK));
    }

    #[track_caller]
    fn say_bytes(&mut self, bytes: &[u8]) {
        let frames: Vec<_> = bytes.chunks(16 << 10).map(|part| Frame::data(self.stream, false, part)).collect();
        self.http2.send(&frames);
    }

    /// Reads one frame of the connection.
    #[track_caller]
    fn read(&mut self) -> Frame {
        let frame = self.http2.frame().expect("the server answers").expect("the server keeps the connection");
        if frame.kind == DATA && !frame.payload.is_empty() && self.takes {
            let length = frame.payload.len() as u32;
            self.http2.send(&[Frame::window_update(0, length), Frame::window_update(frame.stream, length)]);
        }
        if frame.stream == self.stream {
            match frame.kind {
                DATA => self.bytes.extend_from_slice(&frame.payload),
                RST_STREAM => self.end = frame.code().map(Err),
                _ => {}
            }
            if frame.ends_stream() {
                self.end = Some(Ok(()));
            }
        }
        frame
    }

    /// The next frame of the WebSocket; `None` at its end.
    #[track_caller]
    fn next(&mut self) -> Option<Message> {
        loop {
            if let Some((message, length)) = parse(&self.bytes) {
                self.bytes.drain(..length);
                return Some(message);
            }
            if self.end.is_some() {
                assert_eq!(self.bytes, b"", "the stream ends within a frame");
                return None;
            }
            self.read();
        }
    }

    #[track_caller]
    fn expect_end(&mut self) {
        assert_eq!(self.next(), None);
        assert_eq!(self.end, Some(Ok(())));
    }
}

/// An unmasked frame, and its length.
fn parse(bytes: &[u8]) -> Option<(Message, usize)> {
    let (&[first, second], rest) = bytes.split_first_chunk()?;
    let (length, start) = match second {
        126 => (usize::from(u16::from_be_bytes(*rest.first_chunk()?)), 4),
        127 => (usize::try_from(u64::from_be_bytes(*rest.first_chunk()?)).ok()?, 10),
        short => (usize::from(short), 2),
    };
    let payload = bytes.get(start..start + length)?;
    Some((Message::new(first & 0x80 != 0, first >> 4 & 7, first & 15, payload), start + length))
}

fn said(opcode: u8, payload: impl Into<Vec<u8>>) -> Option<Message> {
    Some(Message::new(true, 0, opcode, payload))
}

fn open_websockets(server: &Server) -> f64 {
    samples(admin_of(server))["tine_websockets"]
}

#[test]
fn the_server_says_that_it_does() {
    let server = Server::start(&["--workers", "1"]);
    let mut http2 = Http2::silent(server.address()).expect("a connection");
    http2.try_send_bytes(&[crate::support::http2::PREFACE, &Frame::settings(&[]).bytes()].concat()).expect("sent");
    let settings = http2.frame_of(SETTINGS);
    assert!(settings.as_settings().any(|setting| setting == (8, 1)), "{settings:?}");
}

/// RFC 9113, 8.5: only DATA and what belongs to the stream as such; RFC 9110, 9.3.6: a CONNECT has no content, whatever it says.
#[test]
fn only_data_belongs_to_a_tunnel() {
    let server = Server::start(&["--workers", "1"]);
    let mut http2 = Http2::connect(&server);
    http2.send(&[Frame::headers(1, false, connect_request("/ws", &[("content-length", "0")]))]);
    assert_eq!(http2.frame_of(HEADERS).stream, 1);
    let mut ws = OnStream { http2, stream: 1, bytes: Vec::new(), end: None, takes: true };
    ws.say(TEXT, "hello");
    assert_eq!(ws.next(), said(TEXT, "hello"));
    ws.http2.send(&[Frame::headers(1, true, block(&[("x", "y")]))]);
    assert_eq!((ws.next(), ws.end), (None, Some(Err(code::PROTOCOL_ERROR))));
}

#[test]
fn messages_of_any_length_are_echoed_beside_other_streams() {
    let server = Server::start(&["--workers", "1"]);
    let mut ws = OnStream::connect(&server, "/ws");
    for length in [0, 1, 125, 126, 65_535, 65_536, 200_000, 1 << 20] {
        let payload = vec![b'x'; length];
        let bytes = Message::new(true, 0, BINARY, &payload[..]).masked(MASK);
        // No more than the stream's window at a time: it is opened as messages are taken.
        for part in bytes.chunks(100_000) {
            ws.say_bytes(part);
            if bytes.len() > 100_000 {
                ws.http2.send(&[Frame::ping(*b"taken it")]);
                while ws.read().kind != HTTP2_PING {}
            }
        }
        assert!(ws.next() == said(BINARY, payload), "{length}");
    }
    ws.say(PING, "there?");
    assert_eq!(ws.next(), said(10, "there?"));
    assert_eq!(ws.http2.get(3, "/health").status, 200);
    // A frame in parts, and two in one.
    let bytes =
        [Message::new(true, 0, TEXT, "one").masked(MASK), Message::new(true, 0, TEXT, "two").masked(MASK)].concat();
    for byte in &bytes[..5] {
        ws.say_bytes(&[*byte]);
    }
    ws.say_bytes(&bytes[5..]);
    assert_eq!((ws.next(), ws.next()), (said(TEXT, "one"), said(TEXT, "two")));
    // Another of the same connection.
    let mut other = OnStream::open(ws.http2, 5, "/ws/ticker?every=1&count=3");
    assert_eq!(
        (other.next(), other.next(), other.next()),
        (said(TEXT, r#"{"n":1}"#), said(TEXT, r#"{"n":2}"#), said(TEXT, r#"{"n":3}"#))
    );
    assert_eq!(other.next().and_then(|frame| frame.close_code()), Some(1000));
}

#[test]
fn both_sides_close_it_in_order() {
    let server = Server::start(&["--workers", "1", "--admin", "127.0.0.1:0"]);
    let mut ws = OnStream::connect(&server, "/ws");
    eventually("it is counted", || (open_websockets(&server) == 1.0).then_some(()));
    ws.say_bytes(&Message::close(3001, b"bye").masked(MASK));
    assert_eq!(ws.next(), Some(Message::close(3001, b"bye")));
    ws.expect_end();
    eventually("it is not counted any more", || (open_websockets(&server) == 0.0).then_some(()));
    ws.http2.send(&[Frame::data(1, true, [])]);
    let mut ws = OnStream::open(ws.http2, 3, "/ws/close");
    ws.say(TEXT, "hello");
    assert_eq!(ws.next(), said(TEXT, "Server received: hello"));
    assert_eq!(ws.next(), Some(Message::close(1000, b"server done")));
    ws.say_bytes(&Message::close(1000, b"").masked(MASK));
    ws.expect_end();
    // A client that leaves without a close ends its side.
    let mut ws = OnStream::open(ws.http2, 5, "/ws");
    ws.http2.send(&[Frame::data(5, true, [])]);
    ws.expect_end();
    assert_eq!(ws.http2.get(7, "/health").status, 200);
}

#[test]
fn a_reset_ends_it_at_once() {
    let server = Server::start(&["--workers", "1", "--admin", "127.0.0.1:0"]);
    let mut ws = OnStream::connect(&server, "/ws/ticker?every=1");
    assert_eq!(ws.next(), said(TEXT, r#"{"n":1}"#));
    eventually("it is counted", || (open_websockets(&server) == 1.0).then_some(()));
    ws.http2.send(&[Frame::rst_stream(1, code::CANCEL)]);
    eventually("it has ended", || (open_websockets(&server) == 0.0).then_some(()));
    assert_eq!(ws.http2.get(3, "/health").status, 200);
}

#[test]
fn handshakes_are_checked() {
    let server = Server::start(&["--workers", "1"]);
    let mut http2 = Http2::connect(&server);
    let mut stream = 1;
    let mut ask = |fields: &[(&str, &str)]| {
        http2.send(&[Frame::headers(stream, false, block(fields))]);
        stream += 2;
        http2.answer(stream - 2)
    };
    let fields = |protocol, version| {
        let pseudo =
            [(":method", "CONNECT"), (":protocol", protocol), (":scheme", "http"), (":authority", "localhost")];
        [&pseudo[..], &[(":path", "/ws"), ("sec-websocket-version", version)]].concat()
    };
    let answer = ask(&fields("websocket", "12"));
    assert_eq!((answer.status, answer.field("sec-websocket-version")), (426, Some("13")));
    assert_eq!(ask(&fields("connect-udp", "13")).status, 501);
    // It is a body, and a WebSocket has none.
    assert_eq!(ask(&[&fields("websocket", "13")[..], &[("content-length", "3")]].concat()).status, 400);
    let elsewhere: Vec<_> = fields("websocket", "13")
        .into_iter()
        .map(|(name, value)| (name, if name == ":path" { "/health" } else { value }))
        .collect();
    let answer = ask(&elsewhere);
    assert_eq!((answer.status, answer.reset), (200, None));
    // Without an extended CONNECT there is no way to one.
    assert_eq!(ask(&crate::support::http2::request("GET", "/ws")).status, 400);
    // The first of the subprotocols.
    http2.send(&[Frame::headers(99, false, connect_request("/ws", &[("sec-websocket-protocol", "chat, other")]))]);
    let head = http2.frame_of(HEADERS);
    let fields = http2.fields(&head.payload);
    assert!(fields.contains(&("sec-websocket-protocol".into(), "chat".into())), "{fields:?}");
}

#[test]
fn its_limits_and_timeouts_hold() {
    let options = ["--workers", "1", "--ws-message-max", "1000", "--ws-idle-timeout", "400ms"];
    let server = Server::start(&[&options[..], &["--ws-ping-interval", "100ms"]].concat());
    let mut ws = OnStream::connect(&server, "/ws");
    ws.say(BINARY, vec![0; 1001]);
    assert_eq!(ws.next().and_then(|frame| frame.close_code()), Some(1009));
    ws.expect_end();
    let mut ws = OnStream::open(ws.http2, 3, "/ws");
    assert_eq!(ws.next(), said(PING, ""));
    assert_eq!(ws.next(), Some(Message::close(1001, b"Idle timeout")));
}

#[test]
fn a_client_that_does_not_take_its_echoes_is_not_read_from() {
    let server = Server::start(&["--workers", "1", "--admin", "127.0.0.1:0", "--write-timeout", "1s"]);
    let mut ws = OnStream::connect(&server, "/ws");
    ws.takes = false;
    let message = Message::new(true, 0, BINARY, vec![1; 16_000]).masked(MASK);
    // The connection's window of 64 KiB is soon full, and then the stream's of 256 KiB is not opened any more.
    let (mut window, mut sent) = (256 << 10, 0);
    let reset = loop {
        if window >= message.len() {
            ws.say_bytes(&message);
            (window, sent) = (window - message.len(), sent + message.len());
            continue;
        }
        let frame = ws.read();
        match frame.kind {
            WINDOW_UPDATE if frame.stream == 1 => {
                window += u32::from_be_bytes(*frame.payload.first_chunk().expect("an increment")) as usize;
            }
            RST_STREAM => break frame,
            _ => {}
        }
        assert!(sent < 4 << 20, "it reads all that comes");
    };
    assert_eq!((reset.stream, reset.code()), (1, Some(code::CANCEL)));
    eventually("it has ended", || (open_websockets(&server) == 0.0).then_some(()));
    // The others go on, once the connection's window is open.
    ws.http2.send(&[Frame::window_update(0, 1 << 20)]);
    assert_eq!(ws.http2.get(3, "/health").status, 200);
}

#[test]
fn a_drain_ends_it_with_1001() {
    let mut server = Server::start(&["--workers", "1", "--graceful-timeout", "1h", "--ws-idle-timeout", "1h"]);
    let mut ws = OnStream::connect(&server, "/ws");
    ws.say(TEXT, "hello");
    assert_eq!(ws.next(), said(TEXT, "hello"));
    server.signal(Signal::SIGTERM);
    let close = ws.next();
    assert_eq!(close, Some(Message::close(1001, b"Server shutting down")));
    ws.say_bytes(&close.expect("a close").masked(MASK));
    ws.expect_end();
    ws.http2.send(&[Frame::new(DATA, END_STREAM, 1, [])]);
    let goaway = ws.http2.frame_of(GOAWAY);
    assert_eq!(goaway.code(), Some(code::NO_ERROR));
    assert_eq!(server.wait_exit().code(), Some(0), "{}", server.log());
    assert!(!server.log().contains("cut"), "{}", server.log());
}
