//! USR2 with a program that does not start, fails or hangs: the old master serves on, and a second attempt works.

use crate::support::{Server, TINE, scratch_folder, write_program};
use nix::sys::signal::Signal;
use std::fs;
use std::path::Path;
use std::process::Command;

/// A server started from a copy of the program that the test can replace.
fn start(program: &Path, options: &[&str]) -> Server {
    fs::hard_link(TINE, program).expect("a link");
    let mut command = Command::new(program);
    Server::start_command(command.args(["run", "0", "--workers", "2"]).args(options))
}

/// As a deploy does it: written beside it and renamed over it.
fn replace(program: &Path, script: &str) {
    let beside = program.with_extension("new");
    write_program(&beside, script.as_bytes());
    fs::rename(&beside, program).expect("in its place");
}

/// USR2; the process that was started.
fn begin_upgrade(server: &Server) -> i32 {
    server.signal(Signal::SIGUSR2);
    let line = server.wait_log("upgrading, process ");
    line.split("process ").nth(1).and_then(|rest| rest.split(' ').next()?.parse().ok()).expect("its number")
}

#[test]
fn whatever_goes_wrong_in_the_new_program() {
    let folder = scratch_folder();
    let program = folder.join("tine");
    let mut server = start(&program, &["--boot-timeout", "1s"]);
    let (pid, before) = (server.pid(), server.workers());
    for (script, words) in [
        ("no program", "cannot be executed"),
        ("#!/bin/sh\nexit 7\n", "exited with status 7 before it served"),
        ("#!/bin/sh\nkill -SEGV $$\n", "was killed by SIGSEGV before it served"),
        ("#!/bin/sh\nexec sleep 1000\n", " s and is killed"),
    ] {
        replace(&program, script);
        let output = server.ctl(&["upgrade"]);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(1), "{script:?}: {said}");
        assert!(said.contains(words), "{script:?}: {said}");
        server.wait_log(words);
        assert_eq!((server.get("/health").status, server.workers()), (200, before.clone()), "{script:?}");
    }
    // The real program again.
    fs::remove_file(&program).expect("the script");
    fs::hard_link(TINE, &program).expect("a link");
    let output = server.ctl(&["upgrade"]);
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(server.wait_log("has taken over after ").contains(&format!("master[{pid}]")));
    assert_eq!(server.wait_exit().code(), Some(0), "{}", server.log());
    assert_eq!(server.get("/health").status, 200, "by the new master");
    assert_eq!(server.ctl(&["stop"]).status.code(), Some(0));
    server.wait_gone(&before);
}

#[test]
fn a_stop_in_the_middle_ends_both() {
    let folder = scratch_folder();
    let program = folder.join("tine");
    let mut server = start(&program, &[]);
    replace(&program, "#!/bin/sh\nexec sleep 1000\n");
    let other = begin_upgrade(&server);
    server.signal(Signal::SIGUSR2);
    server.wait_log(&format!("process {other} is about to take over already"));
    assert_eq!(server.stop(Signal::SIGTERM).code(), Some(0), "{}", server.log());
    server.wait_gone(&[other]);
}

/// The kernel may kill it when memory is short: the new master must then not go on as if this one had ended.
#[test]
fn a_minder_that_is_killed_ends_the_upgrade() {
    let folder = scratch_folder();
    let program = folder.join("tine");
    let server = start(&program, &[]);
    let before = server.workers();
    replace(&program, "#!/bin/sh\nexec sleep 1000\n");
    let other = begin_upgrade(&server);
    let minder = server.workers().into_iter().find(|pid| !before.contains(pid)).expect("the minder is a child, too");
    crate::support::send_signal(minder, Signal::SIGKILL);
    server.wait_log(&format!("process {other} was killed by SIGKILL before it served; this master continues to serve"));
    server.wait_gone(&[other, minder]);
    assert_eq!((server.get("/health").status, server.workers()), (200, before));
}
