//! What a protocol is to its connection: two buffers in, what it waits for out. No socket, no clock.
//!
//! [`Protocol`] only hands on; what happens is in [`crate::http1`] and [`crate::websocket`].

use crate::app::{App, Cx};
use crate::drain::IdleEnd;
use crate::http1::Http1;
use crate::net::{ReadBuffer, WriteQueue};
use crate::websocket::{self, WebSocket};
use std::time::Instant;
use tine_common::config::Limits;

pub enum Protocol {
    Http1(Http1),
    WebSocket(Box<WebSocket>),
}

/// The connection's two buffers, and whether the client has ended its side.
pub struct Io<'a> {
    pub input: &'a mut ReadBuffer,
    pub output: &'a mut WriteQueue,
    /// All that the client sent was read, and it has ended its side.
    pub input_ended: bool,
    /// The client has ended its side, read or not: it has left, or waits for what it asked.
    pub hung_up: bool,
}

/// What the protocol waits for.
#[derive(Debug, PartialEq, Eq)]
pub enum Next {
    /// Input, or the deadline.
    Wait,
    /// Room for output, or its next turn.
    Again,
    /// All output sent, then as [`Next::Again`].
    Sent,
    /// Nothing: [`Protocol::switched`] goes on.
    Switch,
    Close(Closing),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Closing {
    /// Once all output is flushed: the client asked for the end or has ended its side, and will send nothing more. Where it
    /// does, or could lose something if it did, as [`Closing::Lingering`].
    Flushed,
    /// Once all output is flushed, and the client has ended its side or some time has passed: bytes that are unread
    /// when a socket is closed, or that come later, reset it, and the reset destroys what is left of the answer.
    Lingering,
    /// At once, whatever of the output could be sent: the response cannot be completed.
    Cut,
    /// As [`Closing::Cut`], by a reset: the body would have ended with the connection, so that nothing else tells the client.
    Reset,
    /// By a reset, once the client's kernel has acknowledged all output: the app asked for just that.
    ResetTaken,
}

impl Protocol {
    /// A request is being answered.
    pub fn is_in_flight(&self) -> bool {
        match self {
            Protocol::Http1(http1) => http1.is_in_flight(),
            Protocol::WebSocket(_) => false,
        }
    }

    /// Something is under way that ends by itself or by the protocol's own goodbye, whether or not output waits. Once that
    /// was said and sent, nothing is lost any more. `has_input`: bytes of the client's wait.
    pub fn is_busy(&self, has_input: bool) -> bool {
        match self {
            Protocol::Http1(http1) => http1.is_busy(has_input),
            Protocol::WebSocket(websocket) => has_input || !websocket.is_closing(),
        }
    }

    /// Requests answered since the last call.
    pub fn take_answered(&mut self) -> u16 {
        match self {
            Protocol::Http1(http1) => http1.take_answered(),
            Protocol::WebSocket(_) => 0,
        }
    }

    /// Whether bytes from the client would be looked at now.
    pub fn wants_input(&self, queued_bytes: usize, cx: &Cx<'_>) -> bool {
        match self {
            Protocol::Http1(http1) => http1.wants_input(queued_bytes, cx),
            Protocol::WebSocket(websocket) => websocket.wants_input(queued_bytes, cx),
        }
    }

    /// The most input that lies there at a time. It is kept for a client that does not read what it is answered.
    pub fn input_bytes_max(&self) -> usize {
        match self {
            Protocol::Http1(_) => usize::MAX, // the whole buffer
            Protocol::WebSocket(_) => websocket::INPUT_BYTES_MAX,
        }
    }

    /// When to go on if nothing comes. `idle_end`: the server stops; from then on nothing is begun.
    pub fn deadline(&self, queued_bytes: usize, idle_end: Option<IdleEnd>, limits: &Limits) -> Option<Instant> {
        match self {
            Protocol::Http1(http1) => http1.deadline(queued_bytes, idle_end, limits),
            Protocol::WebSocket(websocket) => websocket.deadline(queued_bytes, idle_end, limits),
        }
    }

    /// Goes as far as the bytes, the room for output and the time allow.
    pub fn advance(&mut self, io: &mut Io<'_>, app: &mut dyn App, idle_end: Option<IdleEnd>, cx: &Cx<'_>) -> Next {
        match self {
            Protocol::Http1(http1) => http1.advance(io, app, idle_end, cx),
            Protocol::WebSocket(websocket) => websocket.advance(io, idle_end, cx),
        }
    }

    /// The protocol that this one has been switched to, after [`Next::Switch`].
    pub fn switched(self) -> Option<Protocol> {
        match self {
            Protocol::Http1(http1) => http1.into_upgraded().map(Protocol::WebSocket),
            Protocol::WebSocket(_) => None,
        }
    }
}
