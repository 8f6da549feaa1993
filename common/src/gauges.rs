//! What the master measures of the whole server once a second, in shared memory: any process can read it, also while the
//! master is busy or stopped.
//!
//! One writer, the master. It measures while a limit needs it, or after a reader has asked ([`Gauges::want`]), as it costs
//! 0.1 ms a process. The words are written one by one: a reader may see a part of one second and a part of the next.

use crate::sys::mmap::Line;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

/// What was measured is shown for this long; then the master has stopped measuring, or is stopped itself.
const FRESH: Duration = Duration::from_secs(5);
/// After a reader has asked, the master measures for this long: more than the interval between two scrapes.
const WANTED: Duration = Duration::from_secs(60);
/// A word that has no value.
const UNKNOWN: u64 = u64::MAX;
/// CPU is published in thousandths of a percent.
const CPU_STEPS: f64 = 1000.0;
const STATE_BITS: usize = 2;
pub(crate) const LINES: usize = 2;

/// What has a limit for the whole server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Resource {
    Concurrency,
    Rate,
    Memory,
    Cpu,
    Descriptors,
}

impl Resource {
    /// In the order of the variants.
    pub const ALL: [Resource; 5] =
        [Resource::Concurrency, Resource::Rate, Resource::Memory, Resource::Cpu, Resource::Descriptors];

    /// Its name in JSON and in metrics: the end of its option's name.
    pub fn name(self) -> &'static str {
        match self {
            Resource::Concurrency => "concurrency",
            Resource::Rate => "rate",
            Resource::Memory => "memory",
            Resource::Cpu => "cpu",
            Resource::Descriptors => "descriptors",
        }
    }
}

/// How near a resource is to its limit.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LimitState {
    #[default]
    Normal,
    /// At `--limit-warn` of the limit, or more.
    Warning,
    /// Over the limit.
    Violation,
}

impl LimitState {
    fn from_bits(bits: u64) -> LimitState {
        match bits {
            1 => LimitState::Warning,
            2 => LimitState::Violation,
            _ => LimitState::Normal,
        }
    }
}

impl fmt::Display for LimitState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            LimitState::Normal => "normal",
            LimitState::Warning => "warning",
            LimitState::Violation => "violation",
        })
    }
}

/// The whole server in one second.
#[derive(Debug, Default, Clone, Copy, PartialEq)]
pub struct Measured {
    /// Of all processes, each page once; `None`: not measured, or the kernel does not report it.
    pub memory_bytes: Option<u64>,
    /// Of all processes: 100 is one CPU.
    pub cpu_percent: f64,
    /// Open in the worker that has the most of them.
    pub descriptors: u64,
    /// As many as a process may have.
    pub descriptors_max: u64,
    /// The most requests at one time that were being answered or waited for room.
    pub concurrency: u64,
    /// Requests within the time of `--limit-rate`, those included that wait or were refused; 0 without that limit.
    pub rate: u64,
    /// Requests answered within the last minute.
    pub requests_per_minute: u64,
    pub states: States,
}

/// The state of each resource; normal without a limit.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct States([LimitState; Resource::ALL.len()]);

impl States {
    pub fn get(&self, resource: Resource) -> LimitState {
        self.0[resource as usize]
    }

    pub fn set(&mut self, resource: Resource, state: LimitState) {
        self.0[resource as usize] = state;
    }

    /// The worst of all.
    pub fn worst(&self) -> LimitState {
        self.0.into_iter().max().unwrap_or_default()
    }

    fn to_word(self) -> u64 {
        self.0.into_iter().enumerate().map(|(i, state)| (state as u64) << (i * STATE_BITS)).sum()
    }

    fn from_word(word: u64) -> States {
        States(std::array::from_fn(|i| LimitState::from_bits(word >> (i * STATE_BITS) & 3)))
    }
}

/// The words of the first line. The second has, for each resource, how often it became a warning and a violation.
#[derive(Clone, Copy)]
enum Word {
    /// When it was measured, in milliseconds of the scoreboard's clock; 0: never.
    Measured,
    /// When a reader last asked, likewise.
    Wanted,
    Memory,
    Cpu,
    Descriptors,
    DescriptorsMax,
    Concurrency,
    Rate,
    RequestsPerMinute,
    States,
}

#[derive(Clone, Copy)]
pub struct Gauges {
    lines: &'static [Line],
    epoch: Instant,
}

impl Gauges {
    pub(crate) fn new(lines: &'static [Line], epoch: Instant) -> Gauges {
        Gauges { lines, epoch }
    }

    /// Master only.
    pub fn publish(&self, measured: &Measured, now: Instant) {
        let store = |word: Word, value: u64| self.word(word).store(value, Relaxed);
        store(Word::Memory, measured.memory_bytes.unwrap_or(UNKNOWN));
        store(Word::Cpu, (measured.cpu_percent * CPU_STEPS) as u64);
        store(Word::Descriptors, measured.descriptors);
        store(Word::DescriptorsMax, measured.descriptors_max);
        store(Word::Concurrency, measured.concurrency);
        store(Word::Rate, measured.rate);
        store(Word::RequestsPerMinute, measured.requests_per_minute);
        store(Word::States, measured.states.to_word());
        store(Word::Measured, self.ms(now));
    }

