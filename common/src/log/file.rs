//! `--log-file`: a file in place of standard error, so that log lines, panics and what apps print there all go to it.
//!
//! [`LogFile::open`] may fail and is called while its error can still go to the terminal; [`LogFile::put_in_place`] is
//! called before the first fork, so that every process has the file. Rotation is a rename of the file and then
//! [`reopen`] in each process. A line that cannot be written, because the disk is full or a FIFO is not read, is
//! dropped (`log/out.rs`).

use super::guarded::{is_plain, open_guarded};
use super::out;
use crate::sys::output::Output;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::libc::STDERR_FILENO;
use nix::unistd::dup2_stderr;
use std::fs::{self, File};
use std::io;
use std::os::fd::AsFd;
use std::os::unix::fs::{MetadataExt, fchown};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

/// The path of the file that is in place; forked workers inherit it. Absolute: an app may change its working directory.
static IN_PLACE: OnceLock<PathBuf> = OnceLock::new();

/// A file that was opened and is not yet in place.
#[derive(Debug)]
pub struct LogFile {
    file: File,
    /// Created while the process still has the right to open it.
    output: Output,
    path: PathBuf,
    is_new: bool,
}

impl LogFile {
    /// Opens the file for appending, and creates it if it does not exist. The error is one line that states what would
    /// be right.
    pub fn open(path: &Path) -> Result<LogFile, String> {
        let open = || {
            let path = std::path::absolute(path)?;
            let is_new = !path.try_exists()?;
            let file = open_to_append(&path)?;
            Ok(LogFile { output: Output::of(file.as_fd()), file, path, is_new })
        };
        open().map_err(|e: io::Error| {
            let shown = path.display();
            format!("--log-file {shown} cannot be opened: {e}; give a file in a directory that you may write to")
        })
    }

    /// When started as root with `--user`: changes the file's owner, so that the unprivileged process can reopen it.
    /// Only a regular file at its own path, not the target of a link: a user with write access to the directory could
    /// have made the link.
    pub fn give_to(&self, uid: u32, gid: u32) -> Result<(), String> {
        let give = || {
            let (open, named) = (self.file.metadata()?, fs::symlink_metadata(&self.path)?);
            let is_same = (open.dev(), open.ino()) == (named.dev(), named.ino());
            if is_same && is_plain(&open) && (open.uid(), open.gid()) != (uid, gid) {
                fchown(&self.file, Some(uid), Some(gid))?;
            }
            Ok(())
        };
        give().map_err(|e: io::Error| {
            format!("--log-file {} cannot be given to user {uid}, group {gid}: {e}", self.path.display())
        })
    }

    /// Makes the file standard error, of this process and those that it forks.
    pub fn put_in_place(self) -> Result<(), String> {
        let path = self.path.display();
        dup2_stderr(&self.file).map_err(|e| format!("--log-file {path} cannot be used as standard error: {e}"))?;
        out::set(self.output.at(STDERR_FILENO));
        // Only the first file is ever reopened, so there must not be a second.
        IN_PLACE.set(self.path).map_err(|path| format!("--log-file {} is not the first", path.display()))
    }

    /// After a mere check that it can be opened: removes the file if it did not exist before.
    pub fn discard(self) {
        if self.is_new {
            // An error: another process has removed it; it is empty.
            let _ = fs::remove_file(&self.path);
        }
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

/// Opens it without blocking, even if it is a FIFO without a reader.
fn open_to_append(path: &Path) -> io::Result<File> {
    let flags =
        OFlag::O_WRONLY | OFlag::O_APPEND | OFlag::O_CREAT | OFlag::O_NONBLOCK | OFlag::O_NOCTTY | OFlag::O_CLOEXEC;
    let file = open_guarded(path, flags)?;
    // Blocking again, for the children of an app, which write to it as to any standard error.
    fcntl(file.as_fd(), FcntlArg::F_SETFL(OFlag::O_APPEND))?;
    Ok(file)
}
