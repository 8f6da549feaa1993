//! One HTTP/1 request that an exchange answers: the driver of push and pull, and this protocol's side of it.

use super::decode::Decoder;
use super::framing::ResponseFacts;
use super::pipelined::is_request_pipelined;
use super::writer::{self, Writer};
use crate::app::{AppError, ConnectionEnd, Cx, Peer};
use crate::dispatch::{Outcome, Record};
use crate::exchange::{Driven, Driver, Failed, Piece, Stream};
use crate::http::{BodyLength, Error, Version};
use crate::net::ReadBuffer;
use crate::protocol::{Io, Sink};
use crate::request_log::Wait;
use crate::throttle::{LimitFields, Permit};
use crate::timers::earlier;
use std::time::{Duration, Instant};
use tine_common::request_name::RequestName;

/// A client that has ended its side is probed after this long if the probe is visible to it, as an interim response:
/// most responses come earlier, and some scripts that half-close read only the first line.
const PROBE_AFTER: Duration = Duration::from_secs(1);
/// Sent to a client that waits for `100 Continue`; one that does not drops it (RFC 9110, 15.2.1).
const CONTINUE: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";

pub struct Active {
    driver: Driver,
    message: Message,
    /// Held until the response is complete.
    permit: Permit,
}

/// The request's body and the response, as they are on the wire.
struct Message {
    facts: ResponseFacts,
    body: Decoder,
    /// `100 Continue` has to be sent before the first body byte.
    owes_continue: bool,
    /// The head is written; what may follow.
    writer: Option<Writer>,
    /// The head was that of a WebSocket.
    switched: Option<Box<dyn Peer>>,
    presence: Presence,
    record: Record,
    /// The position in the connection's input where the request began.
    began_at: u64,
    /// For the response's head.
    limit_fields: Option<Box<LimitFields>>,
}

/// What is known of a client that has nothing more to send. Whether it has left or only ended its side shows when
/// something is sent to it: if it has left, its kernel answers with a reset.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Presence {
    There,
    /// It ended its side at this time.
    Doubtful(Instant),
    /// It was probed: something was sent to it since.
    Probed,
}

impl Active {
    /// `began_at`: the position in the connection's input where the request began.
    pub fn new(
        driver: Driver,
        facts: ResponseFacts,
        body: Decoder,
        owes_continue: bool,
        record: Record,
        began_at: u64,
    ) -> Self {
        let presence = Presence::There;
        let (writer, switched, limit_fields) = (None, None, None);
        let message =
            Message { facts, body, owes_continue, writer, switched, presence, record, began_at, limit_fields };
        Active { driver, message, permit: Permit::none() }
    }

    /// It is in flight with this permit.
    pub fn hold(&mut self, permit: Permit, cx: &Cx<'_>) {
        self.message.limit_fields = permit.limit_fields(cx).map(Box::new);
        self.permit = permit.keep(cx.now());
    }

    pub fn record(&mut self) -> &mut Record {
        &mut self.message.record
    }

    /// The request ends, with its input consumed and its response written up to these positions.
    pub fn end_record(&mut self, consumed: u64, written: u64, outcome: Outcome) {
        let record = &mut self.message.record;
        record.outcome = outcome;
        record.request_bytes = consumed - self.message.began_at;
        record.written(written);
    }

    /// As [`crate::protocol::Protocol::awaiting_first_byte`].
    pub fn awaiting_first_byte(&mut self, sent_bytes: u64) -> Option<&mut Record> {
        let has_begun = self.message.writer.is_some();
        Some(&mut self.message.record).filter(|record| has_begun && record.awaits_first_byte(sent_bytes))
    }

    /// The facts for a head that is written now, given the input after the request.
    pub fn facts_now(&self, input: &ReadBuffer, cx: &Cx<'_>) -> ResponseFacts {
        self.message.facts_now(input, self.driver.body_ended(), cx)
    }

    /// The request's method is HEAD.
    pub fn is_head(&self) -> bool {
        self.message.facts.is_head
    }

    /// Whether the client announced that this is its last request.
    pub fn is_clients_last(&self) -> bool {
        !self.message.facts.keep_alive
    }

    /// The request's name in the log.
    pub fn request(&self) -> &RequestName {
        self.driver.request()
    }

    /// The body of the response, once its head is written.
    pub fn writer(&self) -> Option<Writer> {
        self.message.writer
    }

    /// The peer of the WebSocket that the connection has become, and what it holds from now on.
    pub fn take_switched(&mut self) -> Option<(Box<dyn Peer>, Permit)> {
        let peer = self.message.switched.take()?;
        Some((peer, std::mem::replace(&mut self.permit, Permit::none())))
    }

    /// Drops the exchange; returns the rest of the request, its body, and the record.
    pub fn into_parts(self) -> (Decoder, Record) {
        (self.message.body, self.message.record)
    }

    pub fn wake(&mut self) {
        self.driver.wake();
    }

    /// Whether bytes of the body would be used now.
    pub fn wants_body(&self) -> bool {
        self.driver.wants_body()
    }

