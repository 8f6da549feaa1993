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
    /// Returns once the process is traced; `None`, after a line with the reason, if it cannot be.
    pub fn begin(pid: i32) -> Option<Trace> {
        Trace::begin_with(pid, &[])
    }

    /// As [`Trace::begin`], and calls fail as in `failures`, each in the form that strace(1) expects after `-e
    /// inject=`: `accept4:error=EPERM:when=1..3`. Other calls are not in the trace.
    pub fn inject(pid: i32, failures: &[&str]) -> Option<Trace> {
        let expressions: Vec<String> = failures.iter().map(|failure| format!("inject={failure}")).collect();
        let options: Vec<&str> = expressions.iter().flat_map(|expression| ["-e", expression]).collect();
        let calls: Vec<&str> = failures.iter().filter_map(|failure| failure.split(':').next()).collect();
        // One set, or the last one would replace the others.
        let set = format!("trace={}", calls.join(","));
        Trace::begin_with(pid, &[&["-e", &set], &options[..]].concat())
    }

    fn begin_with(pid: i32, options: &[&str]) -> Option<Trace> {
        let folder = scratch_folder();
        let mut command = Command::new("strace");
        command.args(options).args(["-p", &pid.to_string(), "-o"]).arg(folder.join("trace")).stderr(Stdio::null());
        let Ok(mut strace) = command.spawn() else {
            println!("skipped: strace is not installed");
            return None;
        };
        let status = || fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
        let attached = eventually("strace is attached or has given up", || {
            let ended = strace.try_wait().expect("strace can be waited for").is_some();
            let is_traced = status().lines().any(|line| line.starts_with("TracerPid:") && !line.ends_with("\t0"));
            // strace has also exited if the process has, at its first failed call.
            let has_traced = || fs::metadata(folder.join("trace")).is_ok_and(|file| file.len() > 0);
            (ended || is_traced).then(|| !ended || has_traced())
        });
        if !attached {
            println!("skipped: strace is not permitted to trace here");
            return None;
        }
        Some(Trace { strace, folder })
    }

    /// The lines until now.
    pub fn so_far(&self) -> String {
        fs::read_to_string(self.folder.join("trace")).unwrap_or_default()
    }

    /// A line for each call.
    pub fn end(mut self) -> String {
        if self.strace.try_wait().expect("strace can be waited for").is_none() {
            send_signal(self.strace.id() as i32, Signal::SIGINT);
        }
        self.strace.wait().expect("strace ends");
        let calls = fs::read_to_string(self.folder.join("trace")).expect("a trace");
        fs::remove_dir_all(&self.folder).expect("the folder is removed");
        calls
    }
}
