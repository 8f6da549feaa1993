//! A client's socket and what is known of it. An event of the edge-triggered poll reports a state once; it is latched here
//! until a short read or a short write says otherwise.
//!
//! With TLS the socket is used through a session (`sealed`). Whoever calls sees plain bytes either way.

use super::tls::Session;
use super::{BrokenPart, FAST_CLIENT_BYTES, Flushed, ReadBuffer, Received, Socket, WriteQueue};
use crate::caller::Caller;
use mio::event::Event;
use std::io;
use std::rc::Rc;
use std::time::Instant;

pub struct Transport {
    pub socket: Socket,
    /// Of TLS; `None`: plain.
    pub(super) session: Option<Box<Session>>,
    /// The client, as a proxy describes it; `None`: the other end.
    pub caller: Option<Rc<Caller>>,
    /// The socket may have bytes or an end of stream; false once a read came short.
    pub(super) readable: bool,
    /// The socket may take bytes; false once a write came short.
    pub(super) writable: bool,
    /// The client ended its side, as an event reported: read until the end of the stream.
    pub(super) hung_up: bool,
    /// Nothing can be sent any more: the client reset the connection, or both sides have ended.
    is_gone: bool,
    /// The end of the client's stream has been read.
    pub(super) input_ended: bool,
    pub(super) received_bytes: u64,
    pub(super) sent_bytes: u64,
}

impl Transport {
    /// Of a connection just accepted. With TCP_DEFER_ACCEPT its first bytes have already arrived.
    pub fn new(socket: Socket, session: Option<Session>) -> Self {
        Transport {
            socket,
            session: session.map(Box::new),
            caller: None,
            readable: true,
            writable: true,
            hung_up: false,
            is_gone: false,
            input_ended: false,
            received_bytes: 0,
            sent_bytes: 0,
        }
    }

    /// Records what the kernel reported.
    pub fn on_event(&mut self, event: &Event) {
        let hung_up = event.is_read_closed();
        self.is_gone |= event.is_error() || event.is_write_closed();
        self.readable |= event.is_readable() | hung_up;
        self.writable |= event.is_writable();
        self.hung_up |= hung_up;
    }

    /// The next read is tried, whatever the last one said.
    pub fn try_reading(&mut self) {
        self.readable = true;
    }

    /// Takes bytes that were peeked at, even those of TLS, as many as there is room, so that what follows is read next.
    pub fn skip(&self, mut room: &mut [u8]) -> io::Result<()> {
        while !room.is_empty() {
            match self.socket.receive(room)? {
                Some(count @ 1..) => room = &mut room[count..],
                _ => return Err(io::ErrorKind::UnexpectedEof.into()),
            }
        }
        Ok(())
    }

    pub fn is_gone(&self) -> bool {
        self.is_gone
    }

    pub fn is_writable(&self) -> bool {
        self.writable
    }

    /// All that the client sent was read, and it has ended its side.
    pub fn input_ended(&self) -> bool {
        self.input_ended
    }

    /// The client has ended its side, read or not.
    pub fn hung_up(&self) -> bool {
        self.hung_up | self.input_ended
    }

    pub fn received_bytes(&self) -> u64 {
        self.received_bytes
    }

    pub fn sent_bytes(&self) -> u64 {
        self.sent_bytes
    }

    /// Whether a read may give something that `input` has room for.
    pub fn can_receive(&self, input: &ReadBuffer, bytes_max: usize) -> bool {
        (self.readable || self.has_plain()) && !self.input_ended && input.has_room_below(bytes_max)
    }

    fn has_plain(&self) -> bool {
        self.session.as_ref().is_some_and(|session| session.has_plain())
    }

    /// One read. The error: the client reset the connection.
    #[inline(always)]
    pub fn receive(&mut self, input: &mut ReadBuffer, bytes_max: usize) -> io::Result<()> {
        if self.session.is_some() {
            return self.receive_sealed(input, bytes_max);
        }
        let before = input.len();
        let received = input.receive(&self.socket, bytes_max)?;
        self.received_bytes += (input.len() - before) as u64;
        match received {
            Received::Bytes { is_all } => self.readable = !is_all || self.hung_up,
            Received::Nothing => self.readable = false,
            Received::End => self.input_ended = true,
        }
        Ok(())
    }

    /// Sends what the kernel takes; returns how many bytes, and the part that can never be sent, if that is next. The error:
    /// the client reset the connection.
    pub fn flush(&mut self, output: &mut WriteQueue, now: Instant) -> io::Result<(usize, Option<BrokenPart>)> {
        let queued_bytes = output.len();
        if !self.writable || (queued_bytes == 0 && self.session.is_none()) {
            return Ok((0, None));
        }
        if self.session.is_some() {
            return self.flush_sealed(output, now);
        }
        let flushed = output.flush(&self.socket, now);
        let bytes = queued_bytes - output.len();
        let before = self.sent_bytes;
        self.sent_bytes = before + bytes as u64;
        let broken = match flushed? {
            Flushed::Empty => None,
            Flushed::Blocked => {
                self.writable = false;
                None
            }
            Flushed::Broken(part) => Some(part),
        };
        if before < FAST_CLIENT_BYTES && self.sent_bytes >= FAST_CLIENT_BYTES {
            // A Unix socket has no such option, and does not need it.
            let _ = self.socket.send_in_long_bursts();
        }
        Ok((bytes, broken))
    }
}
