//! The last minutes of the server, a sample a second, in shared memory: a process of `--admin` that takes the place of
//! another one goes on with its samples.
//!
//! A ring of fixed size. A second has the place of its number; the one writer is the process that serves `--admin`.

use std::io;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Instant;
use tine_common::gauges::Measured;
use tine_common::metric::{Metric, Metrics};
use tine_common::scoreboard::Scoreboard;
use tine_common::sys::mmap::{Line, shared_lines};

/// Five minutes.
pub const SECONDS: usize = 300;
/// Rates are over this time.
pub const RATE_SECONDS: u64 = 10;
const UNKNOWN: u64 = u64::MAX;

/// The words of a sample: totals of counters, and gauges.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Word {
    /// When, by the scoreboard's clock; 0: never.
    Ms,
    Requests,
    Accepted,
    Refused,
    Connections,
    InFlight,
    /// Thousandths of a percent.
    Cpu,
    Memory,
    /// Of the requests of this second, in microseconds.
    P50,
    P99,
}

/// One second.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sample([u64; 16]);

#[derive(Clone, Copy)]
pub struct History {
    lines: &'static [Line],
}

impl Sample {
    fn new(ms: u64, totals: &Metrics, measured: Option<&Measured>, latency_us: Option<(u64, u64)>) -> Sample {
        let mut words = [UNKNOWN; 16];
        let mut set = |word: Word, value: u64| words[word as usize] = value;
        set(Word::Ms, ms);
        set(Word::Requests, totals[Metric::Requests]);
        set(Word::Accepted, totals[Metric::Accepted]);
        set(Word::Refused, totals[Metric::Refused]);
        set(Word::Connections, totals[Metric::Connections]);
        set(Word::InFlight, totals[Metric::InFlight]);
        if let Some(measured) = measured {
            set(Word::Cpu, (measured.cpu_percent * 1000.0) as u64);
            set(Word::Memory, measured.memory_bytes.unwrap_or(UNKNOWN));
        }
        if let Some((p50, p99)) = latency_us {
            set(Word::P50, p50);
            set(Word::P99, p99);
        }
        Sample(words)
    }

    pub fn get(&self, word: Word) -> Option<u64> {
        Some(self.0[word as usize]).filter(|&value| value != UNKNOWN)
    }

    fn ms(&self) -> u64 {
        self.0[Word::Ms as usize]
    }
}

impl History {
    pub fn new() -> io::Result<History> {
        Ok(History { lines: shared_lines(SECONDS)? })
    }

    pub fn take(
        &self,
        scoreboard: &Scoreboard,
        measured: Option<&Measured>,
        latency_us: Option<(u64, u64)>,
        now: Instant,
    ) {
        // 0 means that there is none.
        let ms = scoreboard.ms(now).max(1);
        self.put(Sample::new(ms, &scoreboard.totals(), measured, latency_us));
    }

    fn put(&self, sample: Sample) {
        let words = &self.lines[(sample.ms() / 1000) as usize % SECONDS].words;
        words.iter().zip(sample.0).for_each(|(word, value)| word.store(value, Relaxed));
    }

    /// The samples of the last five minutes: the newest last, `None` for a second without one.
    pub fn seconds(&self, now_ms: u64) -> Vec<Option<Sample>> {
        // This second may not have one yet.
        let last = if self.at(now_ms / 1000).is_some() { now_ms / 1000 } else { (now_ms / 1000).saturating_sub(1) };
        let first = (last + 1).saturating_sub(SECONDS as u64);
        let missing = SECONDS as u64 - (last + 1 - first);
        std::iter::repeat_n(None, missing as usize).chain((first..=last).map(|second| self.at(second))).collect()
    }

    fn at(&self, second: u64) -> Option<Sample> {
        let words = &self.lines[second as usize % SECONDS].words;
        let sample = Sample(std::array::from_fn(|word| words[word].load(Relaxed)));
        (sample.ms() > 0 && sample.ms() / 1000 == second).then_some(sample)
    }
}

/// The change of a counter a second, between each sample and the one before it.
pub fn rates(seconds: &[Option<Sample>], word: Word) -> Vec<Option<f64>> {
    let mut before: Option<Sample> = None;
    let mut rate = |sample: &Option<Sample>| {
        let sample = (*sample)?;
        let rate = before.and_then(|before| rate_between(&before, &sample, word));
        before = Some(sample);
        rate
    };
    seconds.iter().map(&mut rate).collect()
}

/// The change of a counter a second, over the last [`RATE_SECONDS`].
pub fn rate(seconds: &[Option<Sample>], word: Word) -> Option<f64> {
    let last = seconds.iter().rev().flatten().next()?;
    let is_recent = |sample: &&Sample| last.ms() - sample.ms() <= RATE_SECONDS * 1000;
    let first = seconds.iter().flatten().find(is_recent)?;
    rate_between(first, last, word)
}

pub fn gauges(seconds: &[Option<Sample>], word: Word) -> Vec<Option<f64>> {
    seconds.iter().map(|sample| (*sample)?.get(word).map(|value| value as f64)).collect()
}

fn rate_between(before: &Sample, after: &Sample, word: Word) -> Option<f64> {
    let seconds = after.ms().checked_sub(before.ms()).filter(|&ms| ms > 0)? as f64 / 1000.0;
    Some(after.get(word)?.saturating_sub(before.get(word)?) as f64 / seconds)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn history(samples: &[(u64, u64)]) -> History {
        let history = History::new().expect("memory");
        for &(ms, requests) in samples {
            history.put(Sample::new(ms, &Metrics::from([(Metric::Requests, requests)]), None, None));
        }
        history
    }

    #[test]
    fn a_second_that_is_missing_or_old_is_none() {
        let history = history(&[(1_000, 1), (2_100, 5), (4_000, 9)]);
        let seconds = history.seconds(5_500);
        assert_eq!(seconds.len(), SECONDS);
        let requests = |seconds: &[Option<Sample>]| -> Vec<Option<u64>> {
            seconds[SECONDS - 5..].iter().map(|sample| (*sample)?.get(Word::Requests)).collect()
        };
        assert_eq!(requests(&seconds), [None, Some(1), Some(5), None, Some(9)]);
        assert_eq!(seconds[SECONDS - 1].expect("a sample").get(Word::Memory), None, "not measured");
        // A round later nothing is left of it, except what still is within the time.
        assert!(history.seconds(1000 * (6 + SECONDS as u64)).iter().all(Option::is_none));
        assert_eq!(history.seconds(1000 * (4 + SECONDS as u64)).iter().flatten().count(), 1);
    }

    #[test]
    fn rates_are_by_the_time_that_has_passed() {
        let seconds = history(&[(1_000, 100), (2_000, 150), (4_000, 250), (5_500, 250)]).seconds(5_600);
        let last = rates(&seconds, Word::Requests).split_off(SECONDS - 5);
        assert_eq!(last, [None, Some(50.0), None, Some(50.0), Some(0.0)]);
        assert_eq!(rate(&seconds, Word::Requests), Some(150.0 / 4.5));
        assert_eq!(rate(&history(&[(1_000, 100)]).seconds(1_000), Word::Requests), None, "one sample has none");
        // After a start the total is that of another server: never negative.
        assert_eq!(rate(&history(&[(1_000, 100), (2_000, 5)]).seconds(2_000), Word::Requests), Some(0.0));
    }
}
