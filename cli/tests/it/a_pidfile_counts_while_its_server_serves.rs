//! A pidfile keeps a second server away only while its own server serves. It does not count if its number belongs to a
//! process that is not a server, to a thread or to a zombie, while its server drains, or once its master was killed.

use crate::support::masters::{adopt_orphans, master_of, reap};
use crate::support::pidfile::{named_by, pidfile, start_with};
use crate::support::{
    Client, Server, TINE, copy_program, eventually, one_line_of, run_to_end, scratch_folder, send_signal,
};
use nix::sys::signal::Signal;
use std::fs;
use std::os::unix::fs::chown;
use std::path::Path;
use std::process::Command;

fn remove_folder_of(pidfile: &Path) {
    fs::remove_dir_all(pidfile.parent().expect("a folder")).expect("the folder is ours");
}

/// A connection with an answer in flight that takes longer than the test.
fn busy(server: &Server) -> Client {
    let mut client = server.connect();
    client.send("GET /chunked/1000?delay=100 HTTP/1.1\r\nHost: t\r\n\r\n");
    client.head();
    client
}

#[track_caller]
fn expect_refused(pidfile: &Path, pid: i32) {
    let output = run_to_end(&["run", "0", "--pidfile", pidfile.to_str().expect("UTF-8")]);
    let line = one_line_of(&output);
    assert!(line.contains(&format!("names process {pid}, which is running; stop it or")), "{line}");
    assert_eq!((output.status.code(), named_by(pidfile)), (Some(1), Some(pid)), "{line}");
}

#[test]
fn numbers_of_processes_that_do_not_serve() {
    let mut zombie = Command::new("true").spawn().expect("a process");
    eventually("it is a zombie", || {
        let stat = fs::read_to_string(format!("/proc/{}/stat", zombie.id())).expect("it is not reaped");
        stat.contains(") Z ").then_some(())
    });
    // The test runs in a separate thread.
    let thread = nix::unistd::gettid().as_raw();
    assert_ne!(thread, std::process::id() as i32);
    for pid in [std::process::id() as i32, 1, thread, zombie.id() as i32] {
        let pidfile = pidfile();
        fs::write(&pidfile, format!("{pid}\n")).expect("a file of the test");
        let mut server = start_with(&pidfile);
        assert_eq!(named_by(&pidfile), Some(server.pid()));
        expect_refused(&pidfile, server.pid());
        assert_eq!(server.stop(Signal::SIGTERM).code(), Some(0));
        remove_folder_of(&pidfile);
    }
    zombie.wait().expect("its end");
}

#[test]
fn a_server_that_drains_makes_room_and_leaves_the_file_of_the_next() {
    let pidfile = pidfile();
    let mut first = start_with(&pidfile);
    let client = busy(&first);
    expect_refused(&pidfile, first.pid());
    first.signal(Signal::SIGTERM);
    first.wait_log("draining");
    assert_eq!(named_by(&pidfile), Some(first.pid()), "a script that stops it finds it until its end");
    let mut second = start_with(&pidfile);
    assert_eq!(named_by(&pidfile), Some(second.pid()));
    drop(client);
    assert_eq!(first.wait_exit().code(), Some(0), "{}", first.log());
    expect_refused(&pidfile, second.pid());
    assert_eq!(second.stop(Signal::SIGTERM).code(), Some(0));
    assert!(!pidfile.exists());
    remove_folder_of(&pidfile);
}

#[test]
fn workers_that_outlive_their_master_do_not_count() {
    let pidfile = pidfile();
    let mut first = start_with(&pidfile);
    let client = busy(&first);
    let workers = first.workers();
    first.stop(Signal::SIGKILL);
    let mut second = start_with(&pidfile);
    assert!(workers.iter().all(|&pid| crate::support::is_alive(pid)), "{}", first.log());
    expect_refused(&pidfile, second.pid());
    assert_eq!(second.stop(Signal::SIGTERM).code(), Some(0));
    drop(client);
    first.wait_gone(&workers);
    remove_folder_of(&pidfile);
}

