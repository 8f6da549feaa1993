//! A bell: what one process wakes others by, an eventfd(2).
//!
//! Nobody reads it. Each ring is an event of its own where it is waited for edge-triggered (epoll(7)), and the count would be
//! full after centuries.

use nix::sys::eventfd::{EfdFlags, EventFd};
use nix::unistd::write;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

pub struct Bell(OwnedFd);

impl Bell {
    pub fn new() -> io::Result<Bell> {
        let failed = |e| io::Error::new(io::Error::from(e).kind(), format!("eventfd: {e}"));
        let fd = EventFd::from_flags(EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK).map_err(failed)?;
        Ok(Bell(fd.into()))
    }

    /// Another descriptor of the same bell.
    pub fn try_clone(&self) -> io::Result<Bell> {
        Ok(Bell(self.0.try_clone()?))
    }

    pub fn ring(&self) -> io::Result<()> {
        let failed = |e| io::Error::new(io::Error::from(e).kind(), format!("write to an eventfd: {e}"));
        write(&self.0, &1u64.to_ne_bytes()).map_err(failed)?;
        Ok(())
    }
}

impl AsFd for Bell {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}
