//! The signals of a server from its start until its handlers are installed.
//!
//! A process inherits the signals that are ignored and blocked from its starter (execve(2)). With CHLD ignored no child
//! can be waited for; with ALRM ignored a hung worker without a master does not end; a blocked TERM is never delivered.
//! And a signal that arrives before its handler is installed kills the process, or is lost if the process is the first
//! of a container. What was inherited is kept by `started_with`.

use nix::libc;
use nix::sys::signal::{SigHandler, SigSet, SigmaskHow, Signal, pthread_sigmask, signal};
use std::io;

/// Signals whose default action the server needs, though it has no handler for them, or not in all its processes.
const BY_DEFAULT: [Signal; 3] = [Signal::SIGCHLD, Signal::SIGALRM, Signal::SIGABRT];

/// Blocks `handled` and SIGCHLD, and no others. Those that are ignored get their default action, except SIGHUP
/// (nohup(1)).
pub fn hold(handled: &[i32]) -> io::Result<()> {
    let handled = handled.iter().map(|&number| Signal::try_from(number)).collect::<nix::Result<Vec<Signal>>>()?;
    let mut held = SigSet::from_iter(handled.iter().copied());
    held.add(Signal::SIGCHLD);
    pthread_sigmask(SigmaskHow::SIG_SETMASK, Some(&held), None)?;
    for one in handled.into_iter().chain(BY_DEFAULT).filter(|one| *one != Signal::SIGHUP) {
        if super::started_with::ignored(one as libc::c_int) {
            // SAFETY: the kernel's default runs no code of ours.
            unsafe { signal(one, SigHandler::SigDfl) }?;
        }
    }
    Ok(())
}

/// Unblocks them: the handlers are installed, or none are wanted.
pub fn release() -> io::Result<()> {
    Ok(pthread_sigmask(SigmaskHow::SIG_SETMASK, Some(&SigSet::empty()), None)?)
}
