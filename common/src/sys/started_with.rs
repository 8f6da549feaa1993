//! What this process was started with, for the sake of the processes that it starts in turn: a child is to find what it
//! would find without a server between.
//!
//! Two things are changed here. SIGPIPE is ignored by Rust's runtime before `main`, and what is ignored stays so across
//! execve(2); so we hear it by a handler that does nothing, which execve(2) takes away. And the soft limit of open files is
//! raised for our connections, while many a program closes, or counts with, as many descriptors as it allows. So both are
//! read before the runtime begins.

use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, Signal, sigaction};
use std::io;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// A bit for each signal that was ignored, by its number.
static IGNORED: AtomicU64 = AtomicU64::new(0);
/// The soft limit of open files.
static OPEN_FILES: AtomicU64 = AtomicU64::new(0);

extern "C" fn look() {
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

// SAFETY: the loader calls what stands in this section, without arguments that we need, before `main` and, by the number,
// before what has none; `look` asks the kernel and writes two numbers, for which nothing of Rust's runtime has to be there.
#[used]
#[unsafe(link_section = ".init_array.00101")]
static LOOK: extern "C" fn() = look;

/// Whether this process was started with the signal ignored, as nohup(1) does it for SIGHUP, a shell for SIGINT of what it
/// starts in the background, and systemd for SIGPIPE.
pub fn ignored(signal: i32) -> bool {
    IGNORED.load(Relaxed) & 1 << signal != 0
}

/// SIGPIPE is heard and not ignored, so that what this process executes has it as this process had it.
pub fn hear_sigpipe() -> io::Result<()> {
    extern "C" fn nothing(_: libc::c_int) {}
    if ignored(libc::SIGPIPE) {
        return Ok(());
    }
    let action = SigAction::new(SigHandler::Handler(nothing), SaFlags::SA_RESTART, SigSet::empty());
    // SAFETY: the handler does nothing at all.
    unsafe { sigaction(Signal::SIGPIPE, &action) }?;
    Ok(())
}

/// The signals that tell a process with an app in it nothing, whoever sends them: they are its master's.
pub const OF_THE_MASTER: [i32; 4] = [libc::SIGINT, libc::SIGHUP, libc::SIGUSR1, libc::SIGUSR2];

/// Ignores a signal once more that this process was started with as ignored and has had a handler for; false: it was not.
pub fn ignore_again(signal: i32) -> bool {
    // SAFETY: no handler is installed.
    ignored(signal) && unsafe { libc::signal(signal, libc::SIG_IGN) } != libc::SIG_ERR
}

/// The soft limit of open files that this process was started with, if it has another now.
pub fn raised_open_files() -> Option<u64> {
    let now = getrlimit(Resource::RLIMIT_NOFILE).ok()?.0;
    Some(OPEN_FILES.load(Relaxed)).filter(|&before| before < now)
}

/// Puts the limit back. Async-signal-safe (signal-safety(7)), but for the list there, on which no *rlimit is: they are plain
/// system calls.
pub fn put_back_open_files() {
    if let Ok((now, hard)) = getrlimit(Resource::RLIMIT_NOFILE) {
        let before = OPEN_FILES.load(Relaxed);
        if before < now {
            // It has been the limit before.
            let _ = setrlimit(Resource::RLIMIT_NOFILE, before, hard);
        }
    }
}

/// From now on every fork(3) of this process, as a C module's, has the limit put back. posix_spawn(3), and with it system(3)
/// and popen(3), asks nobody.
pub fn put_back_in_forks() -> io::Result<()> {
    extern "C" fn in_child() {
        put_back_open_files();
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
    fn it_was_looked_before_the_runtime_began() {
        assert!(OPEN_FILES.load(Relaxed) > 0, "`look` was called");
        assert!(!ignored(libc::SIGKILL));
    }
}
