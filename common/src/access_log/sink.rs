//! What takes the lines: a file, standard output, or a datagram socket of syslog or of the journal.
//!
//! Lines are whole and those of several workers never mix:
//! - A file is open with O_APPEND, so that one write(2) of any length is at one place of it. Only a disk that becomes
//!   full cuts a write; then whichever process writes next begins with a newline ([`write_to_file`]).
//! - A pipe takes at most `PIPE_BUF` bytes at once or none of them (pipe(7)). So it gets groups of whole lines of that
//!   size, and no line is longer. The same for a terminal, and for a socket that is standard output.
//! - A datagram is a line.
//!
//! No write waits for a reader (`sys/output.rs`).

use super::datagram::Datagrams;
use super::target::Target;
use crate::log::append_file::{AppendFile, open_to_append};
use crate::sys::mmap::{Line, shared_lines};
use crate::sys::output::Output;
use nix::errno::Errno;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd, RawFd};
use std::path::PathBuf;
use std::sync::atomic::Ordering;

/// The longest line, with its newline, where no pipe makes it shorter.
pub(super) const LINE_BYTES_MAX: usize = 16 << 10;
/// A word of the shared line: 1 if the file ends within a line.
const IS_CUT: usize = 0;

/// Opened before the first fork; each worker has a copy.
#[derive(Debug)]
pub struct Sink(Kind);

#[derive(Debug)]
enum Kind {
    Stream {
        output: Output,
        /// `None`: standard output.
        file: Option<OpenFile>,
    },
    Datagrams(Datagrams),
}

#[derive(Debug)]
struct OpenFile {
    file: File,
    path: PathBuf,
    shared: &'static Line,
}

impl OpenFile {
    fn swap_cut(&self, is_cut: bool) -> bool {
        self.shared.words[IS_CUT].swap(is_cut.into(), Ordering::Relaxed) != 0
    }
}

/// A target that was opened by a process that may still change its user.
#[derive(Debug)]
pub struct Opened {
    pub sink: Sink,
    file: Option<AppendFile>,
}

impl Opened {
    /// `None`: there is no access log. The error is one line that states what would be right.
    pub fn open(target: &Target) -> Result<Option<Opened>, String> {
        let of = |kind| Some(Opened { sink: Sink(kind), file: None });
        Ok(match target {
            Target::Nowhere => None,
            Target::StandardOutput => {
                let output = Output::of(io::stdout().as_fd());
                of(Kind::Stream { output, file: None })
            }
            Target::Syslog { socket, facility } => of(Kind::Datagrams(Datagrams::syslog(socket, *facility)?)),
            Target::Journal(socket) => of(Kind::Datagrams(Datagrams::journal(socket)?)),
            Target::File(path) => {
                let opened = AppendFile::open(path, "--access-log")?;
                let shared = shared_lines(1).map_err(|e| e.to_string())?.first().ok_or("no shared memory")?;
                let file = opened.file.try_clone().map_err(|e| format!("--access-log {}: {e}", path.display()))?;
                let output = Output::of(file.as_fd());
                let open = OpenFile { file, path: opened.path.clone(), shared };
                Some(Opened { sink: Sink(Kind::Stream { output, file: Some(open) }), file: Some(opened) })
            }
        })
    }

    /// See [`AppendFile::give_to`].
    pub fn give_to(&self, uid: u32, gid: u32) -> Result<(), String> {
        self.file.as_ref().map_or(Ok(()), |file| file.give_to(uid, gid))
    }

    /// See [`AppendFile::discard`].
    pub fn discard(self) {
        if let Some(file) = self.file {
            file.discard();
        }
    }
}

impl Sink {
    #[cfg(test)]
    pub fn of_stream(stream: std::os::fd::BorrowedFd<'_>) -> Sink {
        Sink(Kind::Stream { output: Output::of(stream), file: None })
    }

    /// What an operator should know of it, if anything.
    pub fn warning(&self) -> Option<&'static str> {
        let is_terminal = match &self.0 {
            Kind::Stream { file: None, .. } => nix::unistd::isatty(io::stdout()).unwrap_or(false),
            Kind::Stream { file: Some(open), .. } => nix::unistd::isatty(&open.file).unwrap_or(false),
            Kind::Datagrams(_) => false,
        };
        is_terminal.then_some(
            "the access log goes to a terminal, which is slow and drops what it cannot show in time; give a file",
        )
    }

    /// What messages call it.
    pub fn name(&self) -> String {
        match &self.0 {
            Kind::Stream { file: None, .. } => "standard output".to_string(),
            Kind::Stream { file: Some(open), .. } => open.path.display().to_string(),
            Kind::Datagrams(datagrams) => datagrams.path().display().to_string(),
        }
    }

    /// The longest line that it takes whole, with its newline.
    pub fn line_bytes_max(&self) -> usize {
        match &self.0 {
            Kind::Stream { output, .. } if output.takes_parts() => libc::PIPE_BUF,
            Kind::Stream { .. } => LINE_BYTES_MAX,
            Kind::Datagrams(_) => Datagrams::LINE_BYTES_MAX,
        }
    }

    /// The file's descriptor, until it is opened again: it must not become another file's.
    pub fn descriptor(&self) -> Option<RawFd> {
        match &self.0 {
            Kind::Stream { file, .. } => file.as_ref().map(|open| open.file.as_raw_fd()),
            Kind::Datagrams(_) => None,
        }
    }

    /// Writes whole lines; returns how many bytes of them were taken, and why the rest was not.
    pub fn write(&mut self, lines: &[u8]) -> (usize, Result<(), Errno>) {
        match &mut self.0 {
            Kind::Stream { output, .. } if output.takes_parts() => write_in_groups(output, lines),
            Kind::Stream { output, file: Some(open) } => write_to_file(output, open, lines),
            Kind::Stream { output, file: None } => whole_lines(output.write_lines(lines), lines),
            Kind::Datagrams(datagrams) => datagrams.write(lines),
        }
    }

    /// Opens the file's path again, or connects to the socket again. The error is one line; the old file then stays.
    pub fn reopen(&mut self) -> Result<(), String> {
        match &mut self.0 {
            Kind::Stream { file: None, .. } => Ok(()),
            Kind::Stream { output, file: Some(open) } => match open_to_append(&open.path) {
                Ok(file) => {
                    *output = Output::of(file.as_fd());
                    open.file = file;
                    open.swap_cut(false);
                    Ok(())
                }
                Err(e) => {
                    let path = open.path.display();
                    Err(format!("cannot reopen the access log {path}: {e}; still writing to the old file"))
                }
            },
            Kind::Datagrams(datagrams) => datagrams
                .connect()
                .map_err(|e| format!("cannot connect to {} for the access log: {e}", datagrams.path().display())),
        }
    }
}

