//! The process of `--admin`: it serves what there is to see of the server, and nothing else.
//!
//! It runs the loop of a worker with an app of its own, but it is none of the workers: its scoreboard is its own, so that it
//! counts in no total and in no balance. It is forked once the server has taken over, started again when it dies, watched
//! like a worker, and ended last. A reload does not replace it: it runs no code of the application, and all that it shows is
//! in shared memory.

use super::supervising::{describe_death, end};
use super::{ADMIN, Forked, KILL_MARGIN, Master};
use crate::children::{Child, Phase};
use crate::listener::{Bound, remove_unix_sockets};
use crate::respawn::Respawn;
use crate::watchdog::{Life, Verdict};
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::Pid;
use std::io;
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};
use tine_apps::admin::Sources;
use tine_common::bulletin::Bulletin;
use tine_common::config::{AcceptMode, Limits, ThrottleConfig, WorkerConfig};
use tine_common::message::{Order, Report};
use tine_common::privileges::{Affinity, Privileges};
use tine_common::roster::Roster;
use tine_common::scoreboard::Scoreboard;
use tine_common::status::{ServerState, WorkerState};
use tine_common::sys::fork::{self, Fork, fork};
use tine_worker::app::WorkerInfo;
use tine_worker::worker;

/// The name of the process in its title and in the log.
pub const NAME: &str = "admin";
/// Its only slot.
const SLOT: usize = 0;
/// A changed roster is posted at most this often, except what probes ask for ([`outline`]).
const POST_INTERVAL: Duration = Duration::from_millis(100);
const CONNECTIONS_MAX: usize = 64;
const BUFFER_BYTES: usize = 16 << 10;

pub struct Admin {
    bound: Bound,
    scoreboard: Scoreboard,
    sources: Sources,
    child: Option<Child>,
    /// When it is started, if there is none; `None`: it is not to be started (again).
    next_start: Option<Instant>,
    respawn: Respawn,
    /// What is on the bulletin, and since when.
    posted: Option<(Roster, Instant)>,
    /// The roster has changed since.
    is_stale: bool,
}

impl Admin {
    /// `server`: the scoreboard of the workers.
    pub fn new(bound: Bound, server: Scoreboard, now: Instant) -> io::Result<Admin> {
        Ok(Admin {
            bound,
            scoreboard: Scoreboard::new(1)?,
            sources: Sources::new(server, Bulletin::new()?)?,
            child: None,
            next_start: Some(now),
            respawn: Respawn::default(),
            posted: None,
            is_stale: false,
        })
    }

    pub fn claim_file(&mut self) {
        self.bound.claim_file();
    }

    pub fn bound(&self) -> &Bound {
        &self.bound
    }

    pub fn child(&self) -> Option<&Child> {
        self.child.as_ref()
    }

    /// As for workers: what concerns its sockets and its log.
    pub fn order(&mut self, order: Order) {
        self.child.iter_mut().for_each(|child| child.order(order));
    }

    /// When the master has something to do for it.
    pub fn deadline(&self) -> Option<Instant> {
        let kill_at = self.child.as_ref().and_then(|child| match child.phase {
            Phase::Leaving { kill_at, .. } => kill_at,
            Phase::Booting | Phase::Ready => None,
        });
        let post_at = self.posted.as_ref().filter(|_| self.is_stale).map(|(_, at)| *at + POST_INTERVAL);
        [self.next_start.filter(|_| self.child.is_none()), kill_at, post_at].into_iter().flatten().min()
    }

    /// It is not started again, and what lives of it leaves within the margin.
    fn leave(&mut self, order: Order, now: Instant) {
        self.next_start = None;
        let Some(child) = self.child.as_mut().filter(|child| !matches!(child.phase, Phase::Leaving { .. })) else {
            return;
        };
        child.phase = Phase::Leaving { since: now, kill_at: Some(now + KILL_MARGIN) };
        child.order(order);
    }
}

