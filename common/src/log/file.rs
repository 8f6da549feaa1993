//! `--log-file`: a file in the place of standard error, so that log lines, panics and what apps print there all go to it.
//!
//! [`LogFile::open`] may fail and is asked while the terminal can still be told; [`LogFile::put_in_place`] comes before
//! the first fork, so that every process has the file. Rotation is renaming the file and then [`reopen`] in each process.
//! A line that cannot be written, because the disk is full or a FIFO's reader stands still, is dropped (`log/out.rs`).

use super::out;
use super::with_care::{is_plain, open_with_care};
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

/// The file that is in place; forked workers inherit it. Absolute: an app may change the folder it works in.
static IN_PLACE: OnceLock<PathBuf> = OnceLock::new();

/// A file that was opened and is not in place yet.
#[derive(Debug)]
pub struct LogFile {
    file: File,
    /// Made while the process may still open what it is.
    output: Output,
    path: PathBuf,
    is_new: bool,
}

impl LogFile {
    /// Opens the file to append to, and makes it where there is none. The error is one line that says what would do.
    pub fn open(path: &Path) -> Result<LogFile, String> {
        let open = || {
            let path = std::path::absolute(path)?;
            let is_new = !path.try_exists()?;
            let file = open_to_append(&path)?;
            Ok(LogFile { output: Output::of(file.as_fd()), file, path, is_new })
        };
        open().map_err(|e: io::Error| {
            let shown = path.display();
            format!("--log-file {shown} cannot be opened: {e}; give a file in a folder that you may write to")
        })
    }

    /// For who starts as root and goes on as somebody else: makes the file his, so that he may open it again. Only a plain
    /// file that lies where its name says is given away, not what a link leads to: who may write to the folder could
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

    /// From now on this is standard error, of this process and those that it forks.
    pub fn put_in_place(self) -> Result<(), String> {
        let path = self.path.display();
        dup2_stderr(&self.file).map_err(|e| format!("--log-file {path} cannot be used as standard error: {e}"))?;
        out::set(self.output.at(STDERR_FILENO));
        // A second one would be found by nobody: only the first is opened again.
        IN_PLACE.set(self.path).map_err(|path| format!("--log-file {} is not the first", path.display()))
    }

    /// For who only wanted to know whether it can be opened: a file that was not there before is removed.
    pub fn let_go(self) {
        if self.is_new {
            // Somebody else may have removed it; it is empty.
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// The file that is in place of standard error, if one is.
pub fn path() -> Option<&'static Path> {
    IN_PLACE.get().map(PathBuf::as_path)
}

/// Opens the file by its name once more and puts it in place: after a rename, a new one. Without `--log-file` there is
/// nothing to do. The error is one line; the file that was in place still is.
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
    reopened.map_err(|e| {
        format!("the log file {} cannot be opened again: {e}; what was open goes on being used", path.display())
    })
}

/// Without waiting, also where it is a pipe that nobody reads.
fn open_to_append(path: &Path) -> io::Result<File> {
    let flags =
        OFlag::O_WRONLY | OFlag::O_APPEND | OFlag::O_CREAT | OFlag::O_NONBLOCK | OFlag::O_NOCTTY | OFlag::O_CLOEXEC;
    let file = open_with_care(path, flags)?;
    // For the children of an app, who write to it as to any standard error.
    fcntl(file.as_fd(), FcntlArg::F_SETFL(OFlag::O_APPEND))?;
    Ok(file)
}
