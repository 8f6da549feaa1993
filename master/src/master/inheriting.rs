//! The younger's side of an upgrade: it takes over, and looks after the master before it for as long as that finishes what
//! it had in flight. To the service manager this one is the whole service: it hears of a stop, and all that is left when it
//! ends is killed. So it passes the stop on, and ends last.

use super::stopping::Stage;
use super::{CONTROL, ELDER, KILL_MARGIN, Master};
use crate::control::{self, Claim};
use crate::handover::{Predecessor, Reason, Word};
use crate::listener::Bound;
use crate::pidfile::Pidfile;
use mio::Interest;
use mio::net::UnixStream;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::io;
use std::time::{Duration, Instant};
use tine_common::message::Order;

/// The master before this one, while it lives.
pub struct Elder {
    pid: Pid,
    channel: UnixStream,
    /// The sockets are no longer its own.
    has_handed_over: bool,
    /// It was told to end, and is killed then.
    kill_at: Option<Instant>,
}

impl Elder {
    pub fn kill_at(&self) -> Option<Instant> {
        self.kill_at
    }
}

impl Master {
    /// All workers are ready: the master that was here before may go.
    pub(super) fn take_over(&mut self) -> Result<(), String> {
        // One that is told to stop before it serves leaves all to the other.
        if self.stage != Stage::Serving || self.children.count_ready() < self.children.slots.len() {
            return Ok(());
        }
        if self.start.predecessor.is_none() {
            return Ok(());
        }
        self.start.bound.iter_mut().for_each(Bound::claim_file);
        self.write_pidfile()?;
        let first = self.start.bound.first().map(|one| &one.address);
        self.start.control = control::open(&self.start.config.control, first, Claim::TakeOver)?;
        if let Some(control) = &mut self.start.control {
            let registered = control.register(self.poll.registry(), CONTROL);
            registered.map_err(|e| format!("the control socket cannot be watched: {e}"))?;
        }
        let Some(Predecessor { pid, channel }) = self.start.predecessor.take() else { return Ok(()) };
        let mut channel = UnixStream::from_std(channel);
        let told = self.poll.registry().register(&mut channel, mio::Token(ELDER), Interest::READABLE);
        let told = told.and_then(|()| Word::Serves.send(&channel));
        self.elder = Some(Elder { pid, channel, has_handed_over: false, kill_at: None });
        if let Err(e) = told {
            log::warn!("the master before this one, process {pid}, has ended already: {e}");
            self.on_elder_gone();
        }
        Ok(())
    }

    /// Says to the master that this one was to take over from why it cannot.
    pub(super) fn send_reason(&self, line: &str) {
        self.start.predecessor.iter().for_each(|predecessor| predecessor.send_reason(line));
    }

    /// Whether another master has the listening sockets, too, and would suffer from what is done to them.
    pub(super) fn are_sockets_shared(&self) -> bool {
        self.start.predecessor.is_some() || self.elder.as_ref().is_some_and(|elder| !elder.has_handed_over)
    }

    pub(super) fn hear_elder(&mut self) {
        let Some(elder) = &mut self.elder else { return };
        let (words, has_ended) = Word::receive(&elder.channel, &mut Reason::default());
        for word in words {
            match word {
                Word::HandedOver => self.on_handed_over(),
                Word::HasCut => self.elder_has_cut = true,
                Word::Serves | Word::Stop | Word::StopNow => {}
            }
        }
        if has_ended {
            self.on_elder_gone();
        }
    }

    fn on_handed_over(&mut self) {
        let Some(elder) = self.elder.as_mut().filter(|elder| !elder.has_handed_over) else { return };
        elder.has_handed_over = true;
        self.order_all(Order::Owned);
        self.start.pidfile.iter().for_each(Pidfile::lock);
        self.start.notifier.release();
    }

    fn on_elder_gone(&mut self) {
        self.on_handed_over();
        self.elder = None;
    }

    /// Tells it to end, if it is there; it is killed if it does not, like a worker that has all of this time.
    pub(super) fn tell_elder(&mut self, word: Word, time: Duration, now: Instant) {
        let Some(elder) = &mut self.elder else { return };
        if elder.kill_at.is_none() {
            log::info!("process {}, the master before this one, has not finished and is told to stop, too", elder.pid);
        }
        let kill_at = now + time + 2 * KILL_MARGIN;
        elder.kill_at = Some(elder.kill_at.map_or(kill_at, |at| at.min(kill_at)));
        match word.send(&elder.channel) {
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => log::debug!("process {} does not listen", elder.pid),
            // It has ended just now; the end of its channel follows.
            _ => {}
        }
    }

    pub(super) fn enforce_elder(&mut self, now: Instant) {
        let Some(elder) = self.elder.as_mut().filter(|elder| elder.kill_at.is_some_and(|at| now >= at)) else { return };
        log::warn!("the master before this one, process {}, did not end in time; killing it", elder.pid);
        elder.kill_at = Some(now + KILL_MARGIN);
        self.elder_has_cut = true;
        // Its end of the channel was open a moment ago.
        let _ = kill(elder.pid, Signal::SIGKILL);
    }
}
