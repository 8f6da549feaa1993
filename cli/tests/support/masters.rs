//! A server whose master changes: which process is master now, and which of its processes exist. The pidfile names it.

use super::{eventually, is_alive};
use nix::errno::Errno;
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;
use std::fs;
use std::path::Path;

/// The process that the pidfile names.
#[track_caller]
pub fn master_of(pidfile: &Path) -> i32 {
    eventually(&format!("{} names a process", pidfile.display()), || {
        fs::read_to_string(pidfile).ok()?.trim().parse::<i32>().ok()
    })
}

/// A process's children, in the order in which they were started.
pub fn children_of(pid: i32) -> Vec<i32> {
    let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
    children.split_whitespace().filter_map(|pid| pid.parse().ok()).collect()
}

/// Makes this process the parent of orphans, as process 1 would be: for a master that outlives the one that started it.
/// [`reap`] reaps them.
pub fn adopt_orphans() {
    nix::sys::prctl::set_child_subreaper(true).expect("Linux 3.4");
}

/// Whether the process has exited; if it was adopted, it is reaped.
pub fn reap(pid: i32) -> bool {
    match waitpid(Pid::from_raw(pid), Some(WaitPidFlag::WNOHANG)) {
        Ok(WaitStatus::Exited(..) | WaitStatus::Signaled(..)) => true,
        // Another process's child, or reaped already.
        Ok(_) | Err(Errno::ECHILD) => !is_alive(pid),
        Err(e) => panic!("waitpid: {e}"),
    }
}
