//! One client's connection: its socket, its buffered bytes and its protocol.
//!
//! [`Connection::advance`] is the only function that uses the socket of an admitted client. It ends by flushing: on
//! return the output is empty, or the socket is not writable, or the connection has asked for another turn.

mod handshake;
mod header;
mod lingering;
mod resetting;
mod steps;
mod unsent;

use crate::admission::Refusal;
use crate::app::{App, Caller, ConnectionId, TurnCx};
use crate::dispatch::{Cut, Outcome, Recorder};
use crate::eviction::Waits;
use crate::http::DateLine;
use crate::http1::Http1;
use crate::net::tls::Session;
use crate::net::{ReadBuffer, Socket, Transport, WriteQueue};
use crate::protocol::{Closing, IdleEnd, Passed, Protocol, Scratch};
use crate::request_log::RequestLog;
use crate::run_queue::TurnNumber;
use crate::timers::{Armed, earlier};
use handshake::Handshake;
use header::AwaitedHeader;
use lingering::Linger;
use mio::event::Event;
use resetting::Unacknowledged;
use std::os::fd::RawFd;
use std::rc::Rc;
use std::time::Instant;
use steps::{Shared, Step};
use tine_common::in_flight_table::{Before, Kept};
use tine_common::telemetry::Count;
use unsent::Unsent;

pub struct Connection {
    transport: Transport,
    unsent: Unsent,
    /// Why the server closes it while requests have not ended; `None`: if it is closed then, the client has left.
    cut: Option<Cut>,
    scheduled: bool,
    /// The number of its last turn.
    pub had_turn: TurnNumber,
    refused: bool,
    /// It is closed without lingering.
    is_cut_short: bool,
    /// It was added to the poll.
    pub registered: bool,
    /// In the worker's table; set when it is inserted there.
    pub id: ConnectionId,
    phase: Phase,
    /// Bytes read and not consumed at the end of the last turn.
    input: Option<Box<ReadBuffer>>,
    /// Bytes not sent at the end of the last turn.
    output: Option<Box<WriteQueue>>,
    pub armed: Armed,
    /// The entry of the request in flight, if one was free.
    pub in_flight_entry: Option<Kept>,
}

enum Phase {
    /// Of the PROXY protocol: nothing is known of the client yet, and nothing of what it sends is read.
    Header(Box<AwaitedHeader>),
    /// Of TLS: nothing is known of the client yet.
    Handshake(Handshake),
    Open(Protocol),
    /// The last output is being sent.
    Finishing(Closing),
    /// All is sent; once it is acknowledged the connection is reset.
    Resetting(Unacknowledged),
    /// All is sent and our side is shut down; what the client still sends is dropped.
    Lingering(Linger),
}

/// The worker's buffers, which its connections share.
pub struct Buffers {
    pub input: ReadBuffer,
    pub output: WriteQueue,
    /// Also shared: what is known of requests that have ended.
    pub recorder: Recorder,
    pub scratch: Scratch,
}

impl Buffers {
    pub fn new(input_bytes: usize, recorder: Recorder, now: Instant) -> Buffers {
        let (input, output) = (ReadBuffer::with_capacity(input_bytes), WriteQueue::new(now));
        Buffers { input, output, recorder, scratch: Scratch::default() }
    }
}

#[derive(Debug, PartialEq, Eq)]
pub enum Turn {
    /// Waits for the socket or its deadline.
    Waits,
    /// Can go on at once.
    Again,
    /// As [`Turn::Again`]; the client is known now ([`Connection::caller`]), so that it can be counted.
    Announced,
    Closed,
}

impl Connection {
    /// A connection just accepted. With TCP_DEFER_ACCEPT its first bytes have already arrived.
    pub fn new(socket: Socket, now: Instant) -> Self {
        Connection::in_phase(Transport::new(socket, None), Phase::Open(Protocol::Http1(Http1::new(now))))
    }

    /// The same, of TLS. `refusal`: it is refused, but has to be told so in its session.
    pub fn over_tls(socket: Socket, session: Session, refusal: Option<Refusal>, now: Instant) -> Self {
        let refused = refusal.is_some();
        let phase = Phase::Handshake(Handshake::new(refusal, now));
        Connection { refused, ..Connection::in_phase(Transport::new(socket, Some(session)), phase) }
    }

