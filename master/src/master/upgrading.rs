//! The older's side of an upgrade: a new binary takes over the sockets, and this master goes when all of the other's workers
//! are ready.
//!
//! Until then this one serves as if nothing were, and whatever goes wrong over there changes nothing here.

use super::stopping::Stage;
use super::{Master, UPGRADE};
use crate::control::Control;
use crate::handover::{CHANNEL, Reason, Word};
use crate::listener::{self, Bound};
use crate::pidfile::Pidfile;
use crate::supervisor;
use mio::Interest;
use mio::net::UnixStream;
use nix::errno::Errno;
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::Pid;
use std::io;
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream as StdUnixStream;
use std::time::{Duration, Instant};
use tine_common::message::Order;
use tine_common::sys::exec::Minded;

/// Who wants the stop that the other passes on.
const HEIR: &str = "the master that has taken over";
/// How long the other has where `--boot-timeout` is 0.
const DEADLINE: Duration = Duration::from_secs(120);

/// Another master is being started.
pub struct Upgrade {
    other: Minded,
    channel: UnixStream,
    began: Instant,
    deadline: Instant,
    /// It was killed, for this reason, and its end is waited for.
    given_up: Option<String>,
    /// Why it cannot serve, as far as it has said so.
    reason: Reason,
}

/// The master that has taken over, until this one has ended.
pub struct Heir {
    channel: UnixStream,
    /// It was told that all is its own.
    is_told: bool,
}

impl Upgrade {
    /// Takes the minder away, so that the other becomes the child of whoever takes in orphans: the service manager, which
    /// sees its end from then on. The error: it has ended.
    fn release(&self) -> Result<(), WaitStatus> {
        let minder = self.other.minder;
        // It may have ended just now.
        let _ = kill(minder, Signal::SIGKILL);
        loop {
            match waitpid(minder, None) {
                Err(Errno::EINTR) => {}
                Ok(WaitStatus::Signaled(_, Signal::SIGKILL, _)) | Err(_) => return Ok(()),
                Ok(status) => return Err(status),
            }
        }
    }
}

impl Heir {
    pub fn hear_of_cuts(&self) {
        // It may have ended.
        let _ = Word::HasCut.send(&self.channel);
    }
}

impl Master {
    /// Starts the other master; the error says why it could not be.
    pub(super) fn upgrade(&mut self, who: &str, now: Instant) -> Result<(), String> {
        if let Some(upgrade) = &self.upgrade {
            return Err(format!("process {} is about to take over already", upgrade.other.pid));
        }
        if self.pid == 1 {
            return Err("process 1 cannot hand over, as all others end with it; replace the container".to_string());
        }
        if let Some(why) = supervisor::why_not_to_hand_over() {
            return Err(format!("an upgrade is refused: {why}"));
        }
        let program = self.start.program.path().display().to_string();
        // From now on nobody here may do what another user of the sockets would suffer from.
        self.order_all(Order::Lent);
        let (other, channel) = self.start_other().map_err(|e| {
            self.order_all(Order::Owned);
            self.last_upgrade = Some(Err(e.to_string()));
            format!("the upgrade failed: {e}; this master serves on")
        })?;
        log::info!("{who}: upgrading, process {} was started from {program}", other.pid);
        // The app is built twice: to see whether it can be, and in the workers.
        let limit = self.start.config.supervision.boot_timeout.map_or(DEADLINE, |boot| 2 * boot);
        self.last_upgrade = None;
        self.upgrade = Some(Upgrade {
            other,
            channel,
            began: now,
            deadline: now + limit,
            given_up: None,
            reason: Reason::default(),
        });
        Ok(())
    }

    fn start_other(&mut self) -> io::Result<(Minded, UnixStream)> {
        let (ours, theirs) = StdUnixStream::pair()?;
        ours.set_nonblocking(true)?;
        let mut channel = UnixStream::from_std(ours);
        self.poll.registry().register(&mut channel, mio::Token(UPGRADE), Interest::READABLE)?;
        let mut descriptors = listener::hand_down(&self.start.bound);
        descriptors.push((theirs.as_fd(), CHANNEL.to_string()));
        let other = self.start.program.start(&descriptors, &self.start.notifier.environment())?;
        Ok((other, channel))
    }

    pub(super) fn hear_other(&mut self, now: Instant) {
        // The end of the stream is the other's end: its minder is reaped, or nothing follows from it.
        let (words, _) = match (&mut self.upgrade, &self.heir) {
            (Some(upgrade), _) => Word::receive(&upgrade.channel, &mut upgrade.reason),
            (None, Some(heir)) => Word::receive(&heir.channel, &mut Reason::default()),
            (None, None) => return,
        };
        for word in words {
            match word {
                Word::Serves => self.hand_over(now),
                Word::Stop if self.heir.is_some() => self.stop(HEIR, now),
                Word::StopNow if self.heir.is_some() => {
                    log::info!("{HEIR}: stopping at once");
                    self.stop_now(now);
                }
                Word::Stop | Word::StopNow | Word::HandedOver | Word::HasCut => {}
            }
        }
    }

