//! A server that root started with `--user` is found by root's `tine ctl` without an option, and by that user's; also
//! after an upgrade, which a master of that user carries out.

use crate::support::masters::{adopt_orphans, reap};
use crate::support::{Server, TINE, copy_program, eventually, scratch_folder};
use nix::sys::signal::Signal;
use nix::unistd::{Uid, User};
use std::fs;
use std::os::unix::process::CommandExt;
use std::process::{Command, Output};

/// `tine ctl` as this user runs it in a fresh shell.
fn ctl(program: &std::path::Path, uid: u32, server: &Server, command: &str) -> Output {
    let mut ctl = Command::new(program);
    ctl.args(["ctl", "--control", &server.address().port().to_string(), command]).uid(uid).current_dir("/");
    ctl.env_remove("XDG_RUNTIME_DIR").env_remove("RUNTIME_DIRECTORY").output().expect("tine runs")
}

#[test]
fn before_and_after_an_upgrade() {
    if !Uid::effective().is_root() {
        println!("skipped: only root can change its user");
        return;
    }
    adopt_orphans();
    let other_user = User::from_name("nobody").ok().flatten().expect("every system has the user `nobody`").uid.as_raw();
    // In a directory where that user may execute it.
    let folder = std::env::temp_dir().join(scratch_folder().file_name().expect("a name"));
    fs::create_dir(&folder).expect("a folder");
    let program = folder.join("tine");
    copy_program(TINE, &program);
    let mut command = Command::new(&program);
    let server = Server::start_command(command.args(["run", "0", "--workers", "1", "--user", "nobody"]));
    let expect_found = |pid: i32| {
        for uid in [0, other_user] {
            let output = ctl(&program, uid, &server, "status");
            let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
            assert!(said.contains(&format!("process {pid}, for ")), "user {uid}: {said}\n{}", server.log());
        }
    };
    expect_found(server.pid());
    server.signal(Signal::SIGUSR2);
    let line = server.wait_log("has taken over after ");
    let second =
        line.split("process ").nth(1).and_then(|rest| rest.split(' ').next()?.parse().ok()).expect("its number");
    expect_found(second);
    let output = ctl(&program, 0, &server, "stop");
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    eventually("it ends", || reap(second).then_some(()));
    let output = ctl(&program, 0, &server, "status");
    assert_eq!(output.status.code(), Some(3), "{output:?}");
    fs::remove_dir_all(folder).expect("the folder");
}
