//! Conversations with a WebSocket in memory: frames in, whole and byte by byte, and what comes back.

use super::test_client::{BINARY, CLOSE, Client, Echo, PING, PONG, SECOND, TEXT, closed, frame, head, said};
use crate::app::{AppError, Cx, Message, MessageOut, Peer, Pull};
use crate::protocol::Closing::{Flushed, Lingering};
use crate::protocol::Next::{self, Close, Wait};
use std::time::Instant;

#[test]
fn what_is_sent_and_what_comes_back() {
    let large = vec![b'x'; 70_000];
    let cases: Vec<(&str, Vec<u8>, Vec<u8>, Next)> = vec![
        ("text", frame(TEXT, "hé".as_bytes()), said(TEXT, "hé".as_bytes()), Wait),
        ("empty", frame(TEXT, b""), said(TEXT, b""), Wait),
        ("binary of 16-bit length", frame(BINARY, &large[..300]), said(BINARY, &large[..300]), Wait),
        ("binary of 64-bit length", frame(BINARY, &large), said(BINARY, &large), Wait),
        (
            "two",
            [frame(TEXT, b"a"), frame(BINARY, b"b")].concat(),
            [said(TEXT, b"a"), said(BINARY, b"b")].concat(),
            Wait,
        ),
        (
            "fragments around a ping",
            [frame(0x01, b"a"), frame(PING, b"p"), frame(0x00, b"b"), frame(0x80, b"c")].concat(),
            [said(PONG, b"p"), said(TEXT, b"abc")].concat(),
            Wait,
        ),
        (
            "a character across fragments",
            [frame(0x01, &[0xc3]), frame(0x80, &[0xa9])].concat(),
            said(TEXT, "é".as_bytes()),
            Wait,
        ),
        ("an unsolicited pong", frame(PONG, b"x"), vec![], Wait),
        ("close", frame(CLOSE, &1000u16.to_be_bytes()), closed(1000, ""), Close(Lingering)),
        ("close without a code", frame(CLOSE, b""), said(CLOSE, b""), Close(Lingering)),
        (
            "after a close everything is ignored",
            [frame(CLOSE, &1001u16.to_be_bytes()), frame(TEXT, b"late")].concat(),
            closed(1001, ""),
            Close(Lingering),
        ),
        (
            "a code that must not be sent",
            frame(CLOSE, &1005u16.to_be_bytes()),
            closed(1002, "Protocol violation"),
            Close(Lingering),
        ),
        ("a close of one byte", frame(CLOSE, &[3]), closed(1002, "protocol error"), Close(Lingering)),
        ("a reason that is not UTF-8", frame(CLOSE, &[3, 232, 0xff]), closed(1007, "invalid UTF-8"), Close(Lingering)),
        ("text that is not UTF-8", frame(TEXT, &[0xff]), closed(1007, "invalid UTF-8"), Close(Lingering)),
        (
            "half a character at the end",
            [frame(0x01, b"a"), frame(0x80, &[0xc3])].concat(),
            closed(1007, "invalid UTF-8"),
            Close(Lingering),
        ),
        ("a reserved bit", frame(0xc1, b"a"), closed(1002, "protocol error"), Close(Lingering)),
        ("a reserved opcode", frame(0x83, b"a"), closed(1002, "protocol error"), Close(Lingering)),
        ("a fragmented ping", frame(0x09, b"a"), closed(1002, "protocol error"), Close(Lingering)),
        ("a long ping", frame(PING, &large[..126]), closed(1002, "protocol error"), Close(Lingering)),
        ("a continuation without a message", frame(0x80, b"a"), closed(1002, "protocol error"), Close(Lingering)),
        ("no mask", said(TEXT, b"a"), closed(1002, "protocol error"), Close(Lingering)),
        ("too long a frame", frame(BINARY, &[0; 100_001]), closed(1009, "message too big"), Close(Lingering)),
        (
            "too long a message",
            [frame(0x02, &large), frame(0x80, &large)].concat(),
            closed(1009, "message too big"),
            Close(Lingering),
        ),
        (
            "too long a frame, by its header",
            [head(BINARY, 100_001, 0x80), vec![0; 4]].concat(),
            closed(1009, "message too big"),
            Close(Lingering),
        ),
        (
            "too long a message, by the last header",
            [&frame(0x02, &large)[..], &head(0x80, 30_001, 0x80), &[0; 4]].concat(),
            closed(1009, "message too big"),
            Close(Lingering),
        ),
        (
            "a long ping, by its header",
            [head(PING, 100_000, 0x80), vec![0; 4]].concat(),
            closed(1002, "protocol error"),
            Close(Lingering),
        ),
        (
            "not UTF-8 at the start of a long frame",
            [head(TEXT, 90_000, 0x80), vec![0; 4], vec![0xff; 20_000]].concat(),
            closed(1007, "invalid UTF-8"),
            Close(Lingering),
        ),
        ("the app fails", [frame(TEXT, b"fail"), frame(TEXT, b"late")].concat(), closed(1011, ""), Wait),
        ("the app closes", frame(TEXT, b"bye"), closed(4000, "bye"), Wait),
        (
            "the app closes and the client agrees",
            [frame(TEXT, b"bye"), frame(TEXT, b"on its way"), frame(CLOSE, &4000u16.to_be_bytes())].concat(),
            closed(4000, "bye"),
            Close(Lingering),
        ),
        ("the app closes with a code that must not be sent", frame(TEXT, b"wrong code"), closed(1011, ""), Wait),
        ("the app sends after its close", frame(TEXT, b"after close"), closed(1011, ""), Wait),
    ];
    for (name, sent, expected, end) in cases {
        let mut client = Client::new(Echo);
        assert_eq!((client.send(&sent), &client.got), (end, &expected), "{name}");
        let mut client = Client::new(Echo);
        // Byte by byte, unless that takes too long.
        let pieces = sent.chunks(if sent.len() < 1000 { 1 } else { 997 });
        for piece in pieces {
            if matches!(client.send(piece), Close(_)) {
                break;
            }
        }
        assert_eq!(client.got, expected, "{name}, in pieces");
    }
}

