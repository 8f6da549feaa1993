//! The old master's side of an upgrade: a new binary takes over the sockets, and this master leaves when all workers of the
//! new one are ready.
//!
//! Until then this master serves as usual, and a failure of the new one changes nothing here.

use super::admin::Admin;
use super::{Master, UPGRADE};
use crate::command::Command;
use crate::control::Control;
use crate::handover::{CHANNEL, Texts, Topic, Word, send_memory};
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
use tine_common::metric::Metric;
use tine_common::sys::exec::Minded;
use tine_common::telemetry::Count;

/// The source of a stop that the new master passes on, for the log.
const NEW_MASTER: &str = "the master that has taken over";
/// Time limit of an upgrade if `--boot-timeout` is 0.
const DEADLINE: Duration = Duration::from_secs(120);

/// How an upgrade in progress is reported.
pub const UPGRADE_PROGRESS: &str = "the new binary starts";

/// The upgrade in progress, how the last one ended, and the master that has taken over.
#[derive(Default)]
pub struct Upgrading {
    now: Option<Upgrade>,
    /// `None` as well while an upgrade is in progress.
    last: Option<Result<String, String>>,
    new_master: Option<NewMaster>,
}

/// An upgrade in progress: the new master is starting.
struct Upgrade {
    new_master: Minded,
    channel: UnixStream,
    began: Instant,
    deadline: Instant,
    /// Why it was killed, while its exit is awaited.
    given_up: Option<String>,
    /// Its reason why it cannot serve, as received so far.
    texts: Texts,
    /// The channel was full, as the new master reads it only when it takes over.
    are_limits_unsent: bool,
}

/// The master that has taken over from this one.
struct NewMaster {
    channel: UnixStream,
    /// [`Word::HandedOver`] was sent.
    is_notified: bool,
}

impl Upgrading {
    pub fn is_in_progress(&self) -> bool {
        self.now.is_some()
    }

    pub fn last(&self) -> Option<&Result<String, String>> {
        self.last.as_ref()
    }

    /// Tells the new master, if there is one, that this one had to cut connections.
    pub fn report_cuts(&self) {
        if let Some(new_master) = &self.new_master {
            // It may have exited.
            let _ = Word::HasCut.send(&new_master.channel);
        }
    }
}

