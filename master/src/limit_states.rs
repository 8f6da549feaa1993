//! The states of the limits: how near each resource of the whole server is to its limit, and what is logged about it.
//!
//! Pure: the master passes a [`Reading`] of each limited resource once a second, and logs the lines that it gets.
//!
//! The state follows the readings at once, in both directions: it is what a violation's throttling depends on. What is logged
//! follows with hysteresis: a worse state is logged at once, a better one when it has lasted for [`Track::hold`], which is zero
//! at first, and from [`HOLD_MIN`] to [`HOLD_MAX`] once the resource swings around a threshold.

use log::Level;
use std::time::{Duration, Instant};
use tine_common::gauges::{LimitState, Measured, Resource, States};
use tine_common::throttle::Rate;

/// A state that is worse again within this time after a better one was logged: the resource swings.
const RETURN: Duration = Duration::from_secs(60);
const HOLD_MIN: Duration = Duration::from_secs(10);
const HOLD_MAX: Duration = Duration::from_secs(60);
/// While something is not normal, a summary is logged at this interval.
const SUMMARY_INTERVAL: Duration = Duration::from_secs(60);
const MIB: f64 = (1 << 20) as f64;

/// How much of one resource is used, and its limit, in the resource's unit: requests, bytes, percent, descriptors.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Reading {
    pub resource: Resource,
    pub used: f64,
    pub limit: f64,
    /// Of a rate: the time that both are counted in.
    pub period: Duration,
}

/// A line for the log.
pub type Line = (Level, String);

/// The states of all resources.
#[derive(Debug, Default)]
pub struct LimitStates {
    tracks: [Track; Resource::ALL.len()],
    states: States,
    /// When something was first logged as not normal, or the last summary was.
    summed_up: Option<Instant>,
}

/// One resource.
#[derive(Debug, Default, Clone, Copy)]
struct Track {
    /// The state that the log has.
    logged: LimitState,
    /// Since when the state has been better than that.
    better_since: Option<Instant>,
    /// When a better state was last logged.
    improved: Option<Instant>,
    /// For how long a better state must have lasted.
    hold: Duration,
}

impl Track {
    /// The state that the log had before, if it changes.
    fn update(&mut self, state: LimitState, now: Instant) -> Option<LimitState> {
        let before = self.logged;
        if state >= before {
            self.better_since = None;
            if state == before {
                return None;
            }
            let is_swinging = self.improved.is_some_and(|at| now.saturating_duration_since(at) < RETURN);
            self.hold = if is_swinging { (2 * self.hold).clamp(HOLD_MIN, HOLD_MAX) } else { Duration::ZERO };
        } else {
            let since = *self.better_since.get_or_insert(now);
            if now.saturating_duration_since(since) < self.hold {
                return None;
            }
            (self.improved, self.better_since) = (Some(now), None);
        }
        self.logged = state;
        Some(before)
    }
}

impl LimitStates {
    /// The state of each resource as of the last readings.
    pub fn states(&self) -> States {
        self.states
    }

    /// Takes the readings of a second: one for each resource that has a limit. `warn`: the fraction of a limit from which on it
    /// is a warning. `throttling`: what is done about violations. Returns what is to be logged.
    pub fn update(&mut self, readings: &[Reading], warn: f64, throttling: &str, now: Instant) -> Vec<Line> {
        let (mut lines, was_violated) = (Vec::new(), self.is_logged(LimitState::Violation));
        for resource in Resource::ALL {
            let track = &mut self.tracks[resource as usize];
            let Some(reading) = readings.iter().find(|reading| reading.resource == resource) else {
                // Its limit was taken away, which is logged as such.
                *track = Track::default();
                self.states.set(resource, LimitState::Normal);
                continue;
            };
            let state = reading.state(warn);
            self.states.set(resource, state);
            if let Some(before) = track.update(state, now) {
                lines.push(reading.line(before, state));
            }
        }
        if !was_violated && self.is_logged(LimitState::Violation) {
            lines.push((Level::Warn, format!("Resource violations detected, {throttling}")));
        }
        lines
    }

    /// The summary line, if something has not been normal for a minute or another one.
    pub fn sum_up(&mut self, measured: &Measured, concurrent: u64, now: Instant) -> Option<Line> {
        if !self.is_logged(LimitState::Warning) {
            self.summed_up = None;
            return None;
        }
        let since = *self.summed_up.get_or_insert(now);
        if now.saturating_duration_since(since) < SUMMARY_INTERVAL {
            return None;
        }
        self.summed_up = Some(now);
        let memory = measured.memory_bytes.map_or("unknown".to_string(), mib);
        let (cpu, rate) = (measured.cpu_percent, measured.requests_per_minute);
        let text = format!(
            "Resource summary - Memory: {memory}, CPU: {cpu:.1}%, Concurrent: {concurrent}, Requests/min: {rate}"
        );
        Some((Level::Info, text))
    }

