//! A request body: finds its data between the framing (RFC 9112, 6 and 7.1).
//!
//! [`Decoder::next`] consumes framing from the front of the input until data follows, more is needed or the body ends;
//! [`Decoder::consume`] records how much of the data was taken.
//!
//! ```text
//!            Size --size line--> Data --all taken--> DataEnd --CRLF--> Size
//!             |
//!             +--zero size--> Trailers --empty line--> Ended
//! ```

use crate::exchange::Piece;
use crate::http::{BODY_BYTES_MAX, BodyLength, Error, is_token_byte};
use crate::net::ReadBuffer;
use http::StatusCode;

/// A chunk's size line, with its extensions.
const SIZE_LINE_BYTES_MAX: usize = 1024;
/// All chunk extensions of one body: they have no use, and a kilobyte of extension before each byte of data is an
/// attack.
const EXTENSION_BYTES_MAX: u32 = 16 << 10;

#[derive(Debug)]
pub struct Decoder {
    stage: Stage,
    /// Bytes that the trailers or the extensions may still have.
    trailer_bytes_left: u32,
    extension_bytes_left: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// Content-Length: this many bytes are left.
    Known(u64),
    Size,
    Data(u64),
    DataEnd,
    Trailers,
    Ended,
}

impl Decoder {
    pub fn new(length: BodyLength, trailer_bytes_max: usize) -> Self {
        let stage = match length {
            BodyLength::None | BodyLength::Known(0) => Stage::Ended,
            BodyLength::Known(bytes) => Stage::Known(bytes),
            BodyLength::Chunked => Stage::Size,
        };
        Decoder { stage, trailer_bytes_left: trailer_bytes_max as u32, extension_bytes_left: EXTENSION_BYTES_MAX }
    }

    pub fn is_ended(&self) -> bool {
        self.stage == Stage::Ended
    }

    pub fn next(&mut self, input: &mut ReadBuffer) -> Result<Piece, Error> {
        loop {
            let available = input.len() as u64;
            match self.stage {
                Stage::Ended => return Ok(Piece::End),
                Stage::Known(_) | Stage::Data(_) if available == 0 => return Ok(Piece::NeedsInput),
                Stage::Known(left) => {
                    return Ok(Piece::Data { bytes: left.min(available) as usize, last: left <= available });
                }
                Stage::Data(left) => return Ok(Piece::Data { bytes: left.min(available) as usize, last: false }),
                Stage::DataEnd => match *input.unconsumed() {
                    [b'\r', b'\n', ..] => {
                        input.consume(2);
                        self.stage = Stage::Size;
                    }
                    [] | [b'\r'] => return Ok(Piece::NeedsInput),
                    _ => return Err(Error::bad_request("a chunk is longer than its size")),
                },
                Stage::Size => match self.size_line(input.unconsumed())? {
                    None => return Ok(Piece::NeedsInput),
                    Some((size, length)) => {
                        input.consume(length);
                        self.stage = if size == 0 { Stage::Trailers } else { Stage::Data(size) };
                    }
                },
                Stage::Trailers => match self.trailer_line(input.unconsumed())? {
                    None => return Ok(Piece::NeedsInput),
                    Some(length) => {
                        input.consume(length);
                        if length == 2 {
                            self.stage = Stage::Ended;
                        }
                    }
                },
            }
        }
    }

    /// `count` bytes of the data that [`Decoder::next`] named were taken.
    pub fn consume(&mut self, count: usize) {
        let count = count as u64;
        self.stage = match self.stage {
            Stage::Known(left) if left == count => Stage::Ended,
            Stage::Known(left) => Stage::Known(left - count),
            Stage::Data(left) if left == count => Stage::DataEnd,
            Stage::Data(left) => Stage::Data(left - count),
            stage => {
                debug_assert_eq!(count, 0, "there was no data");
                stage
            }
        };
    }

    /// `1*HEXDIG [ chunk-ext ] CRLF`: the size, and the bytes of the line.
    fn size_line(&mut self, input: &[u8]) -> Result<Option<(u64, usize)>, Error> {
        let Some((line, length)) = line(input, SIZE_LINE_BYTES_MAX, "a chunk's size line is too long")? else {
            // Reject early what can no longer become a size.
            return match input.first() {
                Some(b) if !b.is_ascii_hexdigit() => Err(BAD_SIZE),
                _ => Ok(None),
            };
        };
        let digits = line.iter().position(|b| !b.is_ascii_hexdigit()).unwrap_or(line.len());
        let (size, rest) = line.split_at(digits);
        // Space before an extension is "bad whitespace" that a recipient removes (RFC 9112, 7.1.1).
        let blanks = rest.iter().position(|&b| b != b' ' && b != b'\t').unwrap_or(rest.len());
        let extension = &rest[blanks..];
        if size.is_empty() || !(rest.is_empty() || extension.first() == Some(&b';')) {
            return Err(BAD_SIZE);
        }
        if !are_extensions(extension) {
            return Err(Error::bad_request("a chunk extension is malformed"));
        }
        self.extension_bytes_left = self
            .extension_bytes_left
            .checked_sub(rest.len() as u32)
            .ok_or(Error::bad_request("the chunk extensions are longer than this server accepts"))?;
        let digit = |b: u8| u64::from((b as char).to_digit(16).expect("hex digits only"));
        let add = |sum: u64, &b: &u8| sum.checked_mul(16)?.checked_add(digit(b));
        let size = size.iter().try_fold(0, add).filter(|&size| size <= BODY_BYTES_MAX);
        let size = size.ok_or(Error::new(StatusCode::PAYLOAD_TOO_LARGE, "a chunk is larger than any body"))?;
        Ok(Some((size, length)))
    }

