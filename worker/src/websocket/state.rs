//! One WebSocket as a state machine, on a connection or on a stream of HTTP/2.
//!
//! ```text
//!   (101 queued) --> Open --- peer or we close, server stops, violation, timeout --> CloseHandshake: our close is queued
//!                     |                                                                   |
//!                     +--- client closes: its close is answered ---> Close <--------------+ its answer, or the wait ends
//! ```
//!
//! Messages are read only while queued output is at or below the low watermark; a message is sent as one frame. After its end the
//! peer may have something left to do: then the connection is closed a little later.

use super::closing::CloseHandshake;
use super::frames::Frames;
use super::stream::{Buffered, Duplex, Queued};
use crate::app::{Cx, Message, Peer};
use crate::dispatch::{Cut, Outcome, Record, Recorder};
use crate::net::WriteQueue;
use crate::protocol::{Closing, IdleEnd, Io, Next};
use crate::throttle::Permit;
use bytes::Bytes;
use std::io;
use std::time::Instant;
use tine_common::config::Limits;
use tine_common::request_name::RequestName;
use tine_common::telemetry::Count;
use tungstenite::error::{Error, ProtocolError};
use tungstenite::protocol::frame::coding::CloseCode;
use tungstenite::protocol::{CloseFrame, Role, WebSocketConfig, WebSocketContext};

/// The most that the context copies from the input at a time. It keeps a buffer of this size while a connection is
/// idle.
const READ_BYTES: usize = 1 << 10;
/// The most that is read ahead of the context. A client that does not read its echoes costs this much memory, whatever
/// `--buffer-size` is.
pub const INPUT_BYTES_MAX: usize = 64 << 10;
/// Frames and pulls of one connection in one turn; a message may have any number of frames.
const STEPS_PER_TURN: usize = 512;

pub struct WebSocket {
    context: WebSocketContext,
    frames: Frames,
    pub(super) peer: Box<dyn Peer>,
    /// The request of the handshake.
    pub(super) request: RequestName,
    /// A message that has been read, and that the peer does not want yet.
    ahead: Option<Message>,
    /// When bytes last arrived from the client, or were not read because of back-pressure.
    active_at: Instant,
    /// A ping has been sent since.
    pinged: bool,
    /// When the message that is arriving began, or reading it resumed after the client had to read output first.
    message_since: Option<Instant>,
    /// The peer may have output: it is called at this time at the earliest.
    pub(super) pull_at: Option<Instant>,
    /// The peer is not called before all output is sent.
    pub(super) waits_for_send: bool,
    /// The peer is called next, then a frame is read, and so on, also across calls: neither a client that never stops
    /// sending nor a peer that always has output can starve the other.
    is_peers_turn: bool,
    close_handshake: Option<CloseHandshake>,
    /// The peer knows of the end and has something left to do, until this time.
    pub(super) finishes_until: Option<Instant>,
    /// How the connection is closed once the peer has finished.
    closing: Option<Closing>,
    /// `None` once it has ended.
    record: Option<Record>,
    /// Held until it ends: it counts as a request in flight.
    pub permit: Permit,
    /// The position in the connection's input where it began.
    began_at: u64,
}

impl WebSocket {
    /// `handshake`: the record of the request.
    pub fn new(
        peer: Box<dyn Peer>,
        request: RequestName,
        handshake: &mut Record,
        limits: &Limits,
        now: Instant,
    ) -> Self {
        WebSocket {
            context: context(limits),
            frames: Frames::new(limits.ws_message_bytes_max),
            peer,
            request,
            ahead: None,
            active_at: now,
            pinged: false,
            message_since: None,
            pull_at: Some(now),
            waits_for_send: false,
            is_peers_turn: true,
            close_handshake: None,
            finishes_until: None,
            closing: None,
            record: Some(handshake.of_websocket()),
            permit: Permit::none(),
            began_at: 0,
        }
    }

    /// The handshake is over: its frames begin at these positions of the connection's input and output.
    pub fn begin(&mut self, began_at: u64, starts_at: u64) {
        self.began_at = began_at;
        self.record.iter_mut().for_each(|record| record.starts_at(starts_at));
    }

    /// Its record, to be completed by the caller.
    pub fn take_record(&mut self) -> Option<Record> {
        self.record.take()
    }