    /// A connection that is refused, whatever it requests.
    pub fn refused(socket: Socket, refusal: Refusal, now: Instant) -> Self {
        let mut output = WriteQueue::new(now);
        output.append(&refusal.answer);
        let phase = Phase::Finishing(Closing::Lingering);
        let mut connection = Connection::in_phase(Transport::new(socket, None), phase);
        refusal.record.into_iter().for_each(|record| connection.unsent.push(record));
        Connection { output: Some(Box::new(output)), refused: true, ..connection }
    }

    /// What a proxy says of the client.
    pub fn called_by(mut self, caller: Option<Rc<Caller>>) -> Self {
        self.transport.caller = caller;
        self
    }

    /// The same, once a header of the PROXY protocol has said so, with which the connection begins.
    pub fn after_header(mut self, now: Instant) -> Self {
        let then = std::mem::replace(&mut self.phase, Phase::Finishing(Closing::Flushed));
        self.phase = Phase::Header(Box::new(AwaitedHeader::new(then, now)));
        self
    }

    /// The client, if a proxy has described it.
    pub fn caller(&self) -> Option<&Caller> {
        self.transport.caller.as_deref()
    }

    /// It was admitted, and is refused after all: it gets the refusal as soon as it can be told, or is just closed.
    pub fn refuse(&mut self, refusal: Option<Refusal>, now: Instant) {
        self.refused = true;
        match (&mut self.phase, refusal) {
            (_, None) => {
                self.is_cut_short = true;
                self.phase = Phase::Finishing(Closing::Flushed);
            }
            (Phase::Handshake(handshake), Some(refusal)) => handshake.refuse(refusal),
            (_, Some(refusal)) => {
                let mut output = WriteQueue::new(now);
                output.append(&refusal.answer);
                refusal.record.into_iter().for_each(|record| self.unsent.push(record));
                self.output = Some(Box::new(output));
                self.phase = Phase::Finishing(Closing::Lingering);
            }
        }
    }

    fn in_phase(transport: Transport, phase: Phase) -> Self {
        Connection {
            transport,
            unsent: Unsent::default(),
            cut: None,
            scheduled: false,
            had_turn: 0,
            refused: false,
            is_cut_short: false,
            registered: false,
            id: ConnectionId::default(),
            phase,
            input: None,
            output: None,
            armed: None,
            in_flight_entry: None,
        }
    }

    pub fn fd(&self) -> RawFd {
        self.transport.socket.fd()
    }

    /// Records what the kernel reported.
    pub fn on_event(&mut self, event: &Event) {
        self.transport.on_event(event);
    }

    /// The deadline has passed. Whatever it was for, the socket is read first: a request may have arrived at the same
    /// time.
    pub fn on_deadline(&mut self) {
        self.transport.try_reading();
    }

    /// It cannot be served after all and is closed, with a 503 if nothing was sent yet.
    pub fn turn_away(&mut self, date: &DateLine, shared: &mut Buffers, log: Option<&RequestLog>, now: Instant) {
        if self.transport.sent_bytes() == 0 && self.transport.session().is_none() {
            let socket = &self.transport.socket;
            let is_announced = matches!(self.phase, Phase::Header(_));
            let refusal = Refusal::of(socket, is_announced, date, &mut shared.input, log, now);
            refusal.send_and_close(socket, &mut shared.recorder, now);
        }
        self.end_by(Cut::Poll, &mut shared.recorder, now);
    }

    /// The app has woken one of its streams; 0: the only one.
    pub fn wake(&mut self, stream: u32) {
        if let Phase::Open(protocol) = &mut self.phase {
            protocol.wake(stream);
        }
    }

    /// True if the caller must queue it: it is not queued yet.
    pub fn schedule(&mut self) -> bool {
        !std::mem::replace(&mut self.scheduled, true)
    }

    /// Whether a drain waits for it: it has a request in flight or unsent output.
    pub fn is_busy(&self) -> bool {
        match &self.phase {
            Phase::Open(protocol) => protocol.is_busy(self.input.is_some()) || self.output.is_some(),
            Phase::Header(_) | Phase::Handshake(_) | Phase::Finishing(_) | Phase::Resetting(_) => true,
            Phase::Lingering(_) => false,
        }
    }

