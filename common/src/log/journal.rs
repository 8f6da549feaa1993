//! Priorities for systemd's journal, if standard error leads to it. The journal adds the time itself.
//!
//! `JOURNAL_STREAM` names the stream that a service was given as standard error, by device and inode (systemd.exec(5));
//! it counts only if standard error still is that stream. A line that begins with `<3>` has that priority
//! (sd-daemon(3)).

use nix::sys::stat::fstat;
use std::io;
use std::os::fd::AsFd;
use std::sync::atomic::{AtomicBool, Ordering};

static IS_IT: AtomicBool = AtomicBool::new(false);

/// Checks where standard error leads.
pub(super) fn detect() {
    IS_IT.store(is_standard_error(), Ordering::Relaxed);
}

/// Whether lines go to the journal, as of the last [`detect`]. Also for signal handlers.
pub(super) fn is_it() -> bool {
    IS_IT.load(Ordering::Relaxed)
}

pub(super) fn is_standard_error() -> bool {
    let stream = fstat(io::stderr().as_fd()).map(|stat| format!("{}:{}", stat.st_dev, stat.st_ino));
    stream.is_ok_and(|stream| std::env::var_os("JOURNAL_STREAM").is_some_and(|named| *named == *stream))
}

/// The priority of a level (sd-daemon(3)).
pub(super) fn priority(level: &str) -> &'static str {
    match level {
        "ERROR" => "<3>",
        "WARN" => "<4>",
        "DEBUG" => "<7>",
        _ => "<6>",
    }
}

/// Adds the priority to each line after the first, since each is an entry of the journal.
pub(super) fn each_line(level: &str, text: &str) -> String {
    text.replace('\n', &format!("\n{}", priority(level)))
}
