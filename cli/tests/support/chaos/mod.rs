//! Chaos: a server under load, and from a seed everything that an operator, the kernel or an app may do to it; then a
//! check of what is left. Findings are reported with the seed that led to them.

mod clients;
mod deeds;
mod inventory;
mod plan;
mod victims;

use super::masters::{adopt_orphans, children_of, master_of, reap};
use super::{Client, Server, TINE, is_alive, scratch_folder, send_signal};
use clients::{CLIENTS, Clients, Shared, Tally};
use deeds::Deeds;
use inventory::{Holdings, processes, strangers};
use nix::sys::signal::Signal;
use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

const APP: &str = include_str!("app.lua");
/// The number of workers before and after.
const WORKERS: usize = 3;
/// A worker whose loop stands still this long is killed: longer than a pause.
const WORKER_TIMEOUT: &str = "5s";
/// How long everything may take to return to normal: the longest back-off of a respawn, and the death of a frozen
/// worker.
const SETTLED: Duration = Duration::from_secs(60);

pub struct Chaos {
    pub seed: u64,
    pub lasts: Duration,
    pub accept: &'static str,
    /// Prints each deed as it is done.
    pub is_verbose: bool,
}

/// The server and its files.
pub struct Scene {
    server: Server,
    folder: PathBuf,
    shared: Arc<Shared>,
}

impl Scene {
    fn start(accept: &str) -> Scene {
        adopt_orphans();
        let folder = scratch_folder();
        fs::write(folder.join("app.lua"), APP).expect("a file");
        let mut command = Command::new(TINE);
        command.args(["run", "0"]).arg(folder.join("app.lua")).arg("--pidfile").arg(folder.join("pid"));
        command.args(["--workers", &WORKERS.to_string(), "--accept", accept, "--worker-timeout", WORKER_TIMEOUT]);
        let server = Server::start_command(&mut command);
        let shared = Arc::new(Shared {
            address: server.address(),
            victims: Default::default(),
            is_over: AtomicBool::default(),
            is_limited: AtomicBool::default(),
            answered: AtomicU64::default(),
            refused: AtomicU64::default(),
        });
        Scene { server, folder, shared }
    }

    fn master(&self) -> i32 {
        master_of(&self.folder.join("pid"))
    }

    fn workers(&self) -> Vec<i32> {
        children_of(self.master()).into_iter().filter(|&pid| is_alive(pid) && is_named(pid, "tine: worker")).collect()
    }

    /// The number of workers that should exist: as the master has last logged it, else as it was started. A worker that
    /// leaves may exist beside them.
    fn slots(&self) -> usize {
        let (prefix, log) = (format!(" master[{}] ", self.master()), self.server.log());
        let said = log.lines().rev().find(|line| line.contains(&prefix) && line.contains(" workers instead of "));
        let count = said.and_then(|line| line.split(" workers instead of ").next()?.rsplit(' ').next()?.parse().ok());
        count.unwrap_or(WORKERS)
    }

    /// A master that is about to take over, and the minder between the two: until they have these names, whatever was
    /// started.
    fn successor(&self) -> Option<(i32, i32)> {
        let is_one =
            |pid: &i32| is_alive(*pid) && !is_named(*pid, "tine: worker") && !is_named(*pid, "tine: preflight");
        let minder = children_of(self.master()).into_iter().find(is_one)?;
        Some((minder, *children_of(minder).first()?))
    }

    /// No parent reports the exit of adopted processes.
    fn reap_adopted(&self) {
        for (pid, state, _) in processes(self.server.pid()) {
            if state == 'Z' && pid != self.server.pid() {
                reap(pid);
            }
        }
    }
}

fn is_named(pid: i32, name: &str) -> bool {
    fs::read_to_string(format!("/proc/{pid}/comm")).is_ok_and(|comm| comm.starts_with(name))
}

impl Chaos {
    /// Fails with everything that was found.
    pub fn run(&self) {
        let scene = Scene::start(self.accept);
        let before = [Holdings::of(scene.master()), Holdings::of(scene.workers()[0])];
        let clients = Clients::start(&scene.shared);
        let mut deeds = Deeds::new(&scene, self.is_verbose);
        let done = deeds.work_off(&plan::plan(self.seed, self.lasts));
        deeds.undo();
        let mut findings = Vec::new();
        self.settle(&scene, &mut findings);
        scene.shared.is_over.store(true, Ordering::SeqCst);
        let tally = clients.join();
        findings.extend(tally.failures.iter().cloned());
        let victims = scene.shared.victims.count();
        if tally.lost > victims * CLIENTS {
            findings.push(format!("{victims} killed workers took {} requests of {CLIENTS} clients", tally.lost));
        }
        self.compare(&scene, &before, &mut findings);
        if !does_serve(scene.shared.address) {
            findings.push("it no longer serves".to_string());
        }
        let total = self.end(&scene, &mut findings);
        check_sum(total, &tally, victims, &mut findings);
        println!(
            "seed {}, {}, {done} deeds: {} answered, {} errors as requested, {} refused; {victims} workers killed, {} \
             requests lost with them; {} held up",
            self.seed, self.accept, tally.answered, tally.failed_as_asked, tally.refused, tally.lost, tally.held_up
        );
        let again =
            format!("scripts/chaos --seed {} --seconds {} --accept {}", self.seed, self.lasts.as_secs(), self.accept);
        assert!(findings.is_empty(), "{findings:#?}\nto repeat: {again}");
        let _ = fs::remove_dir_all(&scene.folder);
    }

