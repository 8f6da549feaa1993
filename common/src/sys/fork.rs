//! fork(2) of a process with one thread, with its signals blocked.
//!
//! A signal that arrived between the fork and the child's own handlers would be handled by the parent's handlers in the
//! child, which write to the parent's pipe. So all signals are blocked across the fork; the child calls
//! [`Child::unblock_signals`] once its own handlers are installed.

use nix::sys::signal::{SigSet, SigmaskHow, pthread_sigmask};
use nix::unistd::{ForkResult, Pid};
use std::io;

pub enum Fork {
    Parent(Pid),
    Child(Child),
}

/// The signal mask that the child restores.
pub struct Child {
    mask: SigSet,
}

pub fn fork() -> io::Result<Fork> {
    let mut before = SigSet::empty();
    pthread_sigmask(SigmaskHow::SIG_SETMASK, Some(&SigSet::all()), Some(&mut before))?;
    // SAFETY: the process has one thread (the master never starts one), so that the child may run any code.
    let forked = unsafe { nix::unistd::fork() };
    match forked {
        Ok(ForkResult::Child) => Ok(Fork::Child(Child { mask: before })),
        parent => {
            pthread_sigmask(SigmaskHow::SIG_SETMASK, Some(&before), None)?;
            match parent {
                Ok(ForkResult::Parent { child }) => Ok(Fork::Parent(child)),
                Err(e) => Err(io::Error::new(io::Error::from(e).kind(), format!("fork: {e}"))),
                Ok(ForkResult::Child) => unreachable!("handled above"),
            }
        }
    }
}

impl Child {
    /// For a process that goes on without a fork, whose signals were blocked from its start.
    pub fn unforked() -> Child {
        Child { mask: SigSet::empty() }
    }

    pub fn unblock_signals(&self) -> io::Result<()> {
        Ok(pthread_sigmask(SigmaskHow::SIG_SETMASK, Some(&self.mask), None)?)
    }
}
