//! Quantiles of the time that requests take: of the last second, for the history, and of the last minute.
//!
//! The shared histogram only grows, so that those of a time are the difference to what it was before.

use serde::Serialize;
use std::collections::VecDeque;
use std::time::{Duration, Instant};
use tine_common::scoreboard::Scoreboard;
use tine_common::telemetry::{Latency as Which, LogLinear};

const MINUTE: Duration = Duration::from_secs(60);
/// Between the histograms that are kept, of 8 KiB each.
const STEP: Duration = Duration::from_secs(10);

#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Latency {
    pub p50_s: f64,
    pub p90_s: f64,
    pub p99_s: f64,
}

#[derive(Default)]
pub struct Latencies {
    /// A second ago.
    last: Option<LogLinear>,
    /// The oldest first; the first is a minute old, or nearly.
    kept: VecDeque<(Instant, LogLinear)>,
}

impl Latencies {
    /// Once a second; p50 and p99 since the last time, in microseconds.
    pub fn take(&mut self, scoreboard: &Scoreboard, now: Instant) -> Option<(u64, u64)> {
        self.push(scoreboard.telemetry().latencies(Which::Duration), now)
    }

    fn push(&mut self, times: LogLinear, now: Instant) -> Option<(u64, u64)> {
        if self.kept.back().is_none_or(|(at, _)| now.saturating_duration_since(*at) >= STEP) {
            self.kept.push_back((now, times.clone()));
        }
        // One that is a minute old or older is needed, but no second one.
        while self.kept.get(1).is_some_and(|(at, _)| now.saturating_duration_since(*at) >= MINUTE) {
            self.kept.pop_front();
        }
        let of_second = times.since(&self.last.replace(times.clone())?);
        let us = |fraction| Some(of_second.quantile(fraction)?.as_micros() as u64);
        Some((us(0.5)?, us(0.99)?))
    }

    /// Of the last minute, or of the time since the start.
    pub fn of_minute(&self, scoreboard: &Scoreboard) -> Option<Latency> {
        let (_, before) = self.kept.front()?;
        Latency::of(&scoreboard.telemetry().latencies(Which::Duration).since(before))
    }
}

impl Latency {
    fn of(times: &LogLinear) -> Option<Latency> {
        let seconds = |fraction| Some(times.quantile(fraction)?.as_secs_f64());
        Some(Latency { p50_s: seconds(0.5)?, p90_s: seconds(0.9)?, p99_s: seconds(0.99)? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_near(found: f64, expected: f64) -> bool {
        (expected..=expected * 1.04).contains(&found)
    }

    #[test]
    fn quantiles_are_of_their_time_only() {
        let (start, mut latencies, mut all) = (Instant::now(), Latencies::default(), LogLinear::default());
        assert_eq!(latencies.push(all.clone(), start), None);
        (0..100).for_each(|_| all.record(Duration::from_millis(800)));
        let (p50, p99) = latencies.push(all.clone(), start + Duration::from_secs(1)).expect("of a second");
        assert!(is_near(p50 as f64, 8e5) && is_near(p99 as f64, 8e5), "{p50} {p99}");
        assert_eq!(latencies.push(all.clone(), start + Duration::from_secs(2)), None, "none has ended since");
        for second in 3..200 {
            all.record(Duration::from_millis(2));
            latencies.push(all.clone(), start + Duration::from_secs(second));
            assert!(latencies.kept.len() <= 8, "{}", latencies.kept.len());
        }
        let (first, before) = &latencies.kept[0];
        let age = start + Duration::from_secs(199) - *first;
        assert!((60..70).contains(&age.as_secs()), "{age:?}");
        let found = Latency::of(&all.since(before)).expect("of a minute");
        assert!(is_near(found.p99_s, 0.002), "the slow ones are over: {found:?}");
    }
}
