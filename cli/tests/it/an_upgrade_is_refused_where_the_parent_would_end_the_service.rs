//! USR2 and `tine ctl upgrade` under an init that exits with its child, or under a supervisor that would start it
//! again: refused with a hint, and the server serves on. Under any other parent an upgrade is carried out.

use crate::support::masters::{adopt_orphans, reap};
use crate::support::{Server, TINE, eventually, scratch_folder, send_signal};
use nix::sys::signal::Signal;
use std::fs;
use std::os::unix::fs::symlink;
use std::process::Command;

/// A server whose parent has this name, and its master's process id.
fn start_under(name: &str) -> (Server, i32) {
    let folder = scratch_folder();
    let program = folder.join(name);
    // A process takes its name from the link that it was started by.
    symlink("/bin/sh", &program).expect("a link");
    let script = ["-c", "\"$@\" & wait", "sh"];
    let server = Server::start_command(Command::new(&program).args(script).args([TINE, "run", "0", "--workers", "1"]));
    fs::remove_dir_all(folder).expect("the folder");
    // The shell's only child.
    let master = server.workers()[0];
    (server, master)
}

#[test]
fn under_parents_that_watch_the_process_that_they_started() {
    for (name, words) in [
        ("tini", "ends with this process, and all others with it; replace the container"),
        ("runsv", "would start a second server when this process ends; restart it there"),
    ] {
        let (mut server, master) = start_under(name);
        let why = format!("its parent, {name} (process {}), {words}", server.pid());
        let output = server.ctl(&["upgrade"]);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.code() == Some(1) && said.contains(&why), "{said}");
        send_signal(master, Signal::SIGUSR2);
        server.wait_log(&format!("SIGUSR2: an upgrade is refused: {why}"));
        assert_eq!(server.get("/health").status, 200);
        send_signal(master, Signal::SIGTERM);
        assert_eq!(server.wait_exit().code(), Some(0), "{}", server.log());
    }
}

#[test]
fn not_under_others() {
    adopt_orphans();
    let (server, _) = start_under("wrapper");
    let output = server.ctl(&["upgrade"]);
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let new = said.split_whitespace().find_map(|word| word.parse::<i32>().ok()).expect("the new master's number");
    assert_eq!(server.ctl(&["stop"]).status.code(), Some(0), "{}", server.log());
    eventually("it ends", || reap(new).then_some(()));
}
