//! A server that was started with signals ignored or blocked handles them and reaps its children, and it loses no
//! signal that arrives before its handlers are installed.

use crate::support::lua::folder_with;
use crate::support::{Server, TINE, eventually, send_signal};
use nix::sys::signal::Signal;
use std::fs;
use std::process::Command;

const APP: &str = "function app(environ, start_response)\n  start_response('200 OK', {})\n  return 'here'\nend\n";

/// A Lua app, which has a preflight.
fn start(environment: &[&str]) -> Server {
    let folder = folder_with(&[("app.lua", APP)]);
    let mut command = Command::new("env");
    command.args(environment).args([TINE, "run", "0", "--workers", "1"]).arg(folder.join("app.lua"));
    Server::start_command(&mut command)
}

/// Whether the signal is in this mask of the process: SigBlk, SigIgn, SigCgt (proc_pid_status(5)).
fn is_in(pid: i32, mask: &str, signal: Signal) -> bool {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let bits = status.lines().find_map(|line| line.strip_prefix(mask)?.strip_prefix(':')).unwrap_or("0");
    u64::from_str_radix(bits.trim(), 16).expect("a mask") & 1 << (signal as i32 - 1) != 0
}

#[test]
fn that_were_ignored_or_blocked() {
    for environment in [
        "--ignore-signal=CHLD",
        "--ignore-signal=TERM",
        "--ignore-signal=ALRM",
        "--block-signal=TERM",
        "--block-signal",
        "--block-signal=CHLD",
    ] {
        let mut server = start(&[environment]);
        assert_eq!(server.get("/").text(), "here", "{environment}");
        // A child that has exited is reaped, and another takes its place.
        let before = server.workers();
        let worker = before[0];
        assert!(!is_in(worker, "SigIgn", Signal::SIGALRM), "{environment}: ALRM ends a worker that hangs");
        assert!(!is_in(worker, "SigBlk", Signal::SIGTERM), "{environment}");
        send_signal(worker, Signal::SIGKILL);
        server.wait_replaced(&before);
        server.wait_log("killed by SIGKILL");
        assert_eq!(server.stop(Signal::SIGTERM).code(), Some(0), "{environment}");
    }
}

#[test]
fn that_is_ignored_under_nohup_stays_ignored() {
    let mut server = start(&["--ignore-signal=HUP"]);
    assert!(is_in(server.pid(), "SigIgn", Signal::SIGHUP));
    assert_eq!(server.stop(Signal::SIGTERM).code(), Some(0));
}

#[test]
fn that_arrives_before_the_handlers_are_installed() {
    let mut command = Command::new("strace");
    // Binding takes some time.
    command.args(["-f", "-o", "/dev/null", "-e", "inject=bind:delay_enter=2000000:when=1"]);
    command.args([TINE, "run", "0", "--workers", "1", "--control", "none"]);
    let mut server = Server::spawn(&mut command);
    let tine = eventually("tine holds TERM back", || {
        server.workers().into_iter().find(|&pid| is_in(pid, "SigBlk", Signal::SIGTERM))
    });
    assert!(!is_in(tine, "SigCgt", Signal::SIGTERM), "it has no handlers yet");
    send_signal(tine, Signal::SIGTERM);
    assert_eq!(server.wait_exit().code(), Some(0), "{}", server.log());
    assert!(server.log().contains("SIGTERM"), "{}", server.log());
}
