//! The descriptors and variables that this process was given by its starter.

use std::ffi::OsString;
use std::io;
use std::os::fd::{FromRawFd, OwnedFd};

/// The descriptors that this process was given by the LISTEN_FDS protocol (sd_listen_fds(3)), each with its name; none
/// if they were meant for another process. The variables are removed.
///
/// To be called once, before the process opens anything or starts a thread.
pub fn take_descriptors() -> io::Result<Vec<(OwnedFd, String)>> {
    // SAFETY: no other thread is there to read the environment.
    let given = unsafe { sd_notify::listen_fds_with_names_and_unset_env() };
    take_variable("LISTEN_PIDFDID"); // repeats LISTEN_PID since systemd 259
    // SAFETY: the protocol makes them this process's own, the caller is the only one to take them, and they were open a
    // moment ago, when they were made CLOEXEC.
    let owned = |fd| unsafe { OwnedFd::from_raw_fd(fd) };
    Ok(given?.map(|(fd, name)| (owned(fd), name)).collect())
}

/// The value of a variable, which is removed, so that no child of this process sees it. No other thread may run.
pub fn take_variable(name: &str) -> Option<OsString> {
    let value = std::env::var_os(name)?;
    // SAFETY: no other thread is there to read the environment.
    unsafe { std::env::remove_var(name) };
    Some(value)
}
