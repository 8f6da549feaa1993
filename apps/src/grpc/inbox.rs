//! Cuts a request's body into messages: a flag, a length in four bytes, the message (PROTOCOL-HTTP2.md). Pure: a message that
//! has come whole is not copied, whatever the DATA frames were.

use super::coding::{self, Coding, too_large};
use super::held::Held;
use super::{Code, MESSAGE_BYTES_MAX, Status};

pub const PREFIX_BYTES: usize = 5;

/// What has come of a message and its prefix.
#[derive(Default)]
pub struct Inbox {
    part: Vec<u8>,
    held: Held,
    /// The last message was compressed.
    pub was_compressed: bool,
}

/// A message that has come whole.
pub enum Arrived<'a> {
    /// Within the bytes that were passed.
    Passed(&'a [u8]),
    /// Collected, or decompressed.
    Own(Vec<u8>),
}

impl Arrived<'_> {
    pub fn as_slice(&self) -> &[u8] {
        match self {
            Arrived::Passed(bytes) => bytes,
            Arrived::Own(bytes) => bytes,
        }
    }
}

impl Inbox {
    /// Whether a message has begun and not ended.
    pub fn has_part(&self) -> bool {
        !self.part.is_empty()
    }

    /// Takes bytes from the front up to the end of a message; `None`: all were taken, and none has ended.
    pub fn take<'a>(&mut self, bytes: &mut &'a [u8], coding: Coding) -> Result<Option<Arrived<'a>>, Status> {
        if self.part.is_empty()
            && let Some((flag, length)) = prefix(bytes)?
            && let Some(message) = bytes.get(PREFIX_BYTES..PREFIX_BYTES + length)
        {
            *bytes = &bytes[PREFIX_BYTES + length..];
            self.was_compressed = flag == 1;
            return plain(flag, Arrived::Passed(message), coding).map(Some);
        }
        self.collect(bytes, PREFIX_BYTES)?;
        let Some((flag, length)) = prefix(&self.part)? else { return Ok(None) };
        self.collect(bytes, PREFIX_BYTES + length)?;
        if self.part.len() < PREFIX_BYTES + length {
            return Ok(None);
        }
        let mut message = std::mem::take(&mut self.part);
        self.held.set(0);
        message.drain(..PREFIX_BYTES);
        self.was_compressed = flag == 1;
        plain(flag, Arrived::Own(message), coding).map(Some)
    }

    /// Grows as bytes come, not to what was announced.
    fn collect(&mut self, bytes: &mut &[u8], whole: usize) -> Result<(), Status> {
        let (taken, rest) = bytes.split_at(bytes.len().min(whole.saturating_sub(self.part.len())));
        self.held.admit(self.part.len() + taken.len())?;
        self.part.extend_from_slice(taken);
        self.held.set(self.part.len());
        *bytes = rest;
        Ok(())
    }
}

/// The flag and the length of a message; `None`: they have not come.
fn prefix(bytes: &[u8]) -> Result<Option<(u8, usize)>, Status> {
    let &[flag, a, b, c, d, ..] = bytes else { return Ok(None) };
    let length = u32::from_be_bytes([a, b, c, d]) as usize;
    match length <= MESSAGE_BYTES_MAX {
        true => Ok(Some((flag, length))),
        false => Err(too_large("the received message", length)),
    }
}

fn plain<'a>(flag: u8, message: Arrived<'a>, coding: Coding) -> Result<Arrived<'a>, Status> {
    match (flag, coding) {
        (0, _) => Ok(message),
        (1, Coding::Gzip) => coding::decompress(message.as_slice()).map(Arrived::Own),
        (1, Coding::Identity) => {
            Err(Status::new(Code::Internal, "a message is marked as compressed, and there is no grpc-encoding"))
        }
        (flag, _) => Err(Status::new(Code::Internal, format!("the flag of a message is {flag}, not 0 or 1"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn messages(pieces: &[&[u8]], coding: Coding) -> Result<(Vec<Vec<u8>>, bool), Status> {
        let (mut inbox, mut found) = (Inbox::default(), Vec::new());
        for mut piece in pieces.iter().copied() {
            while let Some(message) = inbox.take(&mut piece, coding)? {
                found.push(message.as_slice().to_vec());
            }
            assert!(piece.is_empty(), "all is taken");
        }
        Ok((found, inbox.has_part()))
    }

    #[test]
    fn messages_are_the_same_however_they_are_split() {
        let body = [&b"\0\0\0\0\x03abc"[..], b"\0\0\0\0\0", b"\0\0\0\x01\x00", &[b'x'; 256], b"\0\0\0\0\x02d"].concat();
        let expected = (vec![b"abc".to_vec(), b"".to_vec(), vec![b'x'; 256]], true);
        assert_eq!(messages(&[&body], Coding::Identity).unwrap(), expected);
        for at in 0..=body.len() {
            assert_eq!(messages(&[&body[..at], &body[at..]], Coding::Identity).unwrap(), expected, "split at {at}");
        }
        let bytes: Vec<&[u8]> = body.chunks(1).collect();
        assert_eq!(messages(&bytes, Coding::Identity).unwrap(), expected);
    }

    #[test]
    fn what_is_no_message_is_an_error() {
        let mut bomb = vec![1, 0, 0, 0, 0];
        assert!(coding::compress(&vec![0; MESSAGE_BYTES_MAX + 1], &mut bomb));
        let length = (bomb.len() - PREFIX_BYTES) as u32;
        bomb[1..PREFIX_BYTES].copy_from_slice(&length.to_be_bytes());
        for (body, coding, code) in [
            (&b"\0\0\xa0\0\x01"[..], Coding::Identity, Code::ResourceExhausted),
            (b"\0\xff\xff\xff\xff", Coding::Identity, Code::ResourceExhausted),
            (b"\x02\0\0\0\x01a", Coding::Identity, Code::Internal),
            (b"\x01\0\0\0\x01a", Coding::Identity, Code::Internal),
            (b"\x01\0\0\0\x01a", Coding::Gzip, Code::Internal),
            (&bomb, Coding::Gzip, Code::ResourceExhausted),
        ] {
            let status = messages(&[body], coding).unwrap_err();
            assert_eq!(status.number(), (code as i32).to_string(), "{status}");
        }
    }

    #[test]
    fn gzip_is_undone_where_the_flag_says_so() {
        let mut body = vec![1, 0, 0, 0, 0];
        assert!(coding::compress(&[b'x'; 1000], &mut body));
        body[4] = (body.len() - PREFIX_BYTES) as u8;
        body.extend_from_slice(b"\0\0\0\0\x01y");
        assert_eq!(messages(&[&body], Coding::Gzip).unwrap(), (vec![vec![b'x'; 1000], b"y".to_vec()], false));
    }
}
