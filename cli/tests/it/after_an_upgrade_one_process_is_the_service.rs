//! After an upgrade the service manager has one process to watch, the new master. It is the manager's own child, so its
//! death is seen; stopping it ends the old master, too; and it exits last, as the manager kills whatever is left then.

use crate::support::masters::{adopt_orphans, master_of, reap};
use crate::support::{Client, Server, eventually, freeze, scratch_folder, send_signal};
use nix::sys::signal::Signal;
use std::fs;
use std::path::PathBuf;

struct Upgraded {
    server: Server,
    pidfile: PathBuf,
    /// From the oldest to the one that serves.
    masters: Vec<i32>,
    /// One client for each, with a request that takes long.
    clients: Vec<Client>,
}

impl Upgraded {
    /// A server whose master was replaced this often, with a request in flight each time.
    fn start(upgrades: usize, options: &[&str], path: &str) -> Upgraded {
        adopt_orphans();
        let pidfile = scratch_folder().join("pid");
        let name = pidfile.to_str().expect("UTF-8");
        let server = Server::start(&[&["--workers", "1", "--pidfile", name], options].concat());
        let masters = vec![server.pid()];
        let mut upgraded = Upgraded { server, pidfile, masters, clients: Vec::new() };
        for _ in 0..upgrades {
            let mut client = upgraded.server.connect();
            client.send(format!("GET {path} HTTP/1.1\r\nHost: t\r\nConnection: close\r\n\r\n"));
            client.head();
            upgraded.clients.push(client);
            let old = upgraded.last();
            send_signal(old, Signal::SIGUSR2);
            let new = eventually(&format!("another master serves:\n{}", upgraded.server.log()), || {
                Some(master_of(&upgraded.pidfile)).filter(|&pid| pid != old)
            });
            upgraded.server.wait_log(&format!("process {new} has taken over"));
            upgraded.masters.push(new);
        }
        upgraded
    }

    fn last(&self) -> i32 {
        *self.masters.last().expect("there is one")
    }

    fn old(&self) -> &[i32] {
        &self.masters[..self.masters.len() - 1]
    }

    /// Waits until the last master and all others have exited. The log tells which came first: a process still exists
    /// for a moment while it closes its descriptors.
    #[track_caller]
    fn expect_end(&self) {
        let last = self.last();
        eventually(&format!("process {last} ends:\n{}", self.server.log()), || reap(last).then_some(()));
        self.server.wait_gone(self.old());
    }

    /// The position in the log of this master's last line.
    #[track_caller]
    fn finished_at(&self, master: i32) -> usize {
        let log = self.server.log();
        let line =
            log.lines().position(|line| line.contains(&format!("master[{master}]")) && line.contains("drained: "));
        line.unwrap_or_else(|| panic!("process {master} has not finished:\n{log}"))
    }
}

impl Drop for Upgraded {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(self.pidfile.parent().expect("a folder"));
    }
}

fn parent_of(pid: i32) -> String {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).expect("it lives");
    status.lines().find_map(|line| line.strip_prefix("PPid:")).expect("its parent").trim().to_string()
}

#[test]
fn it_is_the_child_of_whoever_started_the_first() {
    let upgraded = Upgraded::start(2, &[], "/chunked/1000?delay=100");
    let manager = std::process::id().to_string();
    for &master in &upgraded.masters[1..] {
        assert_eq!(parent_of(master), manager, "process {master}, of {:?}", upgraded.masters);
    }
    send_signal(upgraded.last(), Signal::SIGQUIT);
    upgraded.expect_end();
}

#[test]
fn a_stop_waits_until_the_old_masters_have_finished() {
    let mut upgraded = Upgraded::start(2, &[], "/chunked/30?delay=100");
    send_signal(upgraded.last(), Signal::SIGTERM);
    upgraded.expect_end();
    for pair in upgraded.masters.windows(2) {
        let [old, new] = [pair[0], pair[1]].map(|master| upgraded.finished_at(master));
        assert!(old < new, "a new master has not waited for the old one:\n{}", upgraded.server.log());
    }
    for client in &mut upgraded.clients {
        let chunks = std::iter::from_fn(|| client.chunk().ok().filter(|chunk| !chunk.is_empty())).count();
        assert_eq!(chunks, 30, "{}", upgraded.server.log());
    }
    assert!(!upgraded.server.log().contains("WARN"), "{}", upgraded.server.log());
}

#[test]
fn an_old_master_that_hangs_is_killed() {
    let upgraded = Upgraded::start(1, &["--graceful-timeout", "1s"], "/chunked/1000?delay=100");
    let old = upgraded.old()[0];
    freeze(old);
    send_signal(upgraded.last(), Signal::SIGTERM);
    upgraded.expect_end();
    assert!(
        upgraded.server.log().contains(&format!("process {old}, did not exit in time")),
        "{}",
        upgraded.server.log()
    );
}