#[test]
fn a_client_that_ends_without_a_close_is_closed() {
    let mut client = Client::new(Echo);
    client.send(&frame(TEXT, b"a")[..3]);
    client.input_ended = true;
    assert_eq!((client.run(), client.got), (Close(Flushed), vec![]));
    // But an error in its last frame is reported to it.
    let mut client = Client::new(Echo);
    client.input_ended = true;
    assert_eq!((client.send(&frame(0x83, b"")), client.got), (Close(Lingering), closed(1002, "protocol error")));
}

/// Sends three messages, a second apart, and ends.
struct Ticks(u64, Instant);

impl Peer for Ticks {
    fn message(&mut self, _: Message, _: &mut MessageOut<'_>, _: &Cx<'_>) -> Result<(), AppError> {
        Ok(())
    }

    fn pull(&mut self, out: &mut MessageOut<'_>, cx: &Cx<'_>) -> Result<Pull, AppError> {
        if cx.now() < self.1 {
            return Ok(Pull::NotBefore(self.1));
        }
        self.1 += SECOND;
        self.0 += 1;
        out.send(Message::text(self.0.to_string()))?;
        Ok(if self.0 == 3 { Pull::End } else { Pull::More })
    }
}

#[test]
fn a_peer_sends_at_its_time_and_ends() {
    let mut client = Client::new(Ticks(0, Instant::now()));
    client.later(SECOND / 2);
    assert_eq!((&client.got, client.deadline().is_some_and(|wait| wait <= SECOND / 2)), (&said(TEXT, b"1"), true));
    client.send(&frame(TEXT, b"does not matter"));
    assert_eq!(client.got, said(TEXT, b"1"));
    client.later(SECOND);
    client.later(SECOND);
    assert_eq!(client.got, [said(TEXT, b"1"), said(TEXT, b"2"), said(TEXT, b"3"), closed(1000, "")].concat());
}

/// Sends without checking for room, until it is refused.
struct Flood;

