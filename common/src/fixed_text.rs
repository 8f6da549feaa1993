//! Text in a buffer of fixed size, for signal handlers, which must not allocate. What does not fit is dropped.

use std::fmt::{self, Write};

const BYTES_MAX: usize = 4096;

pub struct FixedText {
    bytes: [u8; BYTES_MAX],
    length: usize,
}

impl Default for FixedText {
    fn default() -> Self {
        FixedText { bytes: [0; BYTES_MAX], length: 0 }
    }
}

impl FixedText {
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes[..self.length]
    }

    /// The bytes that still fit, besides a newline.
    pub fn room(&self) -> usize {
        BYTES_MAX - 1 - self.length
    }

    /// The text as one line, or several: there is always room for the newline.
    pub fn end_line(&mut self) -> &[u8] {
        self.bytes[self.length] = b'\n';
        &self.bytes[..=self.length]
    }

    pub fn push(&mut self, text: &str) {
        let mut end = text.len().min(BYTES_MAX - 1 - self.length);
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        self.bytes[self.length..self.length + end].copy_from_slice(&text.as_bytes()[..end]);
        self.length += end;
    }

    /// Pushes the text as `log::one_line` would escape it.
    pub fn push_one_line(&mut self, bytes: &[u8]) {
        for chunk in bytes.utf8_chunks() {
            for c in chunk.valid().chars() {
                if c.is_control() && c != '\t' {
                    c.escape_default().for_each(|c| self.push(c.encode_utf8(&mut [0; 4])));
                } else {
                    self.push(c.encode_utf8(&mut [0; 4]));
                }
            }
            if !chunk.invalid().is_empty() {
                self.push("\u{fffd}");
            }
        }
    }
}

impl Write for FixedText {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.push(text);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::one_line;

    #[test]
    fn what_does_not_fit_is_dropped_and_no_character_is_divided() {
        let mut text = FixedText::default();
        assert_eq!(text.end_line(), b"\n");
        text.push(&"é".repeat(BYTES_MAX));
        text.push("é");
        assert_eq!(text.as_bytes(), "é".repeat((BYTES_MAX - 1) / 2).as_bytes());
        text.push("abc");
        assert_eq!(text.as_bytes().len(), BYTES_MAX - 1);
        assert_eq!(text.end_line().len(), BYTES_MAX);
    }

    #[test]
    fn it_is_escaped_as_any_log_line() {
        for bytes in
            [&b"/a?x=1"[..], b"a\nb\tc\r\x1b[1m\x7f", "/é\u{85}\u{10ffff}".as_bytes(), b"\xff/\xc3", b"\xe2\x82("]
        {
            let mut text = FixedText::default();
            text.push_one_line(bytes);
            let expected = one_line(&String::from_utf8_lossy(bytes));
            assert_eq!(String::from_utf8_lossy(text.as_bytes()), expected);
        }
    }
}