/// Only the whole lines count as taken: the rest is written again, after a newline.
fn whole_lines((taken, result): (usize, Result<(), Errno>), lines: &[u8]) -> (usize, Result<(), Errno>) {
    let whole = memchr::memrchr(b'\n', &lines[..taken]).map_or(0, |at| at + 1);
    (whole, result)
}

fn write_to_file(output: &Output, open: &OpenFile, lines: &[u8]) -> (usize, Result<(), Errno>) {
    if open.shared.words[IS_CUT].load(Ordering::Relaxed) != 0 && open.swap_cut(false) {
        output.set_cut(true);
    }
    let written = output.write_lines(lines);
    if output.is_cut() {
        output.set_cut(false);
        open.swap_cut(true);
    }
    whole_lines(written, lines)
}

fn write_in_groups(output: &Output, lines: &[u8]) -> (usize, Result<(), Errno>) {
    let mut taken = 0;
    while taken < lines.len() {
        let rest = &lines[taken..];
        let most = &rest[..rest.len().min(libc::PIPE_BUF)];
        // The caller's lines are no longer than that.
        let end = memchr::memrchr(b'\n', most).map_or(most.len(), |at| at + 1);
        let (written, result) = output.write_lines(&most[..end]);
        taken += whole_lines((written, Ok(())), &most[..end]).0;
        if result.is_err() {
            return (taken, result);
        }
    }
    (taken, Ok(()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use nix::unistd::pipe;
    use std::fs;
    use std::io::Read;

    fn file_sink(path: &std::path::Path) -> Sink {
        Opened::open(&Target::File(path.to_path_buf())).expect("it opens").expect("a sink").sink
    }

    #[test]
    fn a_pipe_takes_whole_lines_until_it_is_full() {
        let (reader, writer) = pipe().expect("a pipe");
        let mut sink = Sink::of_stream(writer.as_fd());
        assert_eq!(sink.line_bytes_max(), 4096);
        let line = |length: usize| [&vec![b'x'; length - 1][..], b"\n"].concat();
        let lines = [line(3000), line(3000), line(100), line(4096), line(1)].concat();
        let mut taken = Vec::new();
        loop {
            let (bytes, result) = sink.write(&lines);
            taken.extend_from_slice(&lines[..bytes]);
            if let Err(e) = result {
                assert_eq!(e, Errno::EAGAIN);
                break;
            }
        }
        assert!(taken.len() > 30_000 && taken.ends_with(b"\n"), "{}", taken.len());
        drop((sink, writer));
        let mut read = Vec::new();
        File::from(reader).read_to_end(&mut read).expect("what was written");
        assert!(read == taken, "{} bytes of {}", read.len(), taken.len());
    }

    #[test]
    fn a_line_that_the_file_has_half_of_is_ended_by_whoever_writes_next() {
        let path = std::env::temp_dir().join(format!("tine-sink-{}", std::process::id()));
        let mut sink = file_sink(&path);
        let Kind::Stream { file: Some(open), .. } = &sink.0 else { unreachable!("it is a file") };
        fs::write(&path, "half").expect("a file");
        open.swap_cut(true);
        assert_eq!(sink.write(b"one\ntwo\n"), (8, Ok(())));
        assert_eq!(sink.write(b"three\n"), (6, Ok(())));
        assert_eq!(fs::read_to_string(&path).expect("text"), "half\none\ntwo\nthree\n");
        fs::rename(&path, path.with_extension("1")).expect("renamed");
        assert_eq!(sink.reopen(), Ok(()));
        assert_eq!(sink.write(b"four\n"), (5, Ok(())));
        assert_eq!(fs::read_to_string(&path).expect("text"), "four\n");
        fs::remove_file(&path).expect("removed");
        fs::remove_file(path.with_extension("1")).expect("removed");
    }

    #[test]
    fn a_full_disk_takes_nothing() {
        let mut sink = file_sink(std::path::Path::new("/dev/full"));
        assert_eq!(sink.write(b"one\n"), (0, Err(Errno::ENOSPC)));
        assert_eq!(sink.line_bytes_max(), LINE_BYTES_MAX);
    }
}
