//! Log lines: `2026-11-21T01:17:24.123Z INFO worker 3[4711] text`, one write each, to standard error or to the file
//! that `--log-file` puts in its place.
//!
//! With `--log-format json` each line is an object (`log/json.rs`). If standard error is systemd's journal, a priority replaces the time (`log/journal.rs`). No write ever blocks: lines
//! that standard error does not take at once are dropped and counted (`log/out.rs`).
//!
//! `--log-level` sets the level (`error`, `warn`, `info`, `debug`, `off`), or else `TINE_LOG`; the default is `info`,
//! and `warn` with `--quiet`. The lines of each place in the code are rate-limited (`log/repeats.rs`). [`Burst`] and
//! [`Allowance`] are for what is better summed up: a crash loop, a flood of refusals.

pub(crate) mod append_file;
mod file;
mod guarded;
mod head;
mod journal;
mod json;
mod out;
mod recent;
mod repeats;
mod shown_path;

pub use file::{LogFile, path, reopen};
pub use head::{push_head, push_time};
pub use json::LogFormat;
pub use out::{in_handler, lines_dropped, report_suppressed, write_last};
pub use recent::{Event, NUMBERS, forget, keep, recent};
pub use repeats::APP;
pub use shown_path::shown_path;

use crate::fixed_text::FixedText;
use log::LevelFilter;
use std::backtrace::{Backtrace, BacktraceStatus};
use std::io::Write;
use std::sync::RwLock;
use std::time::{Duration, Instant};

static PROCESS_NAME: RwLock<String> = RwLock::new(String::new());

/// The level by `--log-level`, or else by `TINE_LOG`, or else by `--quiet`; the error is one line that states what
/// would be right.
pub fn level(asked: Option<LevelFilter>, is_quiet: bool) -> Result<LevelFilter, String> {
    let default = if is_quiet { LevelFilter::Warn } else { LevelFilter::Info };
    let variable = std::env::var_os("TINE_LOG").filter(|text| !text.is_empty());
    match (asked, variable) {
        (Some(level), _) => Ok(level),
        (None, Some(text)) => parse_level(&text.to_string_lossy()).map_err(|e| format!("TINE_LOG {e}")),
        (None, None) => Ok(default),
    }
}

/// Parses `debug` and so on, in upper or lower case.
pub fn parse_level(text: &str) -> Result<LevelFilter, String> {
    match text.to_ascii_lowercase().as_str() {
        "error" => Ok(LevelFilter::Error),
        "warn" => Ok(LevelFilter::Warn),
        "info" => Ok(LevelFilter::Info),
        "debug" => Ok(LevelFilter::Debug),
        "off" => Ok(LevelFilter::Off),
        _ => Err(format!("{text:?} is not a level; give error, warn, info, debug or off")),
    }
}

/// Installs the logger, once a process tree; forked workers inherit it and call [`set_process_name`]. From
/// now on panics are logged as lines, too. A program's own logger, if it was installed first, stays and gets the records.
pub fn init(level: LevelFilter) {
    out::begin();
    let logger = env_logger::Builder::new()
        .filter_level(level)
        .target(env_logger::Target::Pipe(Box::new(out::Lines)))
        .format(|out, record| {
            // Nothing written means no line.
            let Some(summary) = repeats::admits(record, Instant::now()) else { return Ok(()) };
            let mut head = FixedText::default();
            let level = record.level().as_str();
            push_head(&mut head, level, &process_name());
            if let Some(summary) = summary {
                let line = [head.as_bytes(), summary.as_bytes(), b"\n"].concat();
                out::write(&line);
            }
            out.write_all(head.as_bytes())?;
            if !journal::is_it() || json::is_it() {
                return writeln!(out, "{}", record.args());
            }
            writeln!(out, "{}", journal::each_line(level, &record.args().to_string()))
        })
        .build();
    let filter = logger.filter();
    if log::set_boxed_logger(Box::new(recent::Keeping(logger))).is_err() {
        return;
    }
    log::set_max_level(filter);
    std::panic::set_hook(Box::new(|panic| {
        // As in Rust's own hook: only with RUST_BACKTRACE.
        let backtrace = Backtrace::capture();
        let mut text = panic.to_string();
        if backtrace.status() == BacktraceStatus::Captured {
            text.push_str(&format!("\nstack backtrace:\n{backtrace}"));
        }
        let mut head = FixedText::default();
        push_head(&mut head, "ERROR", &process_name());
        let text = indented(&text);
        let text = if journal::is_it() && !json::is_it() { journal::each_line("ERROR", &text) } else { text };
        let line = [head.as_bytes(), text.as_bytes(), b"\n"].concat();
        out::write(&line);
    }));
}

/// Names this process in its log lines: `master`, `worker 3`.
pub fn set_process_name(name: &str) {
    *PROCESS_NAME.write().unwrap_or_else(|poisoned| poisoned.into_inner()) = name.to_string();
}

/// The name that [`set_process_name`] gave.
pub fn process_name() -> String {
    PROCESS_NAME.read().unwrap_or_else(|poisoned| poisoned.into_inner()).clone()
}

/// Indents the further lines of a text, so that none can pass for a log line of its own.
pub fn indented(text: &str) -> String {
    let lines = text.trim_end_matches('\n').split('\n').map(one_line);
    lines.collect::<Vec<_>>().join("\n  ")
}

/// Escapes control characters, except tabs.
pub fn one_line(text: &str) -> String {
    text.chars()
        .flat_map(|c| match c.is_control() && c != '\t' {
            true => c.escape_default().collect::<Vec<_>>(),
            false => vec![c],
        })
        .collect()
}

