//! Times of day of lines: formatted once a second, not once a line.

use super::pen::{Literal, Pen};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use tine_common::access_log::Time;
use tine_common::fixed_text::FixedText;
use tine_common::log::push_time;
use tine_common::sys::local_time;

/// The wall clock is read again after this long, as it may be set.
const READ_INTERVAL: Duration = Duration::from_secs(1);
const CLF: &std::ffi::CStr = c"[%d/%b/%Y:%H:%M:%S %z]";

/// The wall clock, by the monotonic one.
#[derive(Debug)]
pub struct Clock {
    read_at: Instant,
    wall: Duration,
    second: Second,
    /// A time in that second, and the microseconds of it that had passed: most of a turn's lines have the same.
    micros: (Instant, u32),
    /// The last span of time that was asked for: a response's first byte and its last often leave together.
    span: (Instant, Instant, Duration),
    /// The texts of one second, by their place in the format.
    texts: Vec<Text>,
}

/// A second of the wall clock.
#[derive(Debug, Clone, Copy)]
struct Second {
    begins: Instant,
    /// It is over then, or the wall clock has to be read again.
    ends: Instant,
    unix: u64,
}

#[derive(Debug)]
struct Text {
    unix: Option<u64>,
    literal: Literal,
}

impl Clock {
    pub fn new(now: Instant) -> Clock {
        let second = Second { begins: now, ends: now, unix: 0 };
        let span = (now, now, Duration::ZERO);
        Clock { read_at: now, wall: since_epoch(), second, micros: (now, 0), span, texts: Vec::new() }
    }

    /// The second in which it was `at`, since the epoch.
    #[inline(always)]
    fn second(&mut self, at: Instant) -> u64 {
        if at < self.second.begins || at >= self.second.ends {
            self.find_second(at);
        }
        self.second.unix
    }

    #[cold]
    fn find_second(&mut self, at: Instant) {
        let wall = self.wall_of(at);
        let since = Duration::from_nanos(wall.subsec_nanos().into());
        // Linux's clocks go below zero, so there is a time before each.
        let begins = at.checked_sub(since).unwrap_or(at);
        let ends = (begins + Duration::from_secs(1)).min(self.read_at + READ_INTERVAL);
        self.second = Second { begins, ends, unix: wall.as_secs() };
        self.micros = (begins, 0);
    }

    fn wall_of(&mut self, at: Instant) -> Duration {
        if at >= self.read_at + READ_INTERVAL {
            // The clock is read now, and `at` may be a while ago.
            let now = Instant::now();
            (self.read_at, self.wall) = (now, since_epoch());
        }
        match at.checked_duration_since(self.read_at) {
            Some(since) => self.wall + since,
            None => self.wall.saturating_sub(self.read_at - at),
        }
    }

    /// The microseconds of its second that had passed.
    #[inline(always)]
    fn micros(&mut self, at: Instant) -> u32 {
        if self.micros.0 != at {
            self.micros = (at, at.saturating_duration_since(self.second.begins).subsec_micros());
        }
        self.micros.1
    }

    /// The time from one to the other.
    #[inline(always)]
    pub fn span(&mut self, began: Instant, ended: Instant) -> Duration {
        if self.span.0 != began || self.span.1 != ended {
            self.span = (began, ended, ended.saturating_duration_since(began));
        }
        self.span.2
    }

    /// Writes the time at which it was `at`; `place` is that of the value in its format.
    #[inline(always)]
    pub fn push(&mut self, pen: &mut Pen<'_>, time: &Time, at: Instant, place: usize) {
        let unix = self.second(at);
        match time {
            Time::Clf => pen.literal(self.text(unix, place, time)),
            Time::Iso => {
                pen.literal(self.text(unix, place, time));
                pen.six_digits(self.micros(at));
                pen.byte(b'Z');
            }
            time => self.push_other(pen, time, at, place),
        }
    }

    #[inline(never)]
    fn push_other(&mut self, pen: &mut Pen<'_>, time: &Time, at: Instant, place: usize) {
        let (unix, micros) = (self.second(at), self.micros(at));
        match time {
            Time::Seconds => pen.number(unix),
            Time::Millis => pen.number(unix * 1000 + u64::from(micros / 1000)),
            Time::Micros => pen.number(unix * 1_000_000 + u64::from(micros)),
            Time::MillisOfSecond => pen.three_digits(micros / 1000),
            Time::MicrosOfSecond => pen.six_digits(micros),
            Time::Clf | Time::Iso | Time::Strftime(_) => pen.literal(self.text(unix, place, time)),
        }
    }

    #[inline(always)]
    fn text(&mut self, unix: u64, place: usize, time: &Time) -> &Literal {
        if self.texts.get(place).is_none_or(|text| text.unix != Some(unix)) {
            self.find_text(unix, place, time);
        }
        &self.texts[place].literal
    }

    #[cold]
    fn find_text(&mut self, unix: u64, place: usize, time: &Time) {
        if self.texts.len() <= place {
            self.texts.resize_with(place + 1, || Text { unix: None, literal: Literal::new(b"") });
        }
        let mut text = Vec::new();
        match time {
            Time::Iso => push_iso(&mut text, unix),
            Time::Strftime(format) => local_time::push(&mut text, format, unix as i64),
            _ => local_time::push(&mut text, CLF, unix as i64),
        }
        self.texts[place] = Text { unix: Some(unix), literal: Literal::new(&text) };
    }
}

fn since_epoch() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}

/// `2026-12-01T13:01:45.`
fn push_iso(text: &mut Vec<u8>, second: u64) {
    let mut time = FixedText::default();
    push_time(&mut time, Duration::from_secs(second));
    text.extend_from_slice(time.as_bytes().strip_suffix(b"000Z").unwrap_or_default());
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(clock: &mut Clock, time: &Time, at: Instant, place: usize) -> String {
        let mut out = [0; 64];
        let mut pen = Pen::new(&mut out);
        clock.push(&mut pen, time, at, place);
        let length = pen.len();
        String::from_utf8(out[..length].to_vec()).expect("text")
    }

    #[test]
    fn a_second_is_formatted_once_and_its_parts_follow() {
        let began = Instant::now();
        let mut clock = Clock::new(began);
        clock.wall = Duration::new(1_795_223_844, 1_002_003);
        let later = began + Duration::from_micros(500_000);
        for (time, now, half) in [
            (Time::Iso, "2026-11-21T01:17:24.001002Z", "2026-11-21T01:17:24.501002Z"),
            (Time::Seconds, "1795223844", "1795223844"),
            (Time::Millis, "1795223844001", "1795223844501"),
            (Time::Micros, "1795223844001002", "1795223844501002"),
            (Time::MillisOfSecond, "001", "501"),
            (Time::MicrosOfSecond, "001002", "501002"),
            (Time::Strftime(c"%S".into()), "24", "24"),
        ] {
            let at = |clock: &mut Clock, at| written(clock, &time, at, 0);
            clock.texts.clear();
            assert_eq!((at(&mut clock, began), at(&mut clock, later)), (now.to_string(), half.to_string()));
        }
        let before = written(&mut clock, &Time::Millis, began - Duration::from_millis(2), 1);
        assert_eq!(before, "1795223843999");
        let clf = written(&mut clock, &Time::Clf, began, 2);
        assert!(clf.starts_with("[2") && clf.ends_with(']') && clf.len() == 28, "{clf}");
    }
}
