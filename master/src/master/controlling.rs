//! The requests of the control socket: what the master answers, and what it carries out.

use super::Master;
use super::stopping::Stage;
use crate::children::{Child, Phase};
use crate::command::Command;
use crate::control::{Answer, Request};
use crate::listener::Bound;
use crate::{cpu, resident};
use std::time::Instant;
use tine_common::VERSION;
use tine_common::status::{ServerState, Status, WorkerState, WorkerStatus};

impl Master {
    pub(super) fn hear_callers(&mut self, now: Instant) {
        let requests = self.start.control.as_mut().map(|control| control.turn(now)).unwrap_or_default();
        for (caller, request) in requests {
            let outcome = self.carry_out(request, now);
            if let Some(control) = &mut self.start.control {
                control.answer(caller, outcome);
            }
        }
    }

    fn carry_out(&mut self, request: Request, now: Instant) -> Result<Answer, String> {
        let command = match request {
            Request::Status => return Ok(Answer::status(self.status(now))),
            Request::Workers => {
                return Ok(Answer::status(Status { workers: self.worker_statuses(now), ..self.status(now) }));
            }
            Request::Reload => Command::Reload,
            Request::Upgrade => Command::Upgrade,
            Request::Scale { workers } => Command::Scale(workers),
            Request::Add => Command::Add,
            Request::Remove => Command::Remove,
            Request::Drain { slot } => Command::Drain(slot),
            Request::Recycle { slot } => Command::Recycle(slot),
            Request::ReopenLogs => Command::ReopenLogs,
            Request::Stop => Command::Stop,
        };
        self.obey(command, "tine ctl", now)?;
        Ok(Answer::said("begun"))
    }

    fn status(&self, now: Instant) -> Status {
        let totals = self.scoreboard.totals();
        let pids = self.children.iter().map(|(_, child)| child.pid.as_raw() as u32);
        let state = match self.stage {
            Stage::Draining { .. } | Stage::Stopping { .. } | Stage::Unready { .. } => ServerState::Draining,
            Stage::Serving if !self.ever_ready => ServerState::Starting,
            Stage::Serving if !self.children.is_open() => ServerState::Resting,
            Stage::Serving if self.reload.is_some() => ServerState::Reloading,
            Stage::Serving => ServerState::Serving,
        };
        Status {
            version: VERSION.to_string(),
            pid: self.pid,
            uptime_s: now.duration_since(self.began).as_secs_f64(),
            name: self.start.name.clone(),
            listen: self.start.bound.iter().map(Bound::url).collect(),
            generation: self.generation,
            state,
            workers_wanted: self.children.slots.len() as u64,
            workers_ready: self.children.count_ready() as u64,
            connections: totals.connections,
            in_flight: totals.in_flight,
            requests: totals.requests,
            accepted: totals.accepted,
            refused: totals.refused,
            cut: totals.cut,
            memory_bytes: resident::together(std::iter::once(self.pid).chain(pids)),
            last_cause: self.last_cause.clone(),
            reload: None,
            workers: Vec::new(),
        }
    }

    fn worker_statuses(&self, now: Instant) -> Vec<WorkerStatus> {
        let mut workers: Vec<WorkerStatus> =
            self.children.iter().map(|(seat, child)| self.worker_status(seat, child, now)).collect();
        for (slot, entry) in self.children.slots.iter().enumerate() {
            if let Some(at) = entry.next_start {
                workers.push(WorkerStatus {
                    slot: slot as u64,
                    state: WorkerState::Waiting,
                    starts_in_s: Some(at.saturating_duration_since(now).as_secs_f64()),
                    generation: self.generation,
                    ..WorkerStatus::default()
                });
            }
        }
        workers.sort_by_key(|worker| (worker.slot, worker.generation));
        workers
    }

    fn worker_status(&self, seat: usize, child: &Child, now: Instant) -> WorkerStatus {
        let pid = child.pid.as_raw() as u32;
        let counters = self.scoreboard.seat(seat);
        WorkerStatus {
            slot: child.slot as u64,
            pid: Some(pid),
            generation: child.generation,
            state: match child.phase {
                _ if child.watch.is_suspect() => WorkerState::Hung,
                Phase::Booting => WorkerState::Booting,
                Phase::Ready => WorkerState::Ready,
                Phase::Leaving { .. } => WorkerState::Leaving,
            },
            age_s: now.duration_since(child.started).as_secs_f64(),
            beat_age_s: counters.beat_age(now).map(|age| age.as_secs_f64()),
            connections: counters.connections(),
            in_flight: counters.in_flight(),
            requests: counters.requests(),
            cpu_s: cpu::seconds(pid).unwrap_or(0.0),
            rss_bytes: resident::alone(pid).unwrap_or(0),
            ..WorkerStatus::default()
        }
    }
}