    /// As [`crate::protocol::Protocol::end`].
    pub fn end(&mut self, consumed: u64, written: u64, outcome: Outcome, recorder: &mut Recorder) {
        let Some(mut record) = self.record.take() else { return };
        record.outcome = outcome;
        record.request_bytes = consumed - self.began_at;
        record.written(written);
        recorder.complete(record);
    }

    /// Whether our close is queued: then nothing new begins.
    pub fn is_closing(&self) -> bool {
        self.close_handshake.is_some()
    }

    /// Whether bytes from the client would be used now.
    pub fn wants_input(&self, queued_bytes: usize, cx: &Cx<'_>) -> bool {
        // After our close input is dropped and cannot accumulate: a client that is blocked in sending gets to read the
        // close.
        let has_room = queued_bytes <= cx.limits().write_low_watermark_bytes && self.ahead.is_none();
        self.closing.is_none() && (self.is_closing() || has_room)
    }

    /// The client has to take output that is not this WebSocket's first: meanwhile its silence means nothing.
    pub fn hold(&mut self, now: Instant) {
        (self.active_at, self.pinged, self.message_since) = (now, false, None);
    }

    /// The peer is called although its time has not come.
    pub fn wake(&mut self) {
        self.pull_at = Some(self.active_at);
    }

    /// When to advance without an event.
    pub fn deadline(&self, queued_bytes: usize, cx: &Cx<'_>) -> Option<Instant> {
        let handshake = self.close_handshake.as_ref().filter(|_| self.closing.is_none());
        let handshake_ends = handshake.and_then(|handshake| handshake.ends(queued_bytes, cx.idle_end()));
        if self.finishes_until.is_some() {
            return [self.finishes_until, self.pull_at, handshake_ends].into_iter().flatten().min();
        }
        if self.is_closing() {
            return handshake_ends;
        }
        let end = cx.idle_end().map(IdleEnd::at);
        // Until the client reads what is sent, its silence means nothing.
        if queued_bytes > cx.limits().write_low_watermark_bytes {
            return end;
        }
        let idle = self.idle_deadline(cx);
        let pull = self.pull_at.filter(|_| queued_bytes == 0 || !self.waits_for_send);
        if self.ahead.is_some() {
            return [Some(idle), pull, end].into_iter().flatten().min();
        }
        [Some(idle), self.ping_at(cx.limits()), self.message_ends(cx.limits()), pull, end].into_iter().flatten().min()
    }

    fn message_ends(&self, limits: &Limits) -> Option<Instant> {
        let is_limited = !limits.ws_message_timeout.is_zero();
        self.message_since.filter(|_| is_limited).map(|since| since + limits.ws_message_timeout)
    }

    fn idle_deadline(&self, cx: &Cx<'_>) -> Instant {
        self.active_at + cx.limits().ws_idle_timeout
    }

    fn ping_at(&self, limits: &Limits) -> Option<Instant> {
        let is_due = !self.pinged && !limits.ws_ping_interval.is_zero();
        is_due.then(|| self.active_at + limits.ws_ping_interval)
    }

    /// Advances as far as the bytes, the room for output and the time allow.
    pub fn advance(&mut self, io: &mut Io<'_>, cx: &Cx<'_>) -> Next {
        let Io { input, output, input_ended, hung_up, .. } = io;
        let mut duplex = Duplex { input, output, input_ended: *input_ended, hung_up: *hung_up };
        let next = self.go_on(&mut duplex, cx);
        if let Next::Close(closing) = next {
            self.end(io.consumed(), io.written(), outcome(closing), io.recorder);
        }
        next
    }

    /// As [`WebSocket::advance`], where the caller keeps the record.
    pub fn go_on(&mut self, io: &mut Duplex<'_>, cx: &Cx<'_>) -> Next {
        let next = self.closing.map_or_else(|| self.serve(io, cx), Next::Close);
        match next {
            next if !self.finish(io.output, cx) => next,
            Next::Close(closing) => {
                io.input.clear();
                self.closing = Some(closing);
                Next::Wait
            }
            next => next,
        }
    }