    /// Whether it does not count as admitted: it was refused or evicted and is being closed.
    pub fn is_refused(&self) -> bool {
        self.refused
    }

    /// What it waits for and since when, if it may be evicted.
    pub fn waits_since(&self) -> Option<(Waits, Instant)> {
        match &self.phase {
            Phase::Open(protocol) if self.output.is_none() && !self.scheduled => protocol.waits_since(),
            Phase::Handshake(handshake) if !self.scheduled => handshake.waits_since(),
            Phase::Header(header) if !self.scheduled => header.waits_since(),
            _ => None,
        }
    }

    /// Evicts it: its wait ends as if its deadline had passed. `has_time`: it may linger until its client ends its
    /// side.
    pub fn evict(&mut self, has_time: bool) {
        (self.refused, self.is_cut_short) = (true, !has_time);
        match &mut self.phase {
            Phase::Open(protocol) => protocol.end_at_next_wait(),
            Phase::Handshake(handshake) => handshake.end_at_next_wait(),
            Phase::Header(header) => header.end_at_next_wait(),
            _ => {}
        }
        self.on_deadline();
    }

    /// Between turns: a part of a request's head has arrived.
    fn has_part_of_head(&self) -> bool {
        self.input.is_some() && matches!(&self.phase, Phase::Open(Protocol::Http1(http1)) if http1.is_at_head())
    }

    /// Bytes that wait for the client to read.
    pub fn queued_bytes(&self) -> usize {
        self.output.as_ref().map_or(0, |output| output.len())
    }

    /// Requests that are being answered.
    pub fn in_flight(&self) -> u16 {
        match &self.phase {
            Phase::Open(protocol) => protocol.in_flight(),
            _ => 0,
        }
    }

    /// Its state before its turn, for the in-flight table.
    pub fn before(&self) -> Before {
        match &self.phase {
            Phase::Open(Protocol::WebSocket(_)) => Before::WebSocket,
            // Each of its requests has its own.
            Phase::Open(Protocol::Http2(_)) => Before::Idle,
            _ if self.in_flight() > 0 => Before::InFlight(self.in_flight_entry),
            _ => Before::Idle,
        }
    }

    /// The connection is closed by the server, before all is sent.
    fn cut(&mut self, why: Cut) -> Turn {
        self.cut = Some(why);
        Turn::Closed
    }

    /// The connection is closed by the server between two turns: ends the requests that have not ended.
    pub fn end_by(&mut self, why: Cut, recorder: &mut Recorder, now: Instant) {
        self.cut = Some(why);
        recorder.buffered(self.queued_bytes(), 0);
        self.close_parked(recorder, now);
    }

    /// Ends the requests that have not ended, while the buffers are parked.
    fn close_parked(&mut self, recorder: &mut Recorder, now: Instant) -> Turn {
        recorder.parts_of_heads -= usize::from(self.has_part_of_head());
        let unconsumed = self.input.as_ref().map_or(0, |input| input.len());
        self.end(unconsumed, self.queued_bytes(), recorder, now);
        Turn::Closed
    }

    /// The connection is closed: ends the requests that have not ended, given the bytes in its buffers.
    fn end(&mut self, unconsumed: usize, queued: usize, recorder: &mut Recorder, now: Instant) {
        let outcome = self.cut.map_or(Outcome::ClientLeft, Outcome::Cut);
        let passed = Passed { received: self.transport.received_bytes(), sent: self.transport.sent_bytes() };
        if let Phase::Open(protocol) = &mut self.phase {
            protocol.end(passed.consumed(unconsumed), passed.written(queued), outcome, recorder);
        }
        let mut completed = recorder.take_completed();
        for records in [&mut self.unsent.take(), &mut completed] {
            for record in &mut *records {
                if matches!(record.outcome, Outcome::Answered | Outcome::Refused) && !record.is_sent(passed.sent) {
                    record.outcome = outcome;
                }
                record.end(passed.sent, now);
            }
            recorder.end(records);
        }
        completed.clear();
        recorder.put_back(completed);
    }

