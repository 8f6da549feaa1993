//! What mio does not offer: adding a descriptor with EPOLLEXCLUSIVE to a poll's own epoll.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, RawFd};

/// Whom the kernel wakes of those that wait for one descriptor (epoll_ctl(2)).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wake {
    /// One waiting process, and again for as long as somebody waits in the queue (EPOLLEXCLUSIVE).
    One,
    /// One waiting process, once for each that comes (EPOLLEXCLUSIVE, EPOLLET): it may leave him there.
    OneEachTime,
    /// Every waiting process, once each time (EPOLLET).
    AllEachTime,
}

/// Adds a descriptor to the epoll set, for reading; its events carry `token`, as mio's do. Who waits already makes it ready.
pub fn add(epoll: RawFd, fd: BorrowedFd<'_>, token: usize, wake: Wake) -> io::Result<()> {
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

/// Takes a descriptor out of the epoll set.
pub fn remove(epoll: RawFd, fd: BorrowedFd<'_>) -> io::Result<()> {
    // SAFETY: both descriptors are open for the call; DEL ignores the event (epoll_ctl(2)).
    let done = unsafe { libc::epoll_ctl(epoll, libc::EPOLL_CTL_DEL, fd.as_raw_fd(), std::ptr::null_mut()) };
    if done == 0 { Ok(()) } else { Err(failed("epoll_ctl DEL", fd)) }
}

fn failed(call: &str, fd: BorrowedFd<'_>) -> io::Error {
    let e = io::Error::last_os_error();
    io::Error::new(e.kind(), format!("{call} of descriptor {}: {e}", fd.as_raw_fd()))
}
