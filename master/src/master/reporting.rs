//! The server's status, from the table of children and the scoreboard; available even if no worker responds. And the memory
//! line in the log.

use super::Master;
use super::upgrading::UPGRADE_PROGRESS;
use crate::children::{Child, Phase};
use crate::listener::Bound;
use crate::memory_line::Counts;
use crate::resident;
use std::collections::BTreeSet;
use std::time::{Duration, Instant};
use tine_common::VERSION;
use tine_common::metric::Metric;
use tine_common::status::{RequestStatus, ServerState, Status, WorkerState, WorkerStatus};
use tine_common::units;

/// A sleeping worker has a heartbeat every second.
const HUNG_AFTER: Duration = Duration::from_secs(3);

impl Master {
    /// `with_workers`: with the status of each worker.
    pub(super) fn status(&self, with_workers: bool, now: Instant) -> Status {
        let generations = self.generations();
        let last_cause = self.supervising.last_cause();
        let pids = self.children.iter().map(|(_, child)| child.pid.as_raw() as u32);
        Status {
            version: VERSION.to_string(),
            pid: self.pid,
            uptime_s: now.duration_since(self.began).as_secs_f64(),
            name: self.about.name.clone(),
            listen: self.bound.iter().map(Bound::url).collect(),
            generation: generations.last().copied().unwrap_or(self.replacing.generation()),
            generations,
            state: self.condition(),
            workers_wanted: self.children.positions.len() as u64,
            workers_ready: self.children.count_ready() as u64,
            totals: self.scoreboard.totals(),
            memory_bytes: resident::together(std::iter::once(self.pid).chain(pids)),
            last_cause: last_cause.map(|(cause, _)| cause.to_string()),
            last_cause_age_s: last_cause.map(|(_, at)| now.duration_since(at).as_secs_f64()),
            reload: self.reload_text(),
            workers: if with_workers { self.workers(now) } else { Vec::new() },
        }
    }

    /// The generations that have ready workers.
    fn generations(&self) -> Vec<u64> {
        let ready = self.children.iter().filter(|(_, child)| child.phase == Phase::Ready);
        let generations: BTreeSet<u64> = ready.map(|(_, child)| child.generation).collect();
        generations.into_iter().collect()
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

    fn workers(&self, now: Instant) -> Vec<WorkerStatus> {
        let mut all: Vec<WorkerStatus> =
            self.children.iter().map(|(slot, child)| self.worker(slot, child, now)).collect();
        let waiting = self.children.positions.iter().enumerate().filter(|(_, position)| position.current.is_none());
        all.extend(waiting.map(|(index, entry)| WorkerStatus {
            slot: index as u64,
            state: WorkerState::Waiting,
            starts_in_s: entry.next_start.map(|at| at.saturating_duration_since(now).as_secs_f64()),
            ..WorkerStatus::default()
        }));
        all.sort_by_key(|worker| (worker.slot, worker.generation));
        all
    }

    fn worker(&self, slot: usize, child: &Child, now: Instant) -> WorkerStatus {
        let (shared, pid) = (self.scoreboard.slot(slot), child.pid.as_raw() as u32);
        let heartbeat_age = shared.heartbeat_age(now);
        let requests = self.scoreboard.in_flight_table(slot).requests(now);
        let listed = requests.listed.into_iter().map(|request| RequestStatus {
            method: request.method,
            target: request.target + if request.is_cut { "…" } else { "" },
            age_s: request.age.as_secs_f64(),
            is_running: request.is_running,
        });
        WorkerStatus {
            slot: child.index as u64,
            pid: Some(pid),
            generation: child.generation,
            state: match child.phase {
                _ if heartbeat_age.is_some_and(|age| age >= HUNG_AFTER) => WorkerState::Hung,
                Phase::Booting => WorkerState::Booting,
                Phase::Ready => WorkerState::Ready,
                Phase::Leaving { .. } => WorkerState::Leaving,
            },
            age_s: now.duration_since(child.started).as_secs_f64(),
            beat_age_s: heartbeat_age.map(|age| age.as_secs_f64()),
            starts_in_s: None,
            connections: shared.get(Metric::Connections),
            in_flight: shared.get(Metric::InFlight),
            requests: shared.get(Metric::Requests),
            cpu_s: resident::cpu_seconds(pid).unwrap_or_default(),
            rss_bytes: resident::alone(pid).unwrap_or_default(),
            in_flight_requests: listed.collect(),
            in_flight_not_shown: requests.others,
        }
    }

    /// Logs the memory line when it is due.
    pub(super) fn log_memory(&mut self, now: Instant) {
        let Some(memory_line) = self.memory_line.as_mut().filter(|line| line.due() <= now) else { return };
        let workers = self.children.iter().map(|(_, child)| child.pid.as_raw() as u32);
        let memory_bytes = resident::together(std::iter::once(self.pid).chain(workers));
        let totals = self.scoreboard.totals();
        let (connections, in_flight, requests) =
            (totals[Metric::Connections], totals[Metric::InFlight], totals[Metric::Requests]);
        if let Some(line) = memory_line.sample(now, Counts { memory_bytes, connections, in_flight, requests }) {
            log::info!("{line}");
        }
    }
}

/// `1 worker`, `3 workers`.
pub(super) fn counted(workers: usize) -> String {
    units::counted(workers as u64, "worker")
}
