//! A server that is upgraded while requests are in flight: these are held, so that a test can count what is admitted.

use super::admin::workers_of;
use super::masters::{adopt_orphans, master_of, reap};
use super::site::Site;
use super::{Client, Server, TINE, eventually, send_signal, sockets_of};
use nix::sys::signal::Signal;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

/// A server from a copy of the binary, with its options in a file.
pub struct Upgradable {
    pub server: Server,
    pub site: Site,
}

/// Requests that are held until their clients let them pass: each is admitted once it is told to continue.
pub struct Held(pub Vec<Client>);

impl Upgradable {
    pub fn start(options: &str) -> Upgradable {
        adopt_orphans();
        let site = Site::of(&[("tine.toml", options.as_bytes())]);
        std::fs::hard_link(TINE, site.path("tine")).expect("a link");
        let mut command = Command::new(site.path("tine"));
        command
            .args([
                "run",
                "0",
                "--config",
                "tine.toml",
                "--pidfile",
                "pid",
                "--graceful-timeout",
                "200s",
                "--body-timeout",
                "200s",
            ])
            .current_dir(site.path(""));
        Upgradable { server: Server::start_command(&mut command), site }
    }

    pub fn pidfile(&self) -> PathBuf {
        self.site.path("pid")
    }

    pub fn master(&self) -> i32 {
        master_of(&self.pidfile())
    }

    /// The old master may have requests in flight after this. Returns it, and the new one.
    #[track_caller]
    pub fn upgrade(&self) -> (i32, i32) {
        let old = self.master();
        let output = self.server.ctl(&["upgrade"]);
        assert!(output.status.success(), "{}\n{}", String::from_utf8_lossy(&output.stderr), self.server.log());
        let new = eventually("another master serves", || Some(self.master()).filter(|&pid| pid != old));
        wait_accept_no_more(&workers_of(old), new);
        (old, new)
    }

    pub fn hold(&self) -> Client {
        let mut client = self.server.connect();
        client.send("POST /upload HTTP/1.1\r\nHost: t\r\nContent-Length: 1\r\nExpect: 100-continue\r\n\r\n");
        client
    }

    pub fn holds(&self, count: usize) -> Held {
        Held((0..count).map(|_| self.hold()).collect())
    }

    #[track_caller]
    pub fn ctl_limit(&self, changes: &[&str]) -> String {
        let output = self.server.ctl(&[&["limit"], changes].concat());
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    #[track_caller]
    pub fn end(self) {
        let last = self.master();
        send_signal(last, Signal::SIGTERM);
        eventually("the last master has ended", || reap(last).then_some(()));
    }
}

/// A worker accepts until it has read its order: what it accepts in the meantime, its master waits for.
#[track_caller]
pub fn wait_accept_no_more(old_workers: &[i32], new_master: i32) {
    let listeners = sockets_of(new_master);
    let is_closed = |pid: &i32| sockets_of(*pid).iter().all(|socket| !listeners.contains(socket));
    eventually("the old workers accept no more", || old_workers.iter().all(is_closed).then_some(()));
}

impl Held {
    pub fn admitted(&self) -> usize {
        let is_admitted =
            |client: &&Client| client.is_readable_within(Duration::from_millis(1)).is_ok_and(|is_readable| is_readable);
        self.0.iter().filter(is_admitted).count()
    }

    #[track_caller]
    pub fn wait_admitted(&self, count: usize) {
        eventually(&format!("{count} are admitted, not {}", self.admitted()), || {
            let admitted = self.admitted();
            assert!(admitted <= count, "{admitted} instead of {count}");
            (admitted == count).then_some(())
        });
    }

    /// Lets the first that is admitted pass.
    #[track_caller]
    pub fn finish_one(&mut self) {
        let is_admitted =
            |client: &Client| client.is_readable_within(Duration::from_millis(1)).is_ok_and(|is_readable| is_readable);
        let at = self.0.iter().position(is_admitted).expect("one is admitted");
        let mut client = self.0.remove(at);
        let head = client.head();
        assert!(head.starts_with("HTTP/1.1 100 "), "{head}");
        client.send("x");
        assert_eq!(client.response_to("POST").status, 200);
    }

    #[track_caller]
    pub fn finish_all(&mut self) {
        while !self.0.is_empty() {
            eventually("one more is admitted", || (self.admitted() > 0).then_some(()));
            self.finish_one();
        }
    }
}
