//! The signals of a server from its first moment until its handlers stand.
//!
//! Whoever starts a process leaves it what is ignored and what is blocked (execve(2)). With CHLD ignored no child can be
//! waited for; with ALRM ignored a hung worker without a master does not end; a blocked TERM is never heard. And a signal
//! that comes before its handler stands kills a process, or is lost, where the process is the first of a container. What
//! was found is kept by `started_with`.

use nix::libc;
use nix::sys::signal::{SigHandler, SigSet, SigmaskHow, Signal, pthread_sigmask, signal};
use std::io;

/// What the server needs the kernel's default of, though it has no handler for it, or not everywhere.
const BY_DEFAULT: [Signal; 3] = [Signal::SIGCHLD, Signal::SIGALRM, Signal::SIGABRT];

/// Holds these back, and SIGCHLD, and no others. What is ignored of them is not so any more, but for SIGHUP (nohup(1)).
pub fn hold(heard: &[i32]) -> io::Result<()> {
    let heard = heard.iter().map(|&number| Signal::try_from(number)).collect::<nix::Result<Vec<Signal>>>()?;
    let mut held = SigSet::from_iter(heard.iter().copied());
    held.add(Signal::SIGCHLD);
    pthread_sigmask(SigmaskHow::SIG_SETMASK, Some(&held), None)?;
    for one in heard.into_iter().chain(BY_DEFAULT).filter(|one| *one != Signal::SIGHUP) {
        if super::started_with::ignored(one as libc::c_int) {
            // SAFETY: the kernel's default runs no code of ours.
            unsafe { signal(one, SigHandler::SigDfl) }?;
        }
    }
    Ok(())
}

/// The handlers stand, or none are wanted.
pub fn release() -> io::Result<()> {
    Ok(pthread_sigmask(SigmaskHow::SIG_SETMASK, Some(&SigSet::empty()), None)?)
}
