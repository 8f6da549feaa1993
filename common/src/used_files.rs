//! The files that an application uses, as its workers report them to the master for `--reload`.
//!
//! All workers write to one pipe, and only the master reads it; what was written stays there if the worker dies. A report is
//! written before its file is read, with the stamp of that moment: so a file that is changed before the master watches it is
//! found to have another stamp. A report is one write(2) of at most PIPE_BUF bytes, so that reports do not mix.

use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::unistd::{pipe2, read, write};
use std::ffi::OsStr;
use std::fs;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// A longer report is not sent. PIPE_BUF of Linux.
const REPORT_BYTES_MAX: usize = 4096;
/// The most that is read in one turn of the master; the pipe holds 64K.
const READS_MAX: usize = 64;
/// How long a worker waits for a master that does not read.
const FULL_PIPE_MS: u16 = 1000;

/// What tells one state of a file from another, without its content.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stamp {
    Missing,
    Present {
        device: u64,
        inode: u64,
        bytes: u64,
        /// Seconds and nanoseconds of the last change of its content.
        modified: (i64, i64),
    },
}

impl Stamp {
    /// Of what the path leads to, over links. What cannot be examined counts as missing.
    pub fn of(path: &Path) -> Stamp {
        fs::metadata(path).map_or(Stamp::Missing, |file| Stamp::Present {
            device: file.dev(),
            inode: file.ino(),
            bytes: file.len(),
            modified: (file.mtime(), file.mtime_nsec()),
        })
    }
}

/// What the application does with a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Use {
    /// It is loaded as code, or would be if it existed.
    Code,
    Read,
    /// The application writes it itself: its changes are not a developer's.
    Written,
}

impl Use {
    const ALL: [Use; 3] = [Use::Code, Use::Read, Use::Written];

    fn word(self) -> &'static str {
        match self {
            Use::Code => "code",
            Use::Read => "read",
            Use::Written => "written",
        }
    }

    pub fn from_word(word: &str) -> Option<Use> {
        Use::ALL.into_iter().find(|kind| kind.word() == word)
    }
}

/// A report.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UsedFile {
    /// Of the worker.
    pub generation: u64,
    pub kind: Use,
    /// Before it was used.
    pub stamp: Stamp,
    /// Absolute.
    pub path: PathBuf,
}

impl UsedFile {
    /// Numbers and words, each followed by a space, the path, and a zero byte.
    fn encode(&self) -> Vec<u8> {
        let stamp = match self.stamp {
            Stamp::Missing => "-".to_string(),
            Stamp::Present { device, inode, bytes, modified } => {
                format!("{device},{inode},{bytes},{},{}", modified.0, modified.1)
            }
        };
        let mut report = format!("{} {} {stamp} ", self.generation, self.kind.word()).into_bytes();
        report.extend_from_slice(self.path.as_os_str().as_bytes());
        report.push(0);
        report
    }

    /// Without the zero byte.
    fn decode(report: &[u8]) -> Option<UsedFile> {
        let mut parts = report.splitn(4, |&byte| byte == b' ');
        let mut word = || parts.next().and_then(|word| std::str::from_utf8(word).ok());
        let (generation, kind, stamp) = (word()?.parse().ok()?, Use::from_word(word()?)?, decode_stamp(word()?)?);
        let path = PathBuf::from(OsStr::from_bytes(parts.next()?));
        Some(UsedFile { generation, kind, stamp, path }).filter(|used| used.path.is_absolute())
    }
}

fn decode_stamp(text: &str) -> Option<Stamp> {
    if text == "-" {
        return Some(Stamp::Missing);
    }
    let numbers: Option<Vec<i128>> = text.split(',').map(|number| number.parse().ok()).collect();
    let [device, inode, bytes, seconds, nanoseconds] = numbers?[..] else { return None };
    Some(Stamp::Present {
        device: device as u64,
        inode: inode as u64,
        bytes: bytes as u64,
        modified: (seconds as i64, nanoseconds as i64),
    })
}

