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
    requests: Recent,
}

/// How much a count has grown lately.
#[derive(Debug, Default)]
pub struct Recent {
    /// When, and the count then; the oldest first.
    samples: VecDeque<(Instant, u64)>,
}

impl Measuring {
    pub fn new(now: Instant) -> Measuring {
        Measuring { cpu: CpuMeter::new(), memory_bytes: None, memory_due: now, requests: Recent::default() }
    }

    /// Nothing is known of the time without measuring.
    fn reset(&mut self, now: Instant) {
        *self = Measuring::new(now);
    }
}

impl Recent {
    /// Samples that are kept of a time, however long it is.
    const SAMPLES_MAX: u32 = 60;

    /// By how much the count has grown within this time, which ends now, or since the first sample if that is later.
    pub fn within(&mut self, time: Duration, count: u64, now: Instant) -> u64 {
        // The one before that time is kept: the growth is counted from there.
        while self.samples.get(1).is_some_and(|(at, _)| now.saturating_duration_since(*at) >= time) {
            self.samples.pop_front();
        }
        let before = self.samples.front().map_or(count, |&(_, before)| before);
        let last = self.samples.back().map(|&(at, _)| now.saturating_duration_since(at));
        if last.is_none_or(|since| since >= time / Self::SAMPLES_MAX) {
            self.samples.push_back((now, count));
        }
        count.saturating_sub(before)
    }
}

impl Master {
    /// Once a second, with the check of the workers.
    pub(super) fn measure(&mut self, now: Instant) {
        if now < self.supervising.next_check() || !self.is_in_charge() {
            return;
        }
        if !self.has_limits() && !self.scoreboard.gauges().is_wanted(now) {
            self.measuring.reset(now);
            self.judge_nothing();
            return;
        }
        let mut measured = self.measured(now);
        self.judge(&mut measured, now);
        self.scoreboard.gauges().publish(&measured, now);
        self.scoreboard.telemetry().set_accept_queues(self.bound.iter().map(Bound::waiting));
    }

    fn measured(&mut self, now: Instant) -> Measured {
        let pids: Vec<u32> = self.pids().collect();
        if now >= self.measuring.memory_due {
            let began = Instant::now();
            self.measuring.memory_bytes = resident::together(pids.iter().copied());
            self.measuring.memory_due = now + MEMORY_REST * began.elapsed();
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
            requests_per_minute: self.measuring.requests.within(MINUTE, totals[Metric::Requests], now),
            ..Measured::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn growth_is_counted_over_a_time() {
        let start = Instant::now();
        let mut recent = Recent::default();
        for (second, count, expected) in
            [(0, 1000, 0), (1, 1010, 10), (60, 1500, 500), (61, 1510, 500), (120, 1600, 100), (200, 1600, 0)]
        {
            let now = start + Duration::from_secs(second);
            assert_eq!(recent.within(MINUTE, count, now), expected, "after {second} s");
        }
        for time in [Duration::from_secs(1), MINUTE, 24 * 60 * MINUTE] {
            let mut recent = Recent::default();
            let grown = (0..200_000).map(|s| recent.within(time, s, start + Duration::from_secs(s))).last();
            assert!(grown.is_some_and(|grown| grown.abs_diff(time.as_secs()) <= time.as_secs() / 50 + 1), "{grown:?}");
            assert!(recent.samples.len() <= 62, "{time:?}: {}", recent.samples.len());
        }
    }
}
