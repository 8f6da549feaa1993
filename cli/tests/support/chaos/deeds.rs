//! Carries out the plan, on the processes that exist at each step.

use super::Scene;
use super::plan::{Action, Step};
use crate::support::{Client, is_alive};
use nix::errno::Errno;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::fs;
use std::process::{Command, Stdio};
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

/// No more workers than this are requested.
const WORKERS_MAX: usize = 6;
/// The source of an app that cannot be loaded.
const BROKEN: &str = "return { app = \n";

pub struct Deeds<'a> {
    scene: &'a Scene,
    is_verbose: bool,
    began: Instant,
    /// What has to be undone, and when.
    pending: Vec<(Instant, Undo)>,
    /// Connections of requests that never end.
    hanging: Vec<Client>,
}

#[derive(Clone, Copy)]
enum Undo {
    Continue(i32),
    /// The process's previous soft limit of open files.
    Unlimit(i32, u64),
    Wake,
    /// Nothing to undo: a signal for the new master, if there is one by then.
    Disturb(Disturbed, Signal),
}

/// The process that is disturbed during an upgrade.
#[derive(Clone, Copy)]
enum Disturbed {
    Master,
    Minder,
}

impl<'a> Deeds<'a> {
    pub fn new(scene: &'a Scene, is_verbose: bool) -> Self {
        Deeds { scene, is_verbose, began: Instant::now(), pending: Vec::new(), hanging: Vec::new() }
    }

    /// Carries out all steps, each at its time; returns their number.
    pub fn work_off(&mut self, steps: &[Step]) -> usize {
        let mut said = Instant::now();
        for step in steps {
            loop {
                self.undo_due(Instant::now());
                self.scene.reap_adopted();
                self.scene.shared.victims.look();
                if self.began.elapsed() >= step.at {
                    break;
                }
                std::thread::sleep(Duration::from_millis(5));
            }
            self.act(step);
            if self.is_verbose && said.elapsed() > Duration::from_secs(10) {
                said = Instant::now();
                let answered = self.scene.shared.answered.load(Ordering::Relaxed);
                self.say(format_args!("{answered} answered, workers {:?}", self.scene.workers()));
            }
        }
        steps.len()
    }

    /// Lets every process go on.
    pub fn undo(&mut self) {
        for (_, undo) in std::mem::take(&mut self.pending) {
            self.undo_one(undo);
        }
        self.hanging.clear();
    }

    fn undo_due(&mut self, now: Instant) {
        let (due, later) = self.pending.iter().copied().partition(|&(at, _)| at <= now);
        self.pending = later;
        for (_, undo) in due as Vec<(Instant, Undo)> {
            self.undo_one(undo);
        }
    }

    fn undo_one(&self, undo: Undo) {
        match undo {
            Undo::Continue(pid) => self.signal(pid, Signal::SIGCONT),
            Undo::Unlimit(pid, soft) => set_soft_limit(pid, soft),
            Undo::Wake => self.signal(self.scene.master(), Signal::SIGHUP),
            Undo::Disturb(target, signal) => self.disturb(target, signal),
        }
    }

    fn later(&mut self, ms: u64, undo: Undo) {
        self.pending.push((Instant::now() + Duration::from_millis(ms), undo));
    }

    fn act(&mut self, step: &Step) {
        let workers = self.scene.workers();
        let master = self.scene.master();
        // While the server rests there may be no worker.
        let worker = (!workers.is_empty()).then(|| workers[step.choice % workers.len()]);
        self.say(format_args!("{:?}, worker {worker:?} of {}", step.action, workers.len()));
        match (step.action, worker) {
            (Action::Reload, _) => self.signal(master, Signal::SIGHUP),
            (Action::ReloadBroken, _) => self.with_broken_app(master, Signal::SIGHUP),
            (Action::Upgrade, _) => self.signal(master, Signal::SIGUSR2),
            (Action::UpgradeBroken, _) => self.with_broken_app(master, Signal::SIGUSR2),
            (Action::UpgradeKilled(ms), _) => self.upgrade_and_disturb(master, ms, Disturbed::Master, Signal::SIGKILL),
            (Action::UpgradeEnded(ms), _) => self.upgrade_and_disturb(master, ms, Disturbed::Master, Signal::SIGTERM),
            (Action::UpgradeOrphaned(ms), _) => {
                self.upgrade_and_disturb(master, ms, Disturbed::Minder, Signal::SIGKILL);
            }
            (Action::Add, _) if workers.len() < WORKERS_MAX => self.signal(master, Signal::SIGTTIN),
            (Action::Add, _) => {}
            (Action::Remove, _) => self.signal(master, Signal::SIGTTOU),
            (Action::Rest(ms), _) => {
                self.signal(master, Signal::SIGWINCH);
                self.later(ms, Undo::Wake);
            }
            (Action::PauseMaster(ms), _) => {
                self.signal(master, Signal::SIGSTOP);
                self.later(ms, Undo::Continue(master));
            }
            (Action::Exit, _) => self.request_to_end("exit"),
            (Action::Hang, _) => self.request_to_end("hang"),
            (_, None) => {}
            (Action::Kill, Some(pid)) => {
                self.scene.shared.victims.mark(pid);
                self.signal(pid, Signal::SIGKILL);
            }
            (Action::Freeze, Some(pid)) => {
                self.scene.shared.victims.mark(pid);
                self.signal(pid, Signal::SIGSTOP);
            }
            (Action::Pause(ms), Some(pid)) => {
                self.signal(pid, Signal::SIGSTOP);
                self.later(ms, Undo::Continue(pid));
            }
            (Action::Dismiss, Some(pid)) => self.signal(pid, Signal::SIGTERM),
            (Action::Limit(ms), Some(pid)) => {
                if let Some(soft) = soft_limit(pid) {
                    self.scene.shared.is_limited.store(true, Ordering::SeqCst);
                    set_soft_limit(pid, 12);
                    self.later(ms, Undo::Unlimit(pid, soft));
                }
            }
        }
    }

