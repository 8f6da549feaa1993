//! Lingering close (RFC 9112, 9.6): if a socket is closed with unread bytes, or if bytes arrive afterwards, the kernel
//! sends a reset, and the reset destroys what the client has not yet read of its response.
//!
//! So a connection is closed at once only where nothing can be lost ([`may_close`]). Otherwise our side is shut down,
//! and what the client still sends is read and dropped ([`Linger`]) until the client ends its side too, or has
//! acknowledged all output and is silent for a while.

use super::Turn;
use super::steps::STEPS_PER_TURN;
use crate::app::Cx;
use crate::net::{ReadBuffer, Received, Socket};
use std::time::{Duration, Instant};
use tine_common::telemetry::Count;

/// A finished connection is closed after this long without bytes from the client.
const LINGER: Duration = Duration::from_secs(2);
/// A finished connection whose client has acknowledged everything is closed after this long in any case.
const LINGER_MAX: Duration = Duration::from_secs(30);
/// Up to this many bytes on a new connection leave in one flight: TCP's initial window is ten segments (RFC 6928), even
/// the small ones of tunnels. A reset can only arrive after them.
const FLIGHT_BYTES_MAX: u64 = 8 << 10;

/// Whether a socket may be closed at once, after the client asked for the close and all output was passed to the
/// kernel. Costs one recv(2) for a small response.
pub fn may_close(socket: &Socket, scratch: &mut ReadBuffer, sent_bytes: u64) -> bool {
    match drop_input(socket, scratch) {
        (Turn::Closed, _) => true,
        (Turn::Waits, false) => sent_bytes <= FLIGHT_BYTES_MAX || socket.bytes_at_risk() == 0,
        // It sends after its last request, and may continue.
        _ => false,
    }
}

/// All is sent and our side is shut down; what the client still sends is dropped.
pub struct Linger {
    /// The next decision.
    until: Instant,
    /// Bytes from the client do not postpone the decision beyond this.
    ends: Instant,
    /// The bytes that a reset could destroy, as of the last decision.
    bytes_at_risk: usize,
    /// When that number last decreased.
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

    /// Drops what has arrived, and decides whether the connection is closed.
    pub fn go_on(&mut self, socket: &Socket, scratch: &mut ReadBuffer, cx: &Cx<'_>) -> Turn {
        // Read first: bytes may have arrived at the same time as the deadline.
        let (turn, dropped) = drop_input(socket, scratch);
        if dropped && turn != Turn::Closed {
            self.until = (cx.now() + LINGER).min(self.ends.max(self.until));
        }
        if turn == Turn::Closed || cx.now() < self.until {
            return turn;
        }
        // Without our FIN: it is the last to be acknowledged, and nothing is lost with it.
        let bytes = socket.bytes_at_risk().saturating_sub(1);
        if bytes == 0 {
            cx.count(Count::TimeoutLinger);
            return Turn::Closed;
        }
        if bytes < self.bytes_at_risk {
            (self.bytes_at_risk, self.progressed) = (bytes, cx.now());
        }
        // A client that reads slowly has as long as for any other output. A drain does not wait for one that makes no
        // progress: the kernel keeps sending without us.
        if cx.is_draining() && cx.now() >= self.progressed + LINGER {
            return Turn::Closed;
        }
        if cx.now() >= self.progressed + cx.limits().write_timeout {
            // The same timeout as for our output. An error means that the connection is gone already.
            socket.reset_on_close();
            cx.count(Count::TimeoutWrite);
            return Turn::Closed;
        }
        self.until = cx.now() + LINGER;
        turn
    }
}

/// Reads and drops what the client sends after our FIN, until there is nothing more for now or the turn is over. Also
/// returns whether there was anything.
fn drop_input(socket: &Socket, scratch: &mut ReadBuffer) -> (Turn, bool) {
    let mut dropped = false;
    for _ in 0..STEPS_PER_TURN {
        scratch.clear();
        match scratch.receive(socket, usize::MAX) {
            // Continue after a short read, too: the client's FIN may have arrived with its last bytes.
            Ok(Received::Bytes { .. }) => dropped = true,
            Ok(Received::Nothing) => return (Turn::Waits, dropped),
            Ok(Received::End) | Err(_) => return (Turn::Closed, dropped),
        }
    }
    scratch.clear();
    // No event will report bytes that had already arrived.
    (Turn::Again, dropped)
}