    /// The last second; `None` if it was not measured: ask for it with [`Gauges::want`].
    pub fn read(&self, now: Instant) -> Option<Measured> {
        let load = |word: Word| self.word(word).load(Relaxed);
        if !self.is_within(Word::Measured, FRESH, now) {
            return None;
        }
        Some(Measured {
            memory_bytes: Some(load(Word::Memory)).filter(|&bytes| bytes != UNKNOWN),
            cpu_percent: load(Word::Cpu) as f64 / CPU_STEPS,
            descriptors: load(Word::Descriptors),
            descriptors_max: load(Word::DescriptorsMax),
            concurrency: load(Word::Concurrency),
            rate: load(Word::Rate),
            requests_per_minute: load(Word::RequestsPerMinute),
            states: States::from_word(load(Word::States)),
        })
    }

    /// From now on, the master measures for a minute. For readers; several may ask.
    pub fn want(&self, now: Instant) {
        self.word(Word::Wanted).store(self.ms(now), Relaxed);
    }

    pub fn is_wanted(&self, now: Instant) -> bool {
        self.is_within(Word::Wanted, WANTED, now)
    }

    /// Master only: the resource has entered this state, which is not the normal one.
    pub fn count(&self, resource: Resource, state: LimitState) {
        // Two masters may do so one after the other.
        self.counter(resource, state).fetch_add(1, Relaxed);
    }

    /// How often the resource has entered this state.
    pub fn times(&self, resource: Resource, state: LimitState) -> u64 {
        self.counter(resource, state).load(Relaxed)
    }

    fn counter(&self, resource: Resource, state: LimitState) -> &'static AtomicU64 {
        &self.lines[1].words[2 * resource as usize + usize::from(state == LimitState::Violation)]
    }

    fn word(&self, word: Word) -> &'static AtomicU64 {
        &self.lines[0].words[word as usize]
    }

    /// Never 0.
    fn ms(&self, now: Instant) -> u64 {
        now.saturating_duration_since(self.epoch).as_millis() as u64 + 1
    }

    fn is_within(&self, word: Word, time: Duration, now: Instant) -> bool {
        let at = self.word(word).load(Relaxed);
        at > 0 && self.ms(now).saturating_sub(at) <= time.as_millis() as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scoreboard::Scoreboard;

    #[test]
    fn what_is_measured_is_read_until_it_is_old() {
        let (gauges, now) = (Scoreboard::new(1).unwrap().gauges(), Instant::now());
        assert_eq!(gauges.read(now), None, "nothing was measured yet");
        let mut states = States::default();
        states.set(Resource::Rate, LimitState::Violation);
        states.set(Resource::Descriptors, LimitState::Warning);
        let measured = Measured {
            memory_bytes: Some(1 << 30),
            cpu_percent: 199.5,
            descriptors: 7,
            descriptors_max: 1024,
            concurrency: 82,
            rate: 2134,
            requests_per_minute: 456,
            states,
        };
        gauges.publish(&measured, now);
        assert_eq!(gauges.read(now), Some(measured));
        assert_eq!(gauges.read(now + FRESH), Some(measured));
        assert_eq!(gauges.read(now + 2 * FRESH), None, "that was long ago");
        gauges.publish(&Measured::default(), now);
        assert_eq!(gauges.read(now), Some(Measured::default()), "memory that is unknown is not 0");
    }

    #[test]
    fn it_is_measured_for_a_while_after_a_reader_has_asked() {
        let (gauges, now) = (Scoreboard::new(1).unwrap().gauges(), Instant::now());
        assert!(!gauges.is_wanted(now));
        gauges.want(now);
        assert!(gauges.is_wanted(now) && gauges.is_wanted(now + WANTED));
        assert!(!gauges.is_wanted(now + 2 * WANTED));
    }

    #[test]
    fn every_state_of_every_resource_is_kept() {
        for resource in Resource::ALL {
            for state in [LimitState::Normal, LimitState::Warning, LimitState::Violation] {
                let mut states = States::default();
                states.set(resource, state);
                assert_eq!(States::from_word(states.to_word()), states);
                assert_eq!((states.get(resource), states.worst()), (state, state));
            }
        }
        let gauges = Scoreboard::new(1).unwrap().gauges();
        gauges.count(Resource::Cpu, LimitState::Violation);
        let all = Resource::ALL.map(|resource| {
            (gauges.times(resource, LimitState::Warning), gauges.times(resource, LimitState::Violation))
        });
        assert_eq!(all, [(0, 0), (0, 0), (0, 0), (0, 1), (0, 0)]);
    }
}
