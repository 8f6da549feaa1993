//! No place in the code fills the log: each may say [`AT_ONCE`] lines at once, then [`PER_SECOND`]. What a client can
//! provoke, an app's error say, would else be as many lines as it sends requests.
//!
//! What is held back is counted, and said before the place's next line, or once it has been quiet for [`QUIET`]. Lines of
//! `debug` are let through, as whoever asks for them wants them all, and what an app itself writes to the log ([`APP`]).

use super::Allowance;
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
/// What a summary quotes of a line.
const QUOTED_CHARS: usize = 100;

static REPEATS: Mutex<Repeats> = Mutex::new(Repeats { places: BTreeMap::new() });
/// Some lines were held back and are not said yet.
static IS_HOLDING: AtomicBool = AtomicBool::new(false);

/// `None`: this line is held back. Else the summary that goes before it, if lines like it were.
pub(super) fn admits(record: &Record<'_>, now: Instant) -> Option<Option<String>> {
    if record.level() >= Level::Debug || record.target() == APP {
        return Some(None);
    }
    let place = (record.file_static().unwrap_or_default(), record.line().unwrap_or_default());
    let mut repeats = REPEATS.lock().unwrap_or_else(PoisonError::into_inner);
    let admitted = repeats.admits(place, record.args(), now);
    if admitted.is_none() {
        IS_HOLDING.store(true, Ordering::Relaxed);
    }
    admitted
}

/// The summaries of places that are quiet again.
pub(super) fn ended(now: Instant) -> Vec<String> {
    if !IS_HOLDING.load(Ordering::Relaxed) {
        return Vec::new();
    }
    let mut repeats = REPEATS.lock().unwrap_or_else(PoisonError::into_inner);
    let (summaries, is_holding) = repeats.ended(now);
    IS_HOLDING.store(is_holding, Ordering::Relaxed);
    summaries
}

/// File and line.
type Place = (&'static str, u32);

struct Repeats {
    places: BTreeMap<Place, Repeat>,
}

struct Repeat {
    allowance: Allowance,
    held_back: u64,
    /// When the last line came, said or not.
    last: Instant,
    /// The beginning of the last one said.
    said: String,
}

impl Repeats {
    fn admits(&mut self, place: Place, text: &dyn std::fmt::Display, now: Instant) -> Option<Option<String>> {
        let repeat = self.places.entry(place).or_insert_with(|| Repeat {
            allowance: Allowance::new(AT_ONCE, PER_SECOND),
            held_back: 0,
            last: now,
            said: String::new(),
        });
        repeat.last = now;
        if repeat.allowance.admits(now).is_none() {
            repeat.held_back += 1;
            return None;
        }
        let summary = repeat.take_summary();
        repeat.said.clear();
        // Writing to a string cannot fail.
        let _ = write!(repeat.said, "{text}");
        let line = repeat.said.lines().next().unwrap_or_default();
        repeat.said = line.chars().take(QUOTED_CHARS).collect();
        Some(summary)
    }

    /// And whether there are lines left to tell of.
    fn ended(&mut self, now: Instant) -> (Vec<String>, bool) {
        let is_over = |repeat: &&mut Repeat| now.saturating_duration_since(repeat.last) >= QUIET;
        let summaries = self.places.values_mut().filter(is_over).filter_map(Repeat::take_summary).collect();
        (summaries, self.places.values().any(|repeat| repeat.held_back > 0))
    }
}

impl Repeat {
    fn take_summary(&mut self) -> Option<String> {
        let lines = match std::mem::take(&mut self.held_back) {
            0 => return None,
            1 => "1 line was".to_string(),
            count => format!("{count} lines were"),
        };
        Some(format!("{lines} held back that are like {:?}", self.said))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HERE: Place = ("here.rs", 1);

    #[test]
    fn a_place_is_held_to_its_rate_and_the_others_are_not() {
        let start = Instant::now();
        let mut repeats = Repeats { places: BTreeMap::new() };
        let said = (0..10_000)
            .filter(|i| repeats.admits(HERE, &"oops", start + Duration::from_millis(*i)).is_some())
            .count() as f64;
        assert!((said - (AT_ONCE + 10.0 * PER_SECOND)).abs() <= 2.0, "{said}");
        assert_eq!(repeats.admits(("there.rs", 1), &"oops", start), Some(None));
    }

    #[test]
    fn what_was_held_back_is_said_before_the_next_or_after_a_while() {
        let start = Instant::now();
        let mut repeats = Repeats { places: BTreeMap::new() };
        let flood = |repeats: &mut Repeats, at: Instant| {
            (0..1000).filter(|i| repeats.admits(HERE, &format!("GET /{i}: oops\nmore"), at).is_none()).count()
        };
        let held_back = flood(&mut repeats, start);
        assert_eq!(held_back, 950);
        let later = start + Duration::from_secs(1);
        let summary = repeats.admits(HERE, &"another", later).expect("it is said");
        assert_eq!(summary.as_deref(), Some("950 lines were held back that are like \"GET /49: oops\""));
        assert_eq!(repeats.ended(later + QUIET), (Vec::new(), false));
        let held_back = flood(&mut repeats, later);
        assert_eq!(repeats.ended(later + QUIET / 2), (Vec::new(), true));
        let (summaries, is_holding) = repeats.ended(later + QUIET);
        assert!(summaries[0].starts_with(&format!("{held_back} lines were held back")), "{summaries:?}");
        assert!(!is_holding);
    }
}