/// Few connections, little memory: a scraper, a browser, a probe.
fn worker_config() -> WorkerConfig {
    WorkerConfig {
        is_alone: false,
        accept: AcceptMode::Shared,
        connections_max: Some(CONNECTIONS_MAX),
        connections_per_address_max: None,
        graceful_timeout: KILL_MARGIN,
        buffer_bytes: BUFFER_BYTES,
        limits: Limits { write_timeout: Duration::from_secs(10), ..Limits::default() },
        throttle: ThrottleConfig::default(),
    }
}

/// What is posted at once when it changes: the state, whether any worker is ready, and whether all are.
fn outline(roster: &Roster) -> (ServerState, bool, bool) {
    let ready = roster.processes.iter().filter(|process| process.state == WorkerState::Ready).count();
    (roster.state, ready > 0, ready as u64 == roster.workers_wanted)
}

impl Master {
    /// Forks the process if it is due; returns `Some` in the child.
    pub(super) fn spawn_admin(&mut self, now: Instant) -> Option<Forked> {
        let is_due = |admin: &&mut Admin| admin.child.is_none() && admin.next_start.is_some_and(|at| at <= now);
        let is_before_takeover = self.succession.is_pending();
        let admin = self.admin.as_mut().filter(is_due).filter(|_| !is_before_takeover)?;
        admin.scoreboard.take(SLOT, 0);
        let forked = UnixStream::pair().and_then(|(ours, theirs)| Ok((fork()?, ours, theirs)));
        match forked {
            Ok((Fork::Child(signals), _, theirs)) => return self.forked_admin(signals, theirs),
            Ok((Fork::Parent(pid), ours, _)) => match self.watch_channel(ours, ADMIN) {
                Ok(channel) => {
                    let mut child = Child::new(pid, 0, self.replacing.generation(), channel, now);
                    if self.upgrading.is_in_progress() {
                        child.order(Order::Lent);
                    }
                    self.admin.as_mut()?.child = Some(child);
                }
                Err(e) => {
                    // As for a worker that cannot be watched.
                    let _ = kill(pid, Signal::SIGKILL).and_then(|()| waitpid(pid, None).map(drop));
                    self.on_admin_not_started(&e, now);
                }
            },
            Err(e) => self.on_admin_not_started(&e, now),
        }
        None
    }

    /// In the process just forked.
    fn forked_admin(&mut self, signals: fork::Child, channel: UnixStream) -> Option<Forked> {
        let are_sockets_lent = self.are_sockets_shared();
        let Admin { bound, scoreboard, sources, .. } = self.admin.take()?;
        let config = worker_config();
        let start = worker::Start {
            info: WorkerInfo { index: 0, workers: 1, generation: 1, buffer_bytes: config.buffer_bytes },
            config,
            listeners: bound.into_listeners(),
            channel,
            scoreboard,
            slot: SLOT,
            requests_due: None,
            are_sockets_lent,
            master: Some(self.pid),
            signals,
        };
        // Not pinned to a CPU: that is for the workers.
        let privileges = Privileges { affinity: Affinity::default(), ..self.config.privileges.clone() };
        Some(Forked { name: NAME.to_string(), start, factory: sources.factory(), privileges })
    }

    fn on_admin_not_started(&mut self, error: &io::Error, now: Instant) {
        let Some(admin) = &mut self.admin else { return };
        admin.scoreboard.retire(SLOT, 0);
        let delay = admin.respawn.delay(Duration::ZERO, fastrand::f64()).max(POST_INTERVAL);
        admin.next_start = Some(now + delay);
        log::error!("the process of --admin cannot be started: {error}; trying again in {:.1} s", delay.as_secs_f64());
    }

    pub(super) fn handle_admin_reports(&mut self) {
        let Some(child) = self.admin.as_mut().and_then(|admin| admin.child.as_mut()) else { return };
        if child.read_reports().contains(&Report::Ready) && child.phase == Phase::Booting {
            child.phase = Phase::Ready;
        }
    }