    /// Brings back the initial number of workers, and waits until no other process is left.
    fn settle(&self, scene: &Scene, findings: &mut Vec<String>) {
        let until = Instant::now() + SETTLED;
        let mut asked = Instant::now();
        // HUP ends what a rest or a failed load has left, and the back-off of respawns.
        send_signal(scene.master(), Signal::SIGHUP);
        let mut calm_since = None;
        while Instant::now() < until {
            scene.reap_adopted();
            scene.shared.victims.look();
            let slots = scene.slots();
            if slots == WORKERS
                && scene.workers().len() == WORKERS
                && strangers(scene.server.pid(), scene.master()).is_empty()
            {
                // No successor boots, and no worker leaves.
                if calm_since.get_or_insert_with(Instant::now).elapsed() > Duration::from_millis(1500) {
                    return;
                }
            } else {
                calm_since = None;
                if slots != WORKERS && asked.elapsed() > Duration::from_millis(500) {
                    asked = Instant::now();
                    let signal = if slots < WORKERS { Signal::SIGTTIN } else { Signal::SIGTTOU };
                    send_signal(scene.master(), signal);
                }
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        let (master, group) = (scene.master(), scene.server.pid());
        findings.push(format!(
            "not settled: master {master}, workers {:?}, strangers {:?}",
            scene.workers(),
            strangers(group, master)
        ));
    }

    /// What master and workers hold now that no client is connected.
    fn compare(&self, scene: &Scene, before: &[Holdings; 2], findings: &mut Vec<String>) {
        let until = Instant::now() + Duration::from_secs(20);
        loop {
            let mut leaks = Vec::new();
            let processes = [(scene.master(), &before[0])].into_iter();
            for (pid, expected) in processes.chain(scene.workers().into_iter().map(|pid| (pid, &before[1]))) {
                let difference = Holdings::difference(expected, &Holdings::of(pid));
                if !difference.is_empty() {
                    let what = if pid == scene.master() { "the master" } else { "a worker" };
                    leaks.push(format!("{what}, process {pid}, holds {difference:?}"));
                }
            }
            // Connections that linger take a moment.
            if leaks.is_empty() || Instant::now() > until {
                return findings.extend(leaks);
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Stops it; returns the number of answered requests in its masters' logs.
    fn end(&self, scene: &Scene, findings: &mut Vec<String>) -> u64 {
        let (master, group) = (scene.master(), scene.server.pid());
        send_signal(master, Signal::SIGTERM);
        let until = Instant::now() + Duration::from_secs(40);
        while !processes(group).iter().all(|&(pid, state, _)| pid == group && state == 'Z') {
            scene.reap_adopted();
            if Instant::now() > until {
                findings.push(format!("a stop leaves {:?}", processes(group)));
                break;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        let log = scene.server.log();
        let number =
            |line: &str| line.split(" requests answered in all").next()?.rsplit(' ').next()?.parse::<u64>().ok();
        let of_master = |line: &&str| line.contains(" requests answered in all");
        log.lines().filter(of_master).filter_map(number).sum()
    }
}

/// What the masters counted is what the clients got, except for what killed workers could not report or could not send.
fn check_sum(total: u64, tally: &Tally, victims: u64, findings: &mut Vec<String>) {
    let got = tally.answered + tally.failed_as_asked + u64::from(SERVES_ASKED);
    // Each victim may have answered requests that it did not count in that turn, or counted answers that did not
    // arrive; and the deeds themselves send requests.
    let slack = victims * (CLIENTS + 2);
    if total.abs_diff(got) > slack {
        findings.push(format!("the masters counted {total} requests, the clients {got}; {slack} are explained"));
    }
}

const SERVES_ASKED: u32 = 50;

fn does_serve(address: SocketAddr) -> bool {
    (0..SERVES_ASKED).all(|_| {
        let ask = || {
            let mut client = Client::try_connect(address)?;
            client.try_send("GET /plain?x HTTP/1.1\r\nHost: t\r\nConnection: close\r\n\r\n")?;
            client.try_response("GET")
        };
        ask().is_ok_and(|response| response.status == 200 && response.body == b"x")
    })
}
