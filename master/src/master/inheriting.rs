//! The new master's side of an upgrade: it takes over, and supervises the old master while that finishes what it had in
//! flight. To the service manager the new master is the whole service: it gets the signal to stop, and processes that are
//! left when it exits are killed. So it passes the stop on to the old master, and exits last.

use super::admin::Admin;
use super::{CONTROL, KILL_MARGIN, Master, OLD_MASTER};
use crate::children::SLOTS_MAX;
use crate::control::{self, Claim};
use crate::handover::{Predecessor, Texts, Topic, Word};
use crate::listener::Bound;
use crate::pidfile::Pidfile;
use mio::Interest;
use mio::net::UnixStream;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::io;
use std::time::{Duration, Instant};
use tine_common::config::{MasterConfig, StoreUrl};
use tine_common::message::Order;
use tine_common::server_memory::{Needs, ServerMemory};
use tine_common::telemetry::Count;

/// That of the master before this one, if there is one and it is what this one needs; otherwise new memory.
pub fn server_memory(
    config: &MasterConfig,
    store: Option<&StoreUrl>,
    predecessor: Option<&mut Predecessor>,
) -> io::Result<ServerMemory> {
    let needs = Needs {
        slots: SLOTS_MAX,
        rate_count: config.worker.throttle.limits.rate.map_or(0, |rate| rate.count),
        store: store.map_or(0, StoreUrl::hash),
    };
    let Some(predecessor) = predecessor else { return ServerMemory::new(needs) };
    let why = match predecessor.memory.take().map(|file| ServerMemory::take_on(file, needs)) {
        Some(Ok(memory)) => return Ok(memory),
        Some(Err(why)) => why.to_string(),
        None => "it is of a version that cannot hand it on".to_string(),
    };
    log::warn!(
        "the shared memory of the master before this one is not taken on: {why}; until that one has exited, each counts for \
         itself, so that up to twice the limits may be in use; counters begin at 0"
    );
    ServerMemory::new(needs)
}

/// What this master has to do with one before it.
#[derive(Default)]
pub enum Succession {
    /// There was none, or it has exited.
    #[default]
    None,
    /// This one is to take over once its workers are ready.
    Pending(Predecessor),
    /// This one has taken over, and the old one finishes.
    TakenOver(OldMaster),
}

/// The master that this one has taken over from, until it exits.
pub struct OldMaster {
    pid: Pid,
    channel: UnixStream,
    /// What it says beside words.
    texts: Texts,
    /// It has given up the sockets.
    has_handed_over: bool,
    /// When it is killed, if it was told to stop.
    kill_at: Option<Instant>,
}

impl Succession {
    pub fn of(predecessor: Option<Predecessor>) -> Succession {
        predecessor.map_or(Succession::None, Succession::Pending)
    }

    pub fn is_pending(&self) -> bool {
        matches!(self, Succession::Pending(_))
    }

    /// Until the old master has exited.
    pub fn has_old_master(&self) -> bool {
        matches!(self, Succession::TakenOver(_))
    }

    /// When the old master is killed.
    pub fn kill_at(&self) -> Option<Instant> {
        match self {
            Succession::TakenOver(old_master) => old_master.kill_at,
            Succession::None | Succession::Pending(_) => None,
        }
    }

    fn old_master(&mut self) -> Option<&mut OldMaster> {
        match self {
            Succession::TakenOver(old_master) => Some(old_master),
            Succession::None | Succession::Pending(_) => None,
        }
    }
}

impl Master {
    /// Takes over from the predecessor, if there is one, once all workers are ready.
    pub(super) fn keep_taking_over(&mut self) {
        // A new master that is stopped before it is ready leaves everything to the old one.
        if !self.succession.is_pending()
            || self.is_stopping()
            || self.children.count_ready() < self.children.positions.len()
        {
            return;
        }
        if let Err(line) = self.take_over() {
            log::error!("{line}");
            self.send_reason(&line);
            self.stop_at_once(1);
        }
    }

