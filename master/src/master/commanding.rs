//! Carries out the commands of signals, of the control socket and of a new master: events queue them, one step obeys them.

use super::Master;
use super::waiting::Wait;
use crate::children::Phase;
use crate::command::Command;
use crate::control::ClientId;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::time::{Duration, Instant};
use tine_common::access_log::Sink;
use tine_common::config::WORKERS_MAX;
use tine_common::message::Order;
use tine_common::metric::Metric;

/// A worker that is told to leave while it boots has this long to become ready and exit.
const BOOT_MARGIN: Duration = Duration::from_secs(5);

/// A command that the next step of the loop obeys.
pub struct Asked {
    command: Command,
    /// For the log: the name of a signal, `tine ctl`, the new master.
    source: &'static str,
    /// The control client that waits for the outcome.
    client: Option<ClientId>,
}

impl Master {
    pub(super) fn take_signals(&mut self) {
        for signal in self.signals.pending() {
            // SIGCHLD is none: it only ends the poll.
            let Some(command) = Command::of_signal(signal) else { continue };
            let source = Signal::try_from(signal).map_or("an unknown signal", Signal::as_str);
            self.commands.push(Asked { command, source, client: None });
        }
    }

    /// Queues a command: it is obeyed once all events of the turn are handled.
    pub(super) fn ask(&mut self, command: Command, source: &'static str, client: Option<ClientId>) {
        self.commands.push(Asked { command, source, client });
    }

    /// Obeys the commands of this turn, after all of its events.
    pub(super) fn obey_all(&mut self, now: Instant) {
        for Asked { command, source, client } in std::mem::take(&mut self.commands) {
            let outcome = self.obey(command, source, now);
            if let Err(why) = &outcome {
                log::warn!("{source}: {why}");
            }
            if let Some(client) = client {
                self.begin_wait(client, outcome);
            }
        }
    }

    /// Begins a command that came from `source`; returns what its outcome is, or why it is refused.
    fn obey(&mut self, command: Command, source: &str, now: Instant) -> Result<Wait, String> {
        let is_always_possible = match &command {
            Command::Status | Command::Workers | Command::Stop | Command::StopNow => true,
            Command::Limit { set } => set.is_empty(),
            _ => false,
        };
        if self.is_stopping() && !is_always_possible {
            return Err("the server is stopping".to_string());
        }
        let workers = self.children.positions.len();
        Ok(match command {
            Command::Status => Wait::Status { with_workers: false },
            Command::Workers => Wait::Status { with_workers: true },
            Command::Stop => {
                self.stop(source, now);
                Wait::End
            }
            Command::StopNow => {
                let in_flight = self.scoreboard.own_totals()[Metric::InFlight];
                log::info!("{source}: stopping at once, {in_flight} requests in flight");
                self.stop_now(now);
                Wait::End
            }
            Command::Reload => {
                self.reload(source, now)?;
                Wait::Reload { generation: self.replacing.generation() }
            }
            Command::Upgrade => self.upgrade(source, now).map(|()| Wait::Upgrade)?,
            Command::Limit { set } if set.is_empty() => Wait::Status { with_workers: false },
            Command::Limit { set } => self.change_limits(&set, source).map(|()| Wait::Limits)?,
            Command::ReopenLogs => self.reopen_logs(source).map(|()| Wait::Done)?,
            Command::Add => self.scale(workers + 1, source, now).map(|()| Wait::Workers)?,
            Command::Remove => self.scale(workers - 1, source, now).map(|()| Wait::Workers)?,
            Command::Scale { workers } => self.scale(workers, source, now).map(|()| Wait::Workers)?,
            Command::Rest => {
                self.rest(source, now);
                Wait::Done
            }
            Command::Drain { slot: index } => {
                let (slot, pid) = self.filled(index)?;
                log::info!("{source}: draining worker {index}, which is then replaced");
                // The worker reports that it leaves, and is replaced then; it has a deadline, as after any SIGTERM.
                kill(pid, Signal::SIGTERM).map_err(|e| format!("worker {index} cannot be signalled: {e}"))?;
                self.children.get_mut(slot).into_iter().for_each(|child| child.is_told = true);
                Wait::Gone { index, pid }
            }
            Command::Recycle { slot: index } => {
                let (slot, pid) = self.filled(index)?;
                log::info!("{source}: replacing worker {index}");
                self.children.get_mut(slot).into_iter().for_each(|child| child.is_due = true);
                Wait::Replaced { index, pid }
            }
        })
    }

    fn reopen_logs(&mut self, source: &str) -> Result<(), String> {
        tine_common::log::reopen()?;
        // This one is for workers that are forked from now on.
        self.access_log.as_mut().map_or(Ok(()), Sink::reopen)?;
        self.order_all(Order::ReopenLogs);
        log::info!("{source}: log reopened");
        Ok(())
    }

    /// The slot and the process of the current worker of an index.
    fn filled(&self, index: usize) -> Result<(usize, Pid), String> {
        let positions = self.children.positions.len();
        let entry = self.children.positions.get(index);
        let entry = entry.ok_or_else(|| format!("there is no slot {index}; there are {positions}, counted from 0"))?;
        let slot = entry.current.and_then(|slot| Some((slot, self.children.get(slot)?.pid)));
        slot.ok_or_else(|| format!("slot {index} has no worker now"))
    }

    pub(super) fn scale(&mut self, wanted: usize, source: &str, now: Instant) -> Result<(), String> {
        let before = self.children.positions.len();
        if wanted == 0 {
            return Err("at least one worker is needed".to_string());
        }
        if wanted > WORKERS_MAX {
            return Err(format!("at most {WORKERS_MAX} workers are possible"));
        }
        if wanted != before {
            log::info!("{source}: {wanted} workers instead of {before}");
        }
        if wanted >= before && !self.children.is_open() {
            self.children.open(now);
        }
        while self.children.positions.len() < wanted {
            self.children.add(now);
        }
        while self.children.positions.len() > wanted {
            for slot in self.children.take_last() {
                self.order_leave(slot, now);
            }
        }
        Ok(())
    }

    /// Lets all workers leave; new connections wait in the queues.
    fn rest(&mut self, source: &str, now: Instant) {
        if !self.children.is_open() {
            return;
        }
        log::info!("{source}: all workers leave; HUP starts new ones");
        self.abandon_reload("all workers leave");
        self.order_all_to_leave(now);
    }

    /// Lets all children leave and starts no more.
    pub(super) fn order_all_to_leave(&mut self, now: Instant) {
        self.children.close();
        self.children.slots().into_iter().for_each(|slot| self.order_leave(slot, now));
    }

    /// Lets a child leave: it accepts no more connections and finishes, however long that takes. A booting child obeys once
    /// it is ready, within [`BOOT_MARGIN`].
    pub(super) fn order_leave(&mut self, slot: usize, now: Instant) {
        let kill_at = match self.children.get(slot).map(|child| child.phase) {
            Some(Phase::Ready) => None,
            // It may be ready by now and have clients, so it is not killed at once.
            Some(Phase::Booting) => Some(now + BOOT_MARGIN),
            Some(Phase::Leaving { .. }) | None => return,
        };
        self.order(slot, Order::Leave);
        self.children.on_leaving(slot, kill_at, now);
    }
}
