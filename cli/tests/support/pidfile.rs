//! A server with a pidfile in a directory of its own.

use super::{Server, TINE, scratch_folder};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The path for a pidfile: in a directory with nothing else in it.
pub fn pidfile() -> PathBuf {
    scratch_folder().join("pid")
}

/// A server with one worker and this pidfile.
pub fn start_with(pidfile: &Path) -> Server {
    Server::start_command(Command::new(TINE).args(["run", "0", "--workers", "1", "--pidfile"]).arg(pidfile))
}

/// The process id that it contains.
pub fn named_by(pidfile: &Path) -> Option<i32> {
    fs::read_to_string(pidfile).ok()?.trim().parse().ok()
}
