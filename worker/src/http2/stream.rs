//! One request of a connection of HTTP/2 and its response; and what an exchange that answers it sees of both.

use super::head::RequestHead;
use super::hpack::Encoder;
use super::incoming::Incoming;
use super::outgoing::Outgoing;
use super::priority::Priority;
use super::state::Paused;
use super::windows::SendWindow;
use super::writer::{self, Blocks};
use crate::app::{AppError, Cx};
use crate::dispatch::{InFlightEntry, Record};
use crate::exchange::{Driver, Piece};
use crate::http::{Error, Head, StatusCode};
use crate::protocol::{Next, Sink};
use crate::request_log::Wait;
use crate::throttle::{LimitFields, Permit, Ticket};
use crate::websocket::WebSocket;
use std::time::Instant;

pub struct Stream {
    pub id: u32,
    pub priority: Priority,
    pub is_head: bool,
    pub incoming: Incoming,
    pub outgoing: Outgoing,
    pub part: Part,
    /// `None`: it has ended, and the rest of the request's body is dropped.
    pub record: Option<Record>,
}

/// What is done about its request.
pub enum Part {
    /// It waits for the limits.
    Waiting(Box<Waiting>),
    Exchange(Box<Active>),
    WebSocket(Box<Open>),
    /// The response is complete: what is left of it is sent.
    Sending,
    /// The response is sent: the request's body is dropped, up to this many bytes and until this time.
    Discarding(Box<Discarding>),
}

pub struct Discarding {
    pub bytes_left: u64,
    pub until: Instant,
}

/// A request that is not begun yet.
pub struct Waiting {
    /// `None`: it waits for the client to take other responses.
    pub ticket: Option<Ticket>,
    pub head: RequestHead,
    /// As [`crate::http::Request::place`].
    pub place: u32,
}

/// An exchange, and what its request holds.
pub struct Active {
    pub driver: Driver,
    /// What it waits for.
    pub next: Next,
    /// It is called in any case: something has come for it.
    pub is_due: bool,
    /// The client waits for 100 before it sends the body (RFC 9110, 10.1.1).
    pub owes_continue: bool,
    pub limit_fields: Option<Box<LimitFields>>,
    /// Held until the response is complete.
    pub permit: Permit,
    pub entry: Option<InFlightEntry>,
}

/// A WebSocket that the stream has become.
pub struct Open {
    pub websocket: WebSocket,
    /// What it waits for.
    pub next: Next,
    /// It is called in any case: something has come for it.
    pub is_due: bool,
}

impl Stream {
    pub fn is_in_flight(&self) -> bool {
        matches!(self.part, Part::Exchange(_))
    }

    /// Whether a frame of it can be moved into the connection's output now.
    pub fn can_send(&self, connection: SendWindow) -> bool {
        match self.outgoing.queue.is_empty() {
            true => self.outgoing.is_complete && matches!(self.part, Part::Sending),
            false => self.outgoing.open_window(connection) > 0,
        }
    }
}

/// What an exchange sees, for one call of its driver.
pub struct OnStream<'a> {
    pub incoming: &'a mut Incoming,
    pub outgoing: &'a mut Outgoing,
    pub record: &'a mut Record,
    pub owes_continue: &'a mut bool,
    pub limit_fields: Option<&'a LimitFields>,
    pub is_head: bool,
    pub blocks: &'a mut Blocks,
    pub encoder: &'a mut Encoder,
    /// As [`writer::Sink::queued_elsewhere`].
    pub queued_elsewhere: usize,
    /// As [`writer::Sink::share_bytes`].
    pub share_bytes: usize,
    /// What waits in streams that their client does not take.
    pub paused: Paused,
    pub connection_window: SendWindow,
    /// As [`crate::exchange::Stream::is_input_withheld`].
    pub input_withheld: bool,
    /// The client has ended its side of the connection.
    pub input_ended: bool,
    /// Bytes that were sent on the connection.
    pub sent_bytes: u64,
}

impl crate::exchange::Stream for OnStream<'_> {
    fn next_piece(&mut self) -> Result<Piece, Error> {
        if self.incoming.is_tunnel() {
            return Ok(Piece::End);
        }
        let (bytes, has_ended) = (self.incoming.data().len(), self.incoming.has_ended);
        // A client that sends its body does not wait for the 100.
        *self.owes_continue &= bytes == 0 && !has_ended;
        Ok(match (bytes, has_ended) {
            (0, true) => Piece::End,
            (0, false) => Piece::NeedsInput,
            (bytes, last) => Piece::Data { bytes, last },
        })
    }

    fn data(&self, bytes: usize) -> &[u8] {
        &self.incoming.data()[..bytes]
    }

    fn consume(&mut self, bytes: usize) {
        self.incoming.consume(bytes);
    }

    fn input_ended(&self) -> bool {
        self.input_ended
    }

    fn queued_bytes(&self) -> usize {
        self.queued_elsewhere + self.outgoing.queue.len() + self.blocks.bytes.len()
    }

    fn has_unsent(&self) -> bool {
        let is_written = self.outgoing.queue.is_empty() && self.blocks.bytes.is_empty();
        !is_written || self.outgoing.written_at > self.sent_bytes
    }

    fn is_input_withheld(&self) -> bool {
        self.input_withheld
    }

    fn is_full(&self, cx: &Cx<'_>) -> bool {
        let queued = self.queued_elsewhere + self.outgoing.queue.len();
        queued > cx.limits().write_low_watermark_bytes
            || self.paused.holds(self.outgoing)
            || self.outgoing.is_blocked(self.connection_window)
    }

    fn sink<'s>(&'s mut self, _: bool, cx: &'s Cx<'s>) -> Sink<'s> {
        Sink::Http2(writer::Sink {
            outgoing: self.outgoing,
            blocks: self.blocks,
            encoder: self.encoder,
            record: self.record,
            limit_fields: self.limit_fields,
            is_head: self.is_head,
            queued_elsewhere: self.queued_elsewhere,
            share_bytes: self.share_bytes,
            cx,
        })
    }

    fn is_bodyless(&self) -> bool {
        self.outgoing.is_bodyless()
    }

    fn finish(&mut self) -> Result<(), AppError> {
        self.outgoing.finish()
    }

    /// A client that has left ends the connection or the stream, which is seen without asking.
    fn on_wait(&mut self, _: bool, _: &Cx<'_>) {}

    fn on_wait_for_body(&mut self) {
        if std::mem::take(self.owes_continue) && self.outgoing.writer.is_none() {
            super::encode::interim(self.encoder, &mut self.blocks.bytes, &Head::new(StatusCode::CONTINUE));
            self.blocks.end_interim();
        }
    }

    fn waits_for(&mut self, wait: Option<Wait>, cx: &Cx<'_>) {
        self.record.waits_for(wait, cx.now());
    }
}
