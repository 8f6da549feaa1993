//! The output of an exchange. It owns the framing: an application cannot send unframed bytes, a body in response to
//! HEAD, or more than it declared.

use super::{AppError, ConnectionEnd, Cx, RawAccess, RawOut};
use crate::http::{BodyFraming, Framing, Head, ResponseFacts, Trailers, Version};
use crate::http1::encode;
use crate::net::{FILE_PIECE_BYTES_MAX, FilePart, WriteQueue};
use bytes::Bytes;
use std::fs::File;
use std::rc::Rc;
use tine_common::request_name::RequestName;

/// The body of a response whose head is written: what may still be written.
#[derive(Debug, Clone, Copy)]
pub(crate) struct BodyWriter {
    pub(super) framing: BodyFraming,
    /// What happens to the connection after the response.
    pub(super) end: ConnectionEnd,
    /// The first digit of the next chunk's size, a zero, is sent already.
    pub(super) has_begun_size: bool,
}

/// The output of one pull.
pub struct Out<'a> {
    pub(crate) queue: &'a mut WriteQueue,
    pub(crate) body: &'a mut Option<BodyWriter>,
    pub(crate) request: &'a RequestName,
    pub(crate) facts: ResponseFacts,
    pub(crate) cx: &'a Cx<'a>,
}

impl Out<'_> {
    /// Writes the head; once, before any body. Without [`Head::length`] the body is chunked (HTTP/1.0: ends with the connection).
    pub fn head(&mut self, head: Head) -> Result<(), AppError> {
        if self.body.is_some() {
            return Err(AppError::new("the response already has a head"));
        }
        head.check().map_err(AppError::new)?;
        let framing = Framing::of(self.facts.with(&head), head.status, head.length);
        encode::head(self.queue, &head, framing, self.facts, self.cx.date_line());
        let end = if framing.keep_alive { ConnectionEnd::Kept } else { ConnectionEnd::Closed };
        *self.body = Some(BodyWriter { framing: framing.body, end, has_begun_size: false });
        Ok(())
    }

    /// Writes an interim response (1xx, but not 101) before the head; any number of them. A client of HTTP/1.0 gets none
    /// (RFC 9110, 15.2).
    pub fn interim(&mut self, head: Head) -> Result<(), AppError> {
        if self.body.is_some() {
            return Err(AppError::new("an interim response comes before the head"));
        }
        head.check_interim().map_err(AppError::new)?;
        if self.facts.version == Version::Http11 {
            encode::interim(self.queue, &head);
        }
        Ok(())
    }

    /// Ends the body with trailer fields, which reach the client only where the body is chunked: elsewhere they are
    /// dropped, as any recipient may do (RFC 9110, 6.5.1). Nothing is written after them.
    pub fn trailers(&mut self, fields: Trailers) -> Result<(), AppError> {
        let Some(body) = self.body.as_mut() else {
            return Err(AppError::new("the response's trailers came before its head"));
        };
        fields.check().map_err(AppError::new)?;
        match body.framing {
            BodyFraming::InChunk(left) => return Err(short_chunk(left)),
            BodyFraming::Chunked => {
                encode::last_chunk(self.queue, &fields);
                body.framing = BodyFraming::Known(0);
            }
            _ => {}
        }
        Ok(())
    }

    /// Output without framing, in place of a head and a body, for an app that was granted raw access.
    pub fn raw(&mut self, _: RawAccess) -> Result<RawOut<'_>, AppError> {
        RawOut::of(self.queue, self.body, self.cx)
    }

    pub fn has_head(&self) -> bool {
        self.body.is_some()
    }

    /// The head is written and no body follows: the request was HEAD, or the status has none. Writes are dropped.
    pub fn is_bodyless(&self) -> bool {
        self.body.is_some_and(BodyWriter::is_bodyless)
    }

    /// Bytes that fit below the high watermark.
    pub fn room(&self) -> usize {
        self.cx.limits().write_high_watermark_bytes.saturating_sub(self.queue.len())
    }

    pub fn has_room(&self) -> bool {
        self.room() > 0
    }

    /// Begins a chunk of `length` bytes: what is written next is part of it until it is full, over any number of writes
    /// and pulls. Does nothing if the response is not chunked.
    pub fn begin_chunk(&mut self, length: u64) -> Result<(), AppError> {
        if !self.has_room() {
            return Err(no_room());
        }
        match self.body.as_mut().map(|body| &mut body.framing) {
            None => return Err(AppError::new("a chunk began before the response's head")),
            Some(BodyFraming::InChunk(left)) => return Err(short_chunk(*left)),
            // An empty chunk would end the body.
            Some(framing @ BodyFraming::Chunked) if length > 0 => {
                self.queue.append_with(|bytes| encode::chunk_size(bytes, length));
                *framing = BodyFraming::InChunk(length);
            }
            Some(_) => {}
        }
        Ok(())
    }

    /// Queues a copy of `bytes`: as one chunk if the response is chunked and none was begun. Empty writes are dropped.
    pub fn write(&mut self, bytes: &[u8]) -> Result<(), AppError> {
        self.framed(bytes.len(), |queue| queue.append(bytes))
    }

    /// As [`Out::write`], without a copy.
    pub fn write_static(&mut self, bytes: &'static [u8]) -> Result<(), AppError> {
        self.framed(bytes.len(), |queue| queue.append_static(bytes))
    }

    /// As [`Out::write`], without a copy.
    pub fn write_shared(&mut self, bytes: Bytes) -> Result<(), AppError> {
        self.framed(bytes.len(), |queue| queue.append_shared(bytes))
    }

    /// Writes bytes `offset` to `offset + length` of a regular file, which the kernel reads only as it sends them; returns
    /// how many of them were queued, from the front: at most 1 MiB, so that one file does not hold the worker. If by then
    /// the file is shorter or cannot be read, the connection is cut.
    pub fn write_file(&mut self, file: &Rc<File>, offset: u64, length: u64) -> Result<u64, AppError> {
        if offset.checked_add(length).is_none_or(|end| end > i64::MAX as u64) {
            return Err(AppError::new(format!("no file has {length} bytes after offset {offset}")));
        }
        let piece = length.min(FILE_PIECE_BYTES_MAX);
        let ends_with_connection = self.body.is_some_and(BodyWriter::ends_with_connection);
        let part = FilePart::new(file, self.request, offset, piece as u32, ends_with_connection);
        self.framed(piece as usize, |queue| queue.append_file(part))?;
        Ok(piece)
    }

    /// Writes `block` over and over until it is `length` bytes, as one chunk and without a copy.
    pub fn write_static_cycle(&mut self, block: &'static [u8], length: usize) -> Result<(), AppError> {
        if block.is_empty() && length > 0 {
            return Err(AppError::new("an empty block cannot be repeated"));
        }
        self.framed(length, |queue| {
            let mut left = length;
            while left > 0 {
                let part = left.min(block.len());
                queue.append_static(&block[..part]);
                left -= part;
            }
        })
    }

    fn framed(&mut self, length: usize, write: impl FnOnce(&mut WriteQueue)) -> Result<(), AppError> {
        let has_room = self.has_room();
        let Some(body) = self.body.as_mut() else {
            return Err(AppError::new("the response's body began before its head"));
        };
        if length == 0 {
            return Ok(());
        }
        if !has_room {
            return Err(no_room());
        }
        match &mut body.framing {
            BodyFraming::Empty => {}
            BodyFraming::Raw => return Err(AppError::new("a framed body cannot follow raw bytes")),
            BodyFraming::UntilClose => write(self.queue),
            BodyFraming::Known(left) => match left.checked_sub(length as u64) {
                Some(rest) => {
                    *left = rest;
                    write(self.queue);
                }
                None => {
                    return Err(AppError::new(format!(
                        "the body is {} bytes longer than declared",
                        length as u64 - *left
                    )));
                }
            },
            BodyFraming::Chunked => {
                self.queue.append_with(|bytes| encode::chunk_size(bytes, length as u64));
                write(self.queue);
                self.queue.append(b"\r\n");
            }
            BodyFraming::InChunk(left) => {
                let Some(rest) = left.checked_sub(length as u64) else {
                    let over = length as u64 - *left;
                    return Err(AppError::new(format!("the chunk is {over} bytes longer than begin_chunk declared")));
                };
                *left = rest;
                write(self.queue);
                if rest == 0 {
                    self.queue.append(b"\r\n");
                    body.framing = BodyFraming::Chunked;
                }
            }
        }
        Ok(())
    }
}