impl Peer for Flood {
    fn message(&mut self, _: Message, _: &mut MessageOut<'_>, _: &Cx<'_>) -> Result<(), AppError> {
        Ok(())
    }

    fn pull(&mut self, out: &mut MessageOut<'_>, _: &Cx<'_>) -> Result<Pull, AppError> {
        loop {
            out.send(Message::binary(vec![0; 1000]))?;
        }
    }
}

#[test]
fn a_peer_cannot_write_without_room() {
    let mut client = Client::new(Flood);
    client.reads = false;
    client.run();
    assert!(client.output.len() < client.limits.write_high_watermark_bytes + 2000, "{}", client.output.len());
    client.reads = true;
    client.run();
    assert!(client.got.ends_with(&closed(1011, "")));
}

/// Keeps each message, and answers it at the next pull.
struct Keeps(Option<Message>);

impl Peer for Keeps {
    fn message(&mut self, message: Message, _: &mut MessageOut<'_>, _: &Cx<'_>) -> Result<(), AppError> {
        match self.0.replace(message) {
            None => Ok(()),
            Some(_) => Err(AppError::new("another message before the pull")),
        }
    }

    fn pull(&mut self, out: &mut MessageOut<'_>, _: &Cx<'_>) -> Result<Pull, AppError> {
        self.0.take().map_or(Ok(()), |message| out.send(message))?;
        Ok(Pull::Idle)
    }
}

#[test]
fn a_peer_is_pulled_after_each_message() {
    let mut client = Client::new(Keeps(None));
    let sent: Vec<Vec<u8>> = (0..600).map(|at: u32| at.to_string().into_bytes()).collect();
    client.send(&sent.iter().flat_map(|text| frame(TEXT, text)).collect::<Vec<u8>>());
    assert_eq!(client.got, sent.iter().flat_map(|text| said(TEXT, text)).collect::<Vec<u8>>());
}

#[test]
fn a_peer_sends_during_a_flood_of_messages() {
    let mut client = Client::new(Ticks(0, Instant::now()));
    client.input.feed(&frame(PONG, b"").repeat(50_000));
    client.step();
    assert_eq!(client.got, said(TEXT, b"1"));
}

#[test]
fn a_turn_has_a_limit_of_frames_of_any_kind() {
    for first in [0x00, TEXT, PING, PONG] {
        let mut client = Client::new(Echo);
        client.send(&frame(0x01, b"begun")[..if first == 0 { 11 } else { 0 }]);
        let flood = frame(first, b"").repeat(20_000);
        client.input.feed(&flood);
        assert_eq!(client.step(), Next::Again, "{first}");
        assert!(client.input.len() >= flood.len() - 512 * 6, "{first}: {} bytes are left", client.input.len());
    }
}

/// Fills all the room at each pull.
struct Streams;

impl Peer for Streams {
    fn message(&mut self, _: Message, out: &mut MessageOut<'_>, _: &Cx<'_>) -> Result<(), AppError> {
        out.close(1000, "heard")
    }

    fn pull(&mut self, out: &mut MessageOut<'_>, _: &Cx<'_>) -> Result<Pull, AppError> {
        while out.has_room() {
            out.send(Message::binary(vec![0; 1000]))?;
        }
        Ok(Pull::More)
    }
}

#[test]
fn a_client_is_read_from_during_a_stream() {
    let mut client = Client::new(Streams);
    client.step();
    client.input.feed(&frame(TEXT, b"enough"));
    client.run();
    assert!(client.got.ends_with(&closed(1000, "heard")));
}

