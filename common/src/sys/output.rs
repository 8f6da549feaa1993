//! Writing to a stream, such as standard error, without ever waiting for its reader.
//!
//! O_NONBLOCK is not set on the stream itself: it belongs to the open file description, which the shell, other programs
//! and the children of an app share. Instead a pipe, a FIFO or a terminal is opened again, nonblocking, by its name in
//! /proc; for a socket, MSG_DONTWAIT is used. What may not be opened again, such as another user's pipe, is written to
//! with RWF_NOWAIT (for pipes since Linux 6.4), or else after a check whether there is room. A write to a file waits
//! for the disk at most, so files are written to as they are.

use nix::errno::Errno;
use nix::fcntl::{OFlag, open};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::stat::{Mode, SFlag, fstat};
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::sync::atomic::{AtomicBool, Ordering};

/// How a stream is written to.
#[derive(Debug)]
pub struct Output {
    /// The stream itself, which the caller owns.
    stream: RawFd,
    way: Way,
    /// Only a part of the last line was taken.
    is_cut: AtomicBool,
}

#[derive(Debug)]
enum Way {
    /// As it is: a file, or a device other than a terminal.
    Plain,
    /// By a nonblocking descriptor of its own.
    Nonblocking(OwnedFd),
    Socket,
    /// A pipe that may not be opened again.
    Pipe,
    /// After poll(2) reports room, and then not more than a pipe is sure to have.
    IfWritable,
}

impl Output {
    /// For a stream that is open for as long as this is used.
    pub fn of(stream: BorrowedFd<'_>) -> Output {
        let raw = stream.as_raw_fd();
        let kind = fstat(stream).map(|stat| SFlag::from_bits_truncate(stat.st_mode) & SFlag::S_IFMT);
        let is_terminal = || nix::unistd::isatty(stream).unwrap_or(false);
        let way = match kind {
            Ok(SFlag::S_IFSOCK) => Way::Socket,
            Ok(SFlag::S_IFIFO) => reopened(raw).unwrap_or(Way::Pipe),
            Ok(SFlag::S_IFCHR) if is_terminal() => reopened(raw).unwrap_or(Way::IfWritable),
            _ => Way::Plain,
        };
        Output { stream: raw, way, is_cut: AtomicBool::new(false) }
    }

    /// Standard error before its kind is known; writes may block.
    pub const fn stderr() -> Output {
        Output { stream: libc::STDERR_FILENO, way: Way::Plain, is_cut: AtomicBool::new(false) }
    }

    /// The same output, with the stream at this descriptor.
    #[must_use]
    pub fn at(self, stream: RawFd) -> Output {
        Output { stream, ..self }
    }

    /// Writes a line, or several that belong together, in one write(2) if the stream takes it whole. The error is the
    /// reason why not all of it was taken. If only its beginning was taken, the next write begins with a newline, so
    /// that it is a line of its own. Async-signal-safe.
    pub fn write_line(&self, line: &[u8]) -> Result<(), Errno> {
        self.write_lines(line).1
    }

    /// As [`Output::write_line`], and also returns how many bytes were taken.
    pub fn write_lines(&self, lines: &[u8]) -> (usize, Result<(), Errno>) {
        if self.is_cut.load(Ordering::Relaxed) {
            if let Err(e) = self.write(b"\n") {
                return (0, Err(e));
            }
            self.is_cut.store(false, Ordering::Relaxed);
        }
        let mut left = lines;
        while !left.is_empty() {
            match self.write(left) {
                Ok(written @ 1..) => left = &left[written..],
                Err(Errno::EINTR) => {}
                failed => {
                    let taken = lines.len() - left.len();
                    self.is_cut.store(taken > 0 && lines[taken - 1] != b'\n', Ordering::Relaxed);
                    return (taken, Err(failed.err().unwrap_or(Errno::EIO)));
                }
            }
        }
        (lines.len(), Ok(()))
    }

    /// Whether the stream may take only a part of what is written, unless it is at most `PIPE_BUF` bytes long: those
    /// are taken whole or not at all by a pipe (pipe(7)), and in one piece by a socket of the kernel's default size.
    pub fn takes_parts(&self) -> bool {
        !matches!(self.way, Way::Plain)
    }

    /// The last write ended within a line.
    pub fn is_cut(&self) -> bool {
        self.is_cut.load(Ordering::Relaxed)
    }

    /// Sets whether the next write begins with a newline.
    pub fn set_cut(&self, is_cut: bool) {
        self.is_cut.store(is_cut, Ordering::Relaxed);
    }

    fn write(&self, bytes: &[u8]) -> Result<usize, Errno> {
        match &self.way {
            Way::Plain => write(self.stream, bytes),
            Way::Nonblocking(fd) => write(fd.as_raw_fd(), bytes),
            Way::Socket => send(self.stream, bytes),
            Way::Pipe => match write_no_wait(self.stream, bytes) {
                Err(Errno::EOPNOTSUPP | Errno::EINVAL | Errno::ENOSYS) => write_if_writable(self.stream, bytes),
                written => written,
            },
            Way::IfWritable => write_if_writable(self.stream, bytes),
        }
    }
}

fn reopened(stream: RawFd) -> Option<Way> {
    let name = format!("/proc/self/fd/{stream}");
    let flags = OFlag::O_WRONLY | OFlag::O_NONBLOCK | OFlag::O_NOCTTY | OFlag::O_CLOEXEC;
    open(name.as_str(), flags, Mode::empty()).ok().map(Way::Nonblocking)
}

/// If another process uses the room between the check and the write, this blocks; there is no better way for these
/// streams.
fn write_if_writable(stream: RawFd, bytes: &[u8]) -> Result<usize, Errno> {
    match is_writable(stream) {
        true => write(stream, &bytes[..bytes.len().min(libc::PIPE_BUF)]),
        false => Err(Errno::EAGAIN),
    }
}

