//! Sends the bytes of a representation: few are read and queued with the head, many are sent by the kernel.

use super::representation::Representation;
use crate::pieces;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::rc::Rc;
use tine_common::log::shown_path;
use tine_worker::app::{Answer, AppError, Cx, Exchange, Out, Pull};
use tine_worker::http::range::{ByteRange, MultipartPiece};
use tine_worker::http::{Head, Response};

/// Up to this size, reading into memory costs less than another system call. CPU per request, read and sendfile(2): 4
/// KiB 14 and 16 us, 8 KiB 18 and 15 us, 16 KiB 20 and 14 us (medians of five, 16 connections on loopback).
const READ_BYTES_MAX: u64 = 4 << 10;

/// The head alone, for HEAD, of a response with a body of `length` bytes.
pub fn send_head(head: Head, length: u64) -> Answer {
    Answer::exchange(HeadOnly(Some(head.length(length))))
}

/// One part of the representation as the body.
pub fn send_part(head: Head, representation: Representation, first: u64, length: u64) -> Answer {
    if length > READ_BYTES_MAX {
        let part = ByteRange { first, last: first + length - 1 };
        return send_pieces(head, representation, length, vec![MultipartPiece::Bytes(part)]);
    }
    match read(&representation.file, first, length) {
        Ok(bytes) => Response::with_head(head, bytes).into(),
        Err(error) => fail(error),
    }
}

/// Pieces as the body, `length` bytes in all.
pub fn send_pieces(head: Head, representation: Representation, length: u64, pieces: Vec<MultipartPiece>) -> Answer {
    let file = Rc::new(representation.file);
    pieces::answer(head.length(length), pieces, move |out, range| {
        let length = range.length();
        if length > READ_BYTES_MAX {
            return out.write_file(&file, range.first, length);
        }
        out.write_shared(read(&file, range.first, length)?.into())?;
        Ok(length)
    })
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

struct HeadOnly(Option<Head>);

impl Exchange for HeadOnly {
    fn pull(&mut self, out: &mut Out<'_>, _: &Cx<'_>) -> Result<Pull, AppError> {
        self.0.take().map_or(Ok(()), |head| out.head(head))?;
        Ok(Pull::End)
    }
}

struct Failing(Option<AppError>);

impl Exchange for Failing {
    fn pull(&mut self, _: &mut Out<'_>, _: &Cx<'_>) -> Result<Pull, AppError> {
        self.0.take().map_or(Ok(Pull::End), Err)
    }
}
