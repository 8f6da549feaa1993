//! Measures the whole server once a second, while something needs it, and publishes that in shared memory ([`Gauges`]).
//!
//! [`Gauges`]: tine_common::gauges::Gauges

use super::Master;
use crate::listener::Bound;
use crate::usage::{self, CpuMeter, CpuTime};
use std::collections::VecDeque;
use std::time::{Duration, Instant};
use tine_common::gauges::Measured;
use tine_common::metric::Metric;
use tine_common::resident;
use tine_common::sys::process;

const MINUTE: Duration = Duration::from_secs(60);
/// Of large processes, the kernel takes long to report the memory: the next report is this many times as long after the last
/// one as that took, so that it costs at most 2 % of a CPU.
const MEMORY_REST: u32 = 50;

/// What measuring keeps between the turns.
pub struct Measuring {
    cpu: CpuMeter,
    memory_bytes: Option<u64>,
    memory_due: Instant,
    /// When, and the requests answered by then: a minute of it.
    requests: VecDeque<(Instant, u64)>,
}

impl Measuring {
    pub fn new(now: Instant) -> Measuring {
        Measuring { cpu: CpuMeter::new(), memory_bytes: None, memory_due: now, requests: VecDeque::new() }
    }

    /// The requests of the last minute, or of the time since measuring began.
    fn requests_per_minute(&mut self, answered: u64, now: Instant) -> u64 {
        self.requests.retain(|(at, _)| now.saturating_duration_since(*at) <= MINUTE);
        self.requests.push_back((now, answered));
        self.requests.front().map_or(0, |(_, before)| answered.saturating_sub(*before))
    }

    /// Nothing is known of the time without measuring.
    fn reset(&mut self, now: Instant) {
        *self = Measuring::new(now);
    }
}

impl Master {
    /// Once a second, with the check of the workers.
    pub(super) fn measure(&mut self, now: Instant) {
        if now < self.supervising.next_check() {
            return;
        }
        if !self.scoreboard.gauges().is_wanted(now) {
            self.measuring.reset(now);
            return;
        }
        let measured = self.measured(now);
        self.scoreboard.gauges().publish(&measured, now);
        self.scoreboard.telemetry().set_accept_queues(self.bound.iter().map(Bound::waiting));
    }

    fn measured(&mut self, now: Instant) -> Measured {
        let pids: Vec<u32> = self.pids().collect();
        if now >= self.measuring.memory_due {
            self.measuring.memory_bytes = resident::together(pids.iter().copied());
            self.measuring.memory_due = now + MEMORY_REST * now.elapsed();
        }
        let totals = self.scoreboard.totals();
        let workers = self.children.iter().map(|(_, child)| child.pid.as_raw() as u32);
        Measured {
            memory_bytes: self.measuring.memory_bytes,
            cpu_percent: self.measuring.cpu.sample(pids.into_iter().filter_map(CpuTime::of), now),
            descriptors: workers.filter_map(usage::descriptors).max().unwrap_or(0),
            // Workers have the master's limit.
            descriptors_max: process::nofile().unwrap_or(0),
            concurrency: totals[Metric::InFlight],
            requests_per_minute: self.measuring.requests_per_minute(totals[Metric::Requests], now),
            ..Measured::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_counted_over_a_minute() {
        let start = Instant::now();
        let mut measuring = Measuring::new(start);
        for (second, answered, expected) in
            [(0, 1000, 0), (1, 1010, 10), (60, 1500, 500), (61, 1510, 500), (200, 1510, 0)]
        {
            let now = start + Duration::from_secs(second);
            assert_eq!(measuring.requests_per_minute(answered, now), expected, "after {second} s");
        }
        assert!((0..10_000).all(|second| {
            measuring.requests_per_minute(second, start + Duration::from_secs(1000 + second));
            measuring.requests.len() <= 61
        }));
    }
}
