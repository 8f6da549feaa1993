//! Bodies as tables: framing and data in, data out, and what is left after the body.

use super::*;
use BodyLength::{Chunked, Known};

const TRAILER_BYTES_MAX: usize = 32;

/// The outcome of a body: its data and what follows it, or the status that it is refused with.
type Decoded = Result<Option<(Vec<u8>, Vec<u8>)>, u16>;

/// Feeds the pieces one by one; takes at most `bite` bytes of data at a time. `None`: the body has not ended.
fn decode<'a>(length: BodyLength, pieces: impl IntoIterator<Item = &'a [u8]>, bite: usize) -> Decoded {
    let mut decoder = Decoder::new(length, TRAILER_BYTES_MAX);
    let mut input = ReadBuffer::with_capacity(128 << 10);
    let mut data = Vec::new();
    for piece in pieces {
        input.feed(piece);
        loop {
            match decoder.next(&mut input).map_err(|e| e.status.as_u16())? {
                Piece::NeedsInput | Piece::End => break,
                Piece::Data { bytes, .. } => {
                    assert!(bytes > 0 && bytes <= input.len(), "the decoder reports data only where there is some");
                    let taken = bytes.min(bite);
                    data.extend_from_slice(&input.unconsumed()[..taken]);
                    input.consume(taken);
                    decoder.consume(taken);
                }
            }
        }
    }
    Ok(decoder.is_ended().then(|| (data, input.unconsumed().to_vec())))
}

/// Decodes the same bytes whole, byte by byte, cut in two at every index and taken in small bites: all results are
/// equal.
fn decode_all_ways(length: BodyLength, body: &[u8]) -> Decoded {
    let whole = decode(length, [body], usize::MAX);
    let agrees = |how: &str, got: Decoded| {
        assert_eq!(got, whole, "{:?} {how}", String::from_utf8_lossy(body));
    };
    agrees("byte by byte", decode(length, body.chunks(1), usize::MAX));
    agrees("in bites of 1", decode(length, [body], 1));
    agrees("byte by byte, in bites of 3", decode(length, body.chunks(1), 3));
    // Long bodies differ only near their ends.
    let far = |at: &usize| *at < 200 || *at + 200 > body.len();
    for at in (0..=body.len()).filter(far) {
        agrees(&format!("cut at {at}"), decode(length, [&body[..at], &body[at..]], usize::MAX));
    }
    whole
}

#[test]
fn valid_bodies() {
    let ext = |bytes: usize| format!("1;{}\r\na\r\n0\r\n\r\n", "x".repeat(bytes - 2));
    let trailer = |bytes: usize| format!("0\r\nX: {}\r\n\r\n", "y".repeat(bytes - 3));
    let zeros = format!("{}5\r\nhello\r\n0\r\n\r\n", "0".repeat(50));
    let all: String = (0..40).map(|i| format!("{i:x};{i}\r\n{}\r\n", "z".repeat(i))).skip(1).collect();
    let all_data: String = (0..40).map(|i| "z".repeat(i)).collect();
    for (length, body, data, left) in [
        (BodyLength::None, "", "", ""),
        (BodyLength::None, "GET /", "", "GET /"),
        (Known(0), "GET /", "", "GET /"),
        (Known(5), "hello", "hello", ""),
        (Known(5), "helloGET /", "hello", "GET /"),
        (Known(4), "\r\n\r\n", "\r\n\r\n", ""),
        (Chunked, "0\r\n\r\n", "", ""),
        (Chunked, "0\r\n\r\n\r\nGET /", "", "\r\nGET /"),
        (Chunked, "000\r\n\r\nX", "", "X"),
        (Chunked, "5\r\nhello\r\n0\r\n\r\nGET /", "hello", "GET /"),
        (Chunked, "5\r\nhello\r\n6\r\n world\r\n0\r\n\r\n", "hello world", ""),
        (Chunked, "2\r\n\r\n\r\n3\r\n0\r\n\r\n0\r\n\r\n", "\r\n0\r\n", ""),
        (Chunked, "a\r\n0123456789\r\nA\r\n0123456789\r\n0\r\n\r\n", "01234567890123456789", ""),
        (Chunked, &zeros, "hello", ""),
        (Chunked, "1;a\r\nx\r\n0;b=c\r\n\r\n", "x", ""),
        (Chunked, "1 ;a=\"b c\"\r\nx\r\n1\t \t; d\r\ny\r\n0\r\n\r\n", "xy", ""),
        (Chunked, "1;a=b;c;d=\"\"\r\nx\r\n0;e\r\n\r\n", "x", ""),
        (Chunked, "1 ; a\t=\t\"b\" ;c = !#$%&'*+-.^_`|~9Z\r\nx\r\n0\r\n\r\n", "x", ""),
        (Chunked, "1;a=\"\\\"\\\\ ;=[\u{e9}\\\u{e9}\t\\\t\"\r\nx\r\n0\r\n\r\n", "x", ""),
        (Chunked, &ext(SIZE_LINE_BYTES_MAX), "a", ""),
        (Chunked, "1\r\nx\r\n0\r\nA: b\r\nC:\r\n\r\nGET /", "x", "GET /"),
        (Chunked, "0\r\nA: b\tc \u{e9}\r\n\r\n", "", ""),
        (Chunked, &trailer(TRAILER_BYTES_MAX), "", ""),
        (Chunked, &format!("{all}0\r\n\r\n"), &all_data, ""),
    ] {
        let got = decode_all_ways(length, body.as_bytes());
        assert_eq!(got, Ok(Some((data.into(), left.into()))), "{length:?} {body:?}");
        // No prefix that lacks a byte of the body is taken for a complete one.
        let end = body.len() - left.len();
        for at in (0..end).filter(|_| length != Known(0)) {
            assert_eq!(decode(length, [&body.as_bytes()[..at]], usize::MAX), Ok(None), "{body:?} cut at {at}");
        }
    }
}

