//! Writes the frames that a server sends.

use super::frame::{FrameHeader, HEADER_BYTES, MAX_31_BITS, StreamId, flag, kind};
use super::settings::SETTING_BYTES;

/// The header of a DATA frame; the caller appends its payload.
pub fn data_header(length: usize, ends_stream: bool, stream: StreamId, out: &mut Vec<u8>) {
    header(length, kind::DATA, if ends_stream { flag::END_STREAM } else { 0 }, stream, out);
}

/// Leaves room for the header of a HEADERS frame; the caller appends the block, then calls [`end_headers`] with the
/// result.
pub fn begin_headers(out: &mut Vec<u8>) -> usize {
    let start = out.len();
    out.extend_from_slice(&[0; HEADER_BYTES]);
    start
}

/// Completes the header of a HEADERS frame. A block that is longer than a payload may be is continued in CONTINUATION frames.
pub fn end_headers(start: usize, ends_stream: bool, stream: StreamId, payload_bytes_max: usize, out: &mut Vec<u8>) {
    let length = out.len() - start - HEADER_BYTES;
    let end_stream = if ends_stream { flag::END_STREAM } else { 0 };
    if length <= payload_bytes_max {
        let header = encoded(length, kind::HEADERS, end_stream | flag::END_HEADERS, stream);
        out[start..start + HEADER_BYTES].copy_from_slice(&header);
        return;
    }
    let block = out.split_off(start + HEADER_BYTES);
    out.truncate(start);
    let last = block.chunks(payload_bytes_max).len() - 1;
    for (at, fragment) in block.chunks(payload_bytes_max).enumerate() {
        let (kind, flags) = if at == 0 { (kind::HEADERS, end_stream) } else { (kind::CONTINUATION, 0) };
        let end_headers = if at == last { flag::END_HEADERS } else { 0 };
        header(fragment.len(), kind, flags | end_headers, stream, out);
        out.extend_from_slice(fragment);
    }
}

/// `code`: of [`Code`](super::error::Code), or any other.
pub fn rst_stream(stream: StreamId, code: u32, out: &mut Vec<u8>) {
    header(4, kind::RST_STREAM, 0, stream, out);
    out.extend_from_slice(&code.to_be_bytes());
}

/// Each setting is an identifier and its value.
pub fn settings(settings: &[(u16, u32)], out: &mut Vec<u8>) {
    header(settings.len() * SETTING_BYTES, kind::SETTINGS, 0, 0, out);
    for (id, value) in settings {
        out.extend_from_slice(&id.to_be_bytes());
        out.extend_from_slice(&value.to_be_bytes());
    }
}

pub fn settings_ack(out: &mut Vec<u8>) {
    header(0, kind::SETTINGS, flag::ACK, 0, out);
}

pub fn ping(octets: [u8; 8], out: &mut Vec<u8>) {
    header(8, kind::PING, 0, 0, out);
    out.extend_from_slice(&octets);
}

pub fn ping_ack(octets: [u8; 8], out: &mut Vec<u8>) {
    header(8, kind::PING, flag::ACK, 0, out);
    out.extend_from_slice(&octets);
}

/// `why` is for people, `code` as in [`rst_stream`].
pub fn goaway(last_stream: StreamId, code: u32, why: &str, out: &mut Vec<u8>) {
    header(8 + why.len(), kind::GOAWAY, 0, 0, out);
    out.extend_from_slice(&last_stream.to_be_bytes());
    out.extend_from_slice(&code.to_be_bytes());
    out.extend_from_slice(why.as_bytes());
}

/// `stream` 0: the connection's window.
pub fn window_update(stream: StreamId, increment: u32, out: &mut Vec<u8>) {
    debug_assert!((1..=MAX_31_BITS).contains(&increment));
    header(4, kind::WINDOW_UPDATE, 0, stream, out);
    out.extend_from_slice(&increment.to_be_bytes());
}

