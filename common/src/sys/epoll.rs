//! What mio does not offer: adding a descriptor with EPOLLEXCLUSIVE, level-triggered, to a poll's own epoll.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, RawFd};

/// How the kernel wakes those that wait for one listener.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wake {
    /// Every waiting process.
    All,
    /// One waiting process (EPOLLEXCLUSIVE, epoll_ctl(2)).
    One,
}

/// Adds a listener to the epoll set; its events carry `token`, as mio's do. A connection that already waits makes it ready.
pub fn add_listener(epoll: RawFd, listener: BorrowedFd<'_>, token: usize, wake: Wake) -> io::Result<()> {
    let exclusive = if wake == Wake::One { libc::EPOLLEXCLUSIVE as u32 } else { 0 };
    let mut event = libc::epoll_event { events: libc::EPOLLIN as u32 | exclusive, u64: token as u64 };
    // SAFETY: both descriptors are open for the call, and `event` outlives it.
    let done = unsafe { libc::epoll_ctl(epoll, libc::EPOLL_CTL_ADD, listener.as_raw_fd(), &mut event) };
    if done == 0 { Ok(()) } else { Err(failed("epoll_ctl ADD", listener)) }
}

/// Takes a listener out of the epoll set.
pub fn remove_listener(epoll: RawFd, listener: BorrowedFd<'_>) -> io::Result<()> {
    // SAFETY: both descriptors are open for the call; DEL ignores the event (epoll_ctl(2)).
    let done = unsafe { libc::epoll_ctl(epoll, libc::EPOLL_CTL_DEL, listener.as_raw_fd(), std::ptr::null_mut()) };
    if done == 0 { Ok(()) } else { Err(failed("epoll_ctl DEL", listener)) }
}

fn failed(call: &str, fd: BorrowedFd<'_>) -> io::Error {
    let e = io::Error::last_os_error();
    io::Error::new(e.kind(), format!("{call} of descriptor {}: {e}", fd.as_raw_fd()))
}
