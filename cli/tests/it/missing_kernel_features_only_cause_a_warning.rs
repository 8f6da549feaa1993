//! Where the kernel, or an emulation of it such as gVisor, lacks a socket option or a system call, the server warns and
//! serves.

use crate::support::{Server, TINE, send_signal};
use nix::sys::signal::Signal;
use std::process::Command;

/// Under strace, with calls that fail.
fn start_without(inject: &str, options: &[&str]) -> Server {
    let mut command = Command::new("strace");
    command.args(["-f", "-o", "/dev/null", "-e", inject, TINE, "run", "0", "--workers", "2"]).args(options);
    Server::start_command(&mut command)
}

fn expect_served(mut server: Server) -> String {
    assert_eq!(server.get("/health").status, 200);
    server.workers().into_iter().for_each(|pid| send_signal(pid, Signal::SIGTERM)); // strace's child: the master
    server.wait_exit();
    server.log()
}

#[test]
fn options_of_a_listener() {
    // After SO_REUSEADDR and SO_REUSEPORT, which are required.
    let log = expect_served(start_without("inject=setsockopt:error=ENOPROTOOPT:when=3+", &["--tcp-fastopen"]));
    for what in ["the kernel buffers more output", "--defer-accept has no effect", "--tcp-fastopen has no effect"] {
        let lines = log.lines().filter(|line| line.contains("the sockets of") && line.contains(what));
        assert_eq!(lines.count(), 1, "once: {log}");
    }
}

#[test]
fn the_cpus_of_a_process() {
    let server = start_without("inject=sched_getaffinity:error=ENOSYS", &[]);
    assert!(!expect_served(server).contains("--cpu-affinity"));
}