    /// One trailer field, checked and dropped, or the empty line that ends the body.
    fn trailer_line(&mut self, input: &[u8]) -> Result<Option<usize>, Error> {
        const TOO_LARGE: &str = "the trailer is larger than this server accepts";
        let too_large = Error::new(StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE, TOO_LARGE);
        let Some((line, length)) = line(input, self.trailer_bytes_left as usize + 2, TOO_LARGE)
            .map_err(|e| if e.reason == TOO_LARGE { too_large } else { e })?
        else {
            return Ok(None);
        };
        if !line.is_empty() {
            let colon = line.iter().position(|&b| b == b':').ok_or(BAD_TRAILER)?;
            let (name, value) = line.split_at(colon);
            let is_value = |b: &u8| *b == b'\t' || (*b >= b' ' && *b != 0x7f);
            if name.is_empty() || !name.iter().copied().all(is_token_byte) || !value.iter().all(is_value) {
                return Err(BAD_TRAILER);
            }
        }
        self.trailer_bytes_left = self.trailer_bytes_left.checked_sub(line.len() as u32).ok_or(too_large)?;
        Ok(Some(length))
    }
}

const BAD_SIZE: Error = Error::bad_request("a chunk's size is not a hexadecimal number");
const BAD_TRAILER: Error = Error::bad_request("a trailer field is malformed");

/// `*( BWS ";" BWS name [ BWS "=" BWS ( token / quoted-string ) ] )` (RFC 9112, 7.1.1): what follows a chunk's size. Its white
/// space is "bad", but a recipient has to read it.
fn are_extensions(mut rest: &[u8]) -> bool {
    while !rest.is_empty() {
        let Some(name) = after_blanks(rest).strip_prefix(b";") else { return false };
        let Some(after_name) = after_token(after_blanks(name)) else { return false };
        let after = match after_blanks(after_name).strip_prefix(b"=").map(after_blanks) {
            None => Some(after_name),
            Some([b'"', text @ ..]) => after_quoted(text),
            Some(value) => after_token(value),
        };
        let Some(after) = after else { return false };
        rest = after;
    }
    true
}

fn after_blanks(text: &[u8]) -> &[u8] {
    &text[text.iter().position(|&b| b != b' ' && b != b'\t').unwrap_or(text.len())..]
}

fn after_token(text: &[u8]) -> Option<&[u8]> {
    let end = text.iter().position(|&b| !is_token_byte(b)).unwrap_or(text.len());
    (end > 0).then(|| &text[end..])
}

/// What follows the closing quote of a quoted-string (RFC 9110, 5.6.4) whose opening quote is already removed.
fn after_quoted(mut text: &[u8]) -> Option<&[u8]> {
    loop {
        text = match text {
            [b'"', rest @ ..] => return Some(rest),
            [b'\\', b'\t' | b' '..=b'~' | 0x80.., rest @ ..] => rest,
            [b'\t' | b' '..=b'[' | b']'..=b'~' | 0x80.., rest @ ..] => rest,
            _ => return None,
        };
    }
}

/// The first line of the input without its CRLF, and its length with it; `None` while it is incomplete.
fn line<'a>(input: &'a [u8], bytes_max: usize, too_long: &'static str) -> Result<Option<(&'a [u8], usize)>, Error> {
    let end = memchr::memchr(b'\n', &input[..input.len().min(bytes_max + 2)]);
    match end {
        Some(end) if end > 0 && input[end - 1] == b'\r' => Ok(Some((&input[..end - 1], end + 1))),
        Some(_) => Err(Error::bad_request("a line of the body's framing ends with a bare LF")),
        // The line's own CRLF is not counted; the LF of a final CR may not have arrived yet.
        None if input.len() > bytes_max + 1 => Err(Error::bad_request(too_long)),
        None => match memchr::memchr(b'\r', input) {
            // A CR that is not followed by LF.
            Some(at) if at + 1 < input.len() => Err(Error::bad_request("a CR stands without its LF")),
            _ => Ok(None),
        },
    }
}

#[cfg(test)]
#[path = "decode_tests.rs"]
mod tests;
