//! USR2 under load after the binary was replaced by a different build: over several TCP listeners and a Unix socket no
//! request fails, the new build answers, and nothing of the old one is left. Builds that cannot take over change
//! nothing.

use crate::support::capture::Capture;
use crate::support::hey::{Hey, Verdict};
use crate::support::keep_alive::{KeepAliveClients, Manner};
use crate::support::load::{Habit, Load, Target};
use crate::support::masters::{adopt_orphans, children_of, master_of, reap};
use crate::support::proxy::LoadProxy;
use crate::support::{
    Client, Server, TINE, eventually, group_members, is_alive, scratch_folder, send_signal, write_program,
};
use nix::sys::signal::Signal;
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

const UPGRADES: usize = 3;

/// A server on two TCP addresses and a Unix socket, from a copy of the binary that can be replaced.
struct Upgradable {
    server: Server,
    folder: PathBuf,
    addresses: Vec<SocketAddr>,
}

impl Upgradable {
    fn start(accept: &str) -> Upgradable {
        adopt_orphans();
        let folder = scratch_folder();
        install(&folder, &build("0"));
        let listen = format!("127.0.0.1:0,127.0.0.1:0,unix:{}", folder.join("socket").display());
        let mut command = Command::new(folder.join("tine"));
        command.args(["run", "--workers", "2", "--accept", accept, "--listen", &listen, "--pidfile"]);
        let server = Server::start_command(command.arg(folder.join("pid")));
        let address = |line: &str| line.trim().strip_prefix("http://")?.parse().ok();
        let addresses: Vec<SocketAddr> = server.stdout().lines().filter_map(address).collect();
        assert_eq!(addresses.len(), 2, "{}", server.stdout());
        Upgradable { server, folder, addresses }
    }

    fn pidfile(&self) -> PathBuf {
        self.folder.join("pid")
    }

    fn socket(&self) -> PathBuf {
        self.folder.join("socket")
    }

    fn master(&self) -> i32 {
        master_of(&self.pidfile())
    }

    /// The build that answers on this connection.
    fn version(&self, client: std::io::Result<Client>) -> String {
        let mut client = client.expect("the server accepts");
        client.send("GET /any HTTP/1.1\r\nHost: t\r\nConnection: close\r\n\r\n");
        client.response().header("server").expect("a version").to_string()
    }

    /// Upgrades to this build and waits until no process of the old one is left.
    #[track_caller]
    fn upgrade(&self, number: &str) {
        let old = self.master();
        let of_old = children_of(old);
        install(&self.folder, &build(number));
        send_signal(old, Signal::SIGUSR2);
        let new = eventually(&format!("another master serves; the log says:\n{}", self.server.log()), || {
            Some(self.master()).filter(|&pid| pid != old)
        });
        self.server.wait_gone(&of_old);
        eventually("the old master has ended", || reap(old).then_some(()));
        assert!(is_alive(new), "{}", self.server.log());
        let expected = format!("tine/{number}.");
        for address in &self.addresses {
            let version = self.version(Client::try_connect(*address));
            assert!(version.starts_with(&expected), "{version} on {address}");
        }
        let version = self.version(Client::try_connect_unix(&self.socket()));
        assert!(version.starts_with(&expected), "{version} on the Unix socket");
    }

    #[track_caller]
    fn end(self) {
        let (master, group) = (self.master(), self.server.pid());
        for wrong in ["WARN", "ERROR"] {
            assert!(!self.server.log().contains(wrong), "{}", self.server.log());
        }
        self.stop(master, group);
    }

    #[track_caller]
    fn stop(self, master: i32, group: i32) {
        send_signal(master, Signal::SIGTERM);
        eventually("the server ends", || reap(master).then_some(()));
        eventually("no process is left", || group_members(group).is_empty().then_some(()));
        assert!(!self.socket().exists() && !self.pidfile().exists(), "the files are removed");
        let _ = fs::remove_dir_all(&self.folder);
    }
}

/// Puts a build in the place of the binary, as package managers do: whole or not at all.
fn install(folder: &Path, build: &[u8]) {
    let beside = folder.join("tine.new");
    write_program(&beside, build);
    fs::rename(&beside, folder.join("tine")).expect("renamed");
}

