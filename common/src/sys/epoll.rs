//! What mio does not provide: adding a descriptor with EPOLLEXCLUSIVE to a poll's own epoll.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, RawFd};

/// Which of the processes that wait for one descriptor the kernel wakes (epoll_ctl(2)).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wake {
    /// One waiting process, repeatedly while connections are in the queue (EPOLLEXCLUSIVE).
    One,
    /// One waiting process, once per new connection (EPOLLEXCLUSIVE, EPOLLET); it may leave the connection in the
    /// queue.
    OneEachTime,
    /// All waiting processes, once per event (EPOLLET).
    AllEachTime,
}

/// Adds a descriptor to the epoll set, for reading; its events carry `token`, as mio's do. It is ready at once if
/// connections are already pending.
pub fn add(epoll: RawFd, fd: BorrowedFd<'_>, token: usize, wake: Wake) -> Result<(), Failed> {
    let flags = match wake {
        Wake::One => libc::EPOLLEXCLUSIVE,
        Wake::OneEachTime => libc::EPOLLEXCLUSIVE | libc::EPOLLET,
        Wake::AllEachTime => libc::EPOLLET,
    };
    let mut event = libc::epoll_event { events: (libc::EPOLLIN | flags) as u32, u64: token as u64 };
    // SAFETY: both descriptors are open for the call, and `event` outlives it.
    let done = unsafe { libc::epoll_ctl(epoll, libc::EPOLL_CTL_ADD, fd.as_raw_fd(), &mut event) };
    if done == 0 { Ok(()) } else { Err(failed("epoll_ctl ADD", fd)) }
}

/// Removes a descriptor from the epoll set.
pub fn remove(epoll: RawFd, fd: BorrowedFd<'_>) -> Result<(), Failed> {
    // SAFETY: both descriptors are open for the call; DEL ignores the event (epoll_ctl(2)).
    let done = unsafe { libc::epoll_ctl(epoll, libc::EPOLL_CTL_DEL, fd.as_raw_fd(), std::ptr::null_mut()) };
    if done == 0 { Ok(()) } else { Err(failed("epoll_ctl DEL", fd)) }
}

/// Why a descriptor could not be added or removed.
#[derive(Debug)]
pub struct Failed {
    /// ENOMEM or ENOSPC (`/proc/sys/fs/epoll/max_user_watches`): the system is short of something, and the same call
    /// may succeed later. Any other error means that a descriptor was closed, or refers to another file by now.
    pub is_shortage: bool,
    pub error: io::Error,
}

impl From<Failed> for io::Error {
    fn from(failed: Failed) -> io::Error {
        failed.error
    }
}

fn failed(call: &str, fd: BorrowedFd<'_>) -> Failed {
    let e = io::Error::last_os_error();
    let is_shortage = matches!(e.raw_os_error(), Some(libc::ENOMEM | libc::ENOSPC));
    Failed { is_shortage, error: io::Error::new(e.kind(), format!("{call} of descriptor {}: {e}", fd.as_raw_fd())) }
}
