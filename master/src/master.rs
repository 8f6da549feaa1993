//! The master: a table of children, the signals, and small policies that look at both. It never serves a client.
//!
//! One thread, one loop: hear signals, hear workers, reap the dead, start who is due, end what takes too long.

mod supervising;

use crate::children::{Child, Children, Occupant};
use crate::listener::{Bound, remove_unix_sockets};
use crate::memory_line::{Counts, MemoryLine};
use crate::pidfile::Pidfile;
use crate::resident;
use crate::start::say;
use mio::{Events, Interest, Poll};
use nix::sys::signal::{Signal, kill};
use signal_hook::consts::{SIGCHLD, SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGTTIN, SIGTTOU, SIGUSR1, SIGUSR2};
use signal_hook_mio::v1_0::Signals;
use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream as StdUnixStream;
use std::time::{Duration, Instant};
use tine_common::VERSION;
use tine_common::config::Config;
use tine_common::log::Allowance;
use tine_common::message::{Order, Report};
use tine_common::scoreboard::Scoreboard;
use tine_common::sys::fork::{Fork, fork};
use tine_common::sys::process;
use tine_worker::app::WorkerInfo;
use tine_worker::worker;

/// A worker that does not end by itself at the graceful timeout, or after an order to cut, is killed this much later.
const KILL_MARGIN: Duration = Duration::from_secs(1);
/// A signal to stop that is repeated within this time is no second one.
const SAME_WISH: Duration = Duration::from_millis(200);
/// What a worker may say of a boot that failed.
const BOOT_ERROR_BYTES_MAX: usize = 4096;
const SIGNALS: usize = usize::MAX - 1;

/// All that the master is built from.
pub struct Start {
    pub name: String,
    pub try_next: String,
    pub config: Config,
    pub bound: Vec<Bound>,
    pub pidfile: Option<Pidfile>,
}

/// How [`Master::run`] ends: in the master's process, or in a worker's that was just forked.
pub enum End {
    Exit(u8),
    Worker(Box<worker::Start>),
}

pub struct Master {
    start: Start,
    scoreboard: Scoreboard,
    children: Children,
    poll: Poll,
    signals: Signals,
    stage: Stage,
    /// Some worker was ready at some time: the app can be built.
    ever_ready: bool,
    announced: bool,
    boot_failures: usize,
    deaths_said: Allowance,
    /// `None`: nobody would see it.
    memory_line: Option<MemoryLine>,
    /// Requests that were lost with workers that hung or crashed while stopping.
    cut_by_kill: u64,
    /// What workers that ended alone had cut before the server began to stop.
    cut_before: u64,
    pid: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Serving,
    /// Workers finish; who is left then is killed.
    Draining {
        began: Instant,
        kill_at: Instant,
        is_cut: bool,
    },
    /// Nothing ever became ready, or QUIT: the exit status once all are reaped.
    Stopping {
        status: u8,
    },
}

impl Master {
    pub fn new(start: Start) -> io::Result<Master> {
        let scoreboard = Scoreboard::new(start.config.workers)?;
        let poll = Poll::new()?;
        let mut signals = Signals::new([SIGTERM, SIGINT, SIGQUIT, SIGCHLD, SIGUSR1, SIGUSR2, SIGTTIN, SIGTTOU])?;
        if !process::ignores_hangup() {
            signals.add_signal(SIGHUP)?;
        }
        poll.registry().register(&mut signals, mio::Token(SIGNALS), Interest::READABLE)?;
        let now = Instant::now();
        let memory_line =
            MemoryLine::new(start.config.mem_interval, now).filter(|_| log::log_enabled!(log::Level::Info));
        Ok(Master {
            children: Children::new(start.config.workers, now),
            start,
            scoreboard,
            poll,
            signals,
            stage: Stage::Serving,
            ever_ready: false,
            announced: false,
            boot_failures: 0,
            deaths_said: Allowance::new(20.0, 0.5),
            memory_line,
            cut_by_kill: 0,
            cut_before: 0,
            pid: std::process::id(),
        })
    }

    /// Serves until told to stop. In a process just forked it returns at once with what that worker starts from; dropping the
    /// master there closes the descriptors that are not the worker's.
    pub fn run(mut self) -> End {
        if let Some(Err(line)) = self.start.pidfile.as_ref().map(Pidfile::write) {
            log::error!("{line}");
            remove_unix_sockets(&self.start.bound);
            return End::Exit(1);
        }
        let mut events = Events::with_capacity(256);
        loop {
            let now = Instant::now();
            while let Some(slot) = self.children.due(now) {
                if let Some(start) = self.spawn(slot, now) {
                    return End::Worker(Box::new(start));
                }
            }
            if let Some(status) = self.finished() {
                return End::Exit(self.clean_up(status));
            }
            match self.poll.poll(&mut events, self.timeout(now)) {
                Ok(()) => {}
                Err(e) if e.kind() == io::ErrorKind::Interrupted => events.clear(),
                Err(e) => {
                    log::error!("epoll_wait: {e}");
                    self.stop_at_once(1);
                }
            }
            let now = Instant::now();
            for event in &events {
                match event.token().0 {
                    SIGNALS => self.hear_signals(now),
                    slot => self.hear_worker(slot),
                }
            }
            self.reap(now);
            self.enforce(now);
            self.announce();
            self.say_memory(now);
        }
    }

