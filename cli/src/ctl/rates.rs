//! Rates between two samples of the same server. The samples carry the server's own clock, so the time that an answer takes
//! to arrive does not matter.

use super::is_same_server;
use tine_common::metric::Metric;
use tine_common::status::{Status, WorkerStatus};

/// `None`: not known, as for a worker that was not in the first sample.
#[derive(Debug, Default, Clone, Copy, PartialEq)]
pub struct Rates {
    pub requests_per_s: Option<f64>,
    /// Of one CPU.
    pub cpu_percent: Option<f64>,
}

impl Rates {
    pub fn of_server(before: &Status, after: &Status) -> Rates {
        let Some(seconds) = seconds(before, after) else { return Rates::default() };
        let workers = after.workers.iter().filter_map(|worker| Rates::of_worker(before, after, worker).cpu_percent);
        Rates {
            requests_per_s: Some(
                after.totals[Metric::Requests].saturating_sub(before.totals[Metric::Requests]) as f64 / seconds,
            ),
            cpu_percent: Some(workers.sum()),
        }
    }

    /// `worker` is one of `after`'s.
    pub fn of_worker(before: &Status, after: &Status, worker: &WorkerStatus) -> Rates {
        let earlier = before.workers.iter().find(|earlier| earlier.pid.is_some() && earlier.pid == worker.pid);
        let Some((earlier, seconds)) = earlier.zip(seconds(before, after)) else { return Rates::default() };
        Rates {
            requests_per_s: Some(worker.requests.saturating_sub(earlier.requests) as f64 / seconds),
            // CPU time is in ticks of 10 ms, uptime is not: more than 100 % is rounding.
            cpu_percent: Some(((worker.cpu_s - earlier.cpu_s).max(0.0) / seconds * 100.0).min(100.0)),
        }
    }
}

fn seconds(before: &Status, after: &Status) -> Option<f64> {
    is_same_server(before, after).then_some(after.uptime_s - before.uptime_s)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(pid: u32, uptime_s: f64, requests: u64, workers: &[(u32, u64, f64)]) -> Status {
        let worker = |&(pid, requests, cpu_s): &(u32, u64, f64)| WorkerStatus {
            pid: Some(pid),
            requests,
            cpu_s,
            ..WorkerStatus::default()
        };
        Status {
            pid,
            uptime_s,
            totals: [(Metric::Requests, requests)].into(),
            workers: workers.iter().map(worker).collect(),
            ..Status::default()
        }
    }

    #[test]
    fn rates_are_of_the_same_process_and_of_the_servers_clock() {
        let before = sample(1, 10.0, 100, &[(2, 60, 1.0), (3, 40, 2.0)]);
        let after = sample(1, 12.0, 300, &[(2, 160, 2.0), (4, 100, 0.5)]);
        let of = |worker: usize| Rates::of_worker(&before, &after, &after.workers[worker]);
        assert_eq!(of(0), Rates { requests_per_s: Some(50.0), cpu_percent: Some(50.0) });
        assert_eq!(of(1), Rates::default(), "it was not in the first sample");
        let server = Rates::of_server(&before, &after);
        assert_eq!(server, Rates { requests_per_s: Some(100.0), cpu_percent: Some(50.0) });
    }

    #[test]
    fn another_server_or_no_time_has_no_rate() {
        let before = sample(1, 10.0, 100, &[(2, 60, 1.0)]);
        for after in
            [sample(9, 12.0, 300, &[(2, 160, 2.0)]), sample(1, 10.0, 300, &[(2, 160, 2.0)]), sample(1, 1.0, 0, &[])]
        {
            assert_eq!(Rates::of_server(&before, &after), Rates::default());
        }
    }
}
