use super::*;
use crate::http2::error::Scope;
use proptest::collection::vec;
use proptest::prelude::*;

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = (payload.len() as u32).to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

/// Parses one frame, and its header cut at every index.
fn parse(bytes: &[u8]) -> Result<Frame<'_>, (Code, Scope)> {
    for end in 0..HEADER_BYTES {
        assert_eq!(FrameHeader::parse(&bytes[..end]), Ok(None));
    }
    let header = FrameHeader::parse(bytes).unwrap().unwrap();
    Frame::parse(header, &bytes[HEADER_BYTES..]).map_err(|e| (e.code, e.scope))
}

const PROTOCOL: Result<Frame<'static>, (Code, Scope)> = Err((Code::Protocol, Scope::Connection));
const SIZE: Result<Frame<'static>, (Code, Scope)> = Err((Code::FrameSize, Scope::Connection));

fn data(body: &[u8], ends_stream: bool, counted: u32) -> Result<Frame<'_>, (Code, Scope)> {
    Ok(Frame::Data(Data { body, ends_stream, counted }))
}

fn headers(fragment: &[u8], depends_on_itself: bool) -> Result<Frame<'_>, (Code, Scope)> {
    Ok(Frame::Headers(Headers { fragment, ends_stream: false, ends_headers: true, depends_on_itself }))
}

#[test]
fn the_header_has_a_length_of_24_bits_and_a_stream_of_31() {
    let header = FrameHeader { length: 16_384, kind: 0xfe, flags: 0xa5, stream: MAX_31_BITS };
    let bytes = [0, 0x40, 0, 0xfe, 0xa5, 0xff, 0xff, 0xff, 0xff, 1];
    assert_eq!(FrameHeader::parse(&bytes), Ok(Some(header)));
    // Too long, whatever its type, and as soon as its header is complete.
    for kind in 0..=17 {
        let bytes = [0, 0x40, 1, kind, 0, 0, 0, 0, 1];
        assert_eq!(FrameHeader::parse(&bytes[..8]), Ok(None));
        let error = FrameHeader::parse(&bytes).unwrap_err();
        assert_eq!((error.code, error.scope), (Code::FrameSize, Scope::Connection));
    }
}

#[test]
fn data_and_headers_have_padding() {
    for (flags, payload, expected) in [
        (0, &b"abc"[..], data(b"abc", false, 3)),
        (0, b"", data(b"", false, 0)),
        (1, b"abc", data(b"abc", true, 3)),
        // Unknown flags are ignored.
        (0xf6, b"abc", data(b"abc", false, 3)),
        (8, b"\x00abc", data(b"abc", false, 4)),
        (8, b"\x02abc", data(b"a", false, 4)),
        (9, b"\x03abc", data(b"", true, 4)),
        (8, b"\x00", data(b"", false, 1)),
        (8, b"\x04abc", PROTOCOL),
        (8, b"\x01", PROTOCOL),
        (8, b"", SIZE),
    ] {
        assert_eq!(parse(&frame(kind::DATA, flags, 1, payload)), expected, "{flags:x} {payload:?}");
    }
    let depends = b"\x00\x00\x00\x03\x10abc";
    for (flags, payload, expected) in [
        (4, &b"abc"[..], headers(b"abc", false)),
        (4, b"", headers(b"", false)),
        (0xc, b"\x01abc", headers(b"ab", false)),
        (0xc, b"\x03abc", headers(b"", false)),
        (0xc, b"\x04abc", PROTOCOL),
        (0xc, b"", SIZE),
        (0x24, depends, headers(b"abc", false)),
        (0x24, b"\x80\x00\x00\x01\x10abc", headers(b"abc", true)),
        (0x24, b"\x00\x00\x00\x03\x10", headers(b"", false)),
        (0x24, b"\x00\x00\x00\x03", SIZE),
        (0x24, b"\x00", SIZE),
        (0x2c, b"\x02\x00\x00\x00\x01\x10abc", headers(b"a", true)),
        // The padding leaves no room for the priority.
        (0x2c, b"\x02\x00\x00\x00\x01\x10a", SIZE),
    ] {
        assert_eq!(parse(&frame(kind::HEADERS, flags, 1, payload)), expected, "{flags:x} {payload:?}");
    }
    let expected = Headers { fragment: b"a", ends_stream: true, ends_headers: false, depends_on_itself: false };
    assert_eq!(parse(&frame(kind::HEADERS, 1, 1, b"a")), Ok(Frame::Headers(expected)));
}

