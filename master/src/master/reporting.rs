//! The server's status, from the table of children and the scoreboard; available even if no worker responds. And the memory
//! line in the log.

use super::Master;
use super::helper::Helper;
use super::upgrading::UPGRADE_PROGRESS;
use crate::children::{Child, Phase};
use crate::listener::Bound;
use crate::memory_line::Counts;
use std::time::{Instant, UNIX_EPOCH};
use tine_common::metric::Metric;
use tine_common::resident;
use tine_common::roster::{Process, Roster};
use tine_common::status::{ServerState, Status, WorkerState};
use tine_common::units;

impl Master {
    /// `with_workers`: with the status of each worker.
    pub(super) fn status(&self, with_workers: bool, now: Instant) -> Status {
        let memory_bytes = resident::together(self.pids());
        Status { memory_bytes, ..self.roster().status(&self.scoreboard, with_workers, now) }
    }

    /// What the status is made of, besides the scoreboard.
    pub(super) fn roster(&self) -> Roster {
        let ms = |at: Instant| self.scoreboard.ms(at);
        let process = |(slot, child): (usize, &Child)| Process {
            slot,
            index: child.index,
            pid: child.pid.as_raw() as u32,
            generation: child.generation,
            state: match child.phase {
                Phase::Booting => WorkerState::Booting,
                Phase::Ready => WorkerState::Ready,
                Phase::Leaving { .. } => WorkerState::Leaving,
            },
            started_ms: ms(child.started),
        };
        let vacant = self.children.positions.iter().enumerate().filter(|(_, position)| position.current.is_none());
        Roster {
            pid: self.pid,
            began_ms: ms(self.began.0),
            began_unix_s: self.began.1.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs(),
            helper_pids: self.helpers().filter_map(Helper::child).map(|child| child.pid.as_raw() as u32).collect(),
            name: self.about.name.clone(),
            listen: self.bound.iter().map(Bound::url).collect(),
            generation: self.replacing.generation(),
            state: self.condition(),
            workers_wanted: self.children.positions.len() as u64,
            last_cause: self.supervising.last_cause().map(|(cause, at)| (cause.to_string(), ms(at))),
            reload: self.reload_text(),
            limits_set: self.limiting.overrides().changes(),
            processes: self.children.iter().map(process).collect(),
            vacancies: vacant.map(|(index, position)| (index, position.next_start.map(ms))).collect(),
            events: tine_common::log::recent().1,
        }
    }

    /// All processes of the server, which are counted together: over an upgrade, also those of the other master.
    pub(super) fn pids(&self) -> impl Iterator<Item = u32> {
        let children = self.children.iter().map(|(_, child)| child);
        let helpers = self.helpers().filter_map(Helper::child);
        let own = std::iter::once(self.pid).chain(children.chain(helpers).map(|child| child.pid.as_raw() as u32));
        own.chain(self.scoreboard.other_pids())
    }

    /// What the server does: the one answer for control clients and the service manager.
    pub(super) fn condition(&self) -> ServerState {
        if self.is_stopping() {
            ServerState::Draining
        } else if !self.children.is_open() {
            ServerState::Resting
        } else if self.upgrading.is_in_progress() {
            ServerState::Upgrading
        } else if self.replacing.is_reloading() {
            ServerState::Reloading
        } else if !self.boot.has_been_ready() {
            ServerState::Starting
        } else {
            ServerState::Serving
        }
    }

    fn reload_text(&self) -> Option<String> {
        match (self.upgrading.last(), self.replacing.last()) {
            _ if self.replacing.is_reloading() => Some(self.reload_progress()),
            _ if self.upgrading.is_in_progress() => Some(UPGRADE_PROGRESS.to_string()),
            (Some(Err(why)), _) => Some(format!("the last upgrade failed: {why}")),
            (_, Some((_, Ok(said)))) => Some(said.clone()),
            (_, Some((_, Err(why)))) => Some(format!("the last reload failed: {why}")),
            (_, None) => None,
        }
    }

    /// Logs the memory line when it is due.
    pub(super) fn log_memory(&mut self, now: Instant) {
        if self.memory_line.as_ref().is_none_or(|line| line.due() > now) {
            return;
        }
        let memory_bytes = resident::together(self.pids());
        let totals = self.scoreboard.totals();
        let (connections, in_flight, requests) =
            (totals[Metric::Connections], totals[Metric::InFlight], totals[Metric::Requests]);
        let counts = Counts { memory_bytes, connections, in_flight, requests };
        if let Some(line) = self.memory_line.as_mut().and_then(|line| line.sample(now, counts)) {
            log::info!(target: tine_common::log::NUMBERS, "{line}");
        }
    }
}

/// `1 worker`, `3 workers`.
pub(super) fn counted(workers: usize) -> String {
    units::counted(workers as u64, "worker")
}
