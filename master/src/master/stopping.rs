//! How the server stops: the stages from the first command to the exit of the last worker.

use super::{KILL_MARGIN, Master};
use crate::about::Health;
use crate::handover::Word;
use crate::listener::{Bound, remove_unix_sockets};
use crate::pidfile::Pidfile;
use nix::sys::signal::{Signal, kill};
use std::time::{Duration, Instant};
use tine_common::message::Order;
use tine_common::metric::Metric;
use tine_common::units::counted;

/// A stop that is repeated within this time counts as the same one: timeout(1) and others signal the process and then its
/// group.
const SAME_STOP: Duration = Duration::from_millis(200);

/// How far the server has come in stopping, and what was lost by it.
#[derive(Debug, Default)]
pub struct Stopping {
    stage: Stage,
    /// Connections cut by workers before the server began to stop.
    cut_before: u64,
    /// Requests lost with workers that hung or crashed while the server stopped.
    cut_by_kill: u64,
    /// The old master had to cut connections, or was killed.
    old_master_has_cut: bool,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Stage {
    #[default]
    Serving,
    /// Serves as before, but health checks fail (`--drain-delay`).
    LameDuck { began: Instant, until: Instant },
    /// Workers finish; those left at `kill_at` are killed.
    Draining { began: Instant, kill_at: Instant, is_cut: bool },
    /// Another master has taken over. Workers finish, however long that takes.
    HandedOver,
    /// QUIT, or no worker ever became ready: the exit status once all are reaped.
    Stopping { status: u8 },
}

impl Stopping {
    pub fn deadline(&self) -> Option<Instant> {
        match self.stage {
            Stage::LameDuck { until, .. } => Some(until),
            Stage::Draining { kill_at, .. } => Some(kill_at),
            Stage::Serving | Stage::HandedOver | Stage::Stopping { .. } => None,
        }
    }

    pub fn has_handed_over(&self) -> bool {
        self.stage == Stage::HandedOver
    }

    /// All workers were killed.
    pub fn is_at_once(&self) -> bool {
        matches!(self.stage, Stage::Stopping { .. })
    }

    /// Another master has taken over; `cut` connections were cut so far.
    pub fn on_handed_over(&mut self, cut: u64) {
        (self.stage, self.cut_before) = (Stage::HandedOver, cut);
    }

    pub fn on_requests_lost(&mut self, requests: u64) {
        self.cut_by_kill += requests;
    }

    pub fn on_old_master_cut(&mut self) {
        self.old_master_has_cut = true;
    }

    /// The time of the drain is over: what is left is killed now, and again after a margin.
    pub fn is_kill_due(&mut self, now: Instant) -> bool {
        match &mut self.stage {
            Stage::Draining { kill_at, is_cut, .. } if now >= *kill_at => {
                (*kill_at, *is_cut) = (now + KILL_MARGIN, true);
                true
            }
            _ => false,
        }
    }
}

/// How the server ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ending {
    pub status: u8,
    /// The stop has cut connections: a failure for the control client that asked for it, but not for the service manager.
    pub has_cut: bool,
}

impl Master {
    /// A stop or a handover has begun.
    pub(super) fn is_stopping(&self) -> bool {
        self.stopping.stage != Stage::Serving
    }

    /// Workers accept connections, and dead ones are replaced.
    pub(super) fn is_serving(&self) -> bool {
        matches!(self.stopping.stage, Stage::Serving | Stage::LameDuck { .. })
    }

    /// The first time: finishes what is in flight, after the delay if there is one. The next time ends the delay; the one
    /// after that cuts what is left.
    pub(super) fn stop(&mut self, source: &str, now: Instant) {
        let delay = self.config.drain_delay;
        match self.stopping.stage {
            Stage::Serving if delay.is_zero() => self.drain(source, now),
            Stage::Serving => {
                log::info!("{source}: stopping in {delay:.1?}; {}", self.describe_health());
                self.abandon_upgrade("the server is stopping");
                self.order_old_master(Word::Stop, delay + self.config.worker.graceful_timeout, now);
                self.order_all(Order::LameDuck);
                self.stopping.stage = Stage::LameDuck { began: now, until: now + delay };
            }
            Stage::LameDuck { began, .. } if now.duration_since(began) < SAME_STOP => {}
            Stage::LameDuck { .. } | Stage::HandedOver => self.drain(source, now),
            Stage::Draining { began, .. } if now.duration_since(began) < SAME_STOP => {}
            Stage::Draining { began, is_cut: false, .. } => {
                log::warn!("{source} again: cutting what is left");
                self.order_old_master(Word::Stop, Duration::ZERO, now);
                self.order_all(Order::Cut);
                self.stopping.stage = Stage::Draining { began, kill_at: now + KILL_MARGIN, is_cut: true };
            }
            Stage::Draining { .. } | Stage::Stopping { .. } => {}
        }
    }