#[test]
fn malformed_bodies() {
    let ext = |bytes: usize| format!("1;{}\r\na\r\n0\r\n\r\n", "x".repeat(bytes - 2));
    let trailer = |bytes: usize| format!("0\r\nX: {}\r\n\r\n", "y".repeat(bytes - 3));
    let trailers = "X: y\r\n".repeat(10);
    for (status, body) in [
        // Sizes.
        (400, "\r\nx"),
        (400, "\n0\r\n\r\n"),
        (400, "x\r\n"),
        (400, "0x5\r\nhello\r\n0\r\n\r\n"),
        (400, "-1\r\nx\r\n0\r\n\r\n"),
        (400, "+1\r\nx\r\n0\r\n\r\n"),
        (400, " 1\r\nx\r\n0\r\n\r\n"),
        (400, "\t1\r\nx\r\n0\r\n\r\n"),
        (400, "1 \r\nx\r\n0\r\n\r\n"),
        (400, "1 1\r\nx\r\n0\r\n\r\n"),
        (400, "1,1\r\nx\r\n0\r\n\r\n"),
        (400, "1_0\r\nx\r\n0\r\n\r\n"),
        (400, "1.\r\nx\r\n0\r\n\r\n"),
        (400, "1h\r\nx\r\n0\r\n\r\n"),
        (400, ";a\r\nx\r\n0\r\n\r\n"),
        (400, "\u{661}\r\nx\r\n0\r\n\r\n"),
        (413, "8000000000000000\r\nx"),
        (413, "ffffffffffffffff\r\nx"),
        (413, "008000000000000000;a\r\nx"),
        (413, "10000000000000000\r\nx"),
        (413, "fffffffffffffffff\r\nx"),
        (413, "1\r\nx\r\n123456789abcdef01\r\nx"),
        // Line ends.
        (400, "1\nx\r\n0\r\n\r\n"),
        (400, "1;a\nx\r\n0\r\n\r\n"),
        (400, "1\rx\r\n0\r\n\r\n"),
        (400, "1\r\r\nx\r\n0\r\n\r\n"),
        (400, "1;a\rb\r\nx\r\n0\r\n\r\n"),
        (400, "1\r\nx\n0\r\n\r\n"),
        (400, "1\r\nx\r0\r\n\r\n"),
        (400, "1\r\nx0\r\n\r\n"),
        (400, "1\r\nxy\r\n0\r\n\r\n"),
        (400, "1\r\nx\r\r\n0\r\n\r\n"),
        (400, "2\r\nx\r\n0\r\n\r\n"),
        (400, "1\r\nx\r\n\r\n"),
        (400, "0\n\n"),
        (400, "0\r\n\n"),
        (400, "0\r\n\rX"),
        (400, "0\r\nA: b\n\r\n"),
        (400, "0\r\nA: b\r\n\n"),
        (400, "0\r\nA: b\rc\r\n\r\n"),
        // Extensions.
        (400, "1;\r\nx\r\n0\r\n\r\n"),
        (400, "1\r\nx\r\n0;\r\n\r\n"),
        (400, "1; \r\nx\r\n0\r\n\r\n"),
        (400, "1;;a\r\nx\r\n0\r\n\r\n"),
        (400, "1;a;\r\nx\r\n0\r\n\r\n"),
        (400, "1;a \r\nx\r\n0\r\n\r\n"),
        (400, "1;a[\r\nx\r\n0\r\n\r\n"),
        (400, "1;a b\r\nx\r\n0\r\n\r\n"),
        (400, "1;=b\r\nx\r\n0\r\n\r\n"),
        (400, "1;\"a\"\r\nx\r\n0\r\n\r\n"),
        (400, "1;a=\r\nx\r\n0\r\n\r\n"),
        (400, "1;a= ;b\r\nx\r\n0\r\n\r\n"),
        (400, "1;a=b=c\r\nx\r\n0\r\n\r\n"),
        (400, "1;a=[\r\nx\r\n0\r\n\r\n"),
        (400, "1;a=\"x\r\nx\r\n0\r\n\r\n"),
        (400, "1;a=\"x\\\"\r\nx\r\n0\r\n\r\n"),
        (400, "1;a=\"x\"y\r\nx\r\n0\r\n\r\n"),
        (400, "1;a=x\"y\"\r\nx\r\n0\r\n\r\n"),
        (400, "1;a=\"\0\"\r\nx\r\n0\r\n\r\n"),
        (400, "1;a=\"\u{7f}\"\r\nx\r\n0\r\n\r\n"),
        (400, "1;a=\"\\\u{7f}\"\r\nx\r\n0\r\n\r\n"),
        (400, "1;\u{e9}\r\nx\r\n0\r\n\r\n"),
        (400, "1;a\0\r\nx\r\n0\r\n\r\n"),
        (400, "1;a\u{7f}\r\nx\r\n0\r\n\r\n"),
        (400, &ext(SIZE_LINE_BYTES_MAX + 1)),
        (400, &format!("1;{}", "x".repeat(SIZE_LINE_BYTES_MAX + 1))),
        (400, &"1".repeat(SIZE_LINE_BYTES_MAX + 2)),
        // Trailers.
        (400, "0\r\nA\r\n\r\n"),
        (400, "0\r\n: b\r\n\r\n"),
        (400, "0\r\nA : b\r\n\r\n"),
        (400, "0\r\n A: b\r\n\r\n"),
        (400, "0\r\nA: b\r\n c\r\n\r\n"),
        (400, "0\r\nA: b\0\r\n\r\n"),
        (400, "0\r\nGET / HTTP/1.1\r\n\r\n"),
        (431, &trailer(TRAILER_BYTES_MAX + 1)),
        (431, &format!("0\r\nX: {}", "y".repeat(TRAILER_BYTES_MAX + 2))),
        (431, &format!("0\r\n{trailers}\r\n")),
    ] {
        assert_eq!(decode_all_ways(Chunked, body.as_bytes()), Err(status), "{body:?}");
        for at in 0..body.len() {
            let got = decode(Chunked, [&body.as_bytes()[..at]], usize::MAX);
            assert!(matches!(got, Ok(None) | Err(_)), "{body:?} cut at {at} is a whole body: {got:?}");
        }
    }
}

