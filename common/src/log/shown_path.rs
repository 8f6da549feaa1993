//! What a log line calls an open file.

use super::one_line;
use std::fs::File;
use std::os::fd::AsRawFd;
use std::os::unix::fs::MetadataExt;

/// Its current path, followed by ` (deleted)` if it no longer has one. Without /proc, its inode identifies it.
pub fn shown_path(file: &File) -> String {
    match std::fs::read_link(format!("/proc/self/fd/{}", file.as_raw_fd())) {
        Ok(path) => one_line(&path.to_string_lossy()),
        Err(_) => {
            file.metadata().map_or_else(|_| "a file".to_string(), |file| format!("the file with inode {}", file.ino()))
        }
    }
}
