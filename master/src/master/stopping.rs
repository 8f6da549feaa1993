//! How the server ends: the stages from the first wish to the last worker.

use super::saying::and_refused;
use super::{KILL_MARGIN, Master};
use crate::handover::Word;
use crate::listener::{Bound, remove_unix_sockets};
use crate::pidfile::Pidfile;
use crate::start::Health;
use nix::sys::signal::{Signal, kill};
use std::time::{Duration, Instant};
use tine_common::message::Order;
use tine_common::units::counted;

/// A wish to stop that is repeated within this time is no second one: timeout(1) and others signal the process and then
/// its group.
const SAME_WISH: Duration = Duration::from_millis(200);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    Serving,
    /// All is as before, but that who asks whether the server is healthy hears that it stops (`--drain-delay`).
    LameDuck {
        began: Instant,
        until: Instant,
    },
    /// Workers finish; who is left then is killed.
    Draining {
        began: Instant,
        kill_at: Instant,
        is_cut: bool,
    },
    /// Another master has taken over. Workers finish, however long that takes.
    HandedOver,
    /// Nothing ever became ready, or QUIT: the exit status once all are reaped.
    Stopping {
        status: u8,
    },
}

impl Stage {
    /// The server works as ever, and the dead are replaced.
    pub fn is_serving(self) -> bool {
        matches!(self, Stage::Serving | Stage::LameDuck { .. })
    }

    pub fn deadline(self) -> Option<Instant> {
        match self {
            Stage::LameDuck { until, .. } => Some(until),
            Stage::Draining { kill_at, .. } => Some(kill_at),
            Stage::Serving | Stage::HandedOver | Stage::Stopping { .. } => None,
        }
    }
}

/// How it ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ending {
    pub status: u8,
    /// A stop that was asked for has cut connections. To who asked that is a failure, to the service manager it is none.
    pub has_cut: bool,
}

impl Master {
    /// The first time: finish what is in flight, after the delay if there is one. Once more: no delay; once more: cut what is
    /// left. `who` wants it.
    pub(super) fn stop(&mut self, who: &str, now: Instant) {
        let delay = self.start.config.drain_delay;
        match self.stage {
            Stage::Serving if delay.is_zero() => self.drain(who, now),
            Stage::Serving => {
                log::info!("{who}: stopping in {delay:.1?}; {}", self.say_health());
                self.abandon_upgrade("the server stops");
                self.tell_elder(Word::Stop, delay + self.start.config.graceful_timeout, now);
                self.order_all(Order::LameDuck);
                self.stage = Stage::LameDuck { began: now, until: now + delay };
            }
            Stage::LameDuck { began, .. } if now.duration_since(began) < SAME_WISH => {}
            Stage::LameDuck { .. } | Stage::HandedOver => self.drain(who, now),
            Stage::Draining { began, .. } if now.duration_since(began) < SAME_WISH => {}
            Stage::Draining { began, is_cut: false, .. } => {
                log::warn!("{who} again: cutting what is left");
                self.tell_elder(Word::Stop, Duration::ZERO, now);
                self.order_all(Order::Cut);
                self.stage = Stage::Draining { began, kill_at: now + KILL_MARGIN, is_cut: true };
            }
            Stage::Draining { .. } | Stage::Stopping { .. } => {}
        }
    }

    /// What tells balancers of the stop.
    fn say_health(&self) -> String {
        let own = match self.start.health {
            Health::At(path) => Some(path),
            Health::AppsOwn | Health::Nowhere => None,
        };
        let paths: Vec<&str> = own.into_iter().chain(self.start.config.health_path.as_deref()).collect();
        match (paths.is_empty(), self.start.health) {
            (false, _) => format!("{} answers 503 until then", paths.join(", as does ")),
            (true, Health::Nowhere) => "nothing says so to a balancer: --health-path would".to_string(),
            (true, _) => "the application knows; without --health-path it alone can tell a balancer".to_string(),
        }
    }

