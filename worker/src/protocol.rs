//! The interface between a connection and its protocol: the protocol gets two buffers and returns what it waits for. It
//! has no socket and no clock.
//!
//! [`Protocol`] only dispatches to [`crate::http1`], [`crate::http2`] and [`crate::websocket`].

use crate::app::{App, Cx};
use crate::dispatch::{Outcome, Record, Recorder};
use crate::eviction::Waits;
use crate::http1::{HeadCache, Http1};
use crate::http2::{self, Http2};
use crate::net::{ReadBuffer, WriteQueue};
use crate::websocket::{self, WebSocket};
use std::time::{Duration, Instant};

pub use crate::sink::Sink;

pub enum Protocol {
    Http1(Http1),
    Http2(Box<Http2>),
    WebSocket(Box<WebSocket>),
}

/// The connection's two buffers, and whether the client has ended its side.
pub struct Io<'a> {
    pub input: &'a mut ReadBuffer,
    pub output: &'a mut WriteQueue,
    /// Gets the record of each request whose response is written.
    pub recorder: &'a mut Recorder,
    pub scratch: &'a mut Scratch,
    /// Bytes of the connection that were read from its socket so far, and passed to it.
    pub passed: Passed,
    /// The client has ended its side, and all that it sent was read.
    pub input_ended: bool,
    /// The client has ended its side, read or not: it has left, or waits for its response.
    pub hung_up: bool,
}

/// Bytes of a connection that its socket has passed, in each direction.
#[derive(Debug, Default, Clone, Copy)]
pub struct Passed {
    pub received: u64,
    pub sent: u64,
}

impl Passed {
    /// The position in the connection's input up to which it is consumed. `unconsumed`: the bytes in the buffer.
    pub fn consumed(self, unconsumed: usize) -> u64 {
        self.received - unconsumed as u64
    }

    /// The position in the connection's output up to which it is written. `queued`: the bytes that are not sent yet.
    pub fn written(self, queued: usize) -> u64 {
        self.sent + queued as u64
    }
}

impl Io<'_> {
    pub fn consumed(&self) -> u64 {
        self.passed.consumed(self.input.len())
    }

    pub fn written(&self) -> u64 {
        self.passed.written(self.output.len())
    }
}

/// What all connections of a worker share, as they share the buffers.
#[derive(Default)]
pub struct Scratch {
    pub head_cache: HeadCache,
    pub http2: http2::Scratch,
}

/// What the protocol waits for.
#[derive(Debug, PartialEq, Eq)]
pub enum Next {
    /// Input, or the deadline.
    Wait,
    /// Room for output, or its next turn.
    Again,
    /// The end of all output; then as [`Next::Again`].
    Sent,
    /// Nothing: the connection goes on with [`Protocol::switched`].
    Switch,
    Close(Closing),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Closing {
    /// Once all output is flushed: the client asked for the close or has ended its side, and should send nothing more.
    /// If it does, or could lose something if it did, as [`Closing::Lingering`].
    Flushed,
    /// Once all output is flushed, and the client has ended its side or some time has passed: bytes that are unread
    /// when a socket is closed, or that arrive later, cause a reset, which destroys what the client has not yet read of
    /// the response.
    Lingering,
    /// At once, however much of the output was sent: the response cannot be completed.
    Cut,
    /// As [`Closing::Cut`], by a reset: the body ends with the connection, so that the client has no other sign of the
    /// failure.
    Reset,
    /// By a reset, once the client's kernel has acknowledged all output: the app asked for this.
    ResetTaken,
}

/// How long an idle connection is kept while the server stops.
#[derive(Debug, Clone, Copy)]
pub struct IdleEnd {
    pub began: Instant,
    pub stay: Duration,
}

impl IdleEnd {
    /// When an exchange that waits by its own choice is told of the drain.
    pub fn at(self) -> Instant {
        self.began + self.stay
    }

    /// When a connection that has been idle `since` then is closed: a response head written before the drain did not
    /// have `Connection: close`, so that the client's next request may be on its way.
    pub fn after(self, since: Instant) -> Instant {
        self.began.max(since) + self.stay
    }
}

impl Protocol {
    /// Requests that are being answered.
    pub fn in_flight(&self) -> u16 {
        match self {
            Protocol::Http1(http1) => http1.is_in_flight().into(),
            Protocol::Http2(http2) => http2.in_flight(),
            Protocol::WebSocket(_) => 0,
        }
    }

