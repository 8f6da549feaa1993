//! The access log over an upgrade, as another user, and over a reload: one file of whole lines, one for each request.

use crate::support::access_log::Logged;
use crate::support::load::{Habit, Load, Target};
use crate::support::masters::{adopt_orphans, children_of, master_of, reap};
use crate::support::site::Site;
use crate::support::{Server, TINE, eventually, group_members, send_signal};
use nix::sys::signal::Signal;
use nix::unistd::{Uid, User, chown};
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::Command;

const UPGRADES: usize = 2;
const LINE: &str = "begin /health 200 end";

/// Upgrades under load, ends the server, and compares the lines with what the clients have counted. `folder`: where the
/// pidfile and the log are.
fn upgraded_under_load(folder: &Path, options: &[&str]) -> PathBuf {
    adopt_orphans();
    let [pidfile, log] = ["pid", "access.log"].map(|name| folder.join(name));
    let mut command = Command::new(TINE);
    command.args(["run", "0", "--workers", "2", "--access-log-format", "begin %U %s end"]).args(options);
    command.arg("--pidfile").arg(&pidfile).arg("--access-log").arg(&log);
    let server = Server::start_command(&mut command);
    let inode = fs::metadata(&log).expect("the log").ino();
    let habits = [(Habit::KeepAlive, "/health"), (Habit::KeepAlive, "/health"), (Habit::Close, "/health")];
    let load = Load::start(&Target::Tcp(server.address()), &habits);
    load.wait_answered(100);
    load.expect_drains();
    for _ in 0..UPGRADES {
        let old = master_of(&pidfile);
        let of_old = children_of(old);
        let output = server.ctl(&["upgrade"]);
        assert_eq!(output.status.code(), Some(0), "{}{}", String::from_utf8_lossy(&output.stderr), server.log());
        eventually("another master", || (master_of(&pidfile) != old).then_some(()));
        server.wait_gone(&of_old);
        eventually("the old master has ended", || reap(old).then_some(()));
        load.wait_answered(100);
    }
    load.expect_refusals();
    let (master, group) = (master_of(&pidfile), server.pid());
    send_signal(master, Signal::SIGTERM);
    eventually("the server ends", || reap(master).then_some(()));
    eventually("no process is left", || group_members(group).is_empty().then_some(()));
    let tally = load.join();
    assert!(tally.failures.is_empty(), "{:#?}", tally.failures);
    let text = fs::read_to_string(&log).expect("the log");
    assert!(text.lines().all(|line| line == LINE), "each line is whole");
    // A client that was held up may not have read what was sent to it.
    let (lines, answered) = (text.lines().count() as u64, tally.answered);
    assert!((answered..=answered + tally.held_up).contains(&lines), "{lines} lines, {answered} answers");
    assert_eq!(fs::metadata(&log).expect("the log").ino(), inode, "it is the same file");
    assert!(!server.log().contains("access log: "), "{}", server.log());
    log
}

#[test]
fn an_upgrade_loses_no_line() {
    let site = Site::of(&[]);
    upgraded_under_load(&site.path(""), &[]);
}

#[test]
fn the_user_that_the_server_becomes_writes_the_file_on() {
    let Some(user) = User::from_name("nobody").ok().flatten().filter(|_| Uid::effective().is_root()) else {
        println!("skipped: only root can change its user");
        return;
    };
    // The temporary directory is one that every user may enter.
    let site = Site::of(&[]);
    let folder = std::env::temp_dir().join(site.path("").file_name().expect("a name"));
    fs::create_dir(&folder).expect("a folder");
    fs::set_permissions(&folder, fs::Permissions::from_mode(0o755)).expect("its mode");
    chown(&folder, Some(user.uid), Some(user.gid)).expect("another owner");
    let log = upgraded_under_load(&folder, &["--user", "nobody"]);
    assert_eq!(fs::metadata(&log).expect("the log").uid(), user.uid.as_raw());
    fs::remove_dir_all(&folder).expect("the folder");
}

#[test]
fn a_reload_takes_another_format_and_keeps_the_file() {
    let site = Site::of(&[]);
    let write = |log: &str, format: &str| {
        let text = format!("workers = 1\naccess-log = \"{log}\"\naccess-log-format = \"{format}\"\n");
        site.write("tine.toml", text.as_bytes());
    };
    write("first.log", "%U");
    let arguments = ["run", "0", "--config", "tine.toml"];
    let mut server = Server::start_command(Command::new(TINE).args(arguments).current_dir(site.path("")));
    server.get("/health");
    let text = || fs::read_to_string(site.path("first.log")).unwrap_or_default();
    eventually("its line", || (text() == "/health\n").then_some(()));
    write("second.log", "%U %s");
    let before = server.workers();
    assert_eq!(server.ctl(&["reload"]).status.code(), Some(0), "{}", server.log());
    server.wait_gone(&before);
    server.get("/health");
    eventually("its line", || (text() == "/health\n/health 200\n").then_some(()));
    assert!(!site.path("second.log").exists());
    let said = server.wait_log("access-log changed in tine.toml and needs a restart or an upgrade");
    assert_eq!(said.matches("WARN").count(), 1, "{said}");
    assert_eq!(server.stop(Signal::SIGTERM).code(), Some(0));
}

#[test]
fn a_worker_that_is_replaced_goes_on_in_the_same_file() {
    let logged = Logged::start(&["--access-log-format", "%U %s"]);
    logged.server.get("/health");
    assert_eq!(logged.lines(1), ["/health 200"]);
    let before = logged.server.workers();
    send_signal(before[0], Signal::SIGKILL);
    logged.server.wait_replaced(&before);
    logged.server.get("/health");
    assert_eq!(logged.lines(2), ["/health 200", "/health 200"]);
}
