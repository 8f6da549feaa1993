//! What the master does when it is told to.

use super::Master;
use super::stopping::Stage;
use super::waiting::Wait;
use crate::children::Phase;
use crate::command::Command;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use signal_hook::consts::SIGCHLD;
use std::time::{Duration, Instant};
use tine_common::config::WORKERS_MAX;
use tine_common::message::Order;

/// Who is not needed any more and not ready either has this long to become so and to leave.
const BOOT_MARGIN: Duration = Duration::from_secs(5);

impl Master {
    pub(super) fn hear_signals(&mut self, now: Instant) {
        let signals: Vec<i32> = self.signals.pending().filter(|&signal| signal != SIGCHLD).collect();
        for signal in signals {
            let name = Signal::try_from(signal).map_or("an unknown signal", Signal::as_str);
            // The dead are reaped in every turn.
            let Some(command) = Command::of_signal(signal) else { continue };
            if let Err(why) = self.obey(command, name, now) {
                log::warn!("{name}: {why}");
            }
        }
    }

    /// Begins what was asked for by `who`; says what its end is, or why it cannot be.
    pub(super) fn obey(&mut self, command: Command, who: &str, now: Instant) -> Result<Wait, String> {
        match command {
            Command::Stop => {
                self.stop(who, now);
                return Ok(Wait::End);
            }
            Command::StopNow => {
                log::info!("{who}: stopping at once, {} requests in flight", self.scoreboard.totals().in_flight);
                self.stop_now(now);
                return Ok(Wait::End);
            }
            _ if self.stage != Stage::Serving => return Err("the server stops".to_string()),
            _ => {}
        }
        let workers = self.children.slots.len();
        Ok(match command {
            Command::Stop | Command::StopNow => Wait::End,
            Command::Reload => {
                self.reload(who, now);
                Wait::Reload { generation: self.generation }
            }
            Command::Upgrade => self.upgrade(who, now).map(|()| Wait::Upgrade)?,
            Command::ReopenLogs => self.reopen_logs(who).map(|()| Wait::Done)?,
            Command::Add => self.scale(workers + 1, who, now).map(|()| Wait::Workers)?,
            Command::Remove => self.scale(workers - 1, who, now).map(|()| Wait::Workers)?,
            Command::Scale(wanted) => self.scale(wanted, who, now).map(|()| Wait::Workers)?,
            Command::Rest => {
                self.rest(who, now);
                Wait::Done
            }
            Command::Drain(slot) => {
                let (_, pid) = self.filled(slot)?;
                log::info!("{who}: worker {slot} takes nobody in any more, and is replaced");
                // It says so itself, and is replaced then; with a deadline, as whenever it is told alone.
                kill(pid, Signal::SIGTERM).map_err(|e| format!("worker {slot} cannot be told: {e}"))?;
                Wait::Gone { slot, pid }
            }
            Command::Recycle(slot) => {
                let (seat, pid) = self.filled(slot)?;
                log::info!("{who}: worker {slot} is to be replaced");
                self.children.get_mut(seat).into_iter().for_each(|child| child.is_due = true);
                Wait::Replaced { slot, pid }
            }
        })
    }

    fn reopen_logs(&mut self, who: &str) -> Result<(), String> {
        tine_common::log::reopen()?;
        self.order_all(Order::ReopenLogs);
        log::info!("{who}: the log goes on here");
        Ok(())
    }

    /// The seat and the process of the worker that fills a slot.
    fn filled(&self, slot: usize) -> Result<(usize, Pid), String> {
        let slots = self.children.slots.len();
        let entry = self.children.slots.get(slot);
        let entry = entry.ok_or_else(|| format!("there is no slot {slot}; there are {slots}, counted from 0"))?;
        let seat = entry.current.and_then(|seat| Some((seat, self.children.get(seat)?.pid)));
        seat.ok_or_else(|| format!("slot {slot} has no worker now"))
    }

    fn scale(&mut self, wanted: usize, who: &str, now: Instant) -> Result<(), String> {
        let before = self.children.slots.len();
        if wanted == 0 {
            return Err("one worker is the least".to_string());
        }
        if wanted > WORKERS_MAX {
            return Err(format!("{WORKERS_MAX} workers are the most"));
        }
        if wanted != before {
            log::info!("{who}: {wanted} workers instead of {before}");
        }
        if wanted >= before && !self.children.is_open() {
            self.children.open(now);
        }
        while self.children.slots.len() < wanted {
            self.children.add(now);
        }
        while self.children.slots.len() > wanted {
            for seat in self.children.take_last() {
                self.let_go(seat, now);
            }
        }
        Ok(())
    }

    /// Sends all workers away; who wants to be let in waits.
    fn rest(&mut self, who: &str, now: Instant) {
        if !self.children.is_open() {
            return;
        }
        log::info!("{who}: all workers leave; HUP brings others");
        self.abandon_reload("all workers leave");
        self.send_all_away(now);
    }

    /// All children leave, and nobody is started any more.
    pub(super) fn send_all_away(&mut self, now: Instant) {
        self.children.close();
        self.children.seats().into_iter().for_each(|seat| self.let_go(seat, now));
    }

    /// A child takes nobody in any more and finishes, however long that takes; one that is not ready yet hears it when it
    /// is, if it is soon.
    pub(super) fn let_go(&mut self, seat: usize, now: Instant) {
        let kill_at = match self.children.get(seat).map(|child| child.phase) {
            Some(Phase::Ready) => None,
            // It may be ready by now, and have somebody: it is not killed at once.
            Some(Phase::Booting) => Some(now + BOOT_MARGIN),
            Some(Phase::Leaving { .. }) | None => return,
        };
        self.order(seat, Order::Leave);
        self.children.on_leaving(seat, kill_at, now);
    }
}