#[test]
fn handshakes() {
    use crate::http1::test_client::{Client, sized, text};
    struct Upgrading;
    impl crate::app::App for Upgrading {
        fn call(&mut self, _: &crate::http::Request<'_>, _: &Cx<'_>) -> crate::app::Answer {
            crate::app::Answer::upgrade(Echo)
        }
    }
    let full = "Upgrade: websocket\r\nConnection: keep-alive, Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
    let ask = |start: &str, fields: &str| {
        let mut client = Client::new(Upgrading);
        let next = client.send(format!("{start}\r\nHost: a\r\n{fields}\r\n").as_bytes());
        (next, client.text())
    };
    let switched = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";
    assert_eq!(ask("GET / HTTP/1.1", full), (Next::Switch, switched.to_string()));
    let no = text("400 Bad Request", "", "Not a websocket handshake\n");
    for (name, old, new) in [
        ("no upgrade", "Upgrade: websocket\r\n", ""),
        ("another upgrade", "Upgrade: websocket", "Upgrade: h2c"),
        ("no connection", "keep-alive, Upgrade", "keep-alive"),
        ("no key", "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n", ""),
        ("a short key", "dGhlIHNhbXBsZSBub25jZQ==", "dGhl"),
        ("a key that is not base64", "dGhlIHNhbXBsZSBub25jZQ==", "dGhlIHNhbXBsZSBub25j!!=="),
        ("two keys", "Sec-WebSocket-Version", "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version"),
    ] {
        assert_eq!(ask("GET / HTTP/1.1", &full.replace(old, new)), (Wait, no.clone()), "{name}");
    }
    let no_post = text("405 Method Not Allowed", "", "Only GET requests are allowed for WebSocket\n");
    let no_post = no_post.replace("Content-Length", "Allow: GET\r\nContent-Length");
    assert_eq!(ask("POST / HTTP/1.1", full), (Wait, no_post));
    let old = sized("426 Upgrade Required", "Connection: upgrade\r\n", "Sec-WebSocket-Version has to be 13\n");
    let fields =
        "Content-Type: text/plain; charset=utf-8\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nContent-Length";
    let old = old.replace("Content-Length", fields);
    assert_eq!(ask("GET / HTTP/1.1", &full.replace("13", "8")), (Wait, old));
    let (next, answer) = ask("GET / HTTP/1.0", full);
    assert_eq!((next, answer.starts_with("HTTP/1.1 400 ")), (Wait, true));
}

#[test]
fn only_an_offered_subprotocol_that_the_app_chose_is_sent() {
    use crate::app::{Answer, App, Cx, Upgrade};
    use crate::http1::test_client::Client;
    /// Chooses this one, or the last one offered.
    struct Chooses(Option<&'static str>);
    impl App for Chooses {
        fn call(&mut self, request: &crate::http::Request<'_>, _: &Cx<'_>) -> Answer {
            match self.0.or(request.subprotocols().last()) {
                Some(name) => Upgrade::new(Echo).subprotocol(name).into(),
                None => Answer::upgrade(Echo),
            }
        }
    }
    let full = "GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
    for (chooses, fields, expected) in [
        (None, "", Ok(None)),
        (None, "Sec-WebSocket-Protocol: chat\r\n", Ok(Some("chat"))),
        (None, "Sec-WebSocket-Protocol: chat, v1.chat\r\n", Ok(Some("v1.chat"))),
        (None, "Sec-WebSocket-Protocol: a\r\nsec-websocket-protocol:b ,, \r\n", Ok(Some("b"))),
        (None, "Sec-WebSocket-Protocol: a, b c, \"d\", \u{e9}\r\n", Ok(Some("a"))),
        (None, "Sec-WebSocket-Protocol:\r\n", Ok(None)),
        (Some("a"), "Sec-WebSocket-Protocol: b, a\r\n", Ok(Some("a"))),
        (Some("a"), "", Err(())),
        (Some("a"), "Sec-WebSocket-Protocol: b, A\r\n", Err(())),
        (Some("b\r\nX: y"), "Sec-WebSocket-Protocol: b\r\n", Err(())),
    ] {
        let mut client = Client::new(Chooses(chooses));
        let next = client.send(format!("{full}{fields}\r\n").as_bytes());
        let answer = client.text();
        let said = answer.lines().find_map(|line| line.strip_prefix("Sec-WebSocket-Protocol: "));
        match expected {
            Ok(expected) => assert_eq!((next, said), (Next::Switch, expected), "{chooses:?} of {fields:?}"),
            Err(()) => assert!(answer.starts_with("HTTP/1.1 500 ") && said.is_none(), "{chooses:?}: {answer}"),
        }
    }
}
