//! What the master does when it is told to.

use super::stopping::Stage;
use super::{KILL_MARGIN, Master};
use crate::children::Phase;
use crate::command::Command;
use nix::sys::signal::{Signal, kill};
use signal_hook::consts::SIGCHLD;
use std::time::Instant;
use tine_common::config::WORKERS_MAX;
use tine_common::message::Order;

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

    /// Begins what was asked for by `who`; the error says why it cannot be.
    pub(super) fn obey(&mut self, command: Command, who: &str, now: Instant) -> Result<(), String> {
        match command {
            Command::Stop => {
                self.stop(who, now);
                return Ok(());
            }
            Command::StopNow => {
                log::info!("{who}: stopping at once, {} requests in flight", self.scoreboard.totals().in_flight);
                self.stop_at_once(0);
                return Ok(());
            }
            _ if self.stage != Stage::Serving => return Err("the server stops".to_string()),
            _ => {}
        }
        let workers = self.children.slots.len();
        match command {
            Command::Stop | Command::StopNow => {}
            Command::Reload => self.reload(who, now),
            Command::Upgrade => return self.upgrade(who, now),
            Command::ReopenLogs => return self.reopen_logs(who),
            Command::Add => return self.scale(workers + 1, who, now),
            Command::Remove => return self.scale(workers - 1, who, now),
            Command::Scale(wanted) => return self.scale(wanted, who, now),
            Command::Rest => self.rest(who, now),
            Command::Drain(slot) => {
                let seat = self.filled(slot)?;
                log::info!("{who}: worker {slot} takes nobody in any more, and is replaced");
                self.let_go(seat, now);
            }
            Command::Recycle(slot) => {
                let seat = self.filled(slot)?;
                log::info!("{who}: worker {slot} is to be replaced");
                self.children.get_mut(seat).into_iter().for_each(|child| child.is_due = true);
            }
        }
        Ok(())
    }

    fn reopen_logs(&mut self, who: &str) -> Result<(), String> {
        tine_common::log::reopen()?;
        self.order_all(Order::ReopenLogs);
        log::info!("{who}: the log goes on here");
        Ok(())
    }

    /// The seat of the worker that fills a slot.
    fn filled(&self, slot: usize) -> Result<usize, String> {
        let slots = self.children.slots.len();
        let entry = self.children.slots.get(slot);
        let entry = entry.ok_or_else(|| format!("there is no slot {slot}; there are {slots}, counted from 0"))?;
        entry.current.ok_or_else(|| format!("slot {slot} has no worker now"))
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
        if !self.children.is_open() {
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
        self.children.close();
        let seats: Vec<usize> = self.children.iter().map(|(seat, _)| seat).collect();
        seats.into_iter().for_each(|seat| self.let_go(seat, now));
    }

    /// A child takes nobody in any more and finishes, however long that takes; one that is not ready yet just ends.
    pub(super) fn let_go(&mut self, seat: usize, now: Instant) {
        match self.children.get(seat).map(|child| (child.phase, child.pid)) {
            Some((Phase::Ready, _)) => {
                self.order(seat, Order::Leave);
                self.children.on_leaving(seat, None, now);
            }
            Some((Phase::Booting, pid)) => {
                self.children.on_leaving(seat, Some(now + KILL_MARGIN), now);
                // It serves nobody. It may have died just now.
                let _ = kill(pid, Signal::SIGKILL);
            }
            Some((Phase::Leaving { .. }, _)) | None => {}
        }
    }
}
