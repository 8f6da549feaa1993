//! Writes the response of a stream: its head as a block, its body into the stream's queue, from where it is moved into
//! DATA frames. Whatever an exchange writes, no body in response to HEAD and no more than was declared leaves the server.

use super::encode;
use super::hpack::Encoder;
use super::outgoing::{Follows, Outgoing};
use super::raw::Effects;
use crate::app::{AppError, Cx, StreamEnd, Upgrade};
use crate::caller;
use crate::dispatch::Record;
use crate::http::{Head, Trailers};
use crate::http1::{BodyFraming, Framing, ResponseFacts, take_declared};
use crate::net::WriteQueue;
use crate::throttle::LimitFields;

/// What an exchange may always write in a pull, however small the client's window is.
pub const ROOM_BYTES_MIN: usize = 1024;

/// A response whose head is written: what may still be written. Known, empty or of any length: a stream has no other
/// framing.
#[derive(Debug, Clone, Copy)]
pub struct Writer {
    pub framing: BodyFraming,
    pub after: After,
}

/// What the end of a response does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum After {
    /// The connection goes on.
    Goes,
    /// The application ends the connection.
    Closes,
    /// It is written by raw access.
    Raw(StreamEnd),
}

/// What is kept of the buffer for blocks, however long one was.
const RETAINED_BYTES: usize = 16 << 10;

/// Header blocks of the response, for one call of its exchange: they are put into frames once it is known whether a body
/// follows.
#[derive(Default)]
pub struct Blocks {
    pub bytes: Vec<u8>,
    /// Where each block ends that does not end the heads; what follows the last is the response's own.
    pub ends: Vec<(usize, BlockKind)>,
    /// Of raw blocks.
    pub effects: Effects,
}

impl Blocks {
    /// Its bytes are in frames.
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.bytes.shrink_to(RETAINED_BYTES);
    }
}

pub enum BlockKind {
    /// An interim head.
    Interim,
    /// Whole frames, or any bytes.
    Raw,
}

/// A response and its stream, for one call of an exchange.
pub struct Sink<'a> {
    pub outgoing: &'a mut Outgoing,
    pub blocks: &'a mut Blocks,
    pub encoder: &'a mut Encoder,
    pub record: &'a mut Record,
    /// They are added to the head.
    pub limit_fields: Option<&'a LimitFields>,
    pub is_head: bool,
    /// Bytes that wait to be sent on the connection, without those of this stream's queue.
    pub queued_elsewhere: usize,
    /// This stream's share of the high watermark, among streams that take turns.
    pub share_bytes: usize,
    pub cx: &'a Cx<'a>,
}

impl Blocks {
    /// An interim head is written.
    pub fn end_interim(&mut self) {
        self.ends.push((self.bytes.len(), BlockKind::Interim));
    }
}

impl After {
    fn of(head: &Head) -> After {
        if head.closes() { After::Closes } else { After::Goes }
    }
}

/// The framing of a response with this head.
pub fn framing(head: &Head, length: Option<u64>, is_head: bool) -> Framing {
    let facts = ResponseFacts { version: crate::http::Version::Http2, is_head, keep_alive: true };
    Framing::of(facts, head.status, length)
}

impl Sink<'_> {
    pub fn reborrow(&mut self) -> Sink<'_> {
        let Sink { limit_fields, is_head, queued_elsewhere, share_bytes, cx, .. } = *self;
        let Sink { outgoing, blocks, encoder, record, .. } = self;
        Sink { outgoing, blocks, encoder, record, limit_fields, is_head, queued_elsewhere, share_bytes, cx }
    }

    pub fn head(&mut self, head: &Head) {
        let framing = framing(head, head.length, self.is_head);
        let head = match self.limit_fields {
            Some(fields) => &fields.add_to(head.clone()),
            None => head,
        };
        encode::head(self.encoder, &mut self.blocks.bytes, head, framing.content_length, self.record, self.cx);
        self.outgoing.writer = Some(Writer { framing: framing.body, after: After::of(head) });
    }

    /// Writes the head that ends HTTP on this stream.
    pub fn switch(&mut self, mut upgrade: Upgrade) {
        encode::switching(self.encoder, &mut self.blocks.bytes, &mut upgrade, self.record, self.cx);
        self.outgoing.writer = Some(Writer { framing: BodyFraming::Empty, after: After::Goes });
        self.outgoing.follows = Follows::WebSocket(caller::called(upgrade.peer, self.cx));
    }

    pub fn interim(&mut self, head: &Head) {
        encode::interim(self.encoder, &mut self.blocks.bytes, head);
        self.blocks.end_interim();
    }

    pub fn is_head(&self) -> bool {
        self.is_head
    }

    pub fn has_head(&self) -> bool {
        self.outgoing.writer.is_some()
    }

    pub fn is_bodyless(&self) -> bool {
        self.outgoing.is_bodyless()
    }

    /// Bytes that fit below the high watermark, which is for the sum of all streams, and no more than the client will
    /// take now: what waits in one stream keeps the others from writing.
    pub fn room(&self) -> usize {
        let below_mark = self.cx.limits().write_high_watermark_bytes.saturating_sub(self.queued_elsewhere);
        let window = self.outgoing.window.bytes().max(ROOM_BYTES_MIN);
        below_mark.min(window).min(self.share_bytes).saturating_sub(self.outgoing.queue.len())
    }

    pub fn file_piece_bytes_max(&self) -> u64 {
        self.room().max(1) as u64
    }

    /// There are no chunks.
    pub fn begin_chunk(&mut self, _: u64) -> Result<(), AppError> {
        match self.outgoing.writer {
            None => Err(AppError::new("a chunk began before the response's head")),
            Some(_) => Ok(()),
        }
    }

    /// Takes `length` bytes of the body, which `write` queues; they are dropped if the response has no body.
    pub fn body(&mut self, length: usize, write: impl FnOnce(&mut WriteQueue)) -> Result<(), AppError> {
        let Some(writer) = self.outgoing.writer.as_mut() else {
            return Err(AppError::new("the response's body began before its head"));
        };
        if let BodyFraming::Known(left) = &mut writer.framing {
            take_declared(left, length as u64)?;
        }
        if writer.framing != BodyFraming::Empty {
            write(&mut self.outgoing.queue);
        }
        Ok(())
    }

    /// Ends the body with trailer fields that have been checked.
    pub fn trailers(&mut self, fields: &Trailers) -> Result<(), AppError> {
        let Some(writer) = self.outgoing.writer.as_mut() else {
            return Err(AppError::new("the response's trailers came before its head"));
        };
        // As in HTTP/1, where only a body of unknown length can have them.
        if writer.framing == BodyFraming::Chunked {
            self.outgoing.follows = Follows::Trailers(fields.clone());
            writer.framing = BodyFraming::Known(0);
        }
        Ok(())
    }

    pub fn raw(&mut self) -> Result<(), AppError> {
        Err(AppError::of_client("a response without framing is possible only in HTTP/1"))
    }
}