    /// Whether the log has a resource in this state, or in a worse one.
    fn is_logged(&self, state: LimitState) -> bool {
        self.tracks.iter().any(|track| track.logged >= state)
    }
}

impl Reading {
    /// Over the limit is more than the limit; so a limit can be used up without a violation.
    fn state(&self, warn: f64) -> LimitState {
        match () {
            () if self.used > self.limit => LimitState::Violation,
            () if self.used >= self.limit * warn => LimitState::Warning,
            () => LimitState::Normal,
        }
    }

    fn line(&self, before: LimitState, state: LimitState) -> Line {
        let (name, used, limit) = (self.name(), self.show(self.used), self.show(self.limit));
        match (before, state) {
            (_, LimitState::Violation) => {
                (Level::Error, format!("RESOURCE VIOLATION: {name} {used} exceeds limit {limit}"))
            }
            (LimitState::Violation, LimitState::Warning | LimitState::Normal) => {
                (Level::Warn, format!("Resource violation cleared: {name} {used} within limit {limit}"))
            }
            (_, LimitState::Warning) => {
                (Level::Warn, format!("Resource warning: {name} {used} approaching limit {limit}"))
            }
            (_, LimitState::Normal) => {
                (Level::Info, format!("Resource warning cleared: {name} {used} of limit {limit}"))
            }
        }
    }

    fn name(&self) -> &'static str {
        match self.resource {
            Resource::Concurrency => "Concurrent requests",
            Resource::Rate => "Request rate",
            Resource::Memory => "Memory usage",
            Resource::Cpu => "CPU usage",
            Resource::Descriptors => "Open descriptors",
        }
    }

    fn show(&self, value: f64) -> String {
        match self.resource {
            Resource::Concurrency | Resource::Descriptors => format!("{value:.0}"),
            Resource::Rate => Rate { count: value as u64, window: self.period }.to_string(),
            Resource::Memory => mib(value as u64),
            Resource::Cpu => format!("{value:.1}%"),
        }
    }
}

/// In the unit of the summary, whatever the amount: `1331.0MB`.
fn mib(bytes: u64) -> String {
    format!("{:.1}MB", bytes as f64 / MIB)
}

#[cfg(test)]
mod tests {
    use super::*;

    const S: Duration = Duration::from_secs(1);

    fn concurrency(used: u64) -> Reading {
        Reading { resource: Resource::Concurrency, used: used as f64, limit: 100.0, period: Duration::ZERO }
    }

    /// The lines of one reading a second, with the second of each.
    fn log(used: impl IntoIterator<Item = u64>) -> Vec<(usize, String)> {
        let (mut states, start) = (LimitStates::default(), Instant::now());
        let mut lines = Vec::new();
        for (second, used) in used.into_iter().enumerate() {
            let now = start + second as u32 * S;
            let new = states.update(&[concurrency(used)], 0.8, "throttling requests", now);
            lines.extend(new.into_iter().map(|(level, text)| (second, format!("{level} {text}"))));
        }
        lines
    }

    fn texts(lines: &[(usize, String)]) -> Vec<(usize, &str)> {
        lines.iter().map(|(second, text)| (*second, text.as_str())).collect()
    }

    #[test]
    fn each_change_is_one_line() {
        let lines = log([0, 50, 79, 80, 82, 100, 100, 101, 152, 100, 79]);
        assert_eq!(
            texts(&lines),
            [
                (3, "WARN Resource warning: Concurrent requests 80 approaching limit 100"),
                (7, "ERROR RESOURCE VIOLATION: Concurrent requests 101 exceeds limit 100"),
                (7, "WARN Resource violations detected, throttling requests"),
                (9, "WARN Resource violation cleared: Concurrent requests 100 within limit 100"),
                (10, "INFO Resource warning cleared: Concurrent requests 79 of limit 100"),
            ]
        );
    }

    #[test]
    fn a_violation_may_come_and_go_without_a_warning() {
        let lines = log([10, 152, 10]);
        assert_eq!(
            texts(&lines),
            [
                (1, "ERROR RESOURCE VIOLATION: Concurrent requests 152 exceeds limit 100"),
                (1, "WARN Resource violations detected, throttling requests"),
                (2, "WARN Resource violation cleared: Concurrent requests 10 within limit 100"),
            ]
        );
    }

