//! Raw access over HTTP/2: frames of any kind and content in place of a head and a body, the end of the stream or of the connection,
//! acknowledgements that do not come.
//!
//! It takes the same [`RawAccess`](super::RawAccess) as [`RawOut`](super::RawOut), which is of HTTP/1. What is written is bounded:
//! [`RawStream::BYTES_MAX`] in a call, which comes only while the connection has room for output.

use super::AppError;
use crate::http2::{self, Acks};
use crate::protocol::Sink;

/// How a raw response ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StreamEnd {
    /// By END_STREAM, after the body.
    Whole,
    /// By RST_STREAM with this code.
    Reset(u32),
    /// Without a frame: the client gets nothing more of the stream, unless a raw frame has ended it.
    Abandoned,
    /// The connection is shut down (FIN) after what is written, without GOAWAY, for all of its streams.
    ConnectionClosed,
    /// The connection is reset (RST) once the client's kernel has acknowledged what is written.
    ConnectionReset,
}

/// A frame, valid or not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RawFrame<'a> {
    /// Its type (RFC 9113, 6).
    pub kind: u8,
    /// Its flags, as the type has them.
    pub flags: u8,
    /// 0 is the connection.
    pub stream: u32,
    /// All of it: its length is the frame's.
    pub payload: &'a [u8],
}

/// The stream of a request, for raw output of one pull. What [`Out::write`](super::Out::write) queues after [`RawStream::head`] is framed as
/// ever, and its length is not checked. Raw output overtakes what is queued: so it is written after `Pull::Sent`.
///
/// After the last byte the exchange calls [`RawStream::end`] and returns `Pull::End`.
pub struct RawStream<'a> {
    sink: http2::Sink<'a>,
}

impl<'a> RawStream<'a> {
    /// The most bytes of one call.
    pub const BYTES_MAX: usize = 320 << 10;

    pub(super) fn of(sink: Sink<'a>) -> Result<RawStream<'a>, AppError> {
        match sink {
            Sink::Http1(_) => Err(AppError::of_client("frames are possible only in HTTP/2")),
            Sink::Http2(mut sink) => {
                sink.begin_raw()?;
                Ok(RawStream { sink })
            }
        }
    }

    /// Its number.
    pub fn id(&self) -> u32 {
        self.sink.cx.stream_id()
    }

    /// Writes a header block of these fields, whatever they are, in frames that have at most `fragment_bytes_max` of it.
    pub fn head(&mut self, fields: &[(&[u8], &[u8])], fragment_bytes_max: usize) -> Result<(), AppError> {
        self.sink.raw_head(fields, fragment_bytes_max);
        self.check()
    }

    /// Writes a frame. DATA counts in the client's windows, and is sent even if these are closed.
    pub fn frame(&mut self, frame: RawFrame<'_>) -> Result<(), AppError> {
        self.sink.raw_frame(frame);
        self.check()
    }

    /// Writes bytes of the connection as they are.
    pub fn bytes(&mut self, bytes: &[u8]) -> Result<(), AppError> {
        self.sink.raw_bytes(bytes);
        self.check()
    }

    /// Writes GOAWAY; `last`: the last stream that it names, by default the last that the client has begun. Later ones are ignored, and
    /// the connection ends once those that have begun are answered.
    pub fn goaway(&mut self, last: Option<u32>, code: u32) {
        self.sink.raw_goaway(last, code);
    }

    /// From now on the connection acknowledges these no more.
    pub fn withhold(&mut self, acks: Acks) {
        self.sink.raw_withhold(acks);
    }

    /// Sets what ends the stream once the exchange returns `Pull::End`; by default it is whole.
    pub fn end(&mut self, end: StreamEnd) {
        self.sink.raw_end(end);
    }

    fn check(&self) -> Result<(), AppError> {
        match self.sink.raw_written() <= Self::BYTES_MAX {
            true => Ok(()),
            false => Err(AppError::new(format!("more than {} raw bytes in one call", Self::BYTES_MAX))),
        }
    }
}
