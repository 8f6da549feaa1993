//! The line that the master logs at an interval: memory, connections, requests, and the changes since the last line.
//!
//! Pure: the master's loop samples the counts at [`MemoryLine::due`], and logs what [`MemoryLine::sample`] returns.
//! Invariant: a line is logged only if something changed since the last one, so that an idle server's log stays quiet.

use std::time::{Duration, Instant};
use tine_common::config::MasterConfig;
use tine_common::figures;

/// A smaller change of memory counts as none.
const MOVED_BYTES_MIN: u64 = 64 << 10;
const MIB: f64 = (1 << 20) as f64;

/// The counts of the whole server at one time.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Counts {
    /// `None`: the kernel does not report it.
    pub memory_bytes: Option<u64>,
    pub connections: u64,
    pub in_flight: u64,
    /// Answered since the server started.
    pub requests: u64,
}

#[derive(Debug)]
pub struct MemoryLine {
    interval: Duration,
    sampled: Instant,
    /// The counts of the last line; all zero at first, so the first line is logged after the first interval.
    logged: Counts,
}

impl MemoryLine {
    /// `None`: it is off, or would not be logged.
    pub fn of(config: &MasterConfig, now: Instant) -> Option<MemoryLine> {
        MemoryLine::new(config.mem_interval, now).filter(|_| log::log_enabled!(log::Level::Info))
    }

    /// The first sample is an interval after `now`; `None` if the interval is zero: never.
    pub fn new(interval: Duration, now: Instant) -> Option<Self> {
        (!interval.is_zero()).then(|| MemoryLine { interval, sampled: now, logged: Counts::default() })
    }

    pub fn due(&self) -> Instant {
        self.sampled + self.interval
    }

    /// The line, if something changed since the last one.
    pub fn sample(&mut self, now: Instant, counts: Counts) -> Option<String> {
        // A sample without a line saw no new request: all requests since the last line are newer than the last
        // sample. So the rate is not diluted by an idle hour.
        let since = now.saturating_duration_since(std::mem::replace(&mut self.sampled, now));
        let logged = self.logged;
        let unmoved = counts.memory_bytes.zip(logged.memory_bytes.or(Some(0)));
        let is_same = unmoved.is_none_or(|(now, then)| now.abs_diff(then) < MOVED_BYTES_MIN)
            && (counts.connections, counts.in_flight, counts.requests)
                == (logged.connections, logged.in_flight, logged.requests);
        if is_same {
            return None;
        }
        self.logged = Counts { memory_bytes: counts.memory_bytes.or(logged.memory_bytes), ..counts };
        let answered = counts.requests.saturating_sub(logged.requests);
        Some(format!(
            "memory {}, connections {} ({:+}), in flight {} ({:+}), requests {} (+{answered}, {}/s)",
            memory(counts.memory_bytes, logged.memory_bytes),
            counts.connections,
            difference(counts.connections, logged.connections),
            counts.in_flight,
            difference(counts.in_flight, logged.in_flight),
            counts.requests,
            rate(answered, since)
        ))
    }
}

fn difference(now: u64, then: u64) -> i64 {
    now.wrapping_sub(then) as i64
}

fn memory(now: Option<u64>, then: Option<u64>) -> String {
    let Some(bytes) = now else { return "unknown".to_string() };
    let moved = difference(bytes, then.unwrap_or(0)) as f64 / MIB;
    // Adding zero turns the negative zero that rounding leaves, -0.0, into the positive one.
    let moved = (moved * 10.0).round() / 10.0 + 0.0;
    format!("{:.1}M ({moved:+.1}M)", bytes as f64 / MIB)
}