/// A pipe for reports.
pub fn channel() -> io::Result<(Reader, OwnedFd)> {
    let (ours, theirs) = pipe2(OFlag::O_CLOEXEC | OFlag::O_NONBLOCK)?;
    Ok((Reader { pipe: ours, rest: Vec::new() }, theirs))
}

/// The master's end.
pub struct Reader {
    pipe: OwnedFd,
    /// The beginning of a report whose end was not read yet.
    rest: Vec<u8>,
}

impl Reader {
    /// The reports that have come since the last call.
    pub fn read(&mut self) -> Vec<UsedFile> {
        let mut bytes = [0; REPORT_BYTES_MAX];
        for _ in 0..READS_MAX {
            match read(&self.pipe, &mut bytes) {
                Ok(count @ 1..) => self.rest.extend_from_slice(&bytes[..count]),
                Err(Errno::EINTR) => {}
                // Nothing is there yet. The master has the other end as well, so the stream does not end.
                Ok(0) | Err(_) => break,
            }
        }
        let Some(end) = memchr::memrchr(0, &self.rest) else { return Vec::new() };
        let rest = self.rest.split_off(end + 1);
        let reports = std::mem::replace(&mut self.rest, rest);
        reports.split(|&byte| byte == 0).filter_map(UsedFile::decode).collect()
    }
}

impl AsFd for Reader {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.pipe.as_fd()
    }
}

/// Where a worker reports the files that its app uses.
#[derive(Debug, Clone, Copy)]
pub struct FileReports(Option<&'static Writer>);

#[derive(Debug)]
struct Writer {
    pipe: OwnedFd,
    generation: u64,
}

impl FileReports {
    /// Without `--reload`: no report is wanted.
    pub const NONE: FileReports = FileReports(None);

    /// In a process just forked, for as long as it lives.
    pub fn through(pipe: OwnedFd, generation: u64) -> FileReports {
        FileReports(Some(Box::leak(Box::new(Writer { pipe, generation }))))
    }

    pub fn are_wanted(self) -> bool {
        self.0.is_some()
    }

    /// False: the report was not sent, and the file may not be watched.
    pub fn send(self, kind: Use, stamp: Stamp, path: &Path) -> bool {
        let Some(Writer { pipe, generation }) = self.0 else { return true };
        let report = UsedFile { generation: *generation, kind, stamp, path: path.to_path_buf() }.encode();
        if report.len() > REPORT_BYTES_MAX {
            return false;
        }
        let mut has_waited = false;
        loop {
            match write(pipe, &report) {
                Ok(_) => return true,
                Err(Errno::EINTR) => {}
                Err(Errno::EAGAIN) if !has_waited => {
                    has_waited = true;
                    // Whatever ends the wait, the next attempt tells.
                    let _ = poll(&mut [PollFd::new(pipe.as_fd(), PollFlags::POLLOUT)], PollTimeout::from(FULL_PIPE_MS));
                }
                // The master does not read, or is gone.
                Err(_) => return false,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reports_arrive_as_they_were_sent() {
        let (mut reader, pipe) = channel().expect("a pipe");
        let here = Stamp::of(Path::new("."));
        assert_ne!(here, Stamp::Missing);
        let reports = FileReports::through(pipe, 7);
        let sent =
            [(Use::Code, here, "/a b/app.lua"), (Use::Read, Stamp::Missing, "/line\nfeed"), (Use::Written, here, "/x")];
        for (kind, stamp, path) in sent {
            assert!(reports.send(kind, stamp, Path::new(path)));
        }
        let sent = sent.map(|(kind, stamp, path)| UsedFile { generation: 7, kind, stamp, path: PathBuf::from(path) });
        assert_eq!(reader.read(), sent);
        assert_eq!(reader.read(), []);
        assert!(!reports.send(Use::Code, here, Path::new(&format!("/{}", "x".repeat(REPORT_BYTES_MAX)))));
    }

    #[test]
    fn what_is_no_report_is_ignored() {
        for bytes in [&b""[..], b"1 code -", b"1 code - relative", b"x code - /a", b"1 other - /a", b"1 code 1,2 /a"] {
            assert_eq!(UsedFile::decode(bytes), None, "{bytes:?}");
        }
    }
}
