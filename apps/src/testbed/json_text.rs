//! Escapes bytes piece by piece into the content of a JSON string. Only the raw bytes are kept, however long they
//! become when escaped (a NUL becomes `\u0000`). Invalid UTF-8 becomes U+FFFD. The pieces together are byte for byte
//! what `serde_json` makes of `String::from_utf8_lossy` of the whole, without the quotes. Called by `echo::Reply`.

/// Raw bytes of one piece. Escaped they are at most six times as many, which is little compared to the high watermark.
const PIECE_BYTES_MAX: usize = 1 << 10;

pub struct JsonText {
    bytes: Vec<u8>,
    /// Everything before it has been taken. Never inside a character.
    taken: usize,
}

impl JsonText {
    pub fn new(bytes: Vec<u8>) -> Self {
        JsonText { bytes, taken: 0 }
    }

    /// The length of all pieces together.
    pub fn escaped_bytes(&self) -> u64 {
        let chunks = self.bytes.utf8_chunks();
        chunks
            .map(|chunk| {
                let replaced =
                    if chunk.invalid().is_empty() { 0 } else { char::REPLACEMENT_CHARACTER.len_utf8() as u64 };
                chunk.valid().bytes().map(escaped_length).sum::<u64>() + replaced
            })
            .sum()
    }

    /// The next piece, escaped; `None` at the end.
    pub fn take_piece(&mut self) -> Option<String> {
        self.take_piece_of(PIECE_BYTES_MAX)
    }

    fn take_piece_of(&mut self, bytes_max: usize) -> Option<String> {
        let rest = &self.bytes[self.taken..];
        if rest.is_empty() {
            return None;
        }
        let raw = &rest[..piece_end(rest, bytes_max)];
        self.taken += raw.len();
        let quoted = serde_json::to_string(&String::from_utf8_lossy(raw)).expect("a string is JSON");
        Some(quoted[1..quoted.len() - 1].to_string())
    }
}

/// Where to split without splitting a character: before the last byte that begins one. If the four bytes up to
/// `bytes_max` are all continuation bytes, no character is split there, because none is longer than four bytes.
fn piece_end(bytes: &[u8], bytes_max: usize) -> usize {
    if bytes.len() <= bytes_max {
        return bytes.len();
    }
    let begins_character = |&at: &usize| bytes[at] & 0b1100_0000 != 0b1000_0000;
    (bytes_max - 3..=bytes_max).rev().find(begins_character).unwrap_or(bytes_max)
}

/// How `serde_json` escapes.
fn escaped_length(byte: u8) -> u64 {
    match byte {
        b'"' | b'\\' | b'\x08' | b'\x0c' | b'\n' | b'\r' | b'\t' => 2,
        0..0x20 => 6,
        _ => 1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The expected result, made in one step.
    fn whole(bytes: &[u8]) -> String {
        let quoted = serde_json::to_string(&String::from_utf8_lossy(bytes)).unwrap();
        quoted.strip_prefix('"').unwrap().strip_suffix('"').unwrap().to_string()
    }

    /// Splits at every byte; four bytes are the least that hold any character.
    #[track_caller]
    fn check(bytes: &[u8]) {
        let expected = whole(bytes);
        for bytes_max in 4..=bytes.len().max(4) {
            let mut text = JsonText::new(bytes.to_vec());
            assert_eq!(text.escaped_bytes(), expected.len() as u64, "{bytes:x?}");
            let mut pieces = String::new();
            while let Some(piece) = text.take_piece_of(bytes_max) {
                assert!(!piece.is_empty() && piece.len() <= 6 * bytes_max);
                pieces.push_str(&piece);
            }
            assert_eq!(pieces, expected, "{bytes:x?} in pieces of {bytes_max}");
        }
    }

    #[test]
    fn pieces_are_the_whole() {
        for bytes in [
            &b""[..],
            b"plain",
            b"\0\0\0\0\0\0\0\0\0",
            b"\"quoted\" \\ / \x08\x0c\n\r\t\x1f\x7f",
            "é€😀é€😀 \u{2028}\u{feff}\u{fffd}\u{10ffff}".as_bytes(),
            b"\x80\x80\x80\x80\x80\x80\x80\x80\x80", // nothing but continuations
            b"\xff\xfe\xc0\xaf\xc1\xbf\xf5\x80",     // never in UTF-8
            b"ab\xe2\x82cd\xf0\x9f\x98ef\xf0\x9f\xf0\xc3", // characters that end early
            b"\xf0\x9f\x98\x80\x80\x80\x80\xf0\x9f\x98\x80", // and too late
            b"\xed\xa0\x80\xed\xbf\xbf\xe0\x80\xaf\xf0\x80\x80\xaf\xf4\x90\x80\x80", // surrogates, overlong, too high
        ] {
            check(bytes);
            for at in 0..bytes.len() {
                check(&bytes[at..]);
                check(&bytes[..at]);
            }
        }
    }

    #[test]
    fn every_byte_and_pair_of_bytes() {
        for first in 0..=255 {
            for second in 0..=255 {
                check(&[b'a', b'b', first, second, b'c', b'd']);
            }
        }
    }

    #[test]
    fn a_piece_is_small() {
        let mut text = JsonText::new(vec![0; 10 * PIECE_BYTES_MAX]);
        assert_eq!(text.take_piece().unwrap(), "\\u0000".repeat(PIECE_BYTES_MAX));
    }
}
