//! An answer as far as it was received: for clients of answers that may break off or be malformed.

use std::io::{ErrorKind, Read, Write};
use std::os::unix::net::UnixStream;

/// What was read of the answer to one request.
#[derive(Debug, Default)]
pub struct Seen {
    /// 1xx, in order.
    pub interims: Vec<u16>,
    /// `None` if no whole head arrived.
    pub status: Option<u16>,
    pub head: String,
    /// Bytes of the body, without the framing of chunks; without a head, all bytes that arrived.
    pub body: Vec<u8>,
    pub declared: Option<u64>,
    pub is_chunked: bool,
    pub end: End,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum End {
    /// As the framing requires.
    #[default]
    Whole,
    /// The connection ended, cleanly or not, before the answer did.
    Cut,
    /// Nothing more arrived within the read timeout.
    Silence,
}

impl Seen {
    /// Sends the request, and reads until the answer or the connection is over, or nothing has arrived within the
    /// stream's read timeout.
    pub fn of(stream: &mut UnixStream, request: &str) -> Seen {
        // A connection that the other side has closed may refuse the request; then reading reports it, too.
        let _ = stream.write_all(request.as_bytes());
        let mut input = Vec::new();
        loop {
            let mut bytes = [0; 65536];
            let end = match stream.read(&mut bytes) {
                Ok(0) => Some(End::Cut),
                Ok(count) => {
                    input.extend_from_slice(&bytes[..count]);
                    None
                }
                Err(e) if e.kind() == ErrorKind::ConnectionReset => Some(End::Cut),
                Err(e) if e.kind() == ErrorKind::WouldBlock => Some(End::Silence),
                Err(e) => panic!("reading from a proxy: {e}"),
            };
            let (seen, is_over) = Seen::parse(&input);
            if is_over || end.is_some() {
                // With neither a length nor chunks the end of the connection is the end of the body.
                let is_whole = is_over || end == Some(End::Cut) && seen.is_until_close();
                return Seen { end: if is_whole { End::Whole } else { end.unwrap_or_default() }, ..seen };
            }
        }
    }

    fn is_until_close(&self) -> bool {
        self.status.is_some() && self.declared.is_none() && !self.is_chunked
    }

    /// The connection ended without a byte.
    pub fn is_nothing(&self) -> bool {
        self.end == End::Cut && self.status.is_none() && self.body.is_empty()
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().skip(1).find_map(|line| {
            let (field, value) = line.split_once(':')?;
            field.eq_ignore_ascii_case(name).then(|| value.trim())
        })
    }

    /// Parses `input`; returns also whether the answer is complete.
    fn parse(mut input: &[u8]) -> (Seen, bool) {
        let mut seen = Seen::default();
        while let Some((status, head, rest)) = head_of(input) {
            input = rest;
            if (100..200).contains(&status) {
                seen.interims.push(status);
                continue;
            }
            (seen.status, seen.head) = (Some(status), head);
            seen.declared = seen.header("content-length").and_then(|length| length.parse().ok());
            seen.is_chunked = seen.header("transfer-encoding") == Some("chunked");
            let is_over = if status == 204 || status == 304 {
                true
            } else if seen.is_chunked {
                seen.read_chunks(input)
            } else {
                let length = seen.declared.unwrap_or(u64::MAX).min(input.len() as u64);
                seen.body = input[..length as usize].to_vec();
                seen.declared == Some(length)
            };
            return (seen, is_over);
        }
        seen.body = input.to_vec();
        (seen, false)
    }

    /// Whether the last chunk is there. No answer here has trailers.
    fn read_chunks(&mut self, mut input: &[u8]) -> bool {
        while let Some(end) = input.windows(2).position(|two| two == b"\r\n") {
            let Ok(size) = usize::from_str_radix(&String::from_utf8_lossy(&input[..end]), 16) else { return false };
            let data = &input[end + 2..];
            self.body.extend_from_slice(&data[..size.min(data.len())]);
            if data.len() < size + 2 || size == 0 {
                return size == 0 && data.starts_with(b"\r\n");
            }
            input = &data[size + 2..];
        }
        false
    }
}

/// The status and the text of a head at the front, and the bytes after it.
fn head_of(input: &[u8]) -> Option<(u16, String, &[u8])> {
    let end = input.windows(4).position(|four| four == b"\r\n\r\n")?;
    let head = String::from_utf8_lossy(&input[..end]).into_owned();
    let status = head.strip_prefix("HTTP/1.")?.split(' ').nth(1)?.parse().ok()?;
    Some((status, head, &input[end + 4..]))
}
