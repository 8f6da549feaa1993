//! Where an exchange's output goes: what [`crate::app::Out`] asks of the protocol that the response is written in.

use crate::app::{AppError, ConnectionEnd, Handshake, Upgrade};
use crate::http::{Body, Head, Trailers};
use crate::net::WriteQueue;
use crate::{http1, http2};

pub enum Sink<'a> {
    Http1(http1::Sink<'a>),
    Http2(http2::Sink<'a>),
}

impl Sink<'_> {
    #[inline]
    pub fn reborrow(&mut self) -> Sink<'_> {
        match self {
            Sink::Http1(sink) => Sink::Http1(sink.reborrow()),
            Sink::Http2(sink) => Sink::Http2(sink.reborrow()),
        }
    }

    /// Writes a head that has been checked.
    #[inline]
    pub fn head(&mut self, head: &Head) {
        match self {
            Sink::Http1(sink) => sink.head(head),
            Sink::Http2(sink) => sink.head(head),
        }
    }

    /// Writes the head that ends HTTP on this connection or stream: the answer to a handshake that has been checked.
    pub fn switch(&mut self, handshake: &Handshake, upgrade: Upgrade) {
        match self {
            Sink::Http1(sink) => sink.switch(handshake, upgrade),
            Sink::Http2(sink) => sink.switch(upgrade),
        }
    }

    /// Writes an interim head that has been checked. A client of HTTP/1.0 gets none (RFC 9110, 15.2).
    pub fn interim(&mut self, head: &Head) {
        match self {
            Sink::Http1(sink) => sink.interim(head),
            Sink::Http2(sink) => sink.interim(head),
        }
    }

    /// The request's method is HEAD.
    #[inline]
    pub fn is_head(&self) -> bool {
        match self {
            Sink::Http1(sink) => sink.is_head(),
            Sink::Http2(sink) => sink.is_head(),
        }
    }

    #[inline]
    pub fn has_head(&self) -> bool {
        match self {
            Sink::Http1(sink) => sink.has_head(),
            Sink::Http2(sink) => sink.has_head(),
        }
    }

    /// The head is written, and no body follows.
    #[inline]
    pub fn is_bodyless(&self) -> bool {
        match self {
            Sink::Http1(sink) => sink.is_bodyless(),
            Sink::Http2(sink) => sink.is_bodyless(),
        }
    }

    /// Whether only the end of the connection ends the body.
    #[inline]
    pub fn ends_with_connection(&self) -> bool {
        match self {
            Sink::Http1(sink) => sink.ends_with_connection(),
            Sink::Http2(_) => false,
        }
    }

    /// Bytes that fit below the high watermark.
    #[inline]
    pub fn room(&self) -> usize {
        match self {
            Sink::Http1(sink) => sink.room(),
            Sink::Http2(sink) => sink.room(),
        }
    }

    /// The most of a file that is queued at a time.
    #[inline]
    pub fn file_piece_bytes_max(&self) -> u64 {
        match self {
            Sink::Http1(sink) => sink.file_piece_bytes_max(),
            Sink::Http2(sink) => sink.file_piece_bytes_max(),
        }
    }

    /// Begins a chunk of `length` bytes, if the response is chunked.
    #[inline]
    pub fn begin_chunk(&mut self, length: u64) -> Result<(), AppError> {
        match self {
            Sink::Http1(sink) => sink.begin_chunk(length),
            Sink::Http2(sink) => sink.begin_chunk(length),
        }
    }

    /// Frames `length` bytes of the body, which `write` queues; they are dropped if the response has no body.
    #[inline]
    pub fn body(&mut self, length: usize, write: impl FnOnce(&mut WriteQueue)) -> Result<(), AppError> {
        match self {
            Sink::Http1(sink) => sink.body(length, write),
            Sink::Http2(sink) => sink.body(length, write),
        }
    }

    /// Ends the body with trailer fields that have been checked.
    pub fn trailers(&mut self, fields: &Trailers) -> Result<(), AppError> {
        match self {
            Sink::Http1(sink) => sink.trailers(fields),
            Sink::Http2(sink) => sink.trailers(fields),
        }
    }

    /// Begins or continues a response without framing.
    pub fn raw(&mut self) -> Result<(), AppError> {
        match self {
            Sink::Http1(sink) => sink.raw(),
            Sink::Http2(sink) => sink.raw(),
        }
    }

    /// Queues bytes of a response without framing.
    pub fn raw_bytes(&mut self, bytes: &[u8]) {
        if let Sink::Http1(sink) = self {
            sink.raw_bytes(bytes);
        }
    }

    /// Sets what happens to the connection after a response without framing.
    pub fn raw_end(&mut self, end: ConnectionEnd) {
        if let Sink::Http1(sink) = self {
            sink.raw_end(end);
        }
    }
}

/// Queues a body without a copy.
pub fn append_body(queue: &mut WriteQueue, body: Body) {
    match body {
        Body::Static(bytes) => queue.append_static(bytes),
        Body::Shared(bytes) => queue.append_shared(bytes),
        Body::Owned(bytes) => queue.append_shared(bytes.into()),
    }
}