fn no_room() -> AppError {
    AppError::new("the app wrote without room; check Out::has_room first")
}

fn short_chunk(left: u64) -> AppError {
    AppError::new(format!("{left} bytes of a begun chunk are missing"))
}

impl BodyWriter {
    /// The response ends with its head: the request was HEAD, or the status has no body.
    pub fn is_bodyless(self) -> bool {
        self.framing == BodyFraming::Empty
    }

    /// The application wrote all of it, including any head.
    pub fn is_raw(self) -> bool {
        self.framing == BodyFraming::Raw
    }

    /// What happens to the connection once the response is complete. `keep_alive`: it could be kept.
    pub fn end(self, keep_alive: bool) -> ConnectionEnd {
        match (self.framing, self.end) {
            // A framed head has announced it; what raw bytes announce is unknown.
            (BodyFraming::Raw, ConnectionEnd::Kept) if !keep_alive => ConnectionEnd::Closed,
            (_, end) => end,
        }
    }

    /// Whether only the end of the connection ends the body, or an incomplete body could be taken for a complete one,
    /// as after half a size line.
    pub fn ends_with_connection(self) -> bool {
        matches!(self.framing, BodyFraming::UntilClose | BodyFraming::Raw) || self.has_begun_size
    }

    /// Bytes that may be sent between two writes without changing the body, if there are any: a chunk's size may begin
    /// with zeros (RFC 9112, 7.1). They must be sent.
    pub fn begin_size(&mut self) -> Option<&'static [u8]> {
        self.may_begin_size().then(|| {
            self.has_begun_size = true;
            &b"0"[..]
        })
    }

    /// Whether [`BodyWriter::begin_size`] has such bytes.
    pub fn may_begin_size(self) -> bool {
        self.framing == BodyFraming::Chunked && !self.has_begun_size
    }

    /// Ends the body: the last chunk, or the check that what was declared was written.
    pub fn finish(self, queue: &mut WriteQueue) -> Result<(), AppError> {
        match self.framing {
            BodyFraming::Known(0) | BodyFraming::Empty | BodyFraming::UntilClose | BodyFraming::Raw => Ok(()),
            BodyFraming::Known(left) => {
                Err(AppError::new(format!("the body ended {left} bytes short of what was declared")))
            }
            BodyFraming::InChunk(left) => Err(short_chunk(left)),
            BodyFraming::Chunked => {
                queue.append(b"0\r\n\r\n");
                Ok(())
            }
        }
    }
}