impl Upgrade {
    /// Kills the minder, so that the new master is adopted by the process that adopts orphans: the service manager, which sees
    /// it exit from then on. The error: the new master has exited.
    fn release(&self) -> Result<(), WaitStatus> {
        let minder = self.new_master.minder;
        // It may have just exited.
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

impl Master {
    /// Starts the new master; the error says why that failed.
    pub(super) fn upgrade(&mut self, source: &str, now: Instant) -> Result<(), String> {
        if let Some(upgrade) = &self.upgrading.now {
            return Err(format!("process {} is about to take over already", upgrade.new_master.pid));
        }
        if self.pid == 1 {
            return Err("process 1 cannot hand over, as the container ends with it; replace the container".to_string());
        }
        if let Some(why) = supervisor::why_not_to_hand_over() {
            return Err(format!("an upgrade is refused: {why}"));
        }
        let program = self.program.path().display().to_string();
        // From now on no worker here may change the sockets in a way that affects another user of them.
        self.order_all(Order::Lent);
        let (new_master, channel) = self.start_new_master().map_err(|e| {
            self.order_all(Order::Owned);
            self.upgrading.last = Some(Err(e.to_string()));
            format!("the upgrade failed: {e}; this master continues to serve")
        })?;
        log::info!("{source}: upgrading, process {} was started from {program}", new_master.pid);
        // The app is built twice: in the preflight and in the workers.
        let limit = self.config.supervision.boot_timeout.map_or(DEADLINE, |boot| 2 * boot);
        self.upgrading.last = None;
        self.upgrading.now = Some(Upgrade {
            new_master,
            channel,
            began: now,
            deadline: now + limit,
            given_up: None,
            texts: Texts::default(),
            are_limits_unsent: false,
        });
        Ok(())
    }

    fn start_new_master(&mut self) -> io::Result<(Minded, UnixStream)> {
        let (ours, theirs) = StdUnixStream::pair()?;
        // Before there is a new master, so that it finds them when it starts.
        if let Some(memory) = self.memory.file() {
            send_memory(memory, &ours)?;
        }
        Topic::Limits.send(&self.limiting.overrides().to_text(), &ours)?;
        ours.set_nonblocking(true)?;
        let mut channel = UnixStream::from_std(ours);
        self.poll.registry().register(&mut channel, mio::Token(UPGRADE), Interest::READABLE)?;
        let admin = self.admin.as_ref().map(Admin::bound);
        let mut descriptors = listener::hand_down(&self.bound, admin);
        descriptors.push((theirs.as_fd(), CHANNEL.to_string()));
        let new_master = self.program.start(&descriptors, &self.notifier.environment())?;
        Ok((new_master, channel))
    }

    pub(super) fn handle_new_master(&mut self, now: Instant) {
        // At the end of the stream nothing is to be done: the minder of the new master is reaped, or nothing follows.
        let (words, has_ended) = match (&mut self.upgrading.now, &self.upgrading.new_master) {
            (Some(upgrade), _) => Word::receive(&upgrade.channel, &mut upgrade.texts),
            (None, Some(new_master)) => Word::receive(&new_master.channel, &mut Texts::default()),
            (None, None) => return,
        };
        for word in words {
            match word {
                // It has just been killed; its minder may have ended by SIGKILL, too, as if released.
                Word::Serves if has_ended => log::debug!("a new master that served has ended"),
                Word::Serves => self.hand_over(now),
                Word::Stop if self.upgrading.new_master.is_some() => self.ask(Command::Stop, NEW_MASTER, None),
                Word::StopNow if self.upgrading.new_master.is_some() => self.ask(Command::StopNow, NEW_MASTER, None),
                Word::Stop | Word::StopNow | Word::HandedOver | Word::HasCut => {}
            }
        }
    }

    /// Limits have been changed while the new master starts.
    pub(super) fn pass_on_limits(&mut self) {
        let Some(upgrade) = &mut self.upgrading.now else { return };
        let text = format!("{}{}", Topic::BEGIN, self.limiting.overrides().to_text());
        upgrade.are_limits_unsent = Topic::Limits.send(&text, &upgrade.channel).is_err();
    }

    /// The new master serves: this one accepts no more connections and finishes what is in flight.
    fn hand_over(&mut self, now: Instant) {
        let Some(mut upgrade) = self.upgrading.now.take_if(|upgrade| upgrade.given_up.is_none()) else { return };
        let pid = upgrade.new_master.pid;
        if let Err(status) = upgrade.release() {
            return self.end_upgrade(&mut upgrade, status);
        }
        if upgrade.are_limits_unsent {
            let text = format!("{}{}", Topic::BEGIN, self.limiting.overrides().to_text());
            // There is room now; it may just be ending.
            let _ = Topic::Limits.send(&text, &upgrade.channel);
        }
        let totals = self.scoreboard.own_totals();
        let (took, in_flight) = (now.duration_since(upgrade.began).as_secs_f64(), totals[Metric::InFlight]);
        log::info!("process {pid} has taken over after {took:.1} s; finishing {in_flight} requests here");
        self.abandon_reload("another master has taken over");
        self.bound.iter_mut().for_each(Bound::hand_over);
        self.bound.iter_mut().for_each(Bound::close);
        self.hand_over_admin(now);
        #[cfg(feature = "limit-store")]
        self.hand_over_lease(now);
        self.pidfile.iter_mut().for_each(Pidfile::hand_over);
        self.upgrading.last = Some(Ok(format!("process {pid} serves")));
        self.notifier.main_pid(pid.as_raw().unsigned_abs(), now);
        self.notifier.hold();
        self.upgrading.new_master = Some(NewMaster { channel: upgrade.channel, is_notified: false });
        self.stopping.on_handed_over(totals[Metric::Cut]);
        self.order_all_to_leave(now);
    }

    /// Ends an upgrade that takes too long. After a handover, notifies the new master once the service manager knows of it.
    pub(super) fn keep_upgrading(&mut self, now: Instant) {
        if let Some(new_master) = &mut self.upgrading.new_master
            && !new_master.is_notified
            && self.notifier.is_flushed()
        {
            new_master.is_notified = true;
            // It may have ended.
            let _ = Word::HandedOver.send(&new_master.channel);
        }
        let Some(upgrade) = self.upgrading.now.as_ref().filter(|upgrade| now >= upgrade.deadline) else { return };
        let seconds = now.duration_since(upgrade.began).as_secs_f64();
        self.abandon_upgrade(&format!(
            "process {} does not serve after {seconds:.0} s and is killed; this master continues to serve",
            upgrade.new_master.pid
        ));
    }

    /// A child that is not a worker has died: the minder, because the new master has exited, or an adopted orphan.
    pub(super) fn on_other_death(&mut self, pid: Pid, status: WaitStatus) {
        if let Some(mut upgrade) = self.upgrading.now.take_if(|upgrade| upgrade.new_master.minder == pid) {
            self.end_upgrade(&mut upgrade, status);
        }
    }

    /// Kills the new master. The failure is reported once it is gone ([`Master::on_other_death`]): only then can it change no
    /// more paths, and this master's children are all workers.
    pub(super) fn abandon_upgrade(&mut self, why: &str) {
        let Some(upgrade) = self.upgrading.now.as_mut().filter(|upgrade| upgrade.given_up.is_none()) else { return };
        upgrade.given_up = Some(why.to_string());
        // Its workers see the end of their channels. Its process ID is not reused while its minder lives.
        let _ = kill(upgrade.new_master.pid, Signal::SIGKILL);
    }

    /// The new master has exited before it took over, or its minder has.
    fn end_upgrade(&mut self, upgrade: &mut Upgrade, status: WaitStatus) {
        let how = || match status {
            WaitStatus::Signaled(_, signal, _) => format!("was killed by {}", signal.as_str()),
            WaitStatus::Exited(_, code) => format!("exited with status {code}"),
            other => format!("ended: {other:?}"),
        };
        let pid = upgrade.new_master.pid;
        // If only its minder was killed, it lives, and would take the end of the channel for the exit of this master.
        upgrade.new_master.kill();
        self.sweep();
        // The rest of its reason may not have been read yet.
        let _ = Word::receive(&upgrade.channel, &mut upgrade.texts);
        let reason = upgrade.texts.reason().map_or(String::new(), |line| format!(": {line}"));
        let died = || format!("process {pid} {} before it served{reason}; this master continues to serve", how());
        let why = upgrade.given_up.clone().unwrap_or_else(died);
        log::error!("the upgrade failed: {why}");
        self.count(Count::UpgradesFailed);
        self.upgrading.last = Some(Err(why));
        self.order_all(Order::Owned);
        if !self.is_serving() {
            return;
        }
        // It may have taken over the limits and the paths before it died.
        self.keep_limiting();
        if let Err(line) = self.write_pidfile() {
            log::warn!("{line}");
        }
        if let Some(Err(line)) = self.control.as_mut().map(Control::reclaim) {
            log::warn!("{line}");
        }
    }
}
