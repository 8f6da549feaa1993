//! The careful end of a connection (RFC 9112, 9.6): a socket that is closed with unread bytes, or that gets some afterwards, is
//! reset by the kernel, and the reset destroys what the client has not taken of its answer.
//!
//! So a connection is closed plainly only where that cannot cost anything ([`may_close`]). Otherwise our side is ended, and
//! what the client still sends is read and dropped ([`Linger`]) until the client ends its side too, or has acknowledged all
//! and is silent for a while.

use super::{STEPS_PER_TURN, Turn};
use crate::app::Cx;
use crate::net::{ReadBuffer, Received, Socket};
use std::time::{Duration, Instant};

/// How long a finished connection waits for the client's next bytes or its end before it is closed all the same…
const LINGER: Duration = Duration::from_secs(2);
/// … and how long in all, if the client has acknowledged everything by then.
const LINGER_MAX: Duration = Duration::from_secs(30);
/// What was sent on a connection leaves in one flight if it is no more than this: TCP's first window is ten segments
/// (RFC 6928), small ones of tunnels included. A reset can only follow it.
const FLIGHT_BYTES_MAX: u32 = 8 << 10;

/// Whether the socket of a client that asked for the end, and has all output in its kernel's or in ours, may be closed at
/// once. Costs one recv(2) for a small answer.
pub fn may_close(socket: &Socket, scratch: &mut ReadBuffer, sent_bytes: u32) -> bool {
    match drop_input(socket, scratch) {
        (Turn::Closed, _) => true,
        (Turn::Waits, false) => sent_bytes <= FLIGHT_BYTES_MAX || socket.bytes_at_risk() == 0,
        // It sends after its last request, and may go on.
        (Turn::Waits | Turn::Again, _) => false,
    }
}

/// All is sent and our side is ended; what the client still sends is dropped.
pub struct Linger {
    /// The next decision.
    until: Instant,
    /// Bytes of the client's do not put the decision off beyond this.
    ends: Instant,
    /// What a reset could destroy, as of the last decision.
    bytes_at_risk: usize,
    /// When there was last less of it than before.
    progressed: Instant,
}

impl Linger {
    pub fn new(now: Instant) -> Self {
        Linger { until: now + LINGER, ends: now + LINGER_MAX, bytes_at_risk: usize::MAX, progressed: now }
    }

    /// When to decide again.
    pub fn until(&self) -> Instant {
        self.until
    }

    /// Drops what has come, and decides whether the connection is over.
    pub fn go_on(&mut self, socket: &Socket, scratch: &mut ReadBuffer, cx: &Cx<'_>) -> Turn {
        // A look comes first: bytes may have crossed the deadline.
        let (turn, dropped) = drop_input(socket, scratch);
        if dropped && turn != Turn::Closed {
            self.until = (cx.now + LINGER).min(self.ends.max(self.until));
        }
        if turn == Turn::Closed || cx.now < self.until {
            return turn;
        }
        // Without our end: it is the last to be acknowledged, and nothing is lost with it.
        let bytes = socket.bytes_at_risk().saturating_sub(1);
        if bytes == 0 {
            return Turn::Closed;
        }
        if bytes < self.bytes_at_risk {
            (self.bytes_at_risk, self.progressed) = (bytes, cx.now);
        }
        // A client that reads slowly has as long as for any other output. A drain does not wait for one that stands still: the
        // kernel goes on without us.
        if cx.draining && cx.now >= self.progressed + LINGER {
            return Turn::Closed;
        }
        if cx.now >= self.progressed + cx.limits.write_timeout {
            // As for output of ours. An error means that the connection is gone already.
            let _ = socket.reset_on_close();
            return Turn::Closed;
        }
        self.until = cx.now + LINGER;
        turn
    }
}

/// Reads and drops what the client sends after our end, until there is nothing more for now or the turn is over; says
/// whether there was something.
fn drop_input(socket: &Socket, scratch: &mut ReadBuffer) -> (Turn, bool) {
    let mut dropped = false;
    for _ in 0..STEPS_PER_TURN {
        scratch.clear();
        match scratch.receive(socket, usize::MAX) {
            // Also after a short read: the client's end may have come with its last bytes.
            Ok(Received::Bytes { .. }) => dropped = true,
            Ok(Received::Nothing) => return (Turn::Waits, dropped),
            Ok(Received::End) | Err(_) => return (Turn::Closed, dropped),
        }
    }
    scratch.clear();
    // No event tells of bytes that were there before.
    (Turn::Again, dropped)
}