/// The header of any frame; the caller appends its payload.
pub fn frame(frame: FrameHeader, out: &mut Vec<u8>) {
    header(frame.length, frame.kind, frame.flags, frame.stream, out);
}

#[inline]
fn header(length: usize, kind: u8, flags: u8, stream: StreamId, out: &mut Vec<u8>) {
    out.extend_from_slice(&encoded(length, kind, flags, stream));
}

#[inline]
fn encoded(length: usize, kind: u8, flags: u8, stream: StreamId) -> [u8; HEADER_BYTES] {
    debug_assert!(length < 1 << 24 && stream <= MAX_31_BITS);
    let [_, l0, l1, l2] = (length as u32).to_be_bytes();
    let [s0, s1, s2, s3] = stream.to_be_bytes();
    [l0, l1, l2, kind, flags, s0, s1, s2, s3]
}

#[cfg(test)]
mod tests {
    use super::super::error::Code;
    use super::super::frame::{Data, Frame, Headers};
    use super::*;

    /// Parses what was written, one frame after the other.
    fn check(written: &[u8], expected: &[(StreamId, Frame<'_>)]) {
        let mut rest = written;
        for (stream, frame) in expected {
            let header = FrameHeader::parse(rest).unwrap().unwrap();
            let (payload, after) = rest[HEADER_BYTES..].split_at(header.length);
            assert_eq!((header.stream, Frame::parse(header, payload)), (*stream, Ok(*frame)));
            rest = after;
        }
        assert_eq!(rest, b"");
    }

    #[test]
    fn each_frame_is_what_a_client_parses() {
        let mut out = Vec::new();
        data_header(3, false, 1, &mut out);
        out.extend_from_slice(b"abc");
        data_header(0, true, MAX_31_BITS, &mut out);
        rst_stream(5, Code::EnhanceYourCalm as u32, &mut out);
        settings(&[(3, 100), (0xffff, u32::MAX)], &mut out);
        settings_ack(&mut out);
        ping(*b"12345678", &mut out);
        ping_ack(*b"abcdefgh", &mut out);
        goaway(7, Code::Protocol as u32, "why", &mut out);
        window_update(0, 1, &mut out);
        window_update(9, MAX_31_BITS, &mut out);
        check(
            &out,
            &[
                (1, Frame::Data(Data { body: b"abc", ends_stream: false, counted: 3 })),
                (MAX_31_BITS, Frame::Data(Data { body: b"", ends_stream: true, counted: 0 })),
                (5, Frame::RstStream(11)),
                (0, Frame::Settings(&[0, 3, 0, 0, 0, 100, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff])),
                (0, Frame::SettingsAck),
                (0, Frame::Ping(*b"12345678")),
                (0, Frame::PingAck(*b"abcdefgh")),
                (0, Frame::Goaway { last_stream: 7, code: 1 }),
                (0, Frame::WindowUpdate(1)),
                (9, Frame::WindowUpdate(MAX_31_BITS)),
            ],
        );
    }

    #[test]
    fn a_long_block_is_continued() {
        let block = b"0123456789";
        for (most, fragments) in [(10, &[&block[..]][..]), (5, &[b"01234", b"56789"]), (4, &[b"0123", b"4567", b"89"])]
        {
            for ends_stream in [false, true] {
                let mut out = b"before".to_vec();
                let start = begin_headers(&mut out);
                out.extend_from_slice(block);
                end_headers(start, ends_stream, 3, most, &mut out);
                let frames: Vec<_> = fragments
                    .iter()
                    .enumerate()
                    .map(|(at, &fragment)| {
                        let ends_headers = at + 1 == fragments.len();
                        let headers = Headers { fragment, ends_stream, ends_headers, depends_on_itself: false };
                        (
                            3,
                            if at == 0 {
                                Frame::Headers(headers)
                            } else {
                                Frame::Continuation { fragment, ends_headers }
                            },
                        )
                    })
                    .collect();
                check(&out[6..], &frames);
            }
        }
    }
}