#[track_caller]
fn expect_held_after_an_upgrade(folder: &Path, user: Option<&str>) {
    adopt_orphans();
    let (program, pidfile) = (folder.join("tine"), folder.join("pid"));
    copy_program(TINE, &program);
    let mut command = Command::new(&program);
    command.args(["run", "0", "--workers", "1", "--pidfile"]).arg(&pidfile);
    let server = Server::start_command(command.args(user.iter().flat_map(|user| ["--user", user])));
    let client = busy(&server);
    server.signal(Signal::SIGUSR2);
    let second = eventually("another master", || Some(master_of(&pidfile)).filter(|&pid| pid != server.pid()));
    // The old master still finishes its requests, and has given up the file.
    server.wait_log("has taken over");
    eventually("the new one has locked the file", || {
        let file = fs::File::open(&pidfile).expect("the pidfile");
        matches!(file.try_lock_shared(), Err(fs::TryLockError::WouldBlock)).then_some(())
    });
    expect_refused(&pidfile, second);
    drop(client);
    send_signal(second, Signal::SIGTERM);
    eventually("the server ends", || reap(second).then_some(()));
    assert_eq!(named_by(&pidfile), None);
}

#[test]
fn after_an_upgrade_the_new_master_owns_it() {
    let folder = scratch_folder();
    expect_held_after_an_upgrade(&folder, None);
    fs::remove_dir_all(folder).expect("the folder");
}

#[test]
fn an_upgrade_works_where_it_can_only_be_written_in_place() {
    if !nix::unistd::Uid::effective().is_root() {
        println!("skipped: only root can change its user");
        return;
    }
    let folder = std::env::temp_dir().join(scratch_folder().file_name().expect("a name"));
    fs::create_dir(&folder).expect("a directory of root's that other users may enter");
    expect_held_after_an_upgrade(&folder, Some("nobody"));
    fs::remove_dir_all(folder).expect("the folder");
}

/// In a directory of another user, the temporary name of the file may already be a link.
#[test]
fn a_link_at_its_temporary_name_is_not_followed() {
    let folder = scratch_folder();
    let (pidfile, precious) = (folder.join("pid"), folder.join("precious"));
    fs::write(&precious, "precious").expect("a file");
    for command in ["run", "check"] {
        let script = "ln -s precious \"$1.$$\"; ln precious \"$1\"; exec \"$2\" \"$3\" 0 --pidfile \"$1\" --workers 1";
        let mut shell = Command::new("sh");
        shell.args(["-c", script, "sh"]).arg(&pidfile).args([TINE, command]).current_dir(&folder);
        if command == "run" {
            let mut server = Server::start_command(&mut shell);
            assert_eq!(named_by(&pidfile), Some(server.pid()));
            assert_eq!(server.stop(Signal::SIGTERM).code(), Some(0));
        } else {
            assert!(shell.output().expect("tine runs").status.success());
        }
        assert_eq!(fs::read_to_string(&precious).expect("the file"), "precious", "{command}");
    }
    // Root changes the owner of the file, not of the link's target.
    if nix::unistd::Uid::effective().is_root() {
        chown(&folder, Some(65534), Some(65534)).expect("another user's directory");
        let script = "ln -s precious \"$1.$$\"; exec \"$2\" run 0 --pidfile \"$1\" --workers 1 --user nobody";
        let mut shell = Command::new("sh");
        let mut server =
            Server::start_command(shell.args(["-c", script, "sh"]).arg(&pidfile).arg(TINE).current_dir(&folder));
        let owner = std::os::unix::fs::MetadataExt::uid(&fs::metadata(&precious).expect("the file"));
        assert_eq!((owner, fs::read_to_string(&precious).expect("the file").as_str()), (0, "precious"));
        server.stop(Signal::SIGTERM);
    }
    fs::remove_dir_all(folder).expect("the folder");
}
