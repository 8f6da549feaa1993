//! Bytes that a client or an app chose, written so that they stay within their place in a line: in the text of an access
//! log, and in a string of JSON. What is written is handed on in pieces; nothing is allocated.

const HEX: &[u8; 16] = b"0123456789abcdef";
/// What replaces bytes that are not UTF-8 in a string of JSON.
const REPLACEMENT: &[u8] = "\u{fffd}".as_bytes();

/// Whether a byte stands for itself in both.
const fn is_plain(byte: u8) -> bool {
    byte >= 0x20 && byte < 0x7f && byte != b'"' && byte != b'\\'
}

/// The number of bytes at the front that stand for themselves. Most text has no others, so it is checked a block at a
/// time, without a branch for each byte; the last block overlaps the one before.
fn plain_bytes(bytes: &[u8]) -> usize {
    let is_all_plain = match bytes.len() {
        16.. => are_blocks_plain::<16>(bytes),
        8.. => are_blocks_plain::<8>(bytes),
        _ => false,
    };
    if is_all_plain {
        return bytes.len();
    }
    bytes.iter().take_while(|&&byte| is_plain(byte)).count()
}

/// Of a word of eight bytes: 0 if each of them stands for itself in both. Words may be checked together, by an OR of
/// their results.
#[inline(always)]
pub fn not_plain(word: u64) -> u64 {
    const EACH: u64 = u64::from_ne_bytes([1; 8]);
    const TOP: u64 = EACH << 7;
    // The top bit of some byte is set if one of them is below `limit`; a carry can set one that is above another only.
    let below = |word: u64, limit: u64| word.wrapping_sub(EACH * limit) & !word;
    let is = |byte: u8| below(word ^ (EACH * u64::from(byte)), 1);
    (word | below(word, 0x20) | is(b'"') | is(b'\\') | is(0x7f)) & TOP
}

fn is_plain_block<const N: usize>(block: &[u8; N]) -> bool {
    block.iter().fold(true, |plain, &byte| plain & is_plain(byte))
}

fn are_blocks_plain<const N: usize>(bytes: &[u8]) -> bool {
    let (blocks, _) = bytes.as_chunks::<N>();
    blocks.iter().all(is_plain_block) && bytes.last_chunk::<N>().is_some_and(is_plain_block)
}

/// As Apache and nginx write text: `\"`, `\\`, and `\xHH` for a control character and for any byte above 0x7E.
pub fn text(mut bytes: &[u8], mut push: impl FnMut(&[u8])) {
    loop {
        let plain = plain_bytes(bytes);
        if plain > 0 {
            push(&bytes[..plain]);
        }
        let Some(&byte) = bytes.get(plain) else { return };
        match byte {
            b'"' => push(b"\\\""),
            b'\\' => push(b"\\\\"),
            _ => push(&[b'\\', b'x', HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 15)]]),
        }
        bytes = &bytes[plain + 1..];
    }
}

/// The content of a string of JSON (RFC 8259, 7), without its quotes. It is UTF-8 whatever the bytes are.
pub fn json(bytes: &[u8], mut push: impl FnMut(&[u8])) {
    let plain = plain_bytes(bytes);
    if plain > 0 {
        push(&bytes[..plain]);
    }
    for chunk in bytes[plain..].utf8_chunks() {
        for c in chunk.valid().chars() {
            match c {
                '"' => push(b"\\\""),
                '\\' => push(b"\\\\"),
                '\n' => push(b"\\n"),
                '\r' => push(b"\\r"),
                '\t' => push(b"\\t"),
                // C1 as well, and the line ends of Unicode: some terminals and readers act on them.
                c if c.is_control() || matches!(c, '\u{2028}' | '\u{2029}') => push(&json_hex(c)),
                c => push(c.encode_utf8(&mut [0; 4]).as_bytes()),
            }
        }
        if !chunk.invalid().is_empty() {
            push(REPLACEMENT);
        }
    }
}

/// `\u001b`, of a character of the basic plane.
fn json_hex(c: char) -> [u8; 6] {
    let code = u32::from(c) as usize;
    let digit = |shift: usize| HEX[code >> shift & 15];
    [b'\\', b'u', digit(12), digit(8), digit(4), digit(0)]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn whole(escape: impl FnOnce(&mut dyn FnMut(&[u8]))) -> String {
        let mut out = Vec::new();
        escape(&mut |bytes| out.extend_from_slice(bytes));
        String::from_utf8(out).expect("text")
    }

    fn both(bytes: &[u8]) -> (String, String) {
        (whole(|push| text(bytes, push)), whole(|push| json(bytes, push)))
    }

    #[test]
    fn what_could_leave_its_place_is_escaped() {
        for (bytes, as_text, as_json) in [
            (&b""[..], "", ""),
            (b"/a?x=1&y=~", "/a?x=1&y=~", "/a?x=1&y=~"),
            (b"a\"b\\c", "a\\\"b\\\\c", "a\\\"b\\\\c"),
            (b"a\r\nb\tc", "a\\x0d\\x0ab\\x09c", "a\\r\\nb\\tc"),
            (b"\x1b[1m\x7f\0", "\\x1b[1m\\x7f\\x00", "\\u001b[1m\\u007f\\u0000"),
            ("é\u{85}\u{2028}".as_bytes(), "\\xc3\\xa9\\xc2\\x85\\xe2\\x80\\xa8", "é\\u0085\\u2028"),
            (b"\xff/\xc3", "\\xff/\\xc3", "\u{fffd}/\u{fffd}"),
        ] {
            assert_eq!(both(bytes), (as_text.to_string(), as_json.to_string()));
        }
    }

    #[test]
    fn a_word_is_plain_if_each_byte_is() {
        for byte in 0..=u8::MAX {
            for other in 0..=u8::MAX {
                for place in 0..8 {
                    let mut bytes = [b'a'; 8];
                    (bytes[place], bytes[(place + 1) % 8]) = (byte, other);
                    let word = u64::from_ne_bytes(bytes);
                    assert_eq!(not_plain(word) == 0, is_plain(byte) && is_plain(other), "{bytes:?}");
                }
            }
        }
    }

    #[test]
    fn every_byte_at_every_place_stays_a_string() {
        for byte in 0..=u8::MAX {
            for place in 0..40 {
                let mut bytes = [b'a'; 40];
                bytes[place] = byte;
                let (as_text, as_json) = both(&bytes);
                assert!(as_text.bytes().all(|b| (0x20..0x7f).contains(&b)), "{as_text}");
                assert!(as_text.len() > 40 || is_plain(byte), "{byte}");
                let read: String = serde_json::from_str(&format!("\"{as_json}\"")).expect("JSON");
                assert_eq!(read, String::from_utf8_lossy(&bytes));
            }
        }
    }
}
