//! What a protocol is to its connection: two buffers in, what it waits for out. No socket, no clock.

use crate::net::{ReadBuffer, WriteQueue};

/// The connection's two buffers, and whether the client has ended its side.
pub struct Io<'a> {
    pub input: &'a mut ReadBuffer,
    pub output: &'a mut WriteQueue,
    pub input_ended: bool,
}

/// What the protocol waits for.
#[derive(Debug, PartialEq, Eq)]
pub enum Next {
    /// Input, or the deadline.
    Wait,
    /// Room for output, or its next turn.
    Again,
    Close(Closing),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Closing {
    /// Once all output is flushed; nothing unread is left behind.
    Flushed,
    /// Once all output is flushed, and the client has ended its side or some time has passed: bytes that are unread
    /// when a socket is closed reset it, and the reset may overtake the answer.
    Lingering,
    /// At once, whatever of the output could be sent: the response cannot be completed.
    Cut,
    /// As [`Closing::Cut`], by a reset: the body would have ended with the connection, so that nothing else tells the client.
    Reset,
    /// By a reset, once the client's kernel has acknowledged all output: the app asked for just that.
    ResetTaken,
}