#[test]
fn extensions_of_a_whole_body_have_an_exact_limit() {
    // 16 size lines of 1 KiB of extension each fit, and not a byte more.
    let chunk = format!("1;{}\r\na\r\n", "x".repeat(1022)); // 1023 bytes of extension with its semicolon
    let rest = EXTENSION_BYTES_MAX as usize - 16 * 1023;
    for (bytes, expected) in [(rest, Ok(true)), (rest + 1, Err(400))] {
        let body = format!("{}1;{}\r\na\r\n0\r\n\r\n", chunk.repeat(16), "x".repeat(bytes - 1));
        let got = decode(Chunked, [body.as_bytes()], usize::MAX).map(|decoded| decoded.is_some());
        assert_eq!(got, expected, "{bytes} bytes of extension in the last line");
    }
}

#[test]
fn the_last_byte_of_a_known_length_is_marked_as_the_last() {
    let mut decoder = Decoder::new(Known(5), TRAILER_BYTES_MAX);
    let mut input = ReadBuffer::with_capacity(64);
    assert_eq!(decoder.next(&mut input), Ok(Piece::NeedsInput));
    input.feed(b"abc");
    assert_eq!(decoder.next(&mut input), Ok(Piece::Data { bytes: 3, last: false }));
    input.feed(b"defgh");
    assert_eq!(decoder.next(&mut input), Ok(Piece::Data { bytes: 5, last: true }));
    decoder.consume(4);
    input.consume(4);
    assert_eq!(decoder.next(&mut input), Ok(Piece::Data { bytes: 1, last: true }));
    assert!(!decoder.is_ended());
    decoder.consume(1);
    input.consume(1);
    assert_eq!((decoder.next(&mut input), decoder.is_ended()), (Ok(Piece::End), true));
    assert_eq!(input.unconsumed(), b"fgh");
}

#[test]
fn the_largest_sizes_are_counted_without_overflow() {
    let mut decoder = Decoder::new(Chunked, TRAILER_BYTES_MAX);
    let mut input = ReadBuffer::with_capacity(64);
    input.feed(b"7fffffffffffffff\r\nabc");
    assert_eq!(decoder.next(&mut input), Ok(Piece::Data { bytes: 3, last: false }));
    decoder.consume(3);
    assert_eq!(decoder.stage, Stage::Data(i64::MAX as u64 - 3));
    let mut decoder = Decoder::new(Known(u64::MAX), TRAILER_BYTES_MAX);
    assert_eq!(decoder.next(&mut input), Ok(Piece::Data { bytes: 3, last: false }));
    decoder.consume(3);
    assert_eq!(decoder.stage, Stage::Known(u64::MAX - 3));
}