    /// How load balancers notice the stop.
    fn describe_health(&self) -> String {
        let own = match self.about.health {
            Health::At(path) => Some(path),
            Health::AppsOwn | Health::Nowhere => None,
        };
        let paths: Vec<&str> = own.into_iter().chain(self.config.health_path.as_deref()).collect();
        match (paths.is_empty(), self.about.health) {
            (false, _) => format!("{} answers 503 until then", paths.join(", as does ")),
            (true, Health::Nowhere) => "load balancers cannot see it without --health-path".to_string(),
            (true, _) => "without --health-path, load balancers see it only if the application tells them".to_string(),
        }
    }

    fn drain(&mut self, source: &str, now: Instant) {
        let totals = self.scoreboard.own_totals();
        let graceful = self.config.worker.graceful_timeout;
        log::info!(
            "{source}: draining {}, {} in flight, for at most {graceful:.1?}",
            counted(totals[Metric::Connections], "connection"),
            counted(totals[Metric::InFlight], "request")
        );
        self.abandon_reload("the server is stopping");
        self.abandon_upgrade("the server is stopping");
        if !matches!(self.stopping.stage, Stage::LameDuck { .. }) {
            self.order_old_master(Word::Stop, graceful, now);
        }
        if self.stopping.stage != Stage::HandedOver {
            self.stopping.cut_before = totals[Metric::Cut];
        }
        self.leave_sockets_to_predecessor();
        self.pidfile.iter().for_each(Pidfile::release);
        // The workers keep the sockets for their accept grace; then no process of this server holds them.
        remove_unix_sockets(&mut self.bound);
        for bound in &mut self.bound {
            bound.stop_new_connections();
            bound.close();
        }
        self.close_admin();
        self.children.close();
        self.order_all(Order::Drain);
        self.stopping.stage = Stage::Draining { began: now, kill_at: now + graceful + KILL_MARGIN, is_cut: false };
    }

    pub(super) fn keep_stopping(&mut self, now: Instant) {
        if matches!(self.stopping.stage, Stage::LameDuck { until, .. } if now >= until) {
            self.drain("--drain-delay is over", now);
        }
    }

    /// Stops as on QUIT.
    pub(super) fn stop_now(&mut self, now: Instant) {
        self.order_old_master(Word::StopNow, Duration::ZERO, now);
        self.stop_at_once(0);
    }

    pub(super) fn stop_at_once(&mut self, status: u8) {
        self.abandon_upgrade("the server is stopping");
        self.children.close();
        self.stopping.stage = Stage::Stopping { status };
        for (_, child) in self.children.iter_mut() {
            child.is_killed = true;
            // It may have just exited.
            let _ = kill(child.pid, Signal::SIGKILL);
        }
    }

    /// How the server ended, once no process is left, including the old master.
    pub(super) fn finished(&mut self, now: Instant) -> Option<Ending> {
        let is_ending = !self.is_serving() && self.children.count() == 0 && !self.succession.has_old_master();
        if !is_ending || !self.have_helpers_ended(now) {
            return None;
        }
        match self.stopping.stage {
            Stage::Serving | Stage::LameDuck { .. } => None,
            Stage::Stopping { status } => Some(Ending { status, has_cut: false }),
            Stage::HandedOver | Stage::Draining { .. } => {
                let totals = self.scoreboard.own_totals();
                let cut = totals[Metric::Cut] - self.stopping.cut_before + self.stopping.cut_by_kill;
                let has_cut = cut > 0 || self.stopping.old_master_has_cut;
                if has_cut {
                    self.upgrading.report_cuts();
                }
                if cut == 0 {
                    let requests = counted(totals[Metric::Requests], "request");
                    let others = and_cut(totals[Metric::ResponsesCut]) + &and_refused(totals[Metric::Refused]);
                    log::info!("drained: {requests} answered in all{others}");
                } else {
                    log::warn!(
                        "stopped: {} answered in all, {} cut while in use",
                        counted(totals[Metric::Requests], "request"),
                        counted(cut, "connection")
                    );
                }
                Some(Ending { status: 0, has_cut })
            }
        }
    }

    /// Ends the helpers, as the last processes; true once they are gone.
    fn have_helpers_ended(&mut self, now: Instant) -> bool {
        let is_at_once = self.stopping.is_at_once();
        // All of them are told, not only up to the first that has not ended.
        let left = self.helpers_mut().filter_map(|helper| (!helper.has_ended(is_at_once, now)).then_some(()));
        left.count() == 0
    }

    /// If this master stops before it has taken over, the sockets and the files of Unix sockets belong to the predecessor.
    fn leave_sockets_to_predecessor(&mut self) {
        if self.succession.is_pending() {
            self.bound.iter_mut().for_each(Bound::hand_over);
        }
    }

    pub(super) fn clean_up(&mut self, ending: Ending) -> u8 {
        self.leave_sockets_to_predecessor();
        self.report_end(ending);
        self.count_own_end();
        self.close_admin();
        remove_unix_sockets(&mut self.bound);
        if let Some(pidfile) = &mut self.pidfile {
            pidfile.remove();
        }
        if let Some(control) = &self.control {
            control.remove();
        }
        ending.status
    }
}

fn and_cut(responses: u64) -> String {
    if responses == 0 { String::new() } else { format!(", {} cut", counted(responses, "response")) }
}

fn and_refused(refused: u64) -> String {
    if refused == 0 { String::new() } else { format!(", {} refused with 503", counted(refused, "connection")) }
}