    fn upgrade_and_disturb(&mut self, master: i32, ms: u64, target: Disturbed, signal: Signal) {
        self.signal(master, Signal::SIGUSR2);
        self.later(ms, Undo::Disturb(target, signal));
    }

    /// Only while it has not taken over, which it cannot do while it is stopped.
    fn disturb(&self, target: Disturbed, signal: Signal) {
        let Some((minder, pid)) = self.scene.successor() else { return };
        self.signal(pid, Signal::SIGSTOP);
        let stat = || fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        while is_alive(pid) && !stat().contains(") T ") {
            std::thread::sleep(Duration::from_millis(1));
        }
        if self.scene.master() != pid {
            let target = match target {
                Disturbed::Master => pid,
                Disturbed::Minder => minder,
            };
            self.signal(target, signal);
        }
        self.signal(pid, Signal::SIGCONT);
    }

    /// The app's file is broken until a process has had time to handle the signal.
    fn with_broken_app(&self, master: i32, signal: Signal) {
        let (file, count) = (self.scene.folder.join("app.lua"), || self.scene.server.log().matches(" failed").count());
        let before = count();
        // Whole or not at all: a partial file could be loaded.
        let write = |text: &str| {
            let beside = file.with_extension("new");
            fs::write(&beside, text).and_then(|()| fs::rename(&beside, &file)).expect("a file");
        };
        write(BROKEN);
        self.signal(master, signal);
        let until = Instant::now() + Duration::from_millis(1500);
        while count() == before && Instant::now() < until {
            std::thread::sleep(Duration::from_millis(10));
        }
        write(super::APP);
    }

    /// A request that its worker does not survive; it logs first which worker that is.
    fn request_to_end(&mut self, path: &str) {
        let ask = || {
            let mut client = Client::try_connect(self.scene.shared.address)?;
            client.stream.set_read_timeout(Some(Duration::from_secs(3)))?;
            client.try_send("GET /plain HTTP/1.1\r\nHost: t\r\n\r\n")?;
            let worker = client.try_response("GET")?.header("x-process").and_then(|pid| pid.parse::<i32>().ok());
            Ok::<_, std::io::Error>((client, worker))
        };
        // All workers may be dying at the moment.
        let Ok((mut client, Some(worker))) = ask() else { return };
        self.scene.shared.victims.mark(worker);
        if client.try_send(format!("GET /{path} HTTP/1.1\r\nHost: t\r\n\r\n")).is_ok() {
            self.hanging.push(client);
        }
    }

    /// The process may be gone by now.
    fn signal(&self, pid: i32, signal: Signal) {
        match kill(Pid::from_raw(pid), signal) {
            Ok(()) | Err(Errno::ESRCH) => {}
            Err(e) => panic!("{signal} to {pid}: {e}"),
        }
    }

    fn say(&self, what: std::fmt::Arguments<'_>) {
        if self.is_verbose {
            println!("{:7.2}s {what}", self.began.elapsed().as_secs_f64());
        }
    }
}

impl Drop for Deeds<'_> {
    fn drop(&mut self) {
        self.undo();
    }
}

/// The soft limit of open files of a process.
fn soft_limit(pid: i32) -> Option<u64> {
    let limits = fs::read_to_string(format!("/proc/{pid}/limits")).ok()?;
    limits.lines().find(|line| line.starts_with("Max open files"))?.split_whitespace().nth(3)?.parse().ok()
}

/// The process may be gone by now.
fn set_soft_limit(pid: i32, soft: u64) {
    let mut command = Command::new("prlimit");
    command.args(["--pid", &pid.to_string(), &format!("--nofile={soft}:")]);
    let _ = command.stdin(Stdio::null()).stderr(Stdio::null()).status().expect("prlimit runs");
}
