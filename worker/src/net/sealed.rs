//! A transport's reads and writes through its TLS session.

use super::tls::{Opened, SEALED_BYTES_MAX, Session, cause_of};
use super::{BrokenPart, ReadBuffer, Transport, WriteQueue};
use std::io;
use std::time::Instant;
use tine_common::telemetry::Count;

/// How far a handshake has come.
pub enum Shaken {
    /// It waits for the client.
    NotYet,
    Done,
    /// The client speaks HTTP without TLS: what it sent is in the buffer, and so is the answer to be.
    PlainHttp,
    /// It cannot go on. If there is an alert it is to be sent.
    Failed(Count),
}

impl Transport {
    /// The session, if this is not plain.
    pub fn session(&self) -> Option<&Session> {
        self.session.as_deref()
    }

    /// One read, and what follows from it.
    pub fn shake_hands(&mut self, input: &mut ReadBuffer) -> Shaken {
        if self.can_receive(input, usize::MAX)
            && let Err(e) = self.receive_sealed(input, usize::MAX)
        {
            return Shaken::Failed(cause_of(&e));
        }
        match &self.session {
            None => Shaken::PlainHttp,
            Some(session) if !session.is_handshaking() => Shaken::Done,
            Some(_) if self.input_ended => Shaken::Failed(Count::HandshakeLeft),
            Some(_) => Shaken::NotYet,
        }
    }

    /// One read of the session. The error: the client has reset the connection or has broken the protocol.
    #[inline(never)]
    pub(super) fn receive_sealed(&mut self, input: &mut ReadBuffer, bytes_max: usize) -> io::Result<()> {
        let Some(session) = &mut self.session else { return Ok(()) };
        let room = input.room(bytes_max);
        let size = room.len();
        let (read, plain) = match session.receive(&self.socket, room)? {
            Opened::Bytes { read, plain } => (read, plain),
            Opened::Kept(plain) => {
                input.filled(plain);
                self.received_bytes += plain as u64;
                self.input_ended |= session.has_ended();
                return Ok(());
            }
            Opened::PlainHttp(count) => {
                self.session = None;
                (Some(count), count)
            }
        };
        input.filled(plain);
        self.received_bytes += plain as u64;
        match read {
            Some(0) => self.input_ended = true,
            Some(count) => self.readable = count == size || !self.socket.short_read_is_all() || self.hung_up,
            None => self.readable = false,
        }
        self.input_ended |= self.session.as_ref().is_some_and(|session| session.has_ended());
        Ok(())
    }

    /// As [`Transport::flush`]: seals what is queued, as much as the socket takes.
    pub(super) fn flush_sealed(
        &mut self,
        output: &mut WriteQueue,
        now: Instant,
    ) -> io::Result<(usize, Option<BrokenPart>)> {
        let Some(session) = &mut self.session else { return Ok((0, None)) };
        let mut sent = 0;
        loop {
            let taken = session.send(&self.socket, now)?;
            if taken > 0 {
                output.on_progress(now);
            }
            let count = session.sent_of_sealed(taken);
            output.on_sealed_sent(count);
            sent += count;
            self.sent_bytes += count as u64;
            if session.has_unsent() {
                self.writable = false;
                break;
            }
            if output.is_empty() || session.is_handshaking() {
                break;
            }
            match output.seal_front(SEALED_BYTES_MAX, |slices| session.seal(slices, now))? {
                Ok(count) => session.sealed_bytes = count,
                Err(broken) => return Ok((sent, Some(broken))),
            }
        }
        Ok((sent, None))
    }

    /// Tells the client that this is the end of what is sent; true once the socket has taken that. To be called again until then.
    pub fn finish_session(&mut self, now: Instant) -> io::Result<bool> {
        let Some(session) = &mut self.session else { return Ok(true) };
        session.finish();
        session.send(&self.socket, now)?;
        let is_sent = !session.has_unsent();
        self.writable &= is_sent;
        Ok(is_sent)
    }
}
