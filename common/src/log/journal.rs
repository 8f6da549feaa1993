//! What systemd's journal is told where standard error leads to it: how urgent each line is. It notes the time by itself.
//!
//! `JOURNAL_STREAM` names the stream that a service was given as standard error, by device and inode (systemd.exec(5)): only
//! where that is still what standard error is. A line that begins with `<3>` has that priority (sd-daemon(3)).

use nix::sys::stat::fstat;
use std::io;
use std::os::fd::AsFd;
use std::sync::atomic::{AtomicBool, Ordering};

static IS_IT: AtomicBool = AtomicBool::new(false);

/// Looks where standard error leads.
pub(super) fn look() {
    IS_IT.store(is_standard_error(), Ordering::Relaxed);
}

/// Lines go to the journal, as far as that was looked at. Also for the handler of a signal.
pub(super) fn is_it() -> bool {
    IS_IT.load(Ordering::Relaxed)
}

pub(super) fn is_standard_error() -> bool {
    let stream = fstat(io::stderr().as_fd()).map(|stat| format!("{}:{}", stat.st_dev, stat.st_ino));
    stream.is_ok_and(|stream| std::env::var_os("JOURNAL_STREAM").is_some_and(|named| *named == *stream))
}

/// The priority of a level, as sd-daemon(3) has it.
pub(super) fn priority(level: &str) -> &'static str {
    match level {
        "ERROR" => "<3>",
        "WARN" => "<4>",
        "DEBUG" => "<7>",
        _ => "<6>",
    }
}

/// Each line of the text by itself is an entry of the journal: those after the first get the priority, too.
pub(super) fn each_line(level: &str, text: &str) -> String {
    text.replace('\n', &format!("\n{}", priority(level)))
}
