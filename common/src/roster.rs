//! The roster: what the master knows of the server and no worker's slot tells. With the slots it makes a [`Status`].
//!
//! The master makes the status of its own roster when a control client asks; and it posts the roster on the bulletin, so that
//! the process of `--admin` makes the same status while the master is busy or stopped.

use crate::in_flight_table::InFlight;
use crate::limit_status::LimitsStatus;
use crate::log::Event;
use crate::metric::Metric;
use crate::resident;
use crate::scoreboard::Scoreboard;
use crate::status::{RequestStatus, ServerState, Status, WorkerState, WorkerStatus};
use crate::telemetry::Latency;
use serde::{Deserialize, Serialize};
use std::time::{Duration, Instant};

/// A sleeping worker has a heartbeat every second; one that has none for this long is shown as hung.
const HUNG_AFTER: Duration = Duration::from_secs(3);

/// Times are milliseconds of the scoreboard's clock.
#[derive(Debug, Default, Clone, PartialEq, Serialize, Deserialize)]
pub struct Roster {
    /// The master's process id.
    pub pid: u32,
    pub began_ms: u64,
    /// By the wall clock, read once: what is computed from two clocks at each question would differ by a second.
    pub began_unix_s: u64,
    /// The processes beside the workers, such as that of `--admin`.
    pub helper_pids: Vec<u32>,
    pub name: String,
    pub listen: Vec<String>,
    /// Of the next worker to be forked.
    pub generation: u64,
    pub state: ServerState,
    pub workers_wanted: u64,
    /// Why the last worker died unexpectedly, and when.
    pub last_cause: Option<(String, u64)>,
    /// The progress of the reload or upgrade, or the outcome of the last one.
    pub reload: Option<String>,
    /// The limits that `tine ctl limit` has set.
    pub limits_set: Vec<String>,
    pub processes: Vec<Process>,
    /// Worker indexes without a process, and when the next one is started.
    pub vacancies: Vec<(usize, Option<u64>)>,
    /// The log of the master, the last lines.
    pub events: Vec<Event>,
}

/// A worker process.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Process {
    /// The number of its slot of the scoreboard.
    pub slot: usize,
    pub index: usize,
    pub pid: u32,
    pub generation: u64,
    pub state: WorkerState,
    pub started_ms: u64,
}

impl Roster {
    /// The status now. `with_workers`: with that of each worker. The memory is not read here, as that may take long.
    pub fn status(&self, scoreboard: &Scoreboard, with_workers: bool, now: Instant) -> Status {
        let ready = self.processes.iter().filter(|process| process.state == WorkerState::Ready);
        let mut generations: Vec<u64> = ready.clone().map(|process| process.generation).collect();
        generations.sort_unstable();
        generations.dedup();
        let since = |ms: u64| scoreboard.since(ms, now).as_secs_f64();
        Status {
            version: crate::VERSION.to_string(),
            pid: self.pid,
            uptime_s: since(self.began_ms),
            name: self.name.clone(),
            listen: self.listen.clone(),
            generation: generations.last().copied().unwrap_or(self.generation),
            generations,
            state: self.state,
            workers_wanted: self.workers_wanted,
            workers_ready: ready.count() as u64,
            totals: scoreboard.totals(),
            memory_bytes: None,
            durations: scoreboard.telemetry().latencies(Latency::Duration),
            last_cause: self.last_cause.as_ref().map(|(cause, _)| cause.clone()),
            last_cause_age_s: self.last_cause.as_ref().map(|(_, ms)| since(*ms)),
            reload: self.reload.clone(),
            limits: Some(LimitsStatus::of(scoreboard, &self.limits_set, now)),
            workers: if with_workers { self.workers(scoreboard, now) } else { Vec::new() },
        }
    }

    /// The process ids of the whole server.
    pub fn pids(&self) -> impl Iterator<Item = u32> {
        let workers = self.processes.iter().map(|process| process.pid);
        std::iter::once(self.pid).chain(workers).chain(self.helper_pids.iter().copied())
    }

    /// Workers that are ready and have a heartbeat.
    pub fn count_responding(&self, scoreboard: &Scoreboard, now: Instant) -> usize {
        let responds = |process: &&Process| process.state_now(scoreboard, now) == WorkerState::Ready;
        self.processes.iter().filter(responds).count()
    }

    fn workers(&self, scoreboard: &Scoreboard, now: Instant) -> Vec<WorkerStatus> {
        let mut all: Vec<WorkerStatus> = self.processes.iter().map(|process| process.status(scoreboard, now)).collect();
        let now_ms = scoreboard.ms(now);
        all.extend(self.vacancies.iter().map(|&(index, starts_ms)| WorkerStatus {
            slot: index as u64,
            state: WorkerState::Waiting,
            starts_in_s: starts_ms.map(|ms| Duration::from_millis(ms.saturating_sub(now_ms)).as_secs_f64()),
            ..WorkerStatus::default()
        }));
        all.sort_by_key(|worker| (worker.slot, worker.generation));
        all
    }
}

impl Process {
    /// What the master knows, unless its heartbeat is overdue.
    fn state_now(&self, scoreboard: &Scoreboard, now: Instant) -> WorkerState {
        match scoreboard.slot(self.slot).heartbeat_age(now) {
            Some(age) if age >= HUNG_AFTER => WorkerState::Hung,
            _ => self.state,
        }
    }

    fn status(&self, scoreboard: &Scoreboard, now: Instant) -> WorkerStatus {
        let slot = scoreboard.slot(self.slot);
        let requests = scoreboard.in_flight_table(self.slot).requests(now);
        WorkerStatus {
            slot: self.index as u64,
            pid: Some(self.pid),
            generation: self.generation,
            state: self.state_now(scoreboard, now),
            age_s: scoreboard.since(self.started_ms, now).as_secs_f64(),
            beat_age_s: slot.heartbeat_age(now).map(|age| age.as_secs_f64()),
            starts_in_s: None,
            connections: slot.get(Metric::Connections),
            in_flight: slot.get(Metric::InFlight),
            requests: slot.get(Metric::Requests),
            cpu_s: resident::cpu_seconds(self.pid).unwrap_or_default(),
            rss_bytes: resident::alone(self.pid).unwrap_or_default(),
            is_elected: scoreboard.election().elected() == Some(self.pid),
            in_flight_requests: requests.listed.into_iter().map(RequestStatus::from).collect(),
            in_flight_not_shown: requests.others,
        }
    }
}

impl From<InFlight> for RequestStatus {
    fn from(request: InFlight) -> RequestStatus {
        RequestStatus {
            method: request.method,
            target: request.target + if request.is_cut { "…" } else { "" },
            age_s: request.age.as_secs_f64(),
            is_running: request.is_running,
        }
    }
}
