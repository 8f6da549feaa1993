//! The server's status, as the master reports it over its control socket: `tine ctl` prints it, `tine top` draws it.
//!
//! The JSON has these names (docs/control.md). The program at the other end may be of another version, after an upgrade
//! or before one: a missing field gets its default, an unknown field is ignored, and an unknown state is `Unknown`.
//! Counters only grow while the server lives; readers calculate rates from two samples.

use crate::limit_status::LimitsStatus;
use crate::metric::Metrics;
use crate::telemetry::LogLinear;
use serde::{Deserialize, Serialize};
use std::fmt;

/// The whole server at one time.
#[derive(Debug, Default, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Status {
    pub version: String,
    /// The master's process id.
    pub pid: u32,
    pub uptime_s: f64,
    /// The name of what is served, as in the banner.
    pub name: String,
    /// The addresses: `http://127.0.0.1:8080`, `unix:/run/tine.sock`.
    pub listen: Vec<String>,
    /// The newest generation that serves: 1, and one more for each reload of the app.
    pub generation: u64,
    /// All generations that serve, the oldest first: several during a reload and after one that failed halfway.
    pub generations: Vec<u64>,
    pub state: ServerState,
    pub workers_wanted: u64,
    pub workers_ready: u64,
    /// Sums over all workers, those that have exited included.
    #[serde(flatten)]
    pub totals: Metrics,
    /// The memory of all processes, each page counted once; `None`: the kernel does not report it.
    pub memory_bytes: Option<u64>,
    /// How long requests took, all since the start: quantiles are of the difference between two samples.
    pub durations: LogLinear,
    /// Why the last worker died unexpectedly.
    pub last_cause: Option<String>,
    /// How long ago that was.
    pub last_cause_age_s: Option<f64>,
    /// The progress of the reload or upgrade, or the outcome of the last one.
    pub reload: Option<String>,
    /// `None`: the server is of a version without limits.
    pub limits: Option<LimitsStatus>,
    /// One for each process, and one for each worker index without a process; only in the answer to `workers`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub workers: Vec<WorkerStatus>,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ServerState {
    /// No worker has been ready yet.
    Starting,
    Serving,
    Reloading,
    Upgrading,
    /// Its workers were drained, and the master waits for an order to resume.
    Resting,
    /// It finishes what is in flight and then exits.
    Draining,
    #[default]
    #[serde(other)]
    Unknown,
}

/// One worker process, or a worker index without a process at the moment.
#[derive(Debug, Default, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct WorkerStatus {
    pub slot: u64,
    /// `None`: there is no process; the next one is about to be started.
    pub pid: Option<u32>,
    pub generation: u64,
    pub state: WorkerState,
    /// Since its fork.
    pub age_s: f64,
    /// Since its last heartbeat; `None` before the first.
    pub beat_age_s: Option<f64>,
    /// Without a process: until the next one is started.
    pub starts_in_s: Option<f64>,
    pub connections: u64,
    pub in_flight: u64,
    /// Answered by this process.
    pub requests: u64,
    /// User and system time so far.
    pub cpu_s: f64,
    pub rss_bytes: u64,
    /// It is the elected worker of the whole server.
    pub is_elected: bool,
    /// The oldest first, as many as the in-flight table keeps.
    pub in_flight_requests: Vec<RequestStatus>,
    /// How many more are in flight.
    pub in_flight_not_shown: u64,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum WorkerState {
    /// No process; one is started in a moment.
    Waiting,
    Booting,
    Ready,
    /// It drains, for whatever reason.
    Leaving,
    /// Its heartbeat is overdue.
    Hung,
    #[default]
    #[serde(other)]
    Unknown,
}

/// A request in flight.
#[derive(Debug, Default, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct RequestStatus {
    pub method: String,
    /// Path and query; truncated if they are long.
    pub target: String,
    /// Since its head was complete.
    pub age_s: f64,
    /// The worker's loop is in it at this moment; a hung worker hangs in it.
    pub is_running: bool,
}

impl fmt::Display for ServerState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            ServerState::Starting => "starting",
            ServerState::Serving => "serving",
            ServerState::Reloading => "reloading",
            ServerState::Upgrading => "upgrading",
            ServerState::Resting => "resting",
            ServerState::Draining => "draining",
            ServerState::Unknown => "unknown",
        })
    }
}

impl fmt::Display for WorkerState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            WorkerState::Waiting => "waiting",
            WorkerState::Booting => "booting",
            WorkerState::Ready => "ready",
            WorkerState::Leaving => "leaving",
            WorkerState::Hung => "hung",
            WorkerState::Unknown => "unknown",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_comes_back_as_it_was_written() {
        let worker = WorkerStatus {
            slot: 3,
            pid: Some(17),
            state: WorkerState::Hung,
            beat_age_s: Some(31.5),
            in_flight_requests: vec![RequestStatus {
                method: "GET".into(),
                target: "/\u{e9}\n".into(),
                ..Default::default()
            }],
            ..Default::default()
        };
        let status = Status { state: ServerState::Reloading, workers: vec![worker], ..Default::default() };
        let text = serde_json::to_string(&status).unwrap();
        assert!(!text.contains('\n') && text.contains(r#""state":"reloading""#) && text.contains(r#""state":"hung""#));
        assert_eq!(serde_json::from_str::<Status>(&text).unwrap(), status);
    }

    #[test]
    fn another_version_is_understood_as_far_as_possible() {
        let text = r#"{"version":"9.0","state":"dreaming","moods":[1],"workers":[{"slot":1,"state":"asleep"}]}"#;
        let status: Status = serde_json::from_str(text).unwrap();
        assert_eq!((status.version.as_str(), status.state), ("9.0", ServerState::Unknown));
        assert_eq!((status.workers[0].slot, status.workers[0].state), (1, WorkerState::Unknown));
    }
}
