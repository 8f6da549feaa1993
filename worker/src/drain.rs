//! How a worker drains.
//!
//! 1. Accept grace: new handshakes are stopped (`stop_new_connections`), and connections whose handshake had begun or
//!    that were in the queues are still accepted for a moment. Then the listeners close. A worker that leaves alone has
//!    no accept grace: the others keep accepting.
//! 2. Idle connections are closed one after another, after a grace period in which a request that is on its way is
//!    still answered: a short one where the whole server ends, a longer one where only the worker ends. With
//!    `--reload` they are closed at once: the worker has an old app.
//! 3. Requests in flight are finished; every head written from now on has `Connection: close`.
//! 4. What is left at the deadline is cut and counted. A worker whose successor serves has no deadline until the server
//!    stops, or its last connection is closed; with `--reload` it has one, as each save of a file would leave a worker.
//! 5. The app's tasks are finished, and then the app is stopped ([`App::stop`](crate::app::App::stop)), which may spawn the
//!    last tasks. If there was no deadline, these two have one graceful timeout; if the connections were cut, `STOP_TIME`.

use crate::protocol::IdleEnd;
use crate::run_queue::Token;
use crate::timers::earlier;
use std::time::{Duration, Instant};
use tine_common::config::WorkerConfig;

/// How long connections that have begun may still arrive: two round trips over any ocean. A client that the kernel
/// holds back because it has not sent anything (`--defer-accept`) believes that it is connected; it should have the
/// time that an idle connection has.
const ACCEPT_GRACE: Duration = Duration::from_millis(500);
/// An idle connection is kept for at least this long where the whole server ends.
const IDLE_GRACE: Duration = Duration::from_millis(250);
/// And where only this worker ends: nothing waits for that, and a proxy that pauses for a second and then sends a request
/// on a connection that was closed meanwhile has to answer 502.
const WORKERS_IDLE_GRACE: Duration = Duration::from_secs(2);
/// An idle connection is kept for up to this much longer, so that the clients do not all reconnect at once.
const IDLE_SPREAD_MS: u64 = 256;
/// How long an app may take to stop after the connections were cut. The master kills a worker that has not exited a second
/// after that.
const STOP_TIME: Duration = Duration::from_millis(500);

#[derive(Debug, Clone, Copy)]
pub struct Drain {
    began: Instant,
    /// When the listeners close.
    pub accept_grace_until: Instant,
    /// When the connections that are left are cut; `None`: no deadline.
    pub ends: Option<Instant>,
    /// For how long after `idle_since` an idle connection is kept at least, and up to how much longer.
    idle_since: Instant,
    idle_grace: Duration,
    idle_spread_ms: u64,
}

impl Drain {
    /// The whole server ends.
    pub fn of_server(now: Instant, config: &WorkerConfig) -> Self {
        Drain { accept_grace_until: now + ACCEPT_GRACE, idle_grace: IDLE_GRACE, ..Drain::of_worker(now, config) }
    }

    /// This worker ends alone.
    pub fn of_worker(now: Instant, config: &WorkerConfig) -> Self {
        Drain {
            began: now,
            accept_grace_until: now,
            ends: Some(now + config.graceful_timeout),
            idle_since: now,
            idle_grace: WORKERS_IDLE_GRACE,
            idle_spread_ms: IDLE_SPREAD_MS,
        }
    }

    /// This worker ends because another has taken its place, or is about to if its app is outdated.
    pub fn of_replaced(now: Instant, config: &WorkerConfig) -> Self {
        let drain = Drain::of_worker(now, config);
        match config.is_outdated_on_leave {
            true => Drain { idle_grace: Duration::ZERO, idle_spread_ms: 1, ..drain },
            false => Drain { ends: None, ..drain },
        }
    }

    /// Another drain was ordered: the earlier deadlines count.
    pub fn shorten(&mut self, other: Drain) {
        self.ends = earlier(self.ends, other.ends);
        if other.idle_since + other.idle_grace < self.idle_since + self.idle_grace {
            let Drain { idle_since, idle_grace, idle_spread_ms, .. } = other;
            *self = Drain { idle_since, idle_grace, idle_spread_ms, ..*self };
        }
    }

    /// The connections are closed: what the app still does has a deadline in any case.
    pub fn bound(&mut self, now: Instant, config: &WorkerConfig) {
        self.ends.get_or_insert(now + config.graceful_timeout);
    }

    /// The connections and tasks were cut.
    pub fn bound_stop(&mut self, now: Instant) {
        self.accept_grace_until = self.accept_grace_until.min(now);
        self.ends = Some(now + STOP_TIME);
    }

    pub fn began(&self) -> Instant {
        self.began
    }

    /// Whether connections may still be accepted: the whole server ends, not one worker of many.
    pub fn has_accept_grace(&self) -> bool {
        self.accept_grace_until > self.began
    }

    /// As it concerns what belongs to no connection.
    pub fn of_no_connection(&self) -> IdleEnd {
        IdleEnd { began: self.began, stay: Duration::ZERO }
    }

    /// How long this connection may stay idle.
    pub fn idle_end(&self, token: Token) -> IdleEnd {
        // A multiplier coprime to the spread scatters neighbours.
        let stay = self.idle_grace + Duration::from_millis(token as u64 * 97 % self.idle_spread_ms);
        IdleEnd { began: self.idle_since, stay }
    }
}
