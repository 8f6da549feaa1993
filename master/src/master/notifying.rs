//! What the service manager hears of this master: derived each turn from what the master is doing, so that no other part
//! of it has to remember to say it.

use super::Master;
use super::saying::counted;
use super::stopping::Stage;
use std::time::{Duration, Instant};
use tine_common::units;

/// How often the numbers in the status are looked at. A new line wakes everybody who watches the service.
const NUMBERS_INTERVAL: Duration = Duration::from_secs(5);

/// What was told last.
#[derive(Debug)]
pub struct Told {
    condition: Condition,
    numbers_at: Instant,
    requests: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Condition {
    /// Not yet announced.
    Starting,
    Serving,
    Reloading,
    Stopping,
}

impl Told {
    pub fn nothing(now: Instant) -> Told {
        Told { condition: Condition::Starting, numbers_at: now, requests: 0 }
    }
}

impl Master {
    pub(super) fn notify(&mut self, now: Instant) {
        // While another master speaks for the service, only what was to be said before is.
        if !self.start.notifier.is_active() {
            return self.start.notifier.send_due(now);
        }
        let condition = self.condition();
        let changed = condition != self.told.condition;
        if changed || now >= self.told.numbers_at + NUMBERS_INTERVAL {
            let status = self.status_line(condition, now);
            let notifier = &mut self.start.notifier;
            match condition {
                Condition::Serving if changed => notifier.ready(&status, now),
                Condition::Reloading if changed => {
                    notifier.reloading(now);
                    notifier.status(&status, now);
                }
                Condition::Stopping if changed => notifier.stopping(&status, now),
                _ => notifier.status(&status, now),
            }
            self.told = Told { condition, numbers_at: now, requests: self.scoreboard.totals().requests };
        }
        self.start.notifier.send_due(now);
    }

    fn condition(&self) -> Condition {
        match self.stage {
            Stage::Serving if !self.announced => Condition::Starting,
            Stage::Serving if self.reload.is_some() => Condition::Reloading,
            Stage::Serving => Condition::Serving,
            Stage::LameDuck { .. } | Stage::Draining { .. } | Stage::HandedOver | Stage::Stopping { .. } => {
                Condition::Stopping
            }
        }
    }

    /// One line for `systemctl status`.
    fn status_line(&self, condition: Condition, now: Instant) -> String {
        let totals = self.scoreboard.totals();
        let (ready, slots) = (self.children.count_ready(), self.children.slots.len());
        let seconds = now.duration_since(self.told.numbers_at).as_secs_f64().max(0.001);
        let rate = (totals.requests - self.told.requests) as f64 / seconds;
        let workers = if ready == slots { counted(slots) } else { format!("{ready} of {} ready", counted(slots)) };
        let (connections, requests) = (totals.connections, totals.in_flight);
        let load =
            format!("{}, {} in flight", units::counted(connections, "connection"), units::counted(requests, "request"));
        let cause = self.last_cause.as_ref().filter(|_| ready < slots).map(|(cause, _)| format!("; {cause}"));
        let cause = cause.unwrap_or_default();
        match condition {
            Condition::Starting => format!("starting {}{cause}", counted(slots)),
            Condition::Serving => format!("{workers}, {load}, {rate:.0} requests/s{cause}"),
            Condition::Reloading => format!("reloading, generation {}: {workers}, {load}{cause}", self.generation),
            Condition::Stopping => format!("stopping: {load}"),
        }
    }
}