#[test]
fn every_other_type_has_its_length() {
    use Frame::*;
    let of_stream = |code| Err((code, Scope::Stream));
    for (kind, flags, stream, payload, expected) in [
        (kind::PRIORITY, 0, 1, &[0, 0, 0, 3, 9][..], Ok(Priority)),
        (kind::PRIORITY, 0, 1, &[0x80, 0, 0, 1, 9], of_stream(Code::Protocol)),
        (kind::PRIORITY, 0, 1, &[0, 0, 0, 3], of_stream(Code::FrameSize)),
        (kind::PRIORITY, 0, 1, &[0, 0, 0, 3, 9, 9], of_stream(Code::FrameSize)),
        (kind::PRIORITY, 0, 1, &[], of_stream(Code::FrameSize)),
        (kind::RST_STREAM, 0, 1, &[0, 0, 0, 8], Ok(RstStream(8))),
        (kind::RST_STREAM, 0, 1, &[0xff; 4], Ok(RstStream(u32::MAX))),
        (kind::RST_STREAM, 0, 1, &[0; 3], SIZE),
        (kind::RST_STREAM, 0, 1, &[0; 5], SIZE),
        (kind::SETTINGS, 0, 0, &[0; 12], Ok(Settings(&[0; 12]))),
        (kind::SETTINGS, 0, 0, &[], Ok(Settings(&[]))),
        (kind::SETTINGS, 0, 0, &[0; 7], SIZE),
        (kind::SETTINGS, 1, 0, &[], Ok(SettingsAck)),
        (kind::SETTINGS, 1, 0, &[0; 6], SIZE),
        (kind::PUSH_PROMISE, 4, 1, &[0, 0, 0, 2], PROTOCOL),
        (kind::PUSH_PROMISE, 4, 0, &[], PROTOCOL),
        (kind::PING, 0, 0, b"12345678", Ok(Ping(*b"12345678"))),
        (kind::PING, 1, 0, b"12345678", Ok(PingAck(*b"12345678"))),
        (kind::PING, 0, 0, b"1234567", SIZE),
        (kind::PING, 1, 0, b"123456789", SIZE),
        (kind::GOAWAY, 0, 0, &[0x80, 0, 0, 7, 0, 0, 0, 11, b'x'], Ok(Goaway { last_stream: 7, code: 11 })),
        (kind::GOAWAY, 0, 0, &[0, 0, 0, 7, 0, 0, 0], SIZE),
        (kind::WINDOW_UPDATE, 0, 0, &[0x80, 0, 0, 7], Ok(WindowUpdate(7))),
        (kind::WINDOW_UPDATE, 0, 1, &[0xff; 4], Ok(WindowUpdate(MAX_31_BITS))),
        (kind::WINDOW_UPDATE, 0, 0, &[0x80, 0, 0, 0], PROTOCOL),
        (kind::WINDOW_UPDATE, 0, 1, &[0, 0, 0, 0], of_stream(Code::Protocol)),
        (kind::WINDOW_UPDATE, 0, 1, &[0, 0, 1], SIZE),
        (kind::WINDOW_UPDATE, 0, 1, &[0, 0, 1, 0, 0], SIZE),
        (kind::CONTINUATION, 0, 1, b"abc", Ok(Continuation { fragment: b"abc", ends_headers: false })),
        (kind::CONTINUATION, 4, 1, b"", Ok(Continuation { fragment: b"", ends_headers: true })),
        (kind::PRIORITY_UPDATE, 0, 0, b"\x80\x00\x00\x05u=1", Ok(PriorityUpdate { stream: 5, field: b"u=1" })),
        (kind::PRIORITY_UPDATE, 0, 0, b"\x80\x00\x00\x00u=1", PROTOCOL),
        (kind::PRIORITY_UPDATE, 0, 0, b"\x00\x00\x05", SIZE),
        (10, 0xff, 0, b"abc", Ok(Unknown)),
        (0xff, 0xff, 1, b"", Ok(Unknown)),
    ] {
        assert_eq!(parse(&frame(kind, flags, stream, payload)), expected, "{kind} {flags:x} {stream} {payload:?}");
    }
}

#[test]
fn frames_are_of_a_stream_or_of_the_connection() {
    for (kind, payload) in [
        (kind::DATA, &b""[..]),
        (kind::HEADERS, b""),
        (kind::PRIORITY, &[0; 5]),
        (kind::RST_STREAM, &[0; 4]),
        (kind::CONTINUATION, b""),
    ] {
        assert_eq!(parse(&frame(kind, 0, 0, payload)), PROTOCOL, "{kind}");
        // The first bit is ignored.
        assert_eq!(parse(&frame(kind, 0, 0x8000_0000, payload)), PROTOCOL, "{kind}");
        assert!(parse(&frame(kind, 0, 1, payload)).is_ok(), "{kind}");
    }
    for (kind, length) in [(kind::SETTINGS, 0), (kind::PING, 8), (kind::GOAWAY, 8), (kind::PRIORITY_UPDATE, 4)] {
        assert_eq!(parse(&frame(kind, 0, 1, &vec![1; length])), PROTOCOL, "{kind}");
        assert!(parse(&frame(kind, 0, 0, &vec![1; length])).is_ok(), "{kind}");
    }
}

proptest! {
    /// A fuzz target: any bytes are frames or an error, and what a frame has is of its payload.
    #[test]
    fn any_bytes_are_frames_or_an_error(
        frames in vec((0u8..19, any::<u8>(), 0u32..4, vec(any::<u8>(), 0..20)), 1..20),
    ) {
        for (kind, flags, stream, payload) in frames {
            let bytes = frame(kind, flags, stream, &payload);
            let header = FrameHeader::parse(&bytes).unwrap().unwrap();
            let within = match Frame::parse(header, &payload) {
                Ok(Frame::Data(Data { body, counted, .. })) => {
                    prop_assert_eq!(counted as usize, payload.len());
                    body
                }
                Ok(Frame::Headers(Headers { fragment, .. }) | Frame::Continuation { fragment, .. }) => fragment,
                Ok(Frame::PriorityUpdate { field, .. }) => field,
                _ => b"",
            };
            prop_assert!(within.is_empty() || payload.windows(within.len()).any(|part| part == within));
        }
    }
}
