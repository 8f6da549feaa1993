//! Our half of the close handshake (RFC 6455, 7.1.2): how long the server waits for the client's.

use crate::protocol::IdleEnd;
use std::time::{Duration, Instant};

/// How long the server waits for the client's answer to its close.
const CLOSE_WAIT: Duration = Duration::from_secs(2);
/// While the server stops: how long a client may read no byte of what is queued before our close. Otherwise it has the
/// write timeout.
const TAKE_WAIT: Duration = Duration::from_secs(5);

/// Our close is queued. What the client sends is read and dropped until it answers.
pub struct CloseHandshake {
    /// When it was queued, or when the client last read bytes and left some.
    pub since: Instant,
    /// The bytes that were queued at that time.
    pub queued_bytes: usize,
}

impl CloseHandshake {
    /// When the wait ends, if the client sends nothing and reads nothing.
    pub fn ends(&self, queued_bytes: usize, idle_end: Option<IdleEnd>) -> Option<Instant> {
        match queued_bytes {
            0 => Some(self.since + CLOSE_WAIT),
            _ => idle_end.map(|_| self.since + TAKE_WAIT),
        }
    }
}