    fn serve(&mut self, io: &mut Duplex<'_>, cx: &Cx<'_>) -> Next {
        let is_full = io.output.len() > cx.limits().write_low_watermark_bytes;
        // Nothing is read from it; but if it has left, nothing is waited for either.
        let is_held_up = self.ahead.is_some() && !io.hung_up;
        if is_full || is_held_up || !io.input.is_empty() && self.ahead.is_none() {
            self.active_at = cx.now();
            self.pinged = false;
        }
        if is_full || self.ahead.is_some() {
            self.message_since = None;
        }
        let next = self.converse(io, cx);
        if matches!(next, Next::Close(_)) {
            return next;
        }
        self.message_since = self.frames.is_in_message().then(|| self.message_since.unwrap_or(cx.now()));
        // Input first: it may have arrived at the same time as the deadline. But a client that never stops sending, or
        // does not read, does not postpone what is due.
        self.on_time(io, cx).unwrap_or(next)
    }

    /// Calls the peer and reads, one after the other, as long as one of them has something and there is room.
    fn converse(&mut self, io: &mut Duplex<'_>, cx: &Cx<'_>) -> Next {
        let mut budget = STEPS_PER_TURN;
        let mut is_peer_idle = false;
        // The next step may do more than find out that there is nothing.
        let mut has_more = false;
        loop {
            // After our close all frames that have arrived are dropped.
            if self.is_closing() {
                budget = usize::MAX;
            } else if budget == 0
                || io.output.len() > cx.limits().write_low_watermark_bytes
                || has_more && cx.is_time_up()
            {
                return Next::Again;
            }
            if std::mem::replace(&mut self.is_peers_turn, false) {
                has_more = self.pull(io.output, cx);
                is_peer_idle = !has_more;
                budget -= 1;
                continue;
            }
            self.is_peers_turn = true;
            match self.read(io, &mut budget, cx) {
                Step::Go => has_more = true,
                Step::Nothing if is_peer_idle && budget > 0 && self.waits_for_send && !io.output.is_empty() => {
                    return Next::Sent;
                }
                Step::Nothing if is_peer_idle && budget > 0 => return Next::Wait,
                Step::Nothing => has_more = false,
                Step::Stop(next) => return next,
            }
        }
    }

    /// Reads one frame, or one message of several frames, if it has arrived.
    fn read(&mut self, io: &mut Duplex<'_>, budget: &mut usize, cx: &Cx<'_>) -> Step {
        if let Some(message) = self.ahead.take() {
            return self.pass(message, io, cx);
        }
        let read = self.context.read(&mut Buffered { io, frames: &mut self.frames, budget });
        let message = match read {
            Ok(tungstenite::Message::Text(text)) => Message::Text(text),
            Ok(tungstenite::Message::Binary(bytes)) => Message::Binary(bytes),
            Ok(tungstenite::Message::Close(frame)) => {
                if !self.is_closing() {
                    let (code, reason) =
                        frame.map_or((CloseCode::Status, "".into()), |frame| (frame.code, frame.reason));
                    self.tell(code.into(), &reason, cx);
                }
                // Sends the answer, unless this is an answer itself. The error says that the connection is closed, as
                // it should be.
                let _ = self.context.flush(&mut Queued(io.output));
                io.input.clear();
                return Step::Stop(Next::Close(Closing::Lingering));
            }
            Ok(_) => {
                // Sends the pong for a ping: otherwise the context would send it after a close.
                let flushed = self.context.flush(&mut Queued(io.output));
                debug_assert!(flushed.is_ok(), "an open context writes to memory");
                return Step::Go;
            }
            Err(Error::Io(e)) if e.kind() == io::ErrorKind::WouldBlock => {
                self.give_memory_back(cx);
                return Step::Nothing;
            }
            Err(Error::Protocol(ProtocolError::ResetWithoutClosingHandshake)) => {
                if !self.is_closing() {
                    self.tell(CloseCode::Abnormal.into(), "", cx);
                }
                return Step::Stop(Next::Close(Closing::Flushed));
            }
            Err(error) => {
                let (code, reason) = violation(&error);
                self.close(code, reason, io.output, cx);
                io.input.clear();
                return Step::Stop(Next::Close(Closing::Lingering));
            }
        };
        cx.count(Count::MessagesReceived);
        // The next message has its own timeout.
        self.message_since = None;
        self.pass(message, io, cx)
    }

    /// Passes a message to the peer, or keeps it until that wants one.
    fn pass(&mut self, message: Message, io: &mut Duplex<'_>, cx: &Cx<'_>) -> Step {
        // Messages that were on their way when our close was sent are dropped (RFC 6455, 1.4).
        if self.is_closing() {
            return Step::Go;
        }
        if !self.peer.wants_message() {
            self.ahead = Some(message);
            return Step::Nothing;
        }
        self.call_peer(io.output, cx, |peer, out, cx| peer.message(message, out, cx));
        self.pull_at = Some(cx.now());
        Step::Go
    }

