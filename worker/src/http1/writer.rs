//! Writes a response: its head, and the framing of its body. Whatever an exchange writes, no unframed bytes, no body in
//! response to HEAD and no more than was declared leaves the server.

use super::encode;
use super::framing::{BodyFraming, Framing, ResponseFacts, take_declared, too_short};
use crate::app::{AppError, ConnectionEnd, Cx, Handshake, Peer, Upgrade};
use crate::caller;
use crate::dispatch::Record;
use crate::http::{Head, Trailers, Version};
use crate::net::{FILE_PIECE_BYTES_MAX, WriteQueue};
use crate::throttle::LimitFields;

/// A response whose head is written: what may still be written.
#[derive(Debug, Clone, Copy)]
pub struct Writer {
    framing: BodyFraming,
    /// What happens to the connection after the response.
    end: ConnectionEnd,
    /// The first digit of the next chunk's size, a zero, is sent already.
    has_begun_size: bool,
}

/// A response and the queue that it is written to, for one call of an exchange.
pub struct Sink<'a> {
    pub queue: &'a mut WriteQueue,
    /// `None` before the head.
    pub writer: &'a mut Option<Writer>,
    /// The peer of the WebSocket that the connection becomes.
    pub switched: &'a mut Option<Box<dyn Peer>>,
    pub record: &'a mut Record,
    /// They are added to the head.
    pub limit_fields: Option<&'a LimitFields>,
    /// Bytes that were sent on the connection.
    pub sent_bytes: u64,
    pub facts: ResponseFacts,
    pub cx: &'a Cx<'a>,
}

impl Sink<'_> {
    pub fn reborrow(&mut self) -> Sink<'_> {
        let Sink { limit_fields, sent_bytes, facts, cx, .. } = *self;
        let Sink { queue, writer, switched, record, .. } = self;
        Sink { queue, writer, switched, record, limit_fields, sent_bytes, facts, cx }
    }

    /// Writes a head that has been checked.
    pub fn head(&mut self, head: &Head) {
        let framing = Framing::of(self.facts.with(head), head.status, head.length);
        self.record.head_at(self.sent_bytes + self.queue.len() as u64);
        let head = match self.limit_fields {
            Some(fields) => &fields.add_to(head.clone()),
            None => head,
        };
        encode::head(self.queue, head, framing, self.facts, self.record, self.cx);
        let end = if framing.keep_alive { ConnectionEnd::Kept } else { ConnectionEnd::Closed };
        *self.writer = Some(Writer { framing: framing.body, end, has_begun_size: false });
    }

    /// Writes the head that ends HTTP on this connection.
    pub fn switch(&mut self, handshake: &Handshake, upgrade: Upgrade) {
        self.record.head_at(self.sent_bytes + self.queue.len() as u64);
        encode::switching(self.queue, handshake, &upgrade, self.record, self.cx);
        *self.writer = Some(Writer { framing: BodyFraming::Empty, end: ConnectionEnd::Kept, has_begun_size: false });
        *self.switched = Some(caller::called(upgrade.peer, self.cx));
    }

    /// Writes an interim head that has been checked. A client of HTTP/1.0 gets none (RFC 9110, 15.2).
    pub fn interim(&mut self, head: &Head) {
        if self.facts.version == Version::Http11 {
            encode::interim(self.queue, head);
        }
    }

    /// The request's method is HEAD.
    pub fn is_head(&self) -> bool {
        self.facts.is_head
    }

    pub fn has_head(&self) -> bool {
        self.writer.is_some()
    }

    /// The head is written, and no body follows.
    pub fn is_bodyless(&self) -> bool {
        self.writer.is_some_and(Writer::is_bodyless)
    }

    /// Whether only the end of the connection ends the body.
    pub fn ends_with_connection(&self) -> bool {
        self.writer.is_some_and(Writer::ends_with_connection)
    }

    /// Bytes that fit below the high watermark.
    pub fn room(&self) -> usize {
        self.cx.limits().write_high_watermark_bytes.saturating_sub(self.queue.len())
    }

    /// The most of a file that is queued at a time.
    pub fn file_piece_bytes_max(&self) -> u64 {
        FILE_PIECE_BYTES_MAX
    }

    /// Begins a chunk of `length` bytes, if the response is chunked.
    pub fn begin_chunk(&mut self, length: u64) -> Result<(), AppError> {
        match self.writer.as_mut().map(|writer| &mut writer.framing) {
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

    /// Frames `length` bytes of the body, which `write` queues; they are dropped if the response has no body.
    pub fn body(&mut self, length: usize, write: impl FnOnce(&mut WriteQueue)) -> Result<(), AppError> {
        let Some(writer) = self.writer.as_mut() else {
            return Err(AppError::new("the response's body began before its head"));
        };
        if length == 0 {
            return Ok(());
        }
        match &mut writer.framing {
            BodyFraming::Empty => {}
            BodyFraming::Raw => return Err(AppError::new("a framed body cannot follow raw bytes")),
            BodyFraming::UntilClose => write(self.queue),
            BodyFraming::Known(left) => {
                take_declared(left, length as u64)?;
                write(self.queue);
            }
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
                    writer.framing = BodyFraming::Chunked;
                }
            }
        }
        Ok(())
    }

    /// Ends the body with trailer fields that have been checked; they are dropped unless it is chunked.
    pub fn trailers(&mut self, fields: &Trailers) -> Result<(), AppError> {
        let Some(writer) = self.writer.as_mut() else {
            return Err(AppError::new("the response's trailers came before its head"));
        };
        match writer.framing {
            BodyFraming::InChunk(left) => return Err(short_chunk(left)),
            BodyFraming::Chunked => {
                encode::last_chunk(self.queue, fields);
                writer.framing = BodyFraming::Known(0);
            }
            _ => {}
        }
        Ok(())
    }

    /// Begins or continues a response without framing.
    pub fn raw(&mut self) -> Result<(), AppError> {
        if self.writer.is_none() {
            self.record.head_at(self.sent_bytes + self.queue.len() as u64);
        }
        let raw = Writer { framing: BodyFraming::Raw, end: ConnectionEnd::Closed, has_begun_size: false };
        match self.writer.get_or_insert(raw).framing {
            BodyFraming::Raw => Ok(()),
            _ => Err(AppError::new("raw bytes cannot follow a framed head")),
        }
    }

    /// Queues bytes of a response without framing.
    pub fn raw_bytes(&mut self, bytes: &[u8]) {
        self.queue.append(bytes);
    }

    /// Sets what happens to the connection after a response without framing.
    pub fn raw_end(&mut self, end: ConnectionEnd) {
        if let Some(writer) = self.writer {
            writer.end = end;
        }
    }
}

fn short_chunk(left: u64) -> AppError {
    AppError::new(format!("{left} bytes of a begun chunk are missing"))
}

impl Writer {
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

    /// Whether [`Writer::begin_size`] has such bytes.
    pub fn may_begin_size(self) -> bool {
        self.framing == BodyFraming::Chunked && !self.has_begun_size
    }

    /// Ends the body: the last chunk, or the check that what was declared was written.
    pub fn finish(self, queue: &mut WriteQueue) -> Result<(), AppError> {
        match self.framing {
            BodyFraming::Known(0) | BodyFraming::Empty | BodyFraming::UntilClose | BodyFraming::Raw => Ok(()),
            BodyFraming::Known(left) => Err(too_short(left)),
            BodyFraming::InChunk(left) => Err(short_chunk(left)),
            BodyFraming::Chunked => {
                queue.append(b"0\r\n\r\n");
                Ok(())
            }
        }
    }
}
