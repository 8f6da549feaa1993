//! What a number says of a descriptor that is not owned here: the identity of the file that it refers to, which reveals code
//! that closes a descriptor that is not its own; and whether it is ready.

use std::collections::BTreeSet;
use std::io;
use std::os::fd::RawFd;
use std::time::{Duration, Instant};

/// Device, inode and kind: another file at the same descriptor differs in one of them. All eventfds and epolls of a
/// kernel may have the same inode.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Identity(libc::dev_t, libc::ino_t, libc::mode_t);

/// `None`: the descriptor is closed.
pub fn identity(fd: RawFd) -> Option<Identity> {
    // SAFETY: all fields of the structure are numbers, for which zero is a value.
    let mut stat: libc::stat = unsafe { std::mem::zeroed() };
    // SAFETY: any number may be asked about; the call writes one structure, which outlives it.
    let done = unsafe { libc::fstat(fd, &raw mut stat) };
    (done == 0).then_some(Identity(stat.st_dev, stat.st_ino, stat.st_mode & libc::S_IFMT))
}

/// Whether a call's error means that its descriptor was closed or refers to another kind of file by now.
pub fn is_lost(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EBADF | libc::ENOTSOCK | libc::EINVAL))
}

/// The descriptors that are open; none where /proc is not mounted.
pub fn open() -> BTreeSet<RawFd> {
    let entries = std::fs::read_dir("/proc/self/fd").into_iter().flatten().flatten();
    let all: Vec<RawFd> = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect();
    // Without that of the directory read here, which is closed by now.
    all.into_iter().filter(|&fd| identity(fd).is_some()).collect()
}

/// Blocks until it can be read or written, whichever is asked for, or until the time is up; without a time, for ever.
/// Returns which it is. What is closed or broken is ready for either.
pub fn wait(fd: RawFd, reads: bool, writes: bool, timeout: Option<Duration>) -> io::Result<(bool, bool)> {
    let events = if reads { libc::POLLIN } else { 0 } | if writes { libc::POLLOUT } else { 0 };
    let until = timeout.and_then(|timeout| Instant::now().checked_add(timeout));
    loop {
        let left = until.map_or(-1, |until| {
            let left = until.saturating_duration_since(Instant::now());
            left.as_nanos().div_ceil(1_000_000).try_into().unwrap_or(libc::c_int::MAX)
        });
        let mut polled = libc::pollfd { fd, events, revents: 0 };
        // SAFETY: one structure, which outlives the call; any number may be asked about.
        let done = unsafe { libc::poll(&raw mut polled, 1, left) };
        if done < 0 {
            let error = io::Error::last_os_error();
            if error.kind() != io::ErrorKind::Interrupted {
                return Err(error);
            }
        } else if polled.revents & libc::POLLNVAL != 0 {
            return Err(io::Error::from_raw_os_error(libc::EBADF));
        } else if done > 0 || (0..libc::c_int::MAX).contains(&left) {
            let failed = polled.revents & (libc::POLLERR | libc::POLLHUP) != 0;
            let is = |event| polled.revents & event != 0 || failed;
            return Ok((reads && is(libc::POLLIN), writes && is(libc::POLLOUT)));
        }
    }
}

/// The other end of a connection, as far as the kernel has been told by it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OtherEnd {
    Open,
    /// It sends nothing more: it has closed the connection, or only its own direction of it.
    HalfClosed,
    /// It has reset the connection, or both directions are closed.
    Closed,
}

/// That of a stream socket; what cannot be asked about is closed.
pub fn other_end(socket: RawFd) -> OtherEnd {
    let mut polled = libc::pollfd { fd: socket, events: libc::POLLRDHUP, revents: 0 };
    // SAFETY: one structure, which outlives the call; any number may be asked about. It does not block.
    let done = unsafe { libc::poll(&raw mut polled, 1, 0) };
    match polled.revents {
        _ if done < 0 => OtherEnd::Open, // interrupted, or out of memory: nothing is known
        events if events & (libc::POLLERR | libc::POLLHUP | libc::POLLNVAL) != 0 => OtherEnd::Closed,
        events if events & libc::POLLRDHUP != 0 => OtherEnd::HalfClosed,
        _ => OtherEnd::Open,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::File;
    use std::io::Write;
    use std::os::fd::AsRawFd;

    #[test]
    fn another_file_has_another_identity() {
        let (one, other) = (File::open("/dev/null").expect("a file"), File::open("/proc/self/stat").expect("a file"));
        let of = |file: &File| identity(file.as_raw_fd());
        assert_eq!(of(&one), of(&one.try_clone().expect("a descriptor")));
        assert_ne!(of(&one), of(&other));
        assert_eq!(identity(RawFd::MAX), None);
        assert!(open().contains(&one.as_raw_fd()));
    }

    #[test]
    fn a_wait_ends_when_it_is_ready_or_its_time_is_up() {
        let (reader, mut writer) = io::pipe().expect("a pipe");
        let at_once = Some(Duration::ZERO);
        assert_eq!(wait(reader.as_raw_fd(), true, true, at_once).ok(), Some((false, false)));
        assert_eq!(wait(writer.as_raw_fd(), true, true, at_once).ok(), Some((false, true)));
        assert_eq!(wait(reader.as_raw_fd(), true, false, Some(Duration::from_micros(1))).ok(), Some((false, false)));
        writer.write_all(b"x").expect("room");
        assert_eq!(wait(reader.as_raw_fd(), true, false, None).ok(), Some((true, false)));
        drop(writer);
        assert_eq!(wait(reader.as_raw_fd(), true, true, None).ok(), Some((true, true)));
        let error = wait(RawFd::MAX, true, false, at_once).expect_err("there is none");
        assert_eq!(error.raw_os_error(), Some(libc::EBADF));
    }
}
