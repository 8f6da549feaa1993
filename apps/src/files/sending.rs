//! Sends the bytes of a representation: few are read and queued with the head, many are sent by the kernel.

use super::representation::{Content, Representation};
use crate::pieces;
use bytes::Bytes;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::rc::Rc;
use tine_common::log::shown_path;
use tine_worker::app::{Answer, AppError, Cx, Exchange, Out, Pull};
use tine_worker::http::range::{ByteRange, MultipartPiece};
use tine_worker::http::{Head, Response};

/// Up to this size, reading from an open file into memory costs less than another system call. CPU per request, read and
/// sendfile(2): 4 KiB 14 and 16 us, 8 KiB 18 and 15 us, 16 KiB 20 and 14 us (medians of five, 16 connections on loopback).
const READ_BYTES_MAX: u64 = 4 << 10;

/// The whole representation as the body.
pub fn send_whole(head: Head, representation: Rc<Representation>, is_head: bool) -> Answer {
    let size = representation.size;
    if is_head {
        return Response::with_head(head.length(size), "").into();
    }
    send_part(head, representation, 0, size)
}

/// One part of the representation as the body.
pub fn send_part(head: Head, representation: Rc<Representation>, first: u64, length: u64) -> Answer {
    let file = match &representation.content {
        Content::Read(bytes) => return Response::with_head(head, part_of(bytes, first, length)).into(),
        Content::Open(file) => file,
    };
    if length > READ_BYTES_MAX {
        let left = Left { file: Rc::clone(file), range: ByteRange { first, last: first + length - 1 } };
        return Answer::exchange(OnePart::Begins(Box::new(Begins { head: Some(head.length(length)), left })));
    }
    match read(file, first, length) {
        Ok(bytes) => Response::with_head(head, bytes).into(),
        Err(error) => fail(error),
    }
}

/// Pieces as the body, `length` bytes in all.
pub fn send_pieces(head: Head, representation: Rc<Representation>, length: u64, pieces: Vec<MultipartPiece>) -> Answer {
    pieces::answer(head.length(length), pieces, move |out, range| {
        let length = range.length();
        match &representation.content {
            Content::Open(file) => write_open(out, file, range.first, length),
            Content::Read(bytes) => out.write_shared(part_of(bytes, range.first, length)).map(|()| length),
        }
    })
}

/// Sends one part of an open file. It may have to stay for as long as its client is slow, so it is small once the head is written.
enum OnePart {
    Begins(Box<Begins>),
    Goes(Left),
}

struct Begins {
    /// Until it is written.
    head: Option<Head>,
    left: Left,
}

/// What is left to write.
#[derive(Clone)]
struct Left {
    file: Rc<File>,
    range: ByteRange,
}

impl Exchange for OnePart {
    fn pull(&mut self, out: &mut Out<'_>, _: &Cx<'_>) -> Result<Pull, AppError> {
        if let OnePart::Begins(begins) = self {
            if let Some(head) = begins.head.take() {
                out.head(head)?;
            }
            *self = OnePart::Goes(begins.left.clone());
        }
        match self {
            OnePart::Goes(left) if out.has_room() => left.pull(out),
            _ => Ok(Pull::More),
        }
    }
}

impl Left {
    fn pull(&mut self, out: &mut Out<'_>) -> Result<Pull, AppError> {
        let length = self.range.length();
        let written = write_open(out, &self.file, self.range.first, length)?;
        self.range.first += written;
        Ok(if written == length { Pull::End } else { Pull::More })
    }
}

/// Writes bytes from `first` on, and returns how many of the `length`.
pub fn write_open(out: &mut Out<'_>, file: &Rc<File>, first: u64, length: u64) -> Result<u64, AppError> {
    if length > READ_BYTES_MAX {
        return out.write_file(file, first, length);
    }
    out.write_shared(read(file, first, length)?.into()).map(|()| length)
}

/// The ranges of a representation are within its size.
fn part_of(bytes: &Bytes, first: u64, length: u64) -> Bytes {
    bytes.slice(first as usize..(first + length) as usize)
}

/// A 500 for the client, and the reason in the log.
pub fn fail(why: impl std::fmt::Display) -> Answer {
    Answer::exchange(Failing(Some(AppError::new(why))))
}

fn read(file: &File, first: u64, length: u64) -> Result<Vec<u8>, AppError> {
    let mut bytes = vec![0; length as usize];
    match file.read_exact_at(&mut bytes, first) {
        Ok(()) => Ok(bytes),
        Err(e) if e.kind() == io::ErrorKind::UnexpectedEof => {
            Err(AppError::new(format!("{} was truncated while it was read", shown_path(file))))
        }
        Err(e) => Err(AppError::new(format!("{} cannot be read: {e}", shown_path(file)))),
    }
}

struct Failing(Option<AppError>);

impl Exchange for Failing {
    fn pull(&mut self, _: &mut Out<'_>, _: &Cx<'_>) -> Result<Pull, AppError> {
        self.0.take().map_or(Ok(Pull::End), Err)
    }
}
