//! A process beside the workers with a duty of its own, such as that of `--admin`.
//!
//! It is none of the workers: its scoreboard is its own, so that it counts in no total and in no balance. It is forked once
//! the server has taken over, or before if workers need it, started again when it dies, and watched like a worker. What it does, and when it is told to
//! leave, is of the file that has it.

use super::supervising::{describe_death, end};
use super::{Forked, KILL_MARGIN, Master};
use crate::children::{Child, Phase};
use crate::respawn::Respawn;
use crate::watchdog::{Life, Verdict};
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::Pid;
use std::io;
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};
use tine_common::config::Supervision;
use tine_common::message::{Order, Report};
use tine_common::scoreboard::Scoreboard;
use tine_common::sys::fork::{self, Fork, fork};

/// Its only slot.
pub const SLOT: usize = 0;
/// A fork that failed is tried again after this time, at least.
const FORK_RETRY: Duration = Duration::from_millis(100);

pub struct Helper {
    /// In the log: `the process of --admin`.
    what: &'static str,
    /// Of its channel.
    token: usize,
    /// It is forked before the server has taken over from another.
    is_early: bool,
    pub scoreboard: Scoreboard,
    child: Option<Child>,
    /// When it is started, if there is none; `None`: it is not to be started (again).
    next_start: Option<Instant>,
    is_closed: bool,
    respawn: Respawn,
}

impl Helper {
    pub fn new(what: &'static str, token: usize, now: Instant) -> io::Result<Helper> {
        Ok(Helper {
            what,
            token,
            is_early: false,
            scoreboard: Scoreboard::new(1)?,
            child: None,
            next_start: Some(now),
            is_closed: false,
            respawn: Respawn::default(),
        })
    }

    /// Workers need it from their first request on, and at most for this time they can do without.
    #[cfg(feature = "limit-store")]
    pub fn early(self, delay_max: Duration) -> Helper {
        Helper { is_early: true, respawn: Respawn::up_to(delay_max), ..self }
    }

    pub fn child(&self) -> Option<&Child> {
        self.child.as_ref()
    }

    fn is_due(&self, now: Instant) -> bool {
        self.child.is_none() && self.next_start.is_some_and(|at| at <= now)
    }

    /// As for workers: what concerns its sockets and its log.
    pub fn order(&mut self, order: Order) {
        self.child.iter_mut().for_each(|child| child.order(order));
    }

    /// When the master has something to do for it.
    pub fn deadline(&self) -> Option<Instant> {
        match &self.child {
            None => self.next_start,
            Some(child) => match child.phase {
                Phase::Leaving { kill_at, .. } => kill_at,
                Phase::Booting | Phase::Ready => None,
            },
        }
    }

    /// It is not started again.
    pub fn close(&mut self) {
        (self.next_start, self.is_closed) = (None, true);
    }

    /// It is not started again, and what lives of it leaves within the margin.
    pub fn leave(&mut self, order: Order, now: Instant) {
        self.close();
        let Some(child) = self.child.as_mut().filter(|child| !matches!(child.phase, Phase::Leaving { .. })) else {
            return;
        };
        child.phase = Phase::Leaving { since: now, kill_at: Some(now + KILL_MARGIN) };
        child.order(order);
    }

    /// Ends it; true once it is gone.
    pub fn has_ended(&mut self, is_at_once: bool, now: Instant) -> bool {
        self.leave(Order::Cut, now);
        let Some(child) = &mut self.child else { return true };
        if is_at_once && !child.is_killed {
            child.is_killed = true;
            // It may have just exited.
            let _ = kill(child.pid, Signal::SIGKILL);
        }
        false
    }

    /// Kills it if it has not left in time.
    pub fn enforce(&mut self, now: Instant) {
        let Some(child) = &mut self.child else { return };
        if let Phase::Leaving { kill_at: Some(kill_at), .. } = &mut child.phase
            && now >= *kill_at
        {
            *kill_at = now + KILL_MARGIN;
            child.is_killed = true;
            let _ = kill(child.pid, Signal::SIGKILL); // as above
        }
    }

    fn on_not_started(&mut self, error: &io::Error, now: Instant) {
        self.scoreboard.retire(SLOT, 0);
        let delay = self.respawn.delay(Duration::ZERO, fastrand::f64()).max(FORK_RETRY);
        self.next_start = Some(now + delay);
        log::error!("{} cannot be started: {error}; trying again in {:.1} s", self.what, delay.as_secs_f64());
    }