    /// When it has to be advanced without an event.
    pub fn deadline(&self, idle_end: Option<IdleEnd>, turn: &TurnCx<'_>) -> Option<Instant> {
        let cx = Step { turn, idle_end, id: self.id }.cx(&self.transport);
        let write = self.write_deadline(turn);
        match &self.phase {
            Phase::Header(header) => Some(header.until(turn.limits)),
            Phase::Handshake(handshake) => Some(handshake.until(turn.limits)),
            Phase::Open(protocol) => earlier(write, protocol.deadline(self.queued_bytes(), &cx)),
            Phase::Finishing(_) => write,
            Phase::Resetting(unacknowledged) => Some(unacknowledged.check_at()),
            Phase::Lingering(linger) => Some(linger.until()),
        }
    }

    /// When the client must have read some of the output.
    fn write_deadline(&self, turn: &TurnCx<'_>) -> Option<Instant> {
        let since = match &self.output {
            Some(output) => Some(output.progressed()),
            None => self.transport.session().and_then(|session| session.stalled_since()),
        };
        since.map(|since| since + turn.limits.write_timeout)
    }

    /// Reads, advances the protocol and writes, until one of them has to wait or the turn is over.
    pub fn advance(
        &mut self,
        shared: &mut Buffers,
        app: &mut dyn App,
        idle_end: Option<IdleEnd>,
        turn: &TurnCx<'_>,
    ) -> Turn {
        let before = self.queued_bytes();
        let end = self.take_turn(shared, app, idle_end, turn);
        let after = if end == Turn::Closed { 0 } else { self.queued_bytes() };
        shared.recorder.buffered(before, after);
        end
    }

    fn take_turn(
        &mut self,
        shared: &mut Buffers,
        app: &mut dyn App,
        idle_end: Option<IdleEnd>,
        turn: &TurnCx<'_>,
    ) -> Turn {
        self.scheduled = false;
        if self.transport.is_gone() {
            return self.close_parked(&mut shared.recorder, turn.now);
        }
        // If the client has read some since, the flush below finds out.
        if !self.transport.is_writable() && self.write_deadline(turn).is_some_and(|at| turn.now >= at) {
            // The client reads nothing: a close without a reset would leave its bytes in the kernel for minutes.
            self.transport.socket.reset_on_close();
            turn.seat.count(Count::TimeoutWrite, 1);
            self.cut = Some(Cut::WriteTimeout);
            return self.close_parked(&mut shared.recorder, turn.now);
        }
        shared.recorder.parts_of_heads -= usize::from(self.has_part_of_head());
        let parked_input = self.input.take();
        if let Some(parked) = &parked_input {
            shared.input.unpark(parked);
        }
        let mut parked_output = self.output.take();
        let output = parked_output.as_deref_mut().unwrap_or(&mut shared.output);
        let step = Step { turn, idle_end, id: self.id };
        let Buffers { input, recorder, scratch, .. } = shared;
        let end = self.steps(&mut Shared { input, output, recorder, scratch }, app, step);
        if end == Turn::Closed {
            let (unconsumed, queued) = (shared.input.len(), output.len());
            self.end(unconsumed, queued, &mut shared.recorder, turn.now);
            shared.input.clear();
            shared.output.clear();
            return end;
        }
        // What is left stays with the connection, in no more memory than it needs.
        if !shared.input.is_empty() {
            self.input = match parked_input {
                Some(parked) if shared.input.is_just_unparked(&parked) => {
                    shared.input.clear();
                    Some(parked)
                }
                _ => Some(Box::new(shared.input.park())),
            };
            shared.recorder.parts_of_heads += usize::from(self.has_part_of_head());
        }
        self.output = match parked_output {
            Some(mut parked) if !parked.is_empty() => {
                parked.shrink();
                Some(parked)
            }
            None if !shared.output.is_empty() => Some(Box::new(shared.output.park(turn.now))),
            _ => None,
        };
        debug_assert!(
            self.output.is_none() || !self.transport.is_writable() || end == Turn::Again,
            "bytes are queued, and no event or turn will send them"
        );
        end
    }
}