    fn timeout(&self, now: Instant) -> Option<Duration> {
        let kill_at = match self.stage {
            Stage::Draining { kill_at, .. } => Some(kill_at),
            _ => None,
        };
        let memory_line = self.memory_line.as_ref().map(MemoryLine::due);
        let nearest = [kill_at, self.children.next_start(), memory_line].into_iter().flatten().min();
        nearest.map(|at| at.saturating_duration_since(now))
    }

    /// Forks the worker of a slot; `Some` in the child.
    fn spawn(&mut self, slot: usize, now: Instant) -> Option<worker::Start> {
        let (ours, theirs) = match StdUnixStream::pair() {
            Ok(pair) => pair,
            Err(e) => {
                self.on_spawn_failed(slot, &e, now);
                return None;
            }
        };
        self.scoreboard.take(slot, slot);
        match fork() {
            Ok(Fork::Child(signals)) => {
                drop(ours);
                let bound = std::mem::take(&mut self.start.bound);
                return Some(worker::Start {
                    config: self.start.config.clone(),
                    info: WorkerInfo {
                        index: slot,
                        workers: self.start.config.workers,
                        buffer_bytes: self.start.config.buffer_bytes,
                    },
                    listeners: bound.into_iter().map(|one| one.into_listener(slot)).collect(),
                    channel: theirs,
                    scoreboard: self.scoreboard,
                    seat: slot,
                    master: self.pid,
                    signals,
                });
            }
            Ok(Fork::Parent(pid)) => {
                log::debug!("worker {slot} is process {pid}");
                // Both can only fail for lack of memory or descriptors; the worker then looks like a dead one.
                let watched = ours.set_nonblocking(true).and_then(|()| {
                    let mut channel = mio::net::UnixStream::from_std(ours);
                    self.poll.registry().register(&mut channel, mio::Token(slot), Interest::READABLE)?;
                    Ok(channel)
                });
                match watched {
                    Ok(channel) => {
                        self.children.slot(slot).occupant = Occupant::Running(Child {
                            pid,
                            started: now,
                            is_ready: false,
                            is_retiring: false,
                            boot_error: Vec::new(),
                            has_boot_error: false,
                            channel,
                        });
                    }
                    // The worker sees the end of its channel and leaves.
                    Err(e) => self.on_spawn_failed(slot, &e, now),
                }
            }
            Err(e) => self.on_spawn_failed(slot, &e, now),
        }
        None
    }

    fn hear_signals(&mut self, now: Instant) {
        let signals: Vec<i32> = self.signals.pending().collect();
        for signal in signals {
            match signal {
                SIGTERM | SIGINT | SIGHUP => self.drain(signal, now),
                SIGQUIT => {
                    log::info!("SIGQUIT: stopping at once, {} requests in flight", self.scoreboard.totals().in_flight);
                    self.stop_at_once(0);
                }
                SIGCHLD => {} // the dead are reaped in every turn
                other => log::info!("{} has no meaning here; ignored", signal_name(other)),
            }
        }
    }

    /// The first time: finish what is in flight. The second time: cut it.
    fn drain(&mut self, signal: i32, now: Instant) {
        let name = signal_name(signal);
        match self.stage {
            Stage::Serving => {
                let totals = self.scoreboard.totals();
                let graceful = self.start.config.graceful_timeout;
                log::info!(
                    "{name}: draining {} connections, {} requests in flight, for at most {graceful:.1?}",
                    totals.connections,
                    totals.in_flight
                );
                self.cut_before = totals.cut;
                // The workers let in who is in the doorway; then nobody holds the sockets any more.
                remove_unix_sockets(&self.start.bound);
                for bound in &mut self.start.bound {
                    bound.stop_new_connections();
                    bound.close();
                }
                self.children.vacate();
                self.order(Order::Drain);
                self.stage = Stage::Draining { began: now, kill_at: now + graceful + KILL_MARGIN, is_cut: false };
            }
            // timeout(1) and others signal the process and then its group: that is one wish, said twice.
            Stage::Draining { began, .. } if now.duration_since(began) < SAME_WISH => {}
            Stage::Draining { began, is_cut: false, .. } => {
                log::warn!("{name} again: cutting what is left");
                self.order(Order::Cut);
                self.stage = Stage::Draining { began, kill_at: now + KILL_MARGIN, is_cut: true };
            }
            Stage::Draining { .. } | Stage::Stopping { .. } => {}
        }
    }

