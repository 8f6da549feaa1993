//! `--log-file`: a file in place of standard error, so that log lines, panics and what apps print there all go to it.
//!
//! [`LogFile::open`] may fail and is called while its error can still go to the terminal; [`LogFile::put_in_place`] is
//! called before the first fork, so that every process has the file. Rotation is a rename of the file and then
//! [`reopen`] in each process. A line that cannot be written, because the disk is full or a FIFO is not read, is
//! dropped (`log/out.rs`).

use super::append_file::{AppendFile, open_to_append};
use super::out;
use crate::sys::output::Output;
use nix::libc::STDERR_FILENO;
use nix::unistd::dup2_stderr;
use std::io;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

/// The path of the file that is in place; forked workers inherit it. Absolute: an app may change its working directory.
static IN_PLACE: OnceLock<PathBuf> = OnceLock::new();

/// A file that was opened and is not yet in place.
#[derive(Debug)]
pub struct LogFile {
    file: AppendFile,
    /// Created while the process still has the right to open it.
    output: Output,
}

impl LogFile {
    /// Opens the file for appending, and creates it if it does not exist. The error is one line that states what would
    /// be right.
    pub fn open(path: &Path) -> Result<LogFile, String> {
        let file = AppendFile::open(path, "--log-file")?;
        Ok(LogFile { output: Output::of(file.file.as_fd()), file })
    }

    /// See [`AppendFile::give_to`].
    pub fn give_to(&self, uid: u32, gid: u32) -> Result<(), String> {
        self.file.give_to(uid, gid)
    }

    /// Makes the file standard error, of this process and those that it forks.
    pub fn put_in_place(self) -> Result<(), String> {
        let path = self.file.path.display();
        dup2_stderr(&self.file.file).map_err(|e| format!("--log-file {path} cannot be used as standard error: {e}"))?;
        out::set(self.output.at(STDERR_FILENO));
        // Only the first file is ever reopened, so there must not be a second.
        IN_PLACE.set(self.file.path).map_err(|path| format!("--log-file {} is not the first", path.display()))
    }

    /// See [`AppendFile::discard`].
    pub fn discard(self) {
        self.file.discard();
    }
}

/// The path of the file in place of standard error, if there is one.
pub fn path() -> Option<&'static Path> {
    IN_PLACE.get().map(PathBuf::as_path)
}

/// Opens the file's path again and puts it in place: a new file after a rename. Does nothing without `--log-file`. The
/// error is one line; the old file then stays in place.
pub fn reopen() -> Result<(), String> {
    let Some(path) = path() else { return Ok(()) };
    let reopen = || {
        let file = open_to_append(path)?;
        let output = Output::of(file.as_fd());
        dup2_stderr(&file)?;
        out::set(output.at(STDERR_FILENO));
        io::Result::Ok(())
    };
    let reopened = reopen();
    reopened.map_err(|e| format!("cannot reopen the log file {}: {e}; still writing to the old one", path.display()))
}
