//! The messages to the service manager: derived each turn from the master's state, so that no other part of it has to
//! remember to send them.

use super::Master;
use super::reporting::counted;
use std::time::{Duration, Instant};
use tine_common::metric::Metric;
use tine_common::status::ServerState;
use tine_common::units;

/// How often the numbers in the status line are updated. A new line wakes every process that watches the service.
const NUMBERS_INTERVAL: Duration = Duration::from_secs(5);

/// What the service manager was notified of last.
#[derive(Debug)]
pub struct Notified {
    condition: ServerState,
    numbers_at: Instant,
    requests: u64,
}

impl Notified {
    /// `requests`: of the masters before this one.
    pub fn nothing(requests: u64, now: Instant) -> Notified {
        Notified { condition: ServerState::Starting, numbers_at: now, requests }
    }
}

impl Master {
    pub(super) fn notify(&mut self, now: Instant) {
        // While another master speaks for the service, only queued messages are sent.
        if !self.notifier.is_active() {
            return self.notifier.send_due(now);
        }
        let condition = self.managers_condition();
        let changed = condition != self.notified.condition;
        if changed || now >= self.notified.numbers_at + NUMBERS_INTERVAL {
            let status = self.status_line(condition, now);
            let notifier = &mut self.notifier;
            match condition {
                ServerState::Serving if changed => notifier.ready(&status, now),
                ServerState::Reloading if changed => {
                    notifier.reloading(now);
                    notifier.status(&status, now);
                }
                ServerState::Draining if changed => notifier.stopping(&status, now),
                _ => notifier.status(&status, now),
            }
            self.notified =
                Notified { condition, numbers_at: now, requests: self.scoreboard.totals()[Metric::Requests] };
        }
        self.notifier.send_due(now);
    }

    /// The server's condition as the service manager has it: a start ends with the announcement, and while a new binary
    /// starts or the workers rest, the service is up.
    fn managers_condition(&self) -> ServerState {
        match self.condition() {
            ServerState::Draining => ServerState::Draining,
            _ if !self.boot.is_announced() => ServerState::Starting,
            _ if self.replacing.is_reloading() => ServerState::Reloading,
            _ => ServerState::Serving,
        }
    }

    /// One line for `systemctl status`.
    fn status_line(&self, condition: ServerState, now: Instant) -> String {
        let totals = self.scoreboard.totals();
        let (ready, positions) = (self.children.count_ready(), self.children.positions.len());
        let seconds = now.duration_since(self.notified.numbers_at).as_secs_f64().max(0.001);
        let rate = totals[Metric::Requests].saturating_sub(self.notified.requests) as f64 / seconds;
        let workers =
            if ready == positions { counted(positions) } else { format!("{ready} of {} ready", counted(positions)) };
        let (connections, requests) = (totals[Metric::Connections], totals[Metric::InFlight]);
        let load =
            format!("{}, {} in flight", units::counted(connections, "connection"), units::counted(requests, "request"));
        let cause = self.supervising.last_cause().filter(|_| ready < positions).map(|(cause, _)| format!("; {cause}"));
        let cause = cause.unwrap_or_default();
        match condition {
            ServerState::Starting => format!("starting {}{cause}", counted(positions)),
            ServerState::Reloading => {
                format!("reloading, generation {}: {workers}, {load}{cause}", self.replacing.generation())
            }
            ServerState::Draining => format!("stopping: {load}"),
            _ => format!("{workers}, {load}, {rate:.0} requests/s{cause}"),
        }
    }
}
