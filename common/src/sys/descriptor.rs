//! The identity of the file that a descriptor refers to. It reveals code that closes a descriptor that is not its own.

use std::collections::BTreeSet;
use std::io;
use std::os::fd::RawFd;

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

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::File;
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
}
