//! How a worker ends: the accept grace, the idle, the busy, the deadline.
//!
//! 1. Who is in the accept grace (handshakes that have begun, queues) is let in: new handshakes are stopped
//!    (`stop_new_connections`), and accepting goes on for a moment. Then the listeners close. A worker that leaves alone has no
//!    doorway: the others go on accepting.
//! 2. Idle connections are closed in a spread, after a grace in which a request that is on its way is still answered.
//! 3. Requests in flight are finished; every head written from now on says `Connection: close`.
//! 4. What is left at the deadline is cut and counted. A worker whose successor serves has none, until the server stops.

use crate::run_queue::Token;
use std::time::{Duration, Instant};
use tine_common::config::Config;

/// How long connections that have begun may still arrive: two round trips over any ocean. Where the kernel holds back
/// clients that have not sent anything (`--defer-accept`), they think that they are connected, and are to have the time that
/// an idle connection has.
const ACCEPT_GRACE: Duration = Duration::from_millis(500);
/// An idle connection stays at least this long…
const IDLE_GRACE: Duration = Duration::from_millis(250);
/// … and up to this much longer, so that clients do not all come back at once.
const IDLE_SPREAD_MS: u64 = 256;

#[derive(Debug, Clone, Copy)]
pub struct Drain {
    began: Instant,
    /// The listeners close then.
    pub accept_grace_until: Instant,
    /// What is left is cut then; `None`: nothing hurries.
    pub ends: Option<Instant>,
}

/// Until when an idle connection is kept while the server stops.
#[derive(Debug, Clone, Copy)]
pub struct IdleEnd {
    pub began: Instant,
    pub stay: Duration,
}

impl Drain {
    /// The whole server ends.
    pub fn of_server(now: Instant, config: &Config) -> Self {
        Drain { began: now, accept_grace_until: now + ACCEPT_GRACE, ends: Some(now + config.graceful_timeout) }
    }

    /// This worker ends alone.
    pub fn of_worker(now: Instant, config: &Config) -> Self {
        Drain { began: now, accept_grace_until: now, ends: Some(now + config.graceful_timeout) }
    }

    /// This worker ends because another has taken its place.
    pub fn of_replaced(now: Instant) -> Self {
        Drain { began: now, accept_grace_until: now, ends: None }
    }

    /// Somebody wants it once more: it ends when the first of them wants it.
    pub fn shorten(&mut self, other: Drain) {
        self.ends = [self.ends, other.ends].into_iter().flatten().min();
    }

    pub fn began(&self) -> Instant {
        self.began
    }

    /// Somebody may still come in: the whole server ends, not one worker of many.
    pub fn has_accept_grace(&self) -> bool {
        self.accept_grace_until > self.began
    }

    /// How long this connection may idle.
    pub fn idle_end(&self, token: Token) -> IdleEnd {
        // A multiplier coprime to the spread scatters neighbours.
        let stay = IDLE_GRACE + Duration::from_millis(token as u64 * 97 % IDLE_SPREAD_MS);
        IdleEnd { began: self.began, stay }
    }
}

impl IdleEnd {
    /// When somebody who waits of his own accord hears of the drain.
    pub fn at(self) -> Instant {
        self.began + self.stay
    }

    /// When a connection that idles `since` then is closed: a response whose head was written before the drain did not
    /// say `Connection: close`, so that its client may have the next request on its way.
    pub fn after(self, since: Instant) -> Instant {
        self.began.max(since) + self.stay
    }
}
