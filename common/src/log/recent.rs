//! The last lines of this process, for the status page: what the log says at `info` and above, whatever the level of the log
//! is. Off until [`keep`]; the master turns it on, its workers are told to forget.

use super::{indented, one_line};
use log::{Level, LevelFilter, Log, Metadata, Record};
use serde::{Deserialize, Serialize};
use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

/// The lines that are kept.
const LINES_MAX: usize = 64;
/// The characters of a line that are kept.
const CHARS_MAX: usize = 400;
/// The target of lines that repeat numbers at an interval, which are not kept.
pub const NUMBERS: &str = "numbers";

static RECENT: Mutex<Option<Recent>> = Mutex::new(None);

struct Recent {
    lines: VecDeque<Event>,
    count: u64,
    /// The level of the log without this.
    level: LevelFilter,
}

/// The logger, and what it passes by.
pub(super) struct Keeping<L>(pub L);

impl<L: Log> Log for Keeping<L> {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        self.0.enabled(metadata)
    }

    fn log(&self, record: &Record<'_>) {
        keep_line(record);
        self.0.log(record);
    }

    fn flush(&self) {
        self.0.flush();
    }
}

/// A line of the log.
#[derive(Debug, Default, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Event {
    /// By the wall clock, since 1970.
    pub unix_ms: u64,
    /// `INFO`, `WARN`, `ERROR`.
    pub level: String,
    /// One line, cut if it is long.
    pub text: String,
}

/// From now on the lines of this process are kept.
pub fn keep() {
    let level = log::max_level();
    *lock() = Some(Recent { lines: VecDeque::new(), count: 0, level });
    log::set_max_level(level.max(LevelFilter::Info));
}

/// In a process just forked: the lines are another's.
pub fn forget() {
    if let Some(recent) = lock().take() {
        log::set_max_level(recent.level);
    }
}

/// The lines, the oldest first, and how many there were in all.
pub fn recent() -> (u64, Vec<Event>) {
    lock().as_ref().map_or((0, Vec::new()), |recent| (recent.count, recent.lines.iter().cloned().collect()))
}

fn keep_line(record: &Record<'_>) {
    if record.level() > Level::Info || record.target() == NUMBERS {
        return;
    }
    let mut recent = lock();
    let Some(recent) = recent.as_mut() else { return };
    let text = indented(&record.args().to_string());
    let text = one_line(text.lines().next().unwrap_or_default());
    let unix_ms = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as u64);
    let cut = text.chars().take(CHARS_MAX).collect();
    recent.count += 1;
    recent.lines.push_back(Event { unix_ms, level: record.level().to_string(), text: cut });
    if recent.lines.len() > LINES_MAX {
        recent.lines.pop_front();
    }
}

fn lock() -> std::sync::MutexGuard<'static, Option<Recent>> {
    RECENT.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Nothing;

    impl Log for Nothing {
        fn enabled(&self, _: &Metadata<'_>) -> bool {
            false
        }

        fn log(&self, _: &Record<'_>) {}

        fn flush(&self) {}
    }

    #[test]
    fn events_are_kept_as_single_lines_and_bounded() {
        let logger = Keeping(Nothing);
        let say = |level, target, text: &str| {
            logger.log(&Record::builder().level(level).target(target).args(format_args!("{text}")).build());
        };
        say(Level::Error, "tine", "before");
        assert_eq!(recent(), (0, Vec::new()));
        keep();
        say(Level::Debug, "tine", "debug");
        say(Level::Info, NUMBERS, "numbers");
        say(Level::Warn, "tine", "worker 3 died:\n  trace \u{1b}[1m");
        say(Level::Info, "tine", &"\u{e9}".repeat(1000));
        let (count, lines) = recent();
        assert_eq!((count, lines[0].level.as_str(), lines[0].text.as_str()), (2, "WARN", "worker 3 died:"));
        assert_eq!(lines[1].text.chars().count(), CHARS_MAX);
        (0..100).for_each(|_| say(Level::Info, "tine", "more"));
        assert_eq!((recent().0, recent().1.len()), (102, LINES_MAX));
        forget();
        assert_eq!(recent(), (0, Vec::new()));
    }
}