    pub fn handle_reports(&mut self) {
        let Some(child) = &mut self.child else { return };
        if child.read_reports().contains(&Report::Ready) && child.phase == Phase::Booting {
            child.phase = Phase::Ready;
        }
    }

    /// Whether the process that has died was this one. It is replaced like a worker, unless it was told to leave.
    pub fn on_death(&mut self, pid: Pid, status: WaitStatus, now: Instant) -> bool {
        let Some(mut child) = self.child.take_if(|child| child.pid == pid) else { return false };
        child.read_reports();
        self.scoreboard.retire(SLOT, 0);
        let line = describe_death(self.what, &child, status, now);
        if matches!(child.phase, Phase::Leaving { .. }) {
            log::debug!("{line}; it was leaving");
            return true;
        }
        let cause = child.boot_error.map_or(String::new(), |text| format!(": {}", String::from_utf8_lossy(&text)));
        if self.is_closed {
            log::warn!("{line}; the server is stopping, and it is not replaced{cause}");
            return true;
        }
        let delay = self.respawn.delay(now.duration_since(child.started), fastrand::f64());
        self.next_start = Some(now + delay);
        match delay.is_zero() {
            true => log::warn!("{line}; replacing it now{cause}"),
            false => log::warn!("{line}; replacing it in {:.1} s{cause}", delay.as_secs_f64()),
        }
        true
    }

    /// As [`Master::check_workers`], for this process.
    pub fn check(&mut self, since: Duration, supervision: &Supervision) {
        let Some(child) = &mut self.child else { return };
        let slot = self.scoreboard.slot(SLOT);
        let life = Life { heartbeat: slot.heartbeat_word(), progress: slot.progress_word() };
        let limit = if child.phase == Phase::Booting { supervision.boot_timeout } else { supervision.worker_timeout };
        match child.watch.check(life, since, limit) {
            Verdict::Fine => {}
            Verdict::Abort => end(self.what, child, Signal::SIGABRT),
            Verdict::Kill => end(self.what, child, Signal::SIGKILL),
        }
    }
}

impl Master {
    /// Forks a helper if it is due; returns `Some` in the child. `of` finds it.
    pub(super) fn fork_helper(
        &mut self,
        of: fn(&mut Master) -> Option<&mut Helper>,
        now: Instant,
    ) -> Option<(fork::Child, UnixStream)> {
        let is_before_takeover = self.succession.is_pending();
        let helper = of(self).filter(|helper| helper.is_due(now) && (helper.is_early || !is_before_takeover))?;
        let token = helper.token;
        helper.scoreboard.take(SLOT, 0);
        match UnixStream::pair().and_then(|(ours, theirs)| Ok((fork()?, ours, theirs))) {
            Ok((Fork::Child(signals), _, theirs)) => return Some((signals, theirs)),
            Ok((Fork::Parent(pid), ours, _)) => match self.watch_channel(ours, token) {
                Ok(channel) => {
                    let mut child = Child::new(pid, 0, self.replacing.generation(), channel, now);
                    if self.upgrading.is_in_progress() {
                        child.order(Order::Lent);
                    }
                    of(self)?.child = Some(child);
                }
                Err(e) => {
                    // As for a worker that cannot be watched.
                    let _ = kill(pid, Signal::SIGKILL).and_then(|()| waitpid(pid, None).map(drop));
                    of(self)?.on_not_started(&e, now);
                }
            },
            Err(e) => of(self)?.on_not_started(&e, now),
        }
        None
    }

    /// Forks the helper that is due, if one is; returns `Some` in the child.
    pub(super) fn spawn_helper(&mut self, now: Instant) -> Option<Forked> {
        #[cfg(feature = "limit-store")]
        if let Some(forked) = self.spawn_leasing(now) {
            return Some(forked);
        }
        self.spawn_admin(now)
    }

    pub(super) fn helpers(&self) -> impl Iterator<Item = &Helper> {
        let all = self.admin.iter().map(|admin| &admin.helper);
        #[cfg(feature = "limit-store")]
        let all = all.chain(self.leasing.iter().map(|leasing| &leasing.helper));
        all
    }

    pub(super) fn helpers_mut(&mut self) -> impl Iterator<Item = &mut Helper> {
        let all = self.admin.iter_mut().map(|admin| &mut admin.helper);
        #[cfg(feature = "limit-store")]
        let all = all.chain(self.leasing.iter_mut().map(|leasing| &mut leasing.helper));
        all
    }
}