/// The binary under test with another version string, which a client can see.
fn build(number: &str) -> Vec<u8> {
    let mut bytes = fs::read(TINE).expect("the binary");
    let (name, at_number) = (b"Server: tine/0.", b"Server: tine/".len());
    let places: Vec<usize> = memchr::memmem::find_iter(&bytes, name).collect();
    assert!(!places.is_empty(), "the binary holds its version");
    for at in places {
        bytes[at + at_number..][..1].copy_from_slice(number.as_bytes());
    }
    bytes
}

#[track_caller]
fn expect_clean(verdict: &Verdict, what: &str, server: &Server) {
    println!("{what}: {} answered", verdict.answered);
    assert!(verdict.complaints.is_empty(), "{what}: {:#?}\n{}", verdict.complaints, server.log());
}

fn under_load(accept: &str) {
    let built = Upgradable::start(accept);
    let capture = Capture::start(built.addresses[1]);
    let hey = [true, false].map(|keep_alive| Hey::start(&format!("http://{}/any", built.addresses[0]), keep_alive));
    let unix = Target::Unix(built.socket());
    let load = Load::start(&unix, &[(Habit::KeepAlive, "/any"), (Habit::Close, "/any"), (Habit::Close, "/delay/50")]);
    let clients = KeepAliveClients::start(
        built.addresses[1],
        &[(Manner::OneByOne, 5), (Manner::InEights, 5), (Manner::WithoutEnd, 1), (Manner::WithPauses, 10)],
    );
    load.wait_answered(20);
    load.expect_drains();
    for round in 1..=UPGRADES {
        built.upgrade(&round.to_string());
    }
    for (hey, what) in hey.into_iter().zip(["keep-alive", "a connection each"]) {
        expect_clean(&hey.stop(), &format!("{accept}, {what}"), &built.server);
    }
    clients.expect_end();
    load.expect_refusals();
    built.end();
    let tally = load.join();
    println!("{accept}, Unix socket: {} answered", tally.answered);
    assert!(tally.failures.is_empty(), "{:#?}", tally.failures);
    let tally = clients.join();
    println!("{accept}, kept connections: {} answered, {} crossed", tally.answered, tally.crossed);
    assert!(tally.failures.is_empty(), "{:#?}", tally.failures);
    if let Some(endings) = capture.map(Capture::stop) {
        assert!(endings.resets.is_empty(), "{:#?}", endings.resets);
    }
}

#[test]
fn with_a_shared_queue() {
    under_load("shared");
}

#[test]
fn with_queues_per_worker() {
    under_load("per-worker");
}

#[test]
fn over_nginx_on_a_unix_socket() {
    let built = Upgradable::start("shared");
    let nginx = LoadProxy::start(&format!("unix:{}", built.socket().display()));
    let hey = Hey::start(&nginx.url("/any"), true);
    for round in 1..=UPGRADES {
        built.upgrade(&round.to_string());
    }
    expect_clean(&hey.stop(), "over nginx", &built.server);
    assert_eq!(nginx.log(), "", "nginx has nothing to complain of");
    built.end();
}

/// A file that is not a program, one that exits at once, and one with other options: the old master serves on, and a
/// good build works afterwards.
#[test]
fn builds_that_cannot_take_over_change_nothing() {
    let built = Upgradable::start("per-worker");
    let hey = Hey::start(&format!("http://{}/any", built.addresses[0]), true);
    let (master, workers) = (built.master(), children_of(built.master()));
    let wrong: [&[u8]; 3] = [b"no program at all", b"#!/bin/sh\nexit 3\n", b"#!/bin/sh\nkill -9 $$\n"];
    for (nth, wrong) in wrong.iter().enumerate() {
        install(&built.folder, wrong);
        send_signal(master, Signal::SIGUSR2);
        eventually(&format!("failure {nth} is told; the log says:\n{}", built.server.log()), || {
            (built.server.log().matches("the upgrade failed").count() == nth + 1).then_some(())
        });
        assert_eq!(built.master(), master);
    }
    assert_eq!(children_of(master), workers, "the same workers serve on");
    assert!(Path::new(&built.socket()).exists());
    built.upgrade("1");
    expect_clean(&hey.stop(), "through failures", &built.server);
    let (master, group) = (built.master(), built.server.pid());
    built.stop(master, group);
}
