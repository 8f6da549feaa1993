//! A file that lines are appended to: opened before the process gives up its privileges, and opened again by any of its
//! processes after a rename.

use super::guarded::{is_plain, open_guarded};
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use std::fs::{self, File};
use std::io;
use std::os::fd::AsFd;
use std::os::unix::fs::{MetadataExt, fchown};
use std::path::{Path, PathBuf};

#[derive(Debug)]
pub struct AppendFile {
    pub file: File,
    /// Absolute: an app may change its working directory.
    pub path: PathBuf,
    /// The option that names it, for errors.
    option: &'static str,
    is_new: bool,
}

impl AppendFile {
    /// Opens the file, and creates it if it does not exist. The error is one line that states what would be right.
    pub fn open(path: &Path, option: &'static str) -> Result<AppendFile, String> {
        let open = || {
            let path = std::path::absolute(path)?;
            let is_new = !path.try_exists()?;
            Ok(AppendFile { file: open_to_append(&path)?, path, option, is_new })
        };
        open().map_err(|e: io::Error| {
            let shown = path.display();
            format!("{option} {shown} cannot be opened: {e}; give a file in a directory that you may write to")
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
            let (option, path) = (self.option, self.path.display());
            format!("{option} {path} cannot be given to user {uid}, group {gid}: {e}")
        })
    }

    /// After a mere check that it can be opened: removes the file if it did not exist before.
    pub fn discard(&self) {
        if self.is_new {
            // An error: another process has removed it; it is empty.
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// Opens it without blocking, even if it is a FIFO without a reader.
pub fn open_to_append(path: &Path) -> io::Result<File> {
    let flags =
        OFlag::O_WRONLY | OFlag::O_APPEND | OFlag::O_CREAT | OFlag::O_NONBLOCK | OFlag::O_NOCTTY | OFlag::O_CLOEXEC;
    let file = open_guarded(path, flags)?;
    // Blocking again, for the children of an app, which write to it as to any standard error.
    fcntl(file.as_fd(), FcntlArg::F_SETFL(OFlag::O_APPEND))?;
    Ok(file)
}
