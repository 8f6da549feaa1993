//! The rate limit of each place in the code that logs: [`AT_ONCE`] lines at once, then [`PER_SECOND`]. Otherwise a
//! client that provokes errors in an app could write as many lines as it sends requests.
//!
//! Suppressed lines are counted; the count is logged before the place's next line, or once the place has been quiet for
//! [`QUIET`]. Lines at level `debug` are not limited, as a user who enables them wants them all, nor is what an app
//! itself writes to the log ([`APP`]).

use super::Allowance;
use crate::units::counted;
use log::{Level, Record};
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

const AT_ONCE: f64 = 50.0;
const PER_SECOND: f64 = 2.0;
const QUIET: Duration = Duration::from_secs(2);
/// The target of lines that an app writes.
pub const APP: &str = "app";
/// The characters of a line that a summary quotes.
const QUOTED_CHARS: usize = 100;

static REPEATS: Mutex<Repeats> = Mutex::new(Repeats { places: BTreeMap::new() });
/// Some lines were suppressed and not yet summed up.
static HAS_SUPPRESSED: AtomicBool = AtomicBool::new(false);

/// `None`: this line is suppressed. Otherwise the summary that precedes it, if lines like it were suppressed.
pub(super) fn admits(record: &Record<'_>, now: Instant) -> Option<Option<String>> {
    if record.level() >= Level::Debug || record.target() == APP {
        return Some(None);
    }
    let place = (record.file_static().unwrap_or_default(), record.line().unwrap_or_default());
    let mut repeats = REPEATS.lock().unwrap_or_else(PoisonError::into_inner);
    let admitted = repeats.admits(place, record.args(), now);
    if admitted.is_none() {
        HAS_SUPPRESSED.store(true, Ordering::Relaxed);
    }
    admitted
}

/// The summaries of places that are quiet again.
pub(super) fn ended(now: Instant) -> Vec<String> {
    if !HAS_SUPPRESSED.load(Ordering::Relaxed) {
        return Vec::new();
    }
    let mut repeats = REPEATS.lock().unwrap_or_else(PoisonError::into_inner);
    let (summaries, has_suppressed) = repeats.ended(now);
    HAS_SUPPRESSED.store(has_suppressed, Ordering::Relaxed);
    summaries
}

/// File and line.
type Place = (&'static str, u32);

struct Repeats {
    places: BTreeMap<Place, Repeat>,
}

struct Repeat {
    allowance: Allowance,
    suppressed: u64,
    /// When the last line came, logged or not.
    last: Instant,
    /// The beginning of the last one logged.
    logged: String,
}

impl Repeats {
    fn admits(&mut self, place: Place, text: &dyn std::fmt::Display, now: Instant) -> Option<Option<String>> {
        let repeat = self.places.entry(place).or_insert_with(|| Repeat {
            allowance: Allowance::new(AT_ONCE, PER_SECOND),
            suppressed: 0,
            last: now,
            logged: String::new(),
        });
        repeat.last = now;
        if repeat.allowance.admits(now).is_none() {
            repeat.suppressed += 1;
            return None;
        }
        let summary = repeat.take_summary();
        repeat.logged.clear();
        // Writing to a string cannot fail.
        let _ = write!(repeat.logged, "{text}");
        let line = repeat.logged.lines().next().unwrap_or_default();
        repeat.logged = line.chars().take(QUOTED_CHARS).collect();
        Some(summary)
    }

    /// Also returns whether there are suppressed lines left.
    fn ended(&mut self, now: Instant) -> (Vec<String>, bool) {
        let is_over = |repeat: &&mut Repeat| now.saturating_duration_since(repeat.last) >= QUIET;
        let summaries = self.places.values_mut().filter(is_over).filter_map(Repeat::take_summary).collect();
        (summaries, self.places.values().any(|repeat| repeat.suppressed > 0))
    }
}

impl Repeat {
    fn take_summary(&mut self) -> Option<String> {
        match std::mem::take(&mut self.suppressed) {
            0 => None,
            count => Some(format!("suppressed {} like {:?}", counted(count, "line"), self.logged)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HERE: Place = ("here.rs", 1);

    #[test]
    fn a_place_is_limited_and_the_others_are_not() {
        let start = Instant::now();
        let mut repeats = Repeats { places: BTreeMap::new() };
        let said = (0..10_000)
            .filter(|i| repeats.admits(HERE, &"oops", start + Duration::from_millis(*i)).is_some())
            .count() as f64;
        assert!((said - (AT_ONCE + 10.0 * PER_SECOND)).abs() <= 2.0, "{said}");
        assert_eq!(repeats.admits(("there.rs", 1), &"oops", start), Some(None));
    }

    #[test]
    fn what_was_suppressed_is_summed_up_before_the_next_or_after_a_while() {
        let start = Instant::now();
        let mut repeats = Repeats { places: BTreeMap::new() };
        let flood = |repeats: &mut Repeats, at: Instant| {
            (0..1000).filter(|i| repeats.admits(HERE, &format!("GET /{i}: oops\nmore"), at).is_none()).count()
        };
        let suppressed = flood(&mut repeats, start);
        assert_eq!(suppressed, 950);
        let later = start + Duration::from_secs(1);
        let summary = repeats.admits(HERE, &"another", later).expect("it is admitted");
        assert_eq!(summary.as_deref(), Some("suppressed 950 lines like \"GET /49: oops\""));
        assert_eq!(repeats.ended(later + QUIET), (Vec::new(), false));
        let suppressed = flood(&mut repeats, later);
        assert_eq!(repeats.ended(later + QUIET / 2), (Vec::new(), true));
        let (summaries, has_suppressed) = repeats.ended(later + QUIET);
        assert!(summaries[0].starts_with(&format!("suppressed {suppressed} lines like")), "{summaries:?}");
        assert!(!has_suppressed);
    }
}
