//! The half of a stream that the server sends: what of its response waits to be moved into frames, and how much of it the
//! client will take.

use super::windows::SendWindow;
use super::writer::Writer;
use crate::app::{AppError, Peer};
use crate::http::Trailers;
use crate::http1::{BodyFraming, too_short};
use crate::net::WriteQueue;
use std::time::{Duration, Instant};

/// What a client has to take of a response within the write timeout. A window that it opens by a byte at a time does not
/// keep the response alive.
const PROGRESS_BYTES_MIN: u32 = 1024;

pub struct Outgoing {
    /// The client's window for this stream.
    pub window: SendWindow,
    /// Of the body: what is not in a frame yet.
    pub queue: WriteQueue,
    /// `None` before the head.
    pub writer: Option<Writer>,
    /// The app has written all of it.
    pub is_complete: bool,
    /// END_STREAM is in the connection's output.
    pub has_ended: bool,
    pub follows: Follows,
    /// The bytes of all its frames so far, and of those before its head.
    pub frame_bytes: u64,
    /// The position in the connection's output up to which its last frame is.
    pub written_at: u64,
    /// How many bytes more of the body have to be sent, or to fit the client's window, before `--write-timeout` is over; 0: the
    /// window does not hold it up.
    owed: u32,
}

/// What comes after the body in the queue, or in its place.
pub enum Follows {
    Nothing,
    Trailers(Trailers),
    /// The stream becomes a WebSocket with this peer.
    WebSocket(Box<dyn Peer>),
}

impl Outgoing {
    pub fn new(window: SendWindow, now: Instant) -> Outgoing {
        Outgoing {
            window,
            queue: WriteQueue::new(now),
            writer: None,
            is_complete: false,
            has_ended: false,
            follows: Follows::Nothing,
            frame_bytes: 0,
            written_at: 0,
            owed: 0,
        }
    }

    /// The head is written, and no body follows.
    pub fn is_bodyless(&self) -> bool {
        self.writer.is_some_and(|writer| writer.framing == BodyFraming::Empty)
    }

    /// Whether the last byte of the queue is the last of the response.
    pub fn ends_with_body(&self) -> bool {
        self.is_complete && matches!(self.follows, Follows::Nothing)
    }

    /// The peer of the WebSocket that the stream becomes.
    pub fn take_switched(&mut self) -> Option<Box<dyn Peer>> {
        match std::mem::replace(&mut self.follows, Follows::Nothing) {
            Follows::WebSocket(peer) => Some(peer),
            other => {
                self.follows = other;
                None
            }
        }
    }

    /// The app ends the response: checks that what was declared was written.
    pub fn finish(&mut self) -> Result<(), AppError> {
        match self.writer.map(|writer| writer.framing) {
            None => return Err(AppError::new("the exchange ended without a response")),
            Some(BodyFraming::Known(left @ 1..)) => return Err(too_short(left)),
            Some(_) => {}
        }
        self.is_complete = true;
        Ok(())
    }

    /// The bytes that may be sent now.
    pub fn open_window(&self, connection: SendWindow) -> usize {
        self.window.bytes().min(connection.bytes())
    }

    /// Whether more of the response waits than the client will take by now.
    pub fn is_blocked(&self, connection: SendWindow) -> bool {
        !self.queue.is_empty() && self.queue.len() >= self.open_window(connection)
    }

    /// Keeps the time since when the client holds it up, until it has taken or would take [`PROGRESS_BYTES_MIN`] more.
    pub fn watch_window(&mut self, connection: SendWindow, now: Instant) {
        let open = self.open_window(connection);
        if self.queue.is_empty() || open >= self.owed as usize {
            self.queue.on_progress(now);
            self.owed = if open == 0 && !self.queue.is_empty() { PROGRESS_BYTES_MIN } else { 0 };
        }
    }

    /// Bytes of the body are put into a frame.
    pub fn spend(&mut self, bytes: usize) {
        self.window.spend(bytes);
        self.owed = self.owed.saturating_sub(bytes as u32);
    }

    /// When the client must have taken more of it.
    pub fn blocked_until(&self, timeout: Duration) -> Option<Instant> {
        (self.owed > 0).then(|| self.queue.progressed() + timeout)
    }
}
