//! sendfile(2), which sends bytes from a file to a socket without copying them to this process.

use nix::errno::Errno;
use nix::sys::sendfile::sendfile;
use std::io;
use std::os::fd::AsFd;

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
