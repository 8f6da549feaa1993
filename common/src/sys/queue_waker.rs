//! A queue waker: an eventfd(2) by which one worker wakes the owner of an accept queue.
//!
//! It is never read. Where it is polled edge-triggered (epoll(7)), each wake-up is an event of its own, and its counter would
//! overflow only after centuries.

use nix::sys::eventfd::{EfdFlags, EventFd};
use nix::unistd::write;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

pub struct QueueWaker(OwnedFd);

impl QueueWaker {
    pub fn new() -> io::Result<QueueWaker> {
        let failed = |e| io::Error::new(io::Error::from(e).kind(), format!("eventfd: {e}"));
        let fd = EventFd::from_flags(EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK).map_err(failed)?;
        Ok(QueueWaker(fd.into()))
    }

    /// Another descriptor of the same eventfd.
    pub fn try_clone(&self) -> io::Result<QueueWaker> {
        Ok(QueueWaker(self.0.try_clone()?))
    }

    pub fn wake(&self) -> io::Result<()> {
        let failed = |e| io::Error::new(io::Error::from(e).kind(), format!("write to an eventfd: {e}"));
        write(&self.0, &1u64.to_ne_bytes()).map_err(failed)?;
        Ok(())
    }
}

impl AsFd for QueueWaker {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}
