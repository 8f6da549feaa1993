//! The upgrade: a new binary takes over the sockets, and this master goes when all of the other's workers are ready.
//!
//! Until then this one serves as if nothing were, and whatever goes wrong over there changes nothing here.

use super::stopping::Stage;
use super::{CONTROL, Master, UPGRADE};
use crate::control::{self, Claim, Control};
use crate::handover::{CHANNEL, SERVES};
use crate::listener::{self, Bound};
use mio::Interest;
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::WaitStatus;
use nix::unistd::Pid;
use std::io::{self, Read};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream as StdUnixStream;
use std::time::{Duration, Instant};
use tine_common::message::Order;

/// How long the other has where `--boot-timeout` is 0.
const DEADLINE: Duration = Duration::from_secs(120);

/// Another master is being started.
pub struct Upgrade {
    pid: Pid,
    channel: mio::net::UnixStream,
    began: Instant,
    deadline: Instant,
}

impl Master {
    /// Starts the other master; the error says why it could not be.
    pub(super) fn upgrade(&mut self, who: &str, now: Instant) -> Result<(), String> {
        if let Some(upgrade) = &self.upgrade {
            return Err(format!("process {} is about to take over already", upgrade.pid));
        }
        if self.pid == 1 {
            return Err("process 1 cannot hand over, as all others end with it; replace the container".to_string());
        }
        let program = self.start.program.path().display().to_string();
        // From now on nobody here may do what another user of the sockets would suffer from.
        self.order_all(Order::Lent);
        let (pid, channel) = self.start_other().map_err(|e| {
            self.order_all(Order::Owned);
            self.last_upgrade = Some(Err(e.to_string()));
            format!("the upgrade failed: {e}; this master serves on")
        })?;
        log::info!("{who}: upgrading, process {pid} was started from {program}");
        // The app is built twice: to see whether it can be, and in the workers.
        let limit = self.start.config.supervision.boot_timeout.map_or(DEADLINE, |boot| 2 * boot);
        self.last_upgrade = None;
        self.upgrade = Some(Upgrade { pid, channel, began: now, deadline: now + limit });
        Ok(())
    }

    fn start_other(&mut self) -> io::Result<(Pid, mio::net::UnixStream)> {
        let (ours, theirs) = StdUnixStream::pair()?;
        ours.set_nonblocking(true)?;
        let mut channel = mio::net::UnixStream::from_std(ours);
        self.poll.registry().register(&mut channel, mio::Token(UPGRADE), Interest::READABLE)?;
        let mut descriptors = listener::hand_down(&self.start.bound);
        descriptors.push((theirs.as_fd(), CHANNEL.to_string()));
        let pid = self.start.program.start(&descriptors, &self.start.notifier.environment())?;
        Ok((pid, channel))
    }

    pub(super) fn hear_other(&mut self, now: Instant) {
        let mut bytes = [0; 16];
        let Some(upgrade) = &mut self.upgrade else { return };
        // The end of the stream is the other's end, which is reaped.
        if let Ok(count @ 1..) = upgrade.channel.read(&mut bytes)
            && bytes[..count].contains(&SERVES)
        {
            self.hand_over(now);
        }
    }

    /// The other serves: nobody is let in here any more, and what is in flight is finished.
    fn hand_over(&mut self, now: Instant) {
        let Some(Upgrade { pid, began, .. }) = self.upgrade.take() else { return };
        let totals = self.scoreboard.totals();
        let (took, in_flight) = (now.duration_since(began).as_secs_f64(), totals.in_flight);
        log::info!("process {pid} has taken over after {took:.1} s; finishing {in_flight} requests here");
        self.abandon_reload("another master has taken over");
        self.cut_before = totals.cut;
        self.start.bound.iter_mut().for_each(Bound::hand_over);
        self.start.bound.iter_mut().for_each(Bound::close);
        self.last_upgrade = Some(Ok(format!("process {pid} serves")));
        self.start.notifier.main_pid(pid.as_raw().unsigned_abs(), now);
        self.start.notifier.fall_silent();
        self.stage = Stage::HandedOver;
        self.send_all_away(now);
    }

    /// Ends an upgrade that takes too long.
    pub(super) fn keep_upgrading(&mut self, now: Instant) {
        let Some(upgrade) = self.upgrade.as_ref().filter(|upgrade| now >= upgrade.deadline) else { return };
        let seconds = now.duration_since(upgrade.began).as_secs_f64();
        self.abandon_upgrade(&format!(
            "process {} does not serve after {seconds:.0} s and is killed; this master serves on",
            upgrade.pid
        ));
    }

    /// Somebody died who is no worker: the one that was to take over, or a stranger.
    pub(super) fn on_other_died(&mut self, pid: Pid, status: WaitStatus) {
        if self.upgrade.as_ref().is_none_or(|upgrade| upgrade.pid != pid) {
            return;
        }
        let how = match status {
            WaitStatus::Signaled(_, signal, _) => format!("was killed by {}", signal.as_str()),
            WaitStatus::Exited(_, code) => format!("exited with status {code}"),
            other => format!("ended: {other:?}"),
        };
        self.abandon_upgrade(&format!("process {pid} {how} before it served; this master serves on"));
    }

    pub(super) fn abandon_upgrade(&mut self, why: &str) {
        let Some(Upgrade { pid, .. }) = self.upgrade.take() else { return };
        // It may have died; its workers see the end of their channels.
        let _ = kill(pid, Signal::SIGKILL);
        log::error!("the upgrade failed: {why}");
        self.last_upgrade = Some(Err(why.to_string()));
        self.order_all(Order::Owned);
        // It may have taken the paths and died before it served.
        if let Err(line) = self.write_pidfile() {
            log::warn!("{line}");
        }
        if let Some(Err(line)) = self.start.control.as_mut().map(Control::reclaim) {
            log::warn!("{line}");
        }
    }

    /// All workers are ready: who was here before may go.
    pub(super) fn take_over(&mut self) -> Result<(), String> {
        let Some(predecessor) = &self.start.predecessor else { return Ok(()) };
        // Who is told to stop before he serves leaves all to the other.
        if self.stage != Stage::Serving || self.children.count_ready() < self.children.slots.len() {
            return Ok(());
        }
        let pid = predecessor.pid;
        self.start.bound.iter_mut().for_each(Bound::claim_file);
        self.write_pidfile()?;
        let first = self.start.bound.first().map(|one| &one.address);
        self.start.control = control::open(&self.start.config.control, first, Claim::TakeOver)?;
        if let Some(control) = &mut self.start.control {
            let registered = control.register(self.poll.registry(), CONTROL);
            registered.map_err(|e| format!("the control socket cannot be watched: {e}"))?;
        }
        if let Some(predecessor) = self.start.predecessor.take()
            && let Err(e) = predecessor.tell()
        {
            log::warn!("the master before this one, process {pid}, has ended already: {e}");
        }
        self.predecessor = Some(pid);
        self.order_all(Order::Owned);
        Ok(())
    }
}
