//! sendfile(2), which sends bytes from a file to a socket without copying them to this process. And an open file's
//! path.

use nix::errno::Errno;
use nix::sys::sendfile::sendfile;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::fs::MetadataExt;

/// The outcome of one sendfile(2).
#[derive(Debug)]
pub enum SentFile {
    Bytes(usize),
    /// The socket is not writable.
    NotYet,
    /// The file ends before the offset: it has become shorter.
    Ended,
    /// The file cannot be read.
    Unreadable(io::Error),
    /// sendfile(2) is not available (ENOSYS, a filter's EPERM), or not for this kind of file (EINVAL).
    NotThisWay,
}

/// Sends up to `count` bytes of `file` from `offset` on, which is at most 2^63 - 1; fewer if the socket takes fewer or
/// the file ends. An error is the connection's.
pub fn send_file(socket: impl AsFd, file: impl AsFd, offset: u64, count: usize) -> io::Result<SentFile> {
    loop {
        let mut at = offset as libc::off_t;
        return match sendfile(&socket, &file, Some(&mut at), count) {
            Ok(0) => Ok(SentFile::Ended),
            Ok(n) => Ok(SentFile::Bytes(n)),
            Err(Errno::EINTR) => continue,
            Err(Errno::EAGAIN) => Ok(SentFile::NotYet),
            // Errors of a disk or a file system (a read error, a stale handle), never of a socket.
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
            // Whatever it is, reading and sending will either work or report it, too.
            Err(_) => Ok(SentFile::NotThisWay),
        };
    }
}

/// The name of an open file in the log: its current path, followed by ` (deleted)` if it no longer has one. Without
/// /proc, its inode identifies it.
pub fn shown_path(file: &File) -> String {
    match std::fs::read_link(format!("/proc/self/fd/{}", file.as_raw_fd())) {
        Ok(path) => crate::log::one_line(&path.to_string_lossy()),
        Err(_) => {
            file.metadata().map_or_else(|_| "a file".to_string(), |file| format!("the file with inode {}", file.ino()))
        }
    }
}
