//! The system calls of a process, from strace.

use super::{eventually, scratch_folder, send_signal};
use nix::sys::signal::Signal;
use std::fs;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

/// A process that is traced until [`Trace::end`].
pub struct Trace {
    strace: Child,
    folder: PathBuf,
}

impl Trace {
    /// Returns once the process is traced; `None`, and a line that says why, where that cannot be done.
    pub fn begin(pid: i32) -> Option<Trace> {
        let folder = scratch_folder();
        let mut command = Command::new("strace");
        command.args(["-p", &pid.to_string(), "-o"]).arg(folder.join("trace")).stderr(Stdio::null());
        let Ok(mut strace) = command.spawn() else {
            println!("skipped: strace is not installed");
            return None;
        };
        let status = || fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
        let attached = eventually("strace is attached or has given up", || {
            let ended = strace.try_wait().expect("strace can be waited for").is_some();
            let is_traced = status().lines().any(|line| line.starts_with("TracerPid:") && !line.ends_with("\t0"));
            (ended || is_traced).then_some(!ended)
        });
        if !attached {
            println!("skipped: strace may not trace here");
            return None;
        }
        Some(Trace { strace, folder })
    }

    /// A line for each call.
    pub fn end(mut self) -> String {
        send_signal(self.strace.id() as i32, Signal::SIGINT);
        self.strace.wait().expect("strace ends");
        let calls = fs::read_to_string(self.folder.join("trace")).expect("a trace");
        fs::remove_dir_all(&self.folder).expect("the folder is removed");
        calls
    }
}
