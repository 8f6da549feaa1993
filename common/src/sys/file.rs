//! sendfile(2): bytes that go from a file to a socket without passing through this process. And an open file's path.

use nix::errno::Errno;
use nix::sys::sendfile::sendfile;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::fs::MetadataExt;

/// What came of one sendfile(2).
#[derive(Debug)]
pub enum SentFile {
    Bytes(usize),
    /// The socket takes none now.
    NotYet,
    /// The file has nothing at the offset: it is shorter than it was.
    Ended,
    /// The file cannot be read.
    Unreadable(io::Error),
    /// Not by sendfile(2): there is no such call here (ENOSYS, a filter's EPERM), or none for this kind of file (EINVAL).
    NotThisWay,
}

/// Sends up to `count` bytes of `file` behind `offset`, which is at most 2^63 - 1; fewer where the socket takes fewer, or
/// the file ends. An error is the connection's.
pub fn send_file(socket: impl AsFd, file: impl AsFd, offset: u64, count: usize) -> io::Result<SentFile> {
    loop {
        let mut at = offset as libc::off_t;
        return match sendfile(&socket, &file, Some(&mut at), count) {
            Ok(0) => Ok(SentFile::Ended),
            Ok(n) => Ok(SentFile::Bytes(n)),
            Err(Errno::EINTR) => continue,
            Err(Errno::EAGAIN) => Ok(SentFile::NotYet),
            // What a disk or a file system says (a read error, a stale handle), and a socket does not.
            Err(e @ (Errno::EIO | Errno::ESTALE | Errno::EOVERFLOW)) => Ok(SentFile::Unreadable(e.into())),
            Err(
                e @ (Errno::EPIPE
                | Errno::ECONNRESET
                | Errno::ECONNABORTED
                | Errno::ENOTCONN
                | Errno::ETIMEDOUT
                | Errno::EHOSTUNREACH
                | Errno::ENETUNREACH
                | Errno::ENETDOWN
                | Errno::EBADF),
            ) => Err(e.into()),
            // Whatever it is, reading and sending will say it, too, or do.
            Err(_) => Ok(SentFile::NotThisWay),
        };
    }
}

/// What the log calls an open file: the path that it has now, with ` (deleted)` where it has none any more. Without /proc,
/// its number tells which file it was.
pub fn shown_path(file: &File) -> String {
    match std::fs::read_link(format!("/proc/self/fd/{}", file.as_raw_fd())) {
        Ok(path) => crate::log::one_line(&path.to_string_lossy()),
        Err(_) => {
            file.metadata().map_or_else(|_| "a file".to_string(), |file| format!("the file with inode {}", file.ino()))
        }
    }
}
