//! Times of day of lines: formatted once a second, not once a line.

use super::datum::{push_number, push_padded};
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
    /// The last time that was asked for: most of a turn's lines have the same.
    last: Option<(Instant, Duration)>,
    /// The texts of one second, by their place in the format.
    texts: Vec<Text>,
}

#[derive(Debug, Default)]
struct Text {
    second: Option<u64>,
    bytes: Vec<u8>,
}

impl Clock {
    pub fn new(now: Instant) -> Clock {
        Clock { read_at: now, wall: since_epoch(), last: None, texts: Vec::new() }
    }

    fn wall(&mut self, at: Instant) -> Duration {
        if let Some((last, wall)) = self.last
            && last == at
        {
            return wall;
        }
        let wall = self.wall_of(at);
        self.last = Some((at, wall));
        wall
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

    /// Appends the time at which it was `at`; `place` is that of the value in its format.
    pub fn push(&mut self, out: &mut Vec<u8>, time: &Time, at: Instant, place: usize) {
        let wall = self.wall(at);
        match time {
            Time::Seconds => push_number(out, wall.as_secs()),
            Time::Millis => push_number(out, wall.as_millis() as u64),
            Time::Micros => push_number(out, wall.as_micros() as u64),
            Time::MillisOfSecond => push_padded(out, wall.subsec_millis(), 3),
            Time::MicrosOfSecond => push_padded(out, wall.subsec_micros(), 6),
            Time::Iso => {
                out.extend_from_slice(self.text(wall.as_secs(), place, push_iso));
                push_padded(out, wall.subsec_micros(), 6);
                out.push(b'Z');
            }
            Time::Clf => {
                let format = |text: &mut Vec<u8>, second: u64| local_time::push(text, CLF, second as i64);
                out.extend_from_slice(self.text(wall.as_secs(), place, format));
            }
            Time::Strftime(format) => {
                let format = |text: &mut Vec<u8>, second: u64| local_time::push(text, format, second as i64);
                out.extend_from_slice(self.text(wall.as_secs(), place, format));
            }
        }
    }

    fn text(&mut self, second: u64, place: usize, write: impl FnOnce(&mut Vec<u8>, u64)) -> &[u8] {
        if self.texts.len() <= place {
            self.texts.resize_with(place + 1, Text::default);
        }
        let text = &mut self.texts[place];
        if text.second != Some(second) {
            text.second = Some(second);
            text.bytes.clear();
            write(&mut text.bytes, second);
        }
        &text.bytes
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
        let mut out = Vec::new();
        clock.push(&mut out, time, at, place);
        String::from_utf8(out).expect("text")
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