    fn take_over(&mut self) -> Result<(), String> {
        self.bound.iter_mut().for_each(Bound::claim_file);
        self.admin.iter_mut().for_each(Admin::claim_file);
        self.write_pidfile()?;
        let first = self.bound.first().map(|one| &one.address);
        self.control = control::open(&self.config.control, first, Claim::TakeOver)?;
        if let Some(control) = &mut self.control {
            let registered = control.register(self.poll.registry(), CONTROL);
            registered.map_err(|e| format!("the control socket cannot be watched: {e}"))?;
        }
        match std::mem::take(&mut self.succession) {
            Succession::Pending(mut predecessor) => {
                self.begin_limiting(&predecessor.limits());
                self.succeed(predecessor);
            }
            other => self.succession = other,
        }
        Ok(())
    }

    /// Tells the predecessor that this master serves; from now on it is the old master.
    fn succeed(&mut self, predecessor: Predecessor) {
        let Predecessor { pid, channel, .. } = predecessor;
        self.count(Count::Upgrades);
        let mut channel = UnixStream::from_std(channel);
        let told = self.poll.registry().register(&mut channel, mio::Token(OLD_MASTER), Interest::READABLE);
        let told = told.and_then(|()| Word::Serves.send(&channel));
        self.succession = Succession::TakenOver(OldMaster {
            pid,
            channel,
            texts: Texts::default(),
            has_handed_over: false,
            kill_at: None,
        });
        if let Err(e) = told {
            log::warn!("the master before this one, process {pid}, has ended already: {e}");
            self.on_old_master_gone();
        }
    }

    /// Tells the predecessor why this master cannot take over.
    pub(super) fn send_reason(&self, line: &str) {
        if let Succession::Pending(predecessor) = &self.succession {
            predecessor.send_reason(line);
        }
    }

    /// Whether another master has the listening sockets, too, and is affected by what is done to them.
    pub(super) fn are_sockets_shared(&self) -> bool {
        match &self.succession {
            Succession::None => false,
            Succession::Pending(_) => true,
            Succession::TakenOver(old_master) => !old_master.has_handed_over,
        }
    }

    pub(super) fn handle_old_master(&mut self) {
        let Some(old_master) = self.succession.old_master() else { return };
        let (words, has_ended) = Word::receive(&old_master.channel, &mut old_master.texts);
        let limits = std::mem::take(&mut old_master.texts).get(Topic::Limits);
        if !limits.is_empty() {
            // Set there in the moment of the takeover.
            self.begin_limiting(&limits);
        }
        for word in words {
            match word {
                Word::HandedOver => self.on_handed_over(),
                Word::HasCut => self.stopping.on_old_master_cut(),
                Word::Serves | Word::Stop | Word::StopNow => {}
            }
        }
        if has_ended {
            self.on_old_master_gone();
            self.sweep();
        }
    }

    fn on_handed_over(&mut self) {
        let Some(old_master) = self.succession.old_master().filter(|old_master| !old_master.has_handed_over) else {
            return;
        };
        old_master.has_handed_over = true;
        self.order_all(Order::Owned);
        self.pidfile.iter().for_each(Pidfile::lock);
        self.notifier.release();
    }

    fn on_old_master_gone(&mut self) {
        self.on_handed_over();
        self.succession = Succession::None;
    }

    /// Orders the old master, if there is one, to stop; it is killed if it does not within `time` and a margin.
    pub(super) fn order_old_master(&mut self, word: Word, time: Duration, now: Instant) {
        let Some(old_master) = self.succession.old_master() else { return };
        if old_master.kill_at.is_none() {
            log::info!("process {}, the old master, has not finished; telling it to stop, too", old_master.pid);
        }
        let kill_at = now + time + 2 * KILL_MARGIN;
        old_master.kill_at = Some(old_master.kill_at.map_or(kill_at, |at| at.min(kill_at)));
        match word.send(&old_master.channel) {
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => {
                log::debug!("process {} does not read", old_master.pid)
            }
            // It has just exited; the end of its channel follows.
            _ => {}
        }
    }

    pub(super) fn enforce_old_master(&mut self, now: Instant) {
        let Some(old_master) =
            self.succession.old_master().filter(|old_master| old_master.kill_at.is_some_and(|at| now >= at))
        else {
            return;
        };
        log::warn!("the old master, process {}, did not exit in time; killing it", old_master.pid);
        old_master.kill_at = Some(now + KILL_MARGIN);
        self.stopping.on_old_master_cut();
        // It lives: its end of the channel was open a moment ago.
        let _ = kill(old_master.pid, Signal::SIGKILL);
    }
}