    /// The other serves: nobody is let in here any more, and what is in flight is finished.
    fn hand_over(&mut self, now: Instant) {
        let Some(mut upgrade) = self.upgrade.take_if(|upgrade| upgrade.given_up.is_none()) else { return };
        let pid = upgrade.other.pid;
        if let Err(status) = upgrade.release() {
            return self.end_upgrade(&mut upgrade, status);
        }
        let totals = self.scoreboard.totals();
        let (took, in_flight) = (now.duration_since(upgrade.began).as_secs_f64(), totals.in_flight);
        log::info!("process {pid} has taken over after {took:.1} s; finishing {in_flight} requests here");
        self.abandon_reload("another master has taken over");
        self.cut_before = totals.cut;
        self.start.bound.iter_mut().for_each(Bound::hand_over);
        self.start.bound.iter_mut().for_each(Bound::close);
        self.start.pidfile.iter_mut().for_each(Pidfile::hand_over);
        self.last_upgrade = Some(Ok(format!("process {pid} serves")));
        self.start.notifier.main_pid(pid.as_raw().unsigned_abs(), now);
        self.start.notifier.hold();
        self.heir = Some(Heir { channel: upgrade.channel, is_told: false });
        self.stage = Stage::HandedOver;
        self.send_all_away(now);
    }

    /// Ends an upgrade that takes too long, and tells who has taken over that all is its own once the service manager knows.
    pub(super) fn keep_upgrading(&mut self, now: Instant) {
        if let Some(heir) = self.heir.as_mut().filter(|heir| !heir.is_told && self.start.notifier.is_flushed()) {
            heir.is_told = true;
            // It may have ended.
            let _ = Word::HandedOver.send(&heir.channel);
        }
        let Some(upgrade) = self.upgrade.as_ref().filter(|upgrade| now >= upgrade.deadline) else { return };
        let seconds = now.duration_since(upgrade.began).as_secs_f64();
        self.abandon_upgrade(&format!(
            "process {} does not serve after {seconds:.0} s and is killed; this master serves on",
            upgrade.other.pid
        ));
    }

    /// Somebody died who is no worker: the one that was to take over, and its minder with it, or a stranger.
    pub(super) fn on_other_died(&mut self, pid: Pid, status: WaitStatus) {
        if let Some(mut upgrade) = self.upgrade.take_if(|upgrade| upgrade.other.minder == pid) {
            self.end_upgrade(&mut upgrade, status);
        }
    }

    /// Kills the one that was to take over. That it has failed is told once it is gone ([`Master::on_other_died`]): what it
    /// has done to the paths is past then, and this master's children are its workers.
    pub(super) fn abandon_upgrade(&mut self, why: &str) {
        let Some(upgrade) = self.upgrade.as_mut().filter(|upgrade| upgrade.given_up.is_none()) else { return };
        upgrade.given_up = Some(why.to_string());
        // Its workers see the end of their channels. Its number is not used again while its minder lives.
        let _ = kill(upgrade.other.pid, Signal::SIGKILL);
    }

    /// The one that was to take over has ended, or its minder has.
    fn end_upgrade(&mut self, upgrade: &mut Upgrade, status: WaitStatus) {
        let how = || match status {
            WaitStatus::Signaled(_, signal, _) => format!("was killed by {}", signal.as_str()),
            WaitStatus::Exited(_, code) => format!("exited with status {code}"),
            other => format!("ended: {other:?}"),
        };
        let pid = upgrade.other.pid;
        // If only its minder was killed, it lives, and would take this master's channel's end for this master's.
        upgrade.other.kill();
        // Its last words may not have been heard yet.
        let _ = Word::receive(&upgrade.channel, &mut upgrade.reason);
        let reason = upgrade.reason.first_line().map_or(String::new(), |line| format!(": {line}"));
        let died = || format!("process {pid} {} before it served{reason}; this master serves on", how());
        let why = upgrade.given_up.clone().unwrap_or_else(died);
        log::error!("the upgrade failed: {why}");
        self.last_upgrade = Some(Err(why));
        self.order_all(Order::Owned);
        if !self.stage.is_serving() {
            return;
        }
        // It may have taken the paths and died before it served.
        if let Err(line) = self.write_pidfile() {
            log::warn!("{line}");
        }
        if let Some(Err(line)) = self.start.control.as_mut().map(Control::reclaim) {
            log::warn!("{line}");
        }
    }
}
