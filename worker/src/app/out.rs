//! The output of an exchange. What it writes goes to the sink of the protocol, which frames it.

use super::{AppError, RawAccess, RawOut, RawStream};
use crate::http::{Head, Response, Trailers};
use crate::net::{FilePart, WriteQueue};
use crate::sink::{Sink, append_body};
use bytes::Bytes;
use std::fs::File;
use std::rc::Rc;
use tine_common::request_name::RequestName;

/// The output of one pull.
///
/// ```
/// # extern crate tine_worker as tine;
/// use tine::app::{AppError, Cx, Exchange, Out, Pull};
/// use tine::http::{Head, StatusCode};
///
/// /// A million lines, of which only what a client reads is ever in memory.
/// struct Lines(u32);
///
/// impl Exchange for Lines {
///     fn pull(&mut self, out: &mut Out<'_>, _: &Cx<'_>) -> Result<Pull, AppError> {
///         if !out.has_head() {
///             out.head(Head::new(StatusCode::OK).content_type("text/plain"))?;
///         }
///         while out.has_room() {
///             if self.0 == 1_000_000 {
///                 return Ok(Pull::End);
///             }
///             self.0 += 1;
///             out.write(format!("{}\n", self.0).as_bytes())?;
///         }
///         Ok(Pull::More)
///     }
/// }
/// ```
pub struct Out<'a> {
    pub(crate) sink: Sink<'a>,
    pub(crate) request: &'a RequestName,
}

impl Out<'_> {
    /// Writes the head; once, before any body. Without [`Head::length`] the body is chunked (HTTP/1.0: ends with the connection).
    pub fn head(&mut self, head: Head) -> Result<(), AppError> {
        if self.has_head() {
            return Err(AppError::new("the response already has a head"));
        }
        head.check().map_err(AppError::new)?;
        self.sink.head(&head);
        Ok(())
    }

    /// Writes an interim response (1xx, but not 101) before the head; any number of them. A client of HTTP/1.0 gets none
    /// (RFC 9110, 15.2).
    pub fn interim(&mut self, head: Head) -> Result<(), AppError> {
        if self.has_head() {
            return Err(AppError::new("an interim response comes before the head"));
        }
        head.check_interim().map_err(AppError::new)?;
        self.sink.interim(&head);
        Ok(())
    }

    /// Ends the body with trailer fields, which reach the client only where the body is chunked: elsewhere they are
    /// dropped, as any recipient may do (RFC 9110, 6.5.1). Nothing is written after them.
    pub fn trailers(&mut self, fields: Trailers) -> Result<(), AppError> {
        if self.has_head() {
            fields.check().map_err(AppError::new)?;
        }
        self.sink.trailers(&fields)
    }

    /// Writes a response that is complete, in place of a head and a body.
    pub fn respond(&mut self, response: Response) -> Result<(), AppError> {
        let length = response.length(self.sink.is_head());
        let Response { head, body } = response;
        self.head(head.length(length))?;
        // The head has filled the queue at most.
        self.sink.body(body.as_slice().len(), |queue| append_body(queue, body))
    }

    /// Output without framing, in place of a head and a body, over HTTP/1, for an app that was granted raw access.
    pub fn raw(&mut self, _: RawAccess) -> Result<RawOut<'_>, AppError> {
        RawOut::of(self.sink.reborrow())
    }

    /// As [`Out::raw`], over HTTP/2, where there are frames.
    pub fn raw_stream(&mut self, _: RawAccess) -> Result<RawStream<'_>, AppError> {
        RawStream::of(self.sink.reborrow())
    }

    /// Whether the head of the response was written.
    pub fn has_head(&self) -> bool {
        self.sink.has_head()
    }

    /// The head is written and no body follows: the request was HEAD, or the status has none. Writes are dropped.
    pub fn is_bodyless(&self) -> bool {
        self.sink.is_bodyless()
    }

    /// Bytes that fit below the high watermark.
    pub fn room(&self) -> usize {
        self.sink.room()
    }

    /// Whether less than the high watermark is queued, so that a write is accepted.
    pub fn has_room(&self) -> bool {
        self.room() > 0
    }

    /// Begins a chunk of `length` bytes: what is written next is part of it until it is full, over any number of writes
    /// and pulls. Does nothing if the response is not chunked.
    pub fn begin_chunk(&mut self, length: u64) -> Result<(), AppError> {
        if !self.has_room() {
            return Err(no_room());
        }
        self.sink.begin_chunk(length)
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
        let piece = length.min(self.sink.file_piece_bytes_max());
        let ends_with_connection = self.sink.ends_with_connection();
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
        if length > 0 && self.has_head() && !self.has_room() {
            return Err(no_room());
        }
        self.sink.body(length, write)
    }
}

fn no_room() -> AppError {
    AppError::new("the app wrote without room; check Out::has_room first")
}
