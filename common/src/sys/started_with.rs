//! What this process inherited, for the processes that it starts in turn: a child should find what it would find if the
//! server were not in between.
//!
//! Two things change in a server. Rust's runtime ignores SIGPIPE before `main`, and an ignored signal stays ignored
//! across execve(2); so it gets a handler that does nothing, which execve(2) resets. And the soft limit of open files
//! is raised for the connections, while some programs close as many descriptors as the limit allows, or size tables by
//! it. So both are read before the runtime starts.

use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, Signal, sigaction};
use std::io;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// A bit for each signal that was ignored, by number.
static IGNORED: AtomicU64 = AtomicU64::new(0);
/// The soft limit of open files.
static OPEN_FILES: AtomicU64 = AtomicU64::new(0);

extern "C" fn record() {
    let mut ignored = 0;
    for signal in 1..=31 {
        // SAFETY: all zeros is a valid sigaction.
        let mut action: libc::sigaction = unsafe { std::mem::zeroed() };
        // SAFETY: `action` outlives the call, which changes nothing.
        let done = unsafe { libc::sigaction(signal, std::ptr::null(), &mut action) };
        ignored |= u64::from(done == 0 && action.sa_sigaction == libc::SIG_IGN) << signal;
    }
    IGNORED.store(ignored, Relaxed);
    OPEN_FILES.store(getrlimit(Resource::RLIMIT_NOFILE).map_or(0, |(soft, _)| soft), Relaxed);
}

// SAFETY: the loader calls the functions of this section, without arguments that are needed, before `main` and, because
// of the number, before those without one; `record` makes system calls and writes two numbers, which needs nothing of
// Rust's runtime.
#[used]
#[unsafe(link_section = ".init_array.00101")]
static RECORD: extern "C" fn() = record;

/// Whether this process was started with the signal ignored, as by nohup(1) SIGHUP, by a shell SIGINT for background
/// processes, and by systemd SIGPIPE.
pub fn ignored(signal: i32) -> bool {
    IGNORED.load(Relaxed) & 1 << signal != 0
}

/// Handles SIGPIPE instead of ignoring it, so that programs executed by this process inherit it as this process did.
pub fn handle_sigpipe() -> io::Result<()> {
    extern "C" fn nothing(_: libc::c_int) {}
    if ignored(libc::SIGPIPE) {
        return Ok(());
    }
    let action = SigAction::new(SigHandler::Handler(nothing), SaFlags::SA_RESTART, SigSet::empty());
    // SAFETY: the handler does nothing at all.
    unsafe { sigaction(Signal::SIGPIPE, &action) }?;
    Ok(())
}

/// The signals that mean nothing to a process with an app in it, whoever sends them: they are the master's.
pub const OF_THE_MASTER: [i32; 4] = [libc::SIGINT, libc::SIGHUP, libc::SIGUSR1, libc::SIGUSR2];

/// Ignores a signal again that was ignored when this process was started; false: it was not.
pub fn ignore_again(signal: i32) -> bool {
    // SAFETY: no handler is installed.
    ignored(signal) && unsafe { libc::signal(signal, libc::SIG_IGN) } != libc::SIG_ERR
}

/// The soft limit of open files that this process was started with, if it has another now.
pub fn raised_open_files() -> Option<u64> {
    let now = getrlimit(Resource::RLIMIT_NOFILE).ok()?.0;
    Some(OPEN_FILES.load(Relaxed)).filter(|&before| before < now)
}

/// Restores the limit. Async-signal-safe in practice, although the list in signal-safety(7) has no *rlimit: they are
/// plain system calls.
pub fn restore_open_files() {
    if let Ok((now, hard)) = getrlimit(Resource::RLIMIT_NOFILE) {
        let before = OPEN_FILES.load(Relaxed);
        if before < now {
            // It was the limit before, so it is allowed.
            let _ = setrlimit(Resource::RLIMIT_NOFILE, before, hard);
        }
    }
}

/// From now on every fork(3) of this process, such as a C module's, restores the limit in the child. posix_spawn(3),
/// and with it system(3) and popen(3), calls no such handler.
pub fn restore_open_files_in_forks() -> io::Result<()> {
    extern "C" fn in_child() {
        restore_open_files();
    }
    // SAFETY: the function is async-signal-safe and outlives the process.
    match unsafe { libc::pthread_atfork(None, None, Some(in_child)) } {
        0 => Ok(()),
        e => Err(io::Error::from_raw_os_error(e)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_was_recorded_before_the_runtime_began() {
        assert!(OPEN_FILES.load(Relaxed) > 0, "`record` was called");
        assert!(!ignored(libc::SIGKILL));
    }
}