    /// Whether the process that has died was this one. It is replaced like a worker, unless the server ends.
    pub(super) fn on_admin_death(&mut self, pid: Pid, status: WaitStatus, now: Instant) -> bool {
        let Some(admin) = &mut self.admin else { return false };
        let Some(mut child) = admin.child.take_if(|child| child.pid == pid) else { return false };
        child.read_reports();
        admin.scoreboard.retire(SLOT, 0);
        let line = describe_death("the process of --admin", &child, status, now);
        if matches!(child.phase, Phase::Leaving { .. }) {
            log::debug!("{line}; it was leaving");
            return true;
        }
        let delay = admin.respawn.delay(now.duration_since(child.started), fastrand::f64());
        admin.next_start = Some(now + delay);
        let cause = child.boot_error.map_or(String::new(), |text| format!(": {}", String::from_utf8_lossy(&text)));
        match delay.is_zero() {
            true => log::warn!("{line}; replacing it now{cause}"),
            false => log::warn!("{line}; replacing it in {:.1} s{cause}", delay.as_secs_f64()),
        }
        true
    }

    /// As [`Master::check_workers`], for this process.
    pub(super) fn check_admin(&mut self, since: Duration) {
        let Some(admin) = &mut self.admin else { return };
        let Some(child) = &mut admin.child else { return };
        let slot = admin.scoreboard.slot(SLOT);
        let life = Life { heartbeat: slot.heartbeat_word(), progress: slot.progress_word() };
        let supervision = &self.config.supervision;
        let limit = if child.phase == Phase::Booting { supervision.boot_timeout } else { supervision.worker_timeout };
        match child.watch.check(life, since, limit) {
            Verdict::Fine => {}
            Verdict::Abort => end("the process of --admin", child, Signal::SIGABRT),
            Verdict::Kill => end("the process of --admin", child, Signal::SIGKILL),
        }
    }

    /// Another master serves the address from now on.
    pub(super) fn hand_over_admin(&mut self, now: Instant) {
        let Some(admin) = &mut self.admin else { return };
        admin.bound.hand_over();
        admin.bound.close();
        admin.leave(Order::Leave, now);
    }

    /// The server stops: the process has the address alone, and shows the drain until the last worker is gone.
    pub(super) fn close_admin(&mut self) {
        let is_pending = self.succession.is_pending();
        let Some(admin) = &mut self.admin else { return };
        if is_pending {
            admin.bound.hand_over();
        }
        remove_unix_sockets([&mut admin.bound]);
        admin.bound.close();
        admin.next_start = None;
    }

    /// Ends the process, as the last one; true once it is gone.
    pub(super) fn has_admin_ended(&mut self, now: Instant) -> bool {
        let is_at_once = self.stopping.is_at_once();
        let Some(admin) = &mut self.admin else { return true };
        admin.leave(Order::Cut, now);
        let Some(child) = &mut admin.child else { return true };
        if is_at_once && !child.is_killed {
            child.is_killed = true;
            // It may have just exited.
            let _ = kill(child.pid, Signal::SIGKILL);
        }
        false
    }

    /// Kills the process if it has not left in time.
    pub(super) fn enforce_admin(&mut self, now: Instant) {
        let Some(child) = self.admin.as_mut().and_then(|admin| admin.child.as_mut()) else { return };
        if let Phase::Leaving { kill_at: Some(kill_at), .. } = &mut child.phase
            && now >= *kill_at
        {
            *kill_at = now + KILL_MARGIN;
            child.is_killed = true;
            let _ = kill(child.pid, Signal::SIGKILL); // as above
        }
    }

    /// Posts what the process shows of the master: what has changed soon, and once a second that the master is alive.
    pub(super) fn post(&mut self, now: Instant) {
        let Some(admin) = &self.admin else { return };
        admin.sources.bulletin.set_alive(self.scoreboard.ms(now));
        let roster = self.roster();
        let Some(admin) = &mut self.admin else { return };
        let (is_same, is_early) = match &admin.posted {
            Some((posted, at)) => (*posted == roster, now < *at + POST_INTERVAL && outline(posted) == outline(&roster)),
            None => (false, false),
        };
        admin.is_stale = !is_same && is_early;
        if is_same || is_early {
            return;
        }
        match serde_json::to_vec(&roster) {
            Ok(text) if admin.sources.bulletin.post(&text) => {}
            Ok(text) => log::error!("--admin shows old data: {} bytes do not fit", text.len()),
            Err(e) => log::error!("--admin shows old data: {e}"),
        }
        admin.posted = Some((roster, now));
    }
}