    /// The context's buffer has grown to its longest frame. Between messages the context has no other state, so it is
    /// replaced.
    fn give_memory_back(&mut self, cx: &Cx<'_>) {
        if !self.is_closing() && self.frames.is_between_messages() && self.frames.has_passed(READ_BYTES) {
            self.context = context(cx.limits());
        }
    }

    /// Does what is due: the end of the close handshake, a drain, a timeout, a ping.
    fn on_time(&mut self, io: &mut Duplex<'_>, cx: &Cx<'_>) -> Option<Next> {
        if let Some(close_handshake) = &mut self.close_handshake {
            if (1..close_handshake.queued_bytes).contains(&io.output.len()) {
                *close_handshake = CloseHandshake { since: cx.now(), queued_bytes: io.output.len() };
            }
            let is_over = close_handshake.ends(io.output.len(), cx.idle_end()).is_some_and(|at| cx.now() >= at);
            if is_over {
                cx.count(Count::TimeoutWebSocketClose);
            }
            return is_over.then_some(Next::Close(match io.output.is_empty() {
                true => Closing::Lingering,
                false => Closing::Reset,
            }));
        }
        let (code, why) = if cx.idle_end().is_some_and(|end| cx.now() >= end.at()) {
            (CloseCode::Away, "Server shutting down")
        } else if cx.now() >= self.idle_deadline(cx) {
            cx.count(Count::TimeoutWebSocketIdle);
            (CloseCode::Away, "Idle timeout")
        } else if self.message_ends(cx.limits()).is_some_and(|at| cx.now() >= at) {
            cx.count(Count::TimeoutWebSocketMessage);
            (CloseCode::Policy, "message took too long")
        } else {
            if self.ping_at(cx.limits()).is_some_and(|at| cx.now() >= at) {
                self.pinged = true;
                let sent = self.context.write(&mut Queued(io.output), tungstenite::Message::Ping(Bytes::new()));
                debug_assert!(sent.is_ok(), "an open context writes to memory");
            }
            return None;
        };
        self.close(code.into(), why, io.output, cx);
        // No event would report what is already in the input.
        Some(self.converse(io, cx))
    }

    /// Queues our close, once.
    pub(super) fn close(&mut self, code: u16, reason: &str, output: &mut WriteQueue, cx: &Cx<'_>) {
        if self.is_closing() {
            return;
        }
        let frame = CloseFrame { code: code.into(), reason: reason.into() };
        let queued = self.context.close(&mut Queued(output), Some(frame));
        debug_assert!(queued.is_ok(), "an open context writes to memory");
        self.close_handshake = Some(CloseHandshake { since: cx.now(), queued_bytes: output.len() });
        self.tell(code, reason, cx);
    }
}

fn context(limits: &Limits) -> WebSocketContext {
    let bytes_max = Some(limits.ws_message_bytes_max);
    let config = WebSocketConfig::default()
        .read_buffer_size(READ_BYTES)
        .write_buffer_size(0)
        .max_message_size(bytes_max)
        .max_frame_size(bytes_max);
    WebSocketContext::new(Role::Server, Some(config))
}

/// How a WebSocket ended that ends its bytes like this.
pub fn outcome(closing: Closing) -> Outcome {
    match closing {
        Closing::Flushed => Outcome::ClientLeft,
        Closing::Lingering | Closing::ResetTaken => Outcome::Answered,
        Closing::Cut | Closing::Reset => Outcome::Cut(Cut::WriteTimeout),
    }
}

/// How one read ended.
enum Step {
    Go,
    Nothing,
    Stop(Next),
}

/// The close code and reason for a client's error (RFC 6455, 7.4.1).
fn violation(error: &Error) -> (u16, &'static str) {
    match error {
        Error::Utf8(_) => (CloseCode::Invalid.into(), "invalid UTF-8"),
        Error::Capacity(_) => (CloseCode::Size.into(), "message too big"),
        Error::Io(e) if e.kind() == io::ErrorKind::FileTooLarge => (CloseCode::Size.into(), "message too big"),
        _ => (CloseCode::Protocol.into(), "protocol error"),
    }
}