    /// When to continue without an event.
    pub fn deadline(&self, queued_bytes: usize, cx: &Cx<'_>) -> Option<Instant> {
        if is_full(queued_bytes, cx) || self.driver.waits_for_send() && queued_bytes > 0 {
            return None;
        }
        earlier(self.driver.deadline(cx), self.message.probe_at())
    }

    /// Pushes and pulls in turn until one of them has to wait or the connection's time is up.
    pub fn drive(&mut self, io: &mut Io<'_>, cx: &Cx<'_>) -> Result<Driven, Failed> {
        self.driver.drive(&mut OnWire { message: &mut self.message, io }, cx)
    }

    /// What happens to the connection after the response, which is complete.
    pub fn end(&self, input: &ReadBuffer, cx: &Cx<'_>) -> ConnectionEnd {
        let keep_alive = self.facts_now(input, cx).keep_alive;
        self.message.writer.map_or(ConnectionEnd::Closed, |writer| writer.end(keep_alive))
    }
}

impl Message {
    /// A client that never got `100 Continue` may or may not send its body.
    fn facts_now(&self, input: &ReadBuffer, body_ended: bool, cx: &Cx<'_>) -> ResponseFacts {
        let is_pipelined = || body_ended && is_request_pipelined(input.unconsumed(), BodyLength::None, cx.limits());
        let keep_alive = self.facts.keep_alive && !self.owes_continue && (!cx.is_draining() || is_pipelined());
        ResponseFacts { keep_alive, ..self.facts }
    }

    /// When to probe the client, if it has to be probed and can be.
    fn probe_at(&self) -> Option<Instant> {
        let Presence::Doubtful(since) = self.presence else { return None };
        match self.writer {
            None => (self.facts.version == Version::Http11).then(|| since + PROBE_AFTER),
            Some(writer) => writer.may_begin_size().then_some(since),
        }
    }
}

fn is_full(queued_bytes: usize, cx: &Cx<'_>) -> bool {
    queued_bytes > cx.limits().write_low_watermark_bytes
}

/// A message and its connection's buffers.
struct OnWire<'a, 'io> {
    message: &'a mut Message,
    io: &'a mut Io<'io>,
}

impl Stream for OnWire<'_, '_> {
    fn next_piece(&mut self) -> Result<Piece, Error> {
        // A client that sends its body does not wait for the 100.
        self.message.owes_continue &= self.io.input.is_empty();
        self.message.body.next(self.io.input)
    }

    fn data(&self, bytes: usize) -> &[u8] {
        &self.io.input.unconsumed()[..bytes]
    }

    fn consume(&mut self, bytes: usize) {
        self.io.input.consume(bytes);
        self.message.body.consume(bytes);
    }

    fn input_ended(&self) -> bool {
        self.io.input_ended
    }

    fn queued_bytes(&self) -> usize {
        self.io.output.len()
    }

    fn has_unsent(&self) -> bool {
        !self.io.output.is_empty()
    }

    /// The connection has one request at a time.
    fn is_input_withheld(&self) -> bool {
        false
    }

    fn is_full(&self, cx: &Cx<'_>) -> bool {
        is_full(self.io.output.len(), cx)
    }

    fn sink<'s>(&'s mut self, body_ended: bool, cx: &'s Cx<'s>) -> Sink<'s> {
        let facts = self.message.facts_now(self.io.input, body_ended, cx);
        let Message { writer, switched, record, limit_fields, .. } = &mut *self.message;
        let (queue, limit_fields) = (&mut *self.io.output, limit_fields.as_deref());
        let sent_bytes = self.io.passed.sent;
        Sink::Http1(writer::Sink { queue, writer, switched, record, limit_fields, sent_bytes, facts, cx })
    }

    fn is_bodyless(&self) -> bool {
        self.message.writer.is_some_and(Writer::is_bodyless)
    }

    fn finish(&mut self) -> Result<(), AppError> {
        let Some(writer) = self.message.writer else {
            return Err(AppError::new("the exchange ended without a response"));
        };
        writer.finish(self.io.output)
    }

    fn on_wait(&mut self, wants_body: bool, cx: &Cx<'_>) {
        // While the body is read, the end of the stream shows it.
        if self.io.hung_up && !wants_body && self.message.presence == Presence::There {
            self.message.presence = Presence::Doubtful(cx.now());
        }
        if self.message.probe_at().is_some_and(|at| cx.now() >= at) {
            self.message.presence = Presence::Probed;
            let question = self.message.writer.as_mut().map_or(Some(CONTINUE), Writer::begin_size);
            self.io.output.append(question.unwrap_or_default());
        }
    }

    fn waits_for(&mut self, wait: Option<Wait>, cx: &Cx<'_>) {
        self.message.record.waits_for(wait, cx.now());
    }

    fn on_wait_for_body(&mut self) {
        if self.message.owes_continue && self.message.writer.is_none() {
            self.message.owes_continue = false;
            self.io.output.append(CONTINUE);
        }
    }
}
