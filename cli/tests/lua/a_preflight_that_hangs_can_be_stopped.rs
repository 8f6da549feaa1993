//! Ctrl-C and TERM end an app that hangs while it is loaded, and it never outlives the server, however that ends.

use crate::support::lua::folder_with;
use crate::support::{Server, TINE, eventually, is_alive, was_killed_by};
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use std::fs;
use std::process::Command;

/// A server whose app hangs while it is loaded, and the pid of the process that hangs.
fn hung(source: &str, command: &str) -> (Server, i32, std::path::PathBuf) {
    let folder = folder_with(&[("hang.lua", source)]);
    let server = Server::spawn(Command::new(TINE).args([command, "hang", "0"]).current_dir(&folder));
    let preflight = eventually("the preflight has begun", || {
        let is_it =
            |pid: &i32| fs::read_to_string(format!("/proc/{pid}/comm")).is_ok_and(|comm| comm == "tine: preflight\n");
        server.workers().into_iter().find(is_it).filter(|_| folder.join("loading").exists())
    });
    (server, preflight, folder)
}

const BUSY: &str = "io.open('loading', 'w'):close() while true do end";
const ASLEEP: &str = "io.open('loading', 'w'):close() os.execute('exec sleep 600')";

#[test]
fn a_preflight_that_hangs_can_be_stopped() {
    for (source, signal, to_all) in [
        (BUSY, Signal::SIGINT, true), // as a terminal's Ctrl-C
        (BUSY, Signal::SIGTERM, false),
        (BUSY, Signal::SIGQUIT, false),
        (BUSY, Signal::SIGHUP, true),
        (ASLEEP, Signal::SIGINT, true),
        (ASLEEP, Signal::SIGTERM, true),
    ] {
        let (mut server, preflight, folder) = hung(source, "run");
        if to_all {
            killpg(Pid::from_raw(server.pid()), signal).expect("the group is there");
        } else {
            server.signal(signal);
        }
        assert_eq!(server.wait_exit().code(), Some(0), "{signal}: {}", server.log());
        server.wait_gone(&[preflight]);
        assert_eq!(server.stdout(), "", "it never reported that it serves");
        fs::remove_dir_all(&folder).expect("the folder is ours");
    }
}

#[test]
fn a_check_that_was_stopped_fails() {
    let (mut server, preflight, folder) = hung(BUSY, "check");
    assert_eq!(server.stop(Signal::SIGTERM).code(), Some(1));
    assert_eq!(server.log(), "tine: SIGTERM: interrupted while loading hang\n");
    server.wait_gone(&[preflight]);
    fs::remove_dir_all(&folder).expect("the folder is ours");
}

#[test]
fn it_does_not_outlive_a_server_that_is_killed() {
    let (mut server, preflight, folder) = hung(BUSY, "run");
    assert!(is_alive(preflight));
    assert!(was_killed_by(server.stop(Signal::SIGKILL), Signal::SIGKILL));
    server.wait_gone(&[preflight]);
    fs::remove_dir_all(&folder).expect("the folder is ours");
}