fn rate(count: u64, time: Duration) -> String {
    figures::rate(count as f64 / time.as_secs_f64().max(0.001))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn counts(memory_kib: u64, connections: u64, in_flight: u64, requests: u64) -> Counts {
        Counts { memory_bytes: Some(memory_kib << 10), connections, in_flight, requests }
    }

    #[test]
    fn lines_say_what_changed_since_the_last_one() {
        let start = Instant::now();
        let mut line = MemoryLine::new(10 * SECOND, start).unwrap();
        for (at_s, counts, expected) in [
            (
                10,
                counts(5222, 0, 0, 0),
                Some("memory 5.1M (+5.1M), connections 0 (+0), in flight 0 (+0), requests 0 (+0, 0/s)"),
            ),
            (20, counts(5222, 0, 0, 0), None),
            (30, counts(5222 + 63, 0, 0, 0), None),
            (
                40,
                counts(5222 + 64, 0, 0, 0),
                Some("memory 5.2M (+0.1M), connections 0 (+0), in flight 0 (+0), requests 0 (+0, 0/s)"),
            ),
            (
                50,
                counts(23654, 120, 10, 52013),
                Some(
                    "memory 23.1M (+17.9M), connections 120 (+120), in flight 10 (+10), requests 52013 (+52013, 5.2k/s)",
                ),
            ),
            (
                60,
                counts(23650, 120, 7, 52013),
                Some("memory 23.1M (+0.0M), connections 120 (+0), in flight 7 (-3), requests 52013 (+0, 0/s)"),
            ),
            (70, counts(23650, 120, 7, 52013), None),
            // The rate is that of the interval in which they came, whatever the time since the last line.
            (
                80,
                counts(23650, 120, 7, 52014),
                Some("memory 23.1M (+0.0M), connections 120 (+0), in flight 7 (+0), requests 52014 (+1, 0.1/s)"),
            ),
            (
                90,
                counts(5222, 0, 0, 52014),
                Some("memory 5.1M (-18.0M), connections 0 (-120), in flight 0 (-7), requests 52014 (+0, 0/s)"),
            ),
        ] {
            let now = start + at_s * SECOND;
            assert!(line.due() <= now, "it is due at {at_s} s");
            assert_eq!(line.sample(now, counts).as_deref(), expected, "at {at_s} s");
            assert_eq!(line.due(), now + 10 * SECOND);
        }
    }

    #[test]
    fn slow_growth_is_logged_once_it_sums_up() {
        let start = Instant::now();
        let mut line = MemoryLine::new(SECOND, start).unwrap();
        let lines =
            (0..=100).filter(|i| line.sample(start + *i as u32 * SECOND, counts(5000 + 8 * i, 1, 0, 0)).is_some());
        assert_eq!(lines.count(), 1 + 100 / 8);
    }

    #[test]
    fn unknown_memory_is_shown_as_such_and_is_not_a_change() {
        let start = Instant::now();
        let mut line = MemoryLine::new(SECOND, start).unwrap();
        let unknown = |connections| Counts { memory_bytes: None, connections, ..Counts::default() };
        assert_eq!(line.sample(start, unknown(0)), None);
        assert!(line.sample(start, unknown(1)).unwrap().starts_with("memory unknown, connections 1 (+1),"));
        assert!(
            line.sample(start, counts(4096, 1, 0, 0)).unwrap().starts_with("memory 4.0M (+4.0M), connections 1 (+0),")
        );
        assert_eq!(line.sample(start, unknown(1)), None);
        assert_eq!(line.sample(start, counts(4096, 1, 0, 0)), None, "the same as in the last line with a known value");
    }

    #[test]
    fn an_interval_of_zero_is_never() {
        assert!(MemoryLine::new(Duration::ZERO, Instant::now()).is_none());
    }

    #[test]
    fn rates_in_two_or_three_digits() {
        for (count, seconds, expected) in [
            (0, 10, "0"),
            (3, 10, "0.3"),
            (99, 10, "9.9"),
            (100, 10, "10"),
            (9994, 10, "999"),
            (9995, 10, "1.0k"),
            (52013, 10, "5.2k"),
            (9_999_499, 10, "999.9k"),
            (13_000_000, 10, "1.3M"),
        ] {
            assert_eq!(rate(count, seconds * SECOND), expected, "{count} in {seconds} s");
        }
    }
}
