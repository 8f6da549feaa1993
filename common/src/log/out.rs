//! The output of log lines: standard error, without waiting for its reader (`sys/output.rs`).
//!
//! Lines that are not taken at once, because a pipe is full, a terminal is stopped or a disk is full, are dropped and
//! counted. The count is logged before the next line that is taken, or soon after there is room again
//! ([`report_suppressed`]).

use super::{journal, json, process_name, push_head, repeats};
use crate::fixed_text::FixedText;
use crate::sys::output::Output;
use nix::errno::Errno;
use std::fmt::Write as _;
use std::io;
use std::os::fd::AsFd;
use std::sync::atomic::{AtomicI32, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError, RwLock};
use std::time::{Duration, Instant};

/// The interval between attempts to report the dropped lines.
const REPORT_INTERVAL: Duration = Duration::from_secs(1);

static OUT: RwLock<Output> = RwLock::new(Output::stderr());
/// The number of lines of this process that were dropped.
static DROPPED: AtomicU64 = AtomicU64::new(0);
/// The same since the process began.
static DROPPED_IN_ALL: AtomicU64 = AtomicU64::new(0);
/// The errno of the last of them.
static WHY: AtomicI32 = AtomicI32::new(0);
/// When to try again to report them.
static REPORT_AT: Mutex<Option<Instant>> = Mutex::new(None);

/// From now on writes to standard error do not block.
pub(super) fn begin() {
    set(Output::of(io::stderr().as_fd()));
}

/// From now on lines go to `output`.
pub(super) fn set(output: Output) {
    journal::detect();
    *OUT.write().unwrap_or_else(PoisonError::into_inner) = output;
}

/// The logger's target, which gets whole lines.
pub(super) struct Lines;

impl io::Write for Lines {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        write(line);
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The number of lines that this process has dropped.
pub fn lines_dropped() -> u64 {
    DROPPED_IN_ALL.load(Ordering::Relaxed)
}

/// Writes a line, or drops it.
pub(super) fn write(line: &[u8]) {
    if let Err(e) = report_dropped().and_then(|()| write_line(line)) {
        WHY.store(e as i32, Ordering::Relaxed);
        DROPPED.fetch_add(1, Ordering::Relaxed);
        DROPPED_IN_ALL.fetch_add(1, Ordering::Relaxed);
    }
}

fn write_line(line: &[u8]) -> Result<(), Errno> {
    let out = OUT.read().unwrap_or_else(PoisonError::into_inner);
    if !json::is_it() {
        return out.write_line(line);
    }
    let mut object = Vec::with_capacity(line.len() + 16);
    json::line(line, |piece| object.extend_from_slice(piece));
    out.write_line(&object)
}

/// Writes a line from a signal handler, which may have interrupted anything.
pub fn in_handler(line: &[u8]) {
    if json::is_it() {
        return write_in_handler(json::fixed_line(line).as_bytes());
    }
    let mut prioritized = FixedText::default();
    let line = match std::str::from_utf8(line) {
        Ok(text) if journal::is_it() => {
            for (at, line) in text.trim_end_matches('\n').split('\n').enumerate() {
                // The first has its priority.
                prioritized.push(if at == 0 { "" } else { "\n" });
                prioritized.push(if at == 0 { "" } else { journal::priority("ERROR") });
                prioritized.push(line);
            }
            prioritized.end_line()
        }
        _ => line,
    };
    write_in_handler(line);
}

fn write_in_handler(line: &[u8]) {
    // An error cannot be reported; the process ends.
    let _ = match OUT.try_read() {
        Ok(out) => out.write_line(line),
        Err(_) => Output::stderr().write_line(line),
    };
}

/// How long a process waits for a stalled reader of standard error before it gives up its last line.
const LAST_LINE_TIMEOUT: Duration = Duration::from_secs(1);

/// Writes the last line of a process, without a log line's head.
pub fn write_last(line: &str) {
    let end = Instant::now() + LAST_LINE_TIMEOUT;
    let text = line.trim_end_matches('\n');
    let line = match journal::is_standard_error() {
        _ if json::is_it() => {
            let mut head = FixedText::default();
            push_head(&mut head, "ERROR", &process_name());
            let message = text.strip_prefix("tine: ").unwrap_or(text);
            String::from_utf8_lossy(head.as_bytes()).into_owned() + message
        }
        true => format!("{}{}\n", journal::priority("ERROR"), journal::each_line("ERROR", text)),
        false => line.to_string(),
    };
    while write_line(line.as_bytes()) == Err(Errno::EAGAIN) && Instant::now() < end {
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// Logs how many lines were suppressed, and how many were dropped if there is room again. To be called in every turn of
/// a loop.
pub fn report_suppressed(now: Instant) {
    for summary in repeats::ended(now) {
        let mut text = FixedText::default();
        push_head(&mut text, "WARN", &process_name());
        text.push(&summary);
        write(text.end_line());
    }
    if DROPPED.load(Ordering::Relaxed) == 0 {
        return;
    }
    let mut at = REPORT_AT.lock().unwrap_or_else(PoisonError::into_inner);
    if at.is_none_or(|at| at <= now) {
        *at = Some(now + REPORT_INTERVAL);
        let _ = report_dropped(); // there will be other times
    }
}

fn report_dropped() -> Result<(), Errno> {
    let dropped = DROPPED.load(Ordering::Relaxed);
    if dropped == 0 {
        return Ok(());
    }
    let mut text = FixedText::default();
    push_head(&mut text, "WARN", &process_name());
    let why = match Errno::from_raw(WHY.load(Ordering::Relaxed)) {
        Errno::EAGAIN => "nothing read the log",
        e => e.desc(),
    };
    let lines = if dropped == 1 { "log line was" } else { "log lines were" };
    // Writing to this cannot fail.
    let _ = write!(text, "{dropped} {lines} dropped: {why}");
    write_line(text.end_line())?;
    DROPPED.fetch_sub(dropped, Ordering::Relaxed);
    Ok(())
}