    fn order(&mut self, order: Order) {
        for (slot, child) in self.children.running() {
            if let Err(e) = child.channel.write_all(&[order.byte()]) {
                // Dead or hung: it is reaped, or killed at the deadline.
                log::debug!("worker {slot} (pid {}) cannot be told: {e}", child.pid);
            }
        }
    }

    fn stop_at_once(&mut self, status: u8) {
        self.children.vacate();
        self.stage = Stage::Stopping { status };
        for (_, child) in self.children.running() {
            // It may have died just now.
            let _ = kill(child.pid, Signal::SIGKILL);
        }
    }

    fn hear_worker(&mut self, slot: usize) {
        let Some(child) = self.children.running_in(slot) else { return };
        let mut bytes = [0; 512];
        let mut became_ready = false;
        // Ends at "nothing there yet" and at the end of the stream, which the reaper deals with.
        while let Ok(count @ 1..) = child.channel.read(&mut bytes) {
            for &byte in &bytes[..count] {
                if child.has_boot_error {
                    if child.boot_error.len() < BOOT_ERROR_BYTES_MAX {
                        child.boot_error.push(byte);
                    }
                    continue;
                }
                match Report::from_byte(byte) {
                    Some(Report::Ready) => (child.is_ready, became_ready) = (true, true),
                    Some(Report::BootFailed) => child.has_boot_error = true,
                    Some(Report::Retiring) => child.is_retiring = true,
                    None => log::warn!("worker {slot} (pid {}) said something unknown: {byte}", child.pid),
                }
            }
        }
        if became_ready {
            self.ever_ready = true;
            self.children.slot(slot).is_settled = true;
        }
    }

    /// Says, once, where the server listens and what to try.
    fn announce(&mut self) {
        if self.announced || !self.children.are_all_settled() || self.children.count_ready() == 0 {
            return;
        }
        self.announced = true;
        let ready = self.children.count_ready();
        let urls: Vec<String> = self.start.bound.iter().map(Bound::url).collect();
        let workers = if ready == 1 { "1 worker".to_string() } else { format!("{ready} workers") };
        log::info!("serving {} with {workers}: {}", self.start.name, urls.join(", "));
        if self.start.config.quiet {
            return;
        }
        let mut text = format!("tine {VERSION} serves {} with {workers} on\n", self.start.name);
        for url in &urls {
            text.push_str(&format!("  {url}\n"));
        }
        let try_next = match urls[0].strip_prefix("unix:") {
            Some(path) => self.start.try_next.replace("URL", &format!("--unix-socket {path} http://localhost")),
            None => self.start.try_next.replace("URL", &urls[0]),
        };
        text.push_str(&format!(
            "Try:  {try_next}\nStop: Ctrl-C, or kill {} (what is in flight is finished)\n",
            std::process::id()
        ));
        // Whether it could be printed does not matter to the clients.
        let _ = say(&text, 0);
    }

    /// Says, now and then, how much there is of what grows.
    fn say_memory(&mut self, now: Instant) {
        let Some(memory_line) = self.memory_line.as_mut().filter(|line| line.due() <= now) else { return };
        let workers = self.children.running().map(|(_, child)| child.pid.as_raw() as u32);
        let memory_bytes = resident::together(std::iter::once(self.pid).chain(workers));
        let totals = self.scoreboard.totals();
        let (connections, in_flight, requests) = (totals.connections, totals.in_flight, totals.requests);
        if let Some(line) = memory_line.look(now, Counts { memory_bytes, connections, in_flight, requests }) {
            log::info!("{line}");
        }
    }

    /// The exit status, once nobody is left.
    fn finished(&self) -> Option<u8> {
        if self.children.count_running() > 0 {
            return None;
        }
        match self.stage {
            Stage::Serving => None,
            Stage::Stopping { status } => Some(status),
            Stage::Draining { .. } => {
                let totals = self.scoreboard.totals();
                let cut = totals.cut - self.cut_before + self.cut_by_kill;
                if cut == 0 {
                    log::info!("drained: {} requests answered in all{}", totals.requests, and_refused(totals.refused));
                } else {
                    log::warn!(
                        "stopped: {} requests answered in all, {cut} connections cut while in use",
                        totals.requests
                    );
                }
                Some(u8::from(cut > 0))
            }
        }
    }

    fn clean_up(&mut self, status: u8) -> u8 {
        remove_unix_sockets(&self.start.bound);
        if let Some(pidfile) = &self.start.pidfile {
            pidfile.remove();
        }
        status
    }
}

fn and_others(others: u64) -> String {
    if others == 0 { String::new() } else { format!(" (and {others} like it since the last such line)") }
}

fn and_refused(refused: u64) -> String {
    if refused == 0 { String::new() } else { format!(", {refused} connections refused with 503") }
}

fn signal_name(signal: i32) -> &'static str {
    Signal::try_from(signal).map_or("an unknown signal", |signal| signal.as_str())
}