/// Lets the first `most` events of a burst through and counts the rest; a burst ends after `quiet` without an event.
///
/// Its owner calls [`Burst::ended`] now and then, so that the suppressed events are summed up in the end.
#[derive(Debug)]
pub struct Burst {
    most: u64,
    quiet: Duration,
    count: u64,
    first: Option<Instant>,
    last: Option<Instant>,
}

/// A burst that is over.
#[derive(Debug, PartialEq, Eq)]
pub struct Ended {
    pub count: u64,
    pub lasted: Duration,
}

impl Ended {
    /// `0.1 s`: the time within which it happened, rounded up, so that it is never none.
    pub fn span(&self) -> String {
        format!("{:.1} s", (self.lasted.as_secs_f64() * 10.0).ceil().max(1.0) / 10.0)
    }
}

impl Burst {
    pub const fn new(most: u64, quiet: Duration) -> Self {
        Burst { most, quiet, count: 0, first: None, last: None }
    }

    /// Counts one event; true: log it, false: suppress it.
    pub fn admits(&mut self, now: Instant) -> bool {
        self.first.get_or_insert(now);
        self.last = Some(now);
        self.count += 1;
        self.count <= self.most
    }

    /// The burst that ended before `now`, once. Inline: workers ask once a turn, nearly always for nothing.
    #[inline]
    pub fn ended(&mut self, now: Instant) -> Option<Ended> {
        if self.last.is_none() { None } else { self.take_ended(now) }
    }

    fn take_ended(&mut self, now: Instant) -> Option<Ended> {
        let (first, last) = (self.first?, self.last?);
        (now.duration_since(last) >= self.quiet).then(|| {
            let count = std::mem::take(&mut self.count);
            (self.first, self.last) = (None, None);
            Ended { count, lasted: last - first }
        })
    }

    /// When to call [`Burst::ended`].
    pub fn ends_at(&self) -> Option<Instant> {
        self.last.map(|last| last + self.quiet)
    }
}

/// Limits the rate of log lines, and reports with each line how many were suppressed before it.
#[derive(Debug)]
pub struct Allowance {
    left: f64,
    most: f64,
    per_second: f64,
    asked: Option<Instant>,
    suppressed: u64,
}

impl Allowance {
    /// `most` lines at once, then `per_second`.
    pub const fn new(most: f64, per_second: f64) -> Self {
        Allowance { left: most, most, per_second, asked: None, suppressed: 0 }
    }

    /// `Some(n)`: log it; `n` others were suppressed since the last line.
    pub fn admits(&mut self, now: Instant) -> Option<u64> {
        let since = self.asked.replace(now).map_or(Duration::ZERO, |asked| now.saturating_duration_since(asked));
        self.left = (self.left + since.as_secs_f64() * self.per_second).min(self.most);
        if self.left < 1.0 {
            self.suppressed += 1;
            return None;
        }
        self.left -= 1.0;
        Some(std::mem::take(&mut self.suppressed))
    }
}

/// The end of a line that [`Allowance::admits`]: the number of suppressed ones.
pub fn and_others(others: u64) -> String {
    if others == 0 { String::new() } else { format!(" (and {others} like it since the last such line)") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_in_any_case_and_nothing_else() {
        for (text, level) in
            [("error", "ERROR"), ("WARN", "WARN"), ("Info", "INFO"), ("debug", "DEBUG"), ("off", "OFF")]
        {
            assert_eq!(parse_level(text).map(|level| level.to_string()), Ok(level.to_string()));
        }
        for text in ["", "loud", "trace", "info,tine=debug", " info", "3"] {
            assert!(parse_level(text).unwrap_err().contains("error, warn, info, debug or off"), "{text}");
        }
    }

    #[test]
    fn no_line_of_a_text_can_pass_for_a_log_line() {
        for (text, expected) in [
            ("a:1: b", "a:1: b"),
            ("a\n\tb\n\n", "a\n  \tb"),
            ("a\n2026-11-21T01:17:24Z INFO", "a\n  2026-11-21T01:17:24Z INFO"),
            ("a\r\u{1b}[1m", "a\\r\\u{1b}[1m"),
        ] {
            assert_eq!(indented(text), expected);
        }
    }

    #[test]
    fn an_allowance_bounds_the_rate_and_counts_the_rest() {
        let start = Instant::now();
        let mut allowance = Allowance::new(3.0, 1.0);
        let logged = (0..1000).filter(|i| allowance.admits(start + Duration::from_millis(i * 10)).is_some()).count();
        assert!((12..=13).contains(&logged), "3 at once and one in each of 10 seconds, not {logged}");
        let later = start + Duration::from_secs(60);
        assert!(allowance.admits(later).is_some_and(|suppressed| suppressed > 0));
        assert_eq!(allowance.admits(later), Some(0));
    }

    #[test]
    fn a_burst_logs_little_and_is_summed_up() {
        let start = Instant::now();
        let mut burst = Burst::new(2, Duration::from_secs(5));
        let logged = (0..100).filter(|i| burst.admits(start + Duration::from_millis(i * 10))).count();
        assert_eq!(logged, 2);
        assert_eq!(burst.ended(start + Duration::from_secs(3)), None);
        let ended = burst.ended(burst.ends_at().unwrap()).unwrap();
        assert_eq!(ended, Ended { count: 100, lasted: Duration::from_millis(990) });
        assert_eq!(ended.span(), "1.0 s");
        assert_eq!(burst.ended(start + Duration::from_secs(60)), None);
        assert!(burst.admits(start + Duration::from_secs(61)), "a new burst is logged again");
        let of_one = burst.ended(start + Duration::from_secs(70)).unwrap();
        assert_eq!((of_one.count, of_one.span().as_str()), (1, "0.1 s"), "never within no time");
    }
}