    /// Whether something is in progress that ends by itself or by the protocol's close handshake, whether or not output
    /// is queued. Once our close is sent, nothing can be lost. `has_input`: bytes from the client are buffered.
    pub fn is_busy(&self, has_input: bool) -> bool {
        match self {
            Protocol::Http1(http1) => http1.is_busy(has_input),
            Protocol::Http2(http2) => http2.is_busy(has_input),
            Protocol::WebSocket(websocket) => has_input || !websocket.is_closing(),
        }
    }

    /// The app is called although its time has not come, for the request of this stream.
    pub fn wake(&mut self, stream: u32) {
        match self {
            Protocol::Http1(http1) => http1.wake(),
            Protocol::Http2(http2) => http2.wake(stream),
            Protocol::WebSocket(websocket) => websocket.wake(),
        }
    }

    /// What the connection waits for, and since when, if it may be evicted.
    pub fn waits_since(&self) -> Option<(Waits, Instant)> {
        match self {
            Protocol::Http1(http1) => http1.waits_since(),
            Protocol::Http2(http2) => http2.waits_since(),
            Protocol::WebSocket(_) => None,
        }
    }

    /// Ends the current wait as if its deadline had passed.
    pub fn end_at_next_wait(&mut self) {
        match self {
            Protocol::Http1(http1) => http1.end_at_next_wait(),
            Protocol::Http2(http2) => http2.end_at_next_wait(),
            Protocol::WebSocket(_) => {}
        }
    }

    /// The record of a request that waits for its first byte to be sent, if the connection's output up to here has it; there may
    /// be more.
    pub fn awaiting_first_byte(&mut self, sent_bytes: u64) -> Option<&mut Record> {
        match self {
            Protocol::Http1(http1) => http1.awaiting_first_byte(sent_bytes),
            Protocol::Http2(http2) => http2.awaiting_first_byte(sent_bytes),
            Protocol::WebSocket(_) => None,
        }
    }

    /// The connection ends, as far as it is read and written: passes the records of all requests that have not ended to
    /// the recorder.
    pub fn end(&mut self, consumed: u64, written: u64, outcome: Outcome, recorder: &mut Recorder) {
        match self {
            Protocol::Http1(http1) => http1.end(consumed, written, outcome, recorder),
            Protocol::Http2(http2) => http2.end(written, outcome, recorder),
            Protocol::WebSocket(websocket) => websocket.end(consumed, written, outcome, recorder),
        }
    }

    /// Whether bytes from the client would be used now.
    pub fn wants_input(&self, queued_bytes: usize, cx: &Cx<'_>) -> bool {
        match self {
            Protocol::Http1(http1) => http1.wants_input(queued_bytes, cx),
            Protocol::Http2(http2) => http2.wants_input(queued_bytes, cx),
            Protocol::WebSocket(websocket) => websocket.wants_input(queued_bytes, cx),
        }
    }

    /// The most input that is buffered at a time. It stays buffered while the client does not read its responses.
    pub fn input_bytes_max(&self) -> usize {
        match self {
            Protocol::Http1(_) => usize::MAX, // the whole buffer
            Protocol::Http2(_) => http2::INPUT_BYTES_MAX,
            Protocol::WebSocket(_) => websocket::INPUT_BYTES_MAX,
        }
    }

    /// When to advance without an event.
    pub fn deadline(&self, queued_bytes: usize, cx: &Cx<'_>) -> Option<Instant> {
        match self {
            Protocol::Http1(http1) => http1.deadline(queued_bytes, cx),
            Protocol::Http2(http2) => http2.deadline(queued_bytes, cx),
            Protocol::WebSocket(websocket) => websocket.deadline(queued_bytes, cx),
        }
    }

    /// Advances as far as the bytes, the room for output and the time allow.
    pub fn advance(&mut self, io: &mut Io<'_>, app: &mut dyn App, cx: &Cx<'_>) -> Next {
        match self {
            Protocol::Http1(http1) => http1.advance(io, app, cx),
            Protocol::Http2(http2) => http2.advance(io, app, cx),
            Protocol::WebSocket(websocket) => websocket.advance(io, cx),
        }
    }

    /// The protocol that this one has been switched to, after [`Next::Switch`].
    pub fn switched(self) -> Option<Protocol> {
        match self {
            Protocol::Http1(http1) => http1.into_switched(),
            Protocol::Http2(_) | Protocol::WebSocket(_) => None,
        }
    }
}
