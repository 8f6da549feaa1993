//! A server with a pidfile in a directory of its own.

use super::{Server, TINE, scratch_folder};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Where the pidfile will be: in a directory that has nothing else.
pub fn pidfile() -> PathBuf {
    scratch_folder().join("pid")
}

/// One worker, and this pidfile.
pub fn start_with(pidfile: &Path) -> Server {
    Server::start_command(Command::new(TINE).args(["run", "0", "--workers", "1", "--pidfile"]).arg(pidfile))
}

/// The process that it names.
pub fn named_by(pidfile: &Path) -> Option<i32> {
    fs::read_to_string(pidfile).ok()?.trim().parse().ok()
}