fn is_writable(stream: RawFd) -> bool {
    // SAFETY: the descriptor is open for as long as the caller writes to it.
    let stream = unsafe { BorrowedFd::borrow_raw(stream) };
    let mut fds = [PollFd::new(stream, PollFlags::POLLOUT)];
    // The write reports any error.
    matches!(poll(&mut fds, PollTimeout::ZERO), Ok(1))
}

fn write(stream: RawFd, bytes: &[u8]) -> Result<usize, Errno> {
    // SAFETY: the pointer and the length are of one slice, which outlives the call.
    let written = unsafe { libc::write(stream, bytes.as_ptr().cast(), bytes.len()) };
    Errno::result(written).map(|written| written as usize)
}

fn send(stream: RawFd, bytes: &[u8]) -> Result<usize, Errno> {
    let flags = libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL;
    // SAFETY: the pointer and the length are of one slice, which outlives the call.
    let sent = unsafe { libc::send(stream, bytes.as_ptr().cast(), bytes.len(), flags) };
    Errno::result(sent).map(|sent| sent as usize)
}

fn write_no_wait(stream: RawFd, bytes: &[u8]) -> Result<usize, Errno> {
    let piece = libc::iovec { iov_base: bytes.as_ptr().cast_mut().cast(), iov_len: bytes.len() };
    // SAFETY: one piece, whose bytes outlive the call and are only read; -1 stands for no offset.
    let written = unsafe { libc::pwritev2(stream, &raw const piece, 1, -1, libc::RWF_NOWAIT) };
    Errno::result(written).map(|written| written as usize)
}

#[cfg(test)]
mod tests {
    use super::*;
    use nix::fcntl::{FcntlArg, fcntl};
    use nix::unistd::pipe;
    use std::fs::File;
    use std::io::{Read, Write};
    use std::os::fd::AsFd;
    use std::os::unix::net::UnixStream;
    use std::time::Duration;

    fn is_nonblocking(fd: impl AsFd) -> bool {
        fcntl(fd, FcntlArg::F_GETFL).expect("its flags") & libc::O_NONBLOCK != 0
    }

    /// Writes lines until one is not taken; returns how many were taken.
    fn fill(output: &Output) -> usize {
        let line = [&[b'x'; 999][..], b"\n"].concat();
        let taken = (0..100_000).take_while(|_| output.write_line(&line).is_ok()).count();
        assert_eq!(output.write_line(&line), Err(Errno::EAGAIN), "and no write blocked");
        taken
    }

    #[test]
    fn no_way_waits_for_the_reader_of_a_pipe() {
        for way in [None, Some(Way::Pipe), Some(Way::IfWritable)] {
            let (reader, writer) = pipe().expect("a pipe");
            let mut output = Output::of(writer.as_fd());
            assert!(matches!(output.way, Way::Nonblocking(_)), "{output:?}");
            if let Some(way) = way {
                output.way = way;
            }
            assert!(fill(&output) >= 60, "a pipe holds 64 KiB: {output:?}");
            assert!(!is_nonblocking(&writer), "the shared description is unchanged");
            let mut bytes = vec![0; 65536];
            let count =
                File::from(reader.try_clone().expect("a descriptor")).read(&mut bytes).expect("what was written");
            assert!(bytes[..count].ends_with(b"x\n") || !output.is_cut.load(Ordering::Relaxed), "whole lines");
            assert_eq!(output.write_line(b"more\n"), Ok(()), "{output:?}");
        }
    }

    #[test]
    fn a_socket_is_not_waited_for() {
        let (mut reader, writer) = UnixStream::pair().expect("a pair");
        let output = Output::of(writer.as_fd());
        assert!(fill(&output) > 0 && !is_nonblocking(&writer));
        reader.set_read_timeout(Some(Duration::from_secs(20))).expect("a bound");
        let mut bytes = vec![0; 1 << 20];
        let count = reader.read(&mut bytes).expect("what was written");
        assert!(count >= 1000);
        assert_eq!(output.write_line(b"more\n"), Ok(()));
    }

    #[test]
    fn what_was_cut_is_a_line_of_its_own() {
        let (mut reader, writer) = UnixStream::pair().expect("a pair");
        let output = Output::of(writer.as_fd());
        assert_eq!(output.write_line(&vec![b'x'; 8 << 20]), Err(Errno::EAGAIN), "more than it holds");
        let mut bytes = vec![0; 8 << 20];
        let count = reader.read(&mut bytes).expect("what it holds");
        assert_eq!(output.write_line(b"more\n"), Ok(()));
        drop(output);
        drop(writer);
        let mut rest = String::new();
        reader.read_to_string(&mut rest).expect("the rest");
        assert!(count > 0 && rest.ends_with("x\nmore\n") || rest == "\nmore\n", "{:?}", &rest[rest.len() - 10..]);
    }

    #[test]
    fn files_are_written_to_as_they_are() {
        let path = std::env::temp_dir().join(format!("tine-output-{}", std::process::id()));
        let mut file = File::create(&path).expect("a file");
        file.write_all(b"before\n").expect("a line");
        let output = Output::of(file.as_fd());
        assert!(matches!(output.way, Way::Plain));
        assert_eq!(output.write_line(b"line\n"), Ok(()));
        assert_eq!(std::fs::read_to_string(&path).expect("text"), "before\nline\n");
        std::fs::remove_file(&path).expect("removed");
        let full = File::options().write(true).open("/dev/full").expect("a full disk");
        assert_eq!(Output::of(full.as_fd()).write_line(b"line\n"), Err(Errno::ENOSPC));
    }
}
