//! How a worker ends: the doorway, the idle, the busy, the deadline.
//!
//! 1. Who is in the doorway (handshakes that have begun, queues) is let in: a filter on the listeners stops new
//!    handshakes, and accepting goes on for [`DOORWAY`]. Then the listeners close. A worker that ends alone has no
//!    doorway: the others go on accepting.
//! 2. Idle connections are closed in a spread, after a grace in which a request that is on its way is still answered.
//! 3. Requests in flight are finished; every head written from now on says `Connection: close`.
//! 4. What is left at the deadline is cut and counted.

use crate::run_queue::Token;
use std::time::{Duration, Instant};

/// How long connections that have begun may still arrive.
pub const DOORWAY: Duration = Duration::from_millis(100);
/// An idle connection stays at least this long…
const IDLE_GRACE: Duration = Duration::from_millis(250);
/// … and up to this much longer, so that clients do not all come back at once.
const IDLE_SPREAD_MS: u64 = 256;

#[derive(Debug, Clone, Copy)]
pub struct Drain {
    began: Instant,
    /// The listeners close then.
    pub doorway_until: Instant,
    /// What is left is cut then.
    pub ends: Instant,
}

impl Drain {
    pub fn new(now: Instant, doorway: Duration, graceful_timeout: Duration) -> Self {
        Drain { began: now, doorway_until: now + doorway, ends: now + graceful_timeout }
    }

    /// Somebody may still come in: the whole server ends, not one worker of many.
    pub fn has_doorway(&self) -> bool {
        self.doorway_until > self.began
    }

    /// When an idle connection is closed.
    pub fn idle_until(&self, token: Token) -> Instant {
        // A multiplier coprime to the spread scatters neighbours.
        self.began + IDLE_GRACE + Duration::from_millis(token as u64 * 97 % IDLE_SPREAD_MS)
    }
}