    fn drain(&mut self, who: &str, now: Instant) {
        let totals = self.scoreboard.totals();
        let graceful = self.start.config.graceful_timeout;
        log::info!(
            "{who}: draining {}, {} in flight, for at most {graceful:.1?}",
            counted(totals.connections, "connection"),
            counted(totals.in_flight, "request")
        );
        self.abandon_reload("the server stops");
        self.abandon_upgrade("the server stops");
        if !matches!(self.stage, Stage::LameDuck { .. }) {
            self.tell_elder(Word::Stop, graceful, now);
        }
        if self.stage != Stage::HandedOver {
            self.cut_before = totals.cut;
        }
        self.leave_sockets_to_predecessor();
        self.start.pidfile.iter().for_each(Pidfile::release);
        // The workers let in who is in the doorway; then nobody holds the sockets any more.
        remove_unix_sockets(&mut self.start.bound);
        for bound in &mut self.start.bound {
            bound.stop_new_connections();
            bound.close();
        }
        self.children.close();
        self.order_all(Order::Drain);
        self.stage = Stage::Draining { began: now, kill_at: now + graceful + KILL_MARGIN, is_cut: false };
    }

    pub(super) fn keep_stopping(&mut self, now: Instant) {
        if matches!(self.stage, Stage::LameDuck { until, .. } if now >= until) {
            self.drain("--drain-delay is over", now);
        }
    }

    /// As QUIT has it.
    pub(super) fn stop_now(&mut self, now: Instant) {
        self.tell_elder(Word::StopNow, Duration::ZERO, now);
        self.stop_at_once(0);
    }

    pub(super) fn stop_at_once(&mut self, status: u8) {
        self.abandon_upgrade("the server stops");
        self.children.close();
        self.stage = Stage::Stopping { status };
        for (_, child) in self.children.iter_mut() {
            child.is_killed = true;
            // It may have died just now.
            let _ = kill(child.pid, Signal::SIGKILL);
        }
    }

    /// How it ended, once no process is left, not even the master before this one.
    pub(super) fn finished(&mut self) -> Option<Ending> {
        if self.children.count() > 0 || self.elder.is_some() {
            return None;
        }
        match self.stage {
            Stage::Serving | Stage::LameDuck { .. } => None,
            Stage::Stopping { status } => Some(Ending { status, has_cut: false }),
            Stage::HandedOver | Stage::Draining { .. } => {
                let totals = self.scoreboard.totals();
                let cut = totals.cut - self.cut_before + self.cut_by_kill;
                let has_cut = cut > 0 || self.elder_has_cut;
                if let Some(heir) = self.heir.as_ref().filter(|_| has_cut) {
                    heir.hear_of_cuts();
                }
                if cut == 0 {
                    let requests = counted(totals.requests, "request");
                    log::info!("drained: {requests} answered in all{}", and_refused(totals.refused));
                } else {
                    log::warn!(
                        "stopped: {} answered in all, {} cut while in use",
                        counted(totals.requests, "request"),
                        counted(cut, "connection")
                    );
                }
                Some(Ending { status: 0, has_cut })
            }
        }
    }

    /// Who ends before it has taken over: the sockets, and the files of those that are Unix's, are the other master's.
    fn leave_sockets_to_predecessor(&mut self) {
        if self.start.predecessor.is_some() {
            self.start.bound.iter_mut().for_each(Bound::hand_over);
        }
    }

    pub(super) fn clean_up(&mut self, ending: Ending) -> u8 {
        self.leave_sockets_to_predecessor();
        self.tell_the_end(ending);
        remove_unix_sockets(&mut self.start.bound);
        if let Some(pidfile) = &mut self.start.pidfile {
            pidfile.remove();
        }
        if let Some(control) = &self.start.control {
            control.remove();
        }
        ending.status
    }
}
