//! As process 1 of a container the master silently reaps processes that it inherits, handles the same signals as
//! elsewhere, and exits as elsewhere.

use crate::support::{Server, TINE, eventually, send_signal};
use nix::sys::signal::Signal;
use std::fs;
use std::process::Command;

fn children(pid: i32) -> Vec<i32> {
    let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
    children.split_whitespace().filter_map(|pid| pid.parse().ok()).collect()
}

fn comm(pid: i32) -> String {
    fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default().trim().to_string()
}

const UNSHARE: [&str; 5] = ["--pid", "--fork", "--kill-child", "--mount-proc", "--"];

fn may_unshare() -> bool {
    let may = Command::new("unshare").args(UNSHARE).arg("true").output();
    let may_unshare = may.as_ref().is_ok_and(|output| output.status.success());
    if !may_unshare {
        println!("skipped: a process namespace cannot be made here: {may:?}");
    }
    may_unshare
}

/// Sends process 1 a signal from inside its container: there the kernel drops it if process 1 has no handler.
fn signal_inside(master: i32, signal: &str) {
    let mut command = Command::new("nsenter");
    command.args(["--target", &master.to_string(), "--pid", "--", "sh", "-c", &format!("kill -{signal} 1")]);
    assert!(command.status().is_ok_and(|status| status.success()), "{signal} is sent");
}

#[test]
fn process_1_handles_every_signal() {
    if !may_unshare() {
        return;
    }
    let mut command = Command::new("unshare");
    command.args(UNSHARE).args([TINE, "run", "0", "--workers", "2"]);
    let mut server = Server::start_command(&mut command);
    let master = children(server.pid())[0];
    let before = children(master);
    signal_inside(master, "HUP");
    server.wait_log("reloaded: 2 workers of generation 2");
    eventually("the workers before are gone", || {
        let now = children(master);
        (now.len() == 2 && !now.iter().any(|pid| before.contains(pid))).then_some(())
    });
    signal_inside(master, "TTIN");
    eventually("a third worker", || (children(master).len() == 3).then_some(()));
    signal_inside(master, "TTOU");
    eventually("two workers", || (children(master).len() == 2).then_some(()));
    signal_inside(master, "USR1");
    server.wait_log("SIGUSR1");
    // All other processes end with process 1.
    signal_inside(master, "USR2");
    server.wait_log("process 1 cannot hand over");
    signal_inside(master, "WINCH");
    eventually("no workers", || children(master).is_empty().then_some(()));
    signal_inside(master, "HUP");
    eventually("workers again", || (children(master).len() == 2).then_some(()));
    eventually("it serves", || server.log().contains("generation 3").then_some(()));
    assert_eq!(server.get("/health").status, 200);
    signal_inside(master, "TERM");
    assert_eq!(server.wait_exit().code(), Some(0), "{}", server.log());
}

#[test]
fn process_1_reaps_strangers() {
    if !may_unshare() {
        return;
    }
    // The shell is process 1 and becomes the master; its background processes are strangers to the master.
    let script = format!("for i in 1 2 3; do (sleep 1 &); done; (sleep 600 &); exec {TINE} run 0 --workers 2");
    let mut server = Server::start_command(Command::new("unshare").args(UNSHARE).args(["sh", "-c", &script]));
    let master = children(server.pid())[0];
    assert_eq!(comm(master), "tine: master");
    let long_sleeper = children(master).into_iter().find(|&pid| comm(pid) == "sleep");
    let long_sleeper = long_sleeper.expect("strangers were left to process 1");
    eventually("the strangers that ended are reaped", || {
        (children(master).into_iter().filter(|&pid| comm(pid) == "sleep").count() == 1).then_some(())
    });
    for pid in children(master).into_iter().filter(|&pid| comm(pid) == "sleep") {
        send_signal(pid, Signal::SIGKILL);
    }
    eventually("the last one is reaped", || (children(master).len() == 2).then_some(()));
    assert!(!children(master).contains(&long_sleeper));
    let said: Vec<String> = server.log().lines().filter(|line| !line.contains(" INFO ")).map(str::to_string).collect();
    assert!(said.is_empty(), "nothing is logged of them: {said:?}");
    assert_eq!(server.get("/health").status, 200);
    // The wrapper passes the exit status on.
    send_signal(master, Signal::SIGTERM);
    assert_eq!(server.wait_exit().code(), Some(0), "{}", server.log());
}