    #[test]
    fn what_swings_around_a_threshold_is_not_a_line_a_second() {
        for (low, high) in [(79, 80), (100, 101), (10, 152)] {
            let an_hour = (0..3600).map(|second| if second % 2 == 0 { low } else { high });
            let lines = log(an_hour.chain([10; 61]));
            assert!(lines.len() <= 8, "{low} and {high}: {lines:?}");
            let (second, last) = lines.last().expect("there is one");
            assert!(*second > 3600 && last.contains("cleared: Concurrent requests 10"), "{last}");
            // Slower than the longest hold.
            let an_hour = (0..3600).map(|second| if second / 90 % 2 == 0 { low } else { high });
            let count = log(an_hour).len();
            assert!((39..=60).contains(&count), "{low} and {high}: {count}");
        }
    }

    #[test]
    fn the_states_follow_at_once_whatever_is_logged() {
        let (mut states, start) = (LimitStates::default(), Instant::now());
        for second in 0..100 {
            for (used, expected) in [(152, LimitState::Violation), (90, LimitState::Warning), (5, LimitState::Normal)] {
                states.update(&[concurrency(used)], 0.8, "", start + second * S);
                assert_eq!(states.states().get(Resource::Concurrency), expected);
            }
        }
    }

    #[test]
    fn every_resource_has_its_words_and_units() {
        let minute = Duration::from_secs(60);
        for (resource, used, limit, period, expected) in [
            (Resource::Rate, 2134.0, 2000.0, minute, "Request rate 2134/min exceeds limit 2000/min"),
            (Resource::Rate, 51.0, 50.0, S, "Request rate 51/s exceeds limit 50/s"),
            (Resource::Memory, 1.1e9, f64::from(1 << 30), S, "Memory usage 1049.0MB exceeds limit 1024.0MB"),
            (Resource::Cpu, 200.04, 200.0, S, "CPU usage 200.0% exceeds limit 200.0%"),
            (Resource::Descriptors, 1025.0, 1024.0, S, "Open descriptors 1025 exceeds limit 1024"),
        ] {
            let reading = Reading { resource, used, limit, period };
            let lines = LimitStates::default().update(&[reading], 0.8, "throttling requests", Instant::now());
            assert_eq!(lines[0], (Level::Error, format!("RESOURCE VIOLATION: {expected}")));
            let reading = Reading { used: limit * 0.8, ..reading };
            let lines = LimitStates::default().update(&[reading], 0.8, "", Instant::now());
            assert_eq!(lines[0].0, Level::Warn);
            assert!(lines[0].1.starts_with("Resource warning: ") && lines.len() == 1, "{lines:?}");
        }
    }

    #[test]
    fn several_violations_are_announced_together_once() {
        let (mut states, start) = (LimitStates::default(), Instant::now());
        let cpu = |used| Reading { resource: Resource::Cpu, used, limit: 200.0, period: Duration::ZERO };
        let counts = [(152, 250.0), (152, 250.0), (90, 250.0), (90, 10.0), (5, 10.0)].map(|(used, percent)| {
            states.update(&[cpu(percent), concurrency(used)], 0.8, "throttling requests", start).len()
        });
        assert_eq!(counts, [3, 0, 1, 1, 1]);
    }

    #[test]
    fn a_resource_without_a_limit_is_normal() {
        let (mut states, now) = (LimitStates::default(), Instant::now());
        states.update(&[concurrency(152)], 0.8, "", now);
        assert_eq!(states.states().worst(), LimitState::Violation);
        assert_eq!(states.update(&[], 0.8, "", now), []);
        assert_eq!(states.states().worst(), LimitState::Normal);
        assert_eq!(states.update(&[concurrency(152)], 0.8, "", now).len(), 2, "it has a limit again");
    }

    #[test]
    fn a_summary_is_logged_every_minute_while_something_is_not_normal() {
        let (mut states, start) = (LimitStates::default(), Instant::now());
        let measured = Measured {
            memory_bytes: Some(268_750_029),
            cpu_percent: 45.21,
            requests_per_minute: 456,
            ..Measured::default()
        };
        let used = |second| if (5..=130).contains(&second) { 90 } else { 10 };
        let mut lines = Vec::new();
        for second in 0..300 {
            let now = start + second * S;
            states.update(&[concurrency(used(second))], 0.8, "", now);
            lines.extend(states.sum_up(&measured, 12, now).map(|line| (second, line)));
        }
        let text = "Resource summary - Memory: 256.3MB, CPU: 45.2%, Concurrent: 12, Requests/min: 456";
        assert_eq!(lines, [65, 125].map(|second| (second, (Level::Info, text.to_string()))));
    }
}
