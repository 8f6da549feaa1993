//! Supervises the workers: deaths, failed starts, hung workers, and workers that leave by themselves or do not exit in time.

use super::counting::exit_of;
use super::{KILL_MARGIN, Master};
use crate::children::{Child, Phase, Role};
use crate::oom::OomKills;
use crate::recycle::{self, MEMORY_INTERVAL, RSS_STRIKES_MAX};
use crate::shortage::Round;
use crate::watchdog::{CHECK_INTERVAL, Life, Verdict};
use nix::errno::Errno;
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;
use std::io;
use std::time::{Duration, Instant};
use tine_common::in_flight_table::Running;
use tine_common::log::{Allowance, and_others, indented};
use tine_common::message::Report;
use tine_common::metric::Metric;
use tine_common::resident;
use tine_common::telemetry::Count;
use tine_common::units::counted;

/// What supervising keeps between the turns.
pub struct Supervising {
    deaths_allowance: Allowance,
    oom_kills: OomKills,
    /// Why the last worker died that was not told to exit.
    last_cause: Option<(String, Instant)>,
    /// When the living workers were last checked, and their memory.
    checked: Instant,
    memory_checked: Instant,
}

impl Supervising {
    pub fn new(now: Instant) -> Self {
        Supervising {
            deaths_allowance: Allowance::new(20.0, 0.5),
            oom_kills: OomKills::new(),
            last_cause: None,
            checked: now,
            memory_checked: now,
        }
    }

    pub fn next_check(&self) -> Instant {
        self.checked + CHECK_INTERVAL
    }

    /// Why the last worker died that was not told to exit, and when.
    pub fn last_cause(&self) -> Option<(&str, Instant)> {
        self.last_cause.as_ref().map(|(cause, at)| (cause.as_str(), *at))
    }
}

impl Master {
    /// Reaps all children that have exited: workers, and as process 1 also adopted orphans, which are not logged.
    pub(super) fn reap(&mut self, now: Instant) {
        loop {
            match waitpid(Pid::from_raw(-1), Some(WaitPidFlag::WNOHANG)) {
                Ok(WaitStatus::StillAlive) | Err(Errno::ECHILD) => return,
                Ok(status @ (WaitStatus::Exited(pid, _) | WaitStatus::Signaled(pid, _, _))) => {
                    if let Some(slot) = self.children.slot_of(pid) {
                        // Its last reports. Whether it was ready no longer matters.
                        for report in self.read_reports(slot) {
                            if report == Report::Leaving {
                                self.on_left_by_itself(slot, now);
                            }
                        }
                        self.on_death(slot, status, now);
                    } else if self.helpers_mut().any(|helper| helper.on_death(pid, status, now)) {
                        self.count_cpu_of_exited();
                    } else {
                        self.on_other_death(pid, status);
                    }
                }
                Ok(_) | Err(Errno::EINTR) => {}
                Err(e) => {
                    log::error!("waitpid: {e}");
                    return;
                }
            }
        }
    }

    fn on_death(&mut self, slot: usize, status: WaitStatus, now: Instant) {
        let Some((child, role)) = self.children.remove(slot) else { return };
        let last = self.scoreboard.slot(slot);
        let was_ready = last.heartbeat_word() > 0;
        // The request that it hung or crashed in was not counted yet.
        let is_in_one = !matches!(self.scoreboard.in_flight_table(slot).running(), Running::Nothing);
        let in_flight = last.get(Metric::InFlight).max(u64::from(is_in_one));
        let requests = counted(in_flight, "request");
        self.scoreboard.retire(slot, in_flight);
        self.count_cpu_of_exited();
        let is_clean = matches!(status, WaitStatus::Exited(_, 0));
        let is_killed_by_another = matches!(status, WaitStatus::Signaled(_, Signal::SIGKILL, _)) && !child.is_killed;
        let is_by_oom = is_killed_by_another && self.supervising.oom_kills.explains_a_death();
        let by_oom = match is_by_oom {
            true => "; the kernel's OOM killer did it: the control group was out of memory",
            false => "",
        };
        let line = describe_death(&format!("worker {}", child.index), &child, status, now) + by_oom;
        // Appended to the line, as it may have several lines.
        let cause = match &child.boot_error {
            Some(text) => format!(": {}", indented(&String::from_utf8_lossy(text))),
            None => String::new(),
        };
        if !self.is_serving() {
            let is_intended =
                self.stopping.is_at_once() && matches!(status, WaitStatus::Signaled(_, Signal::SIGKILL, _));
            if is_intended {
                // All workers were killed at once.
                log::debug!("{line}");
            } else if !is_clean {
                self.stopping.on_requests_lost(in_flight);
                log::warn!("{line}, {requests} in flight{cause}");
            }
            return;
        }
        let is_booting = child.phase == Phase::Booting;
        if let Phase::Leaving { .. } = child.phase {
            // A worker that was never ready was ended by the master, which no longer needed it.
            if is_clean || !was_ready {
                log::debug!("{line}; it was leaving");
            } else {
                self.count(exit_of(&child, status, is_by_oom));
                log::warn!("{line}, {requests} in flight; it was leaving{cause}");
            }
            return;
        }
        self.count(exit_of(&child, status, is_by_oom));
        self.supervising.last_cause = Some((format!("{line}{cause}"), now));
        let uptime = now.duration_since(child.started);
        let Some(entry) = self.children.positions.get_mut(child.index) else { return };
        entry.is_settled = true;
        entry.failures += u64::from(is_booting);
        let delay = entry.respawn.delay(uptime, fastrand::f64());
        let quick_deaths = entry.respawn.quick_deaths();
        match role {
            Role::Successor => entry.retry_at = Some(now + delay),
            // Its successor boots already and takes its position.
            _ if entry.current.is_some() => {}
            _ => entry.next_start = Some(now + delay),
        }
        if is_booting && self.on_failed_load(&child, &line, now) {
            return;
        }
        if !self.boot.has_been_ready() {
            self.on_boots_failed(1, line + &cause);
            return;
        }
        if let Some(others) = self.supervising.deaths_allowance.admits(now) {
            let when = match (role, delay.is_zero()) {
                (Role::Successor, _) => "the worker that it was to replace continues to serve".to_string(),
                (_, true) => "replacing it now".to_string(),
                (_, false) => format!("{quick_deaths} quick deaths, replacing it in {:.1} s", delay.as_secs_f64()),
            };
            log::warn!("{line}, {requests} in flight; {when}{}{cause}", and_others(others));
        }
        if is_booting && child.generation == self.replacing.generation() {
            self.abandon_reload(&format!("{line}{cause}"));
        }
    }

    /// A worker has begun to leave because of a signal or its app. It is replaced at once, unless it never answered a
    /// request; then it is replaced with back-off, like a crash.
    pub(super) fn on_left_by_itself(&mut self, slot: usize, now: Instant) {
        let Some(child) = self.children.get(slot) else { return };
        let (index, pid, uptime) = (child.index, child.pid, now.duration_since(child.started));
        let is_told = child.is_told;
        self.count(Count::ExitRetired);
        let kill_at = now + self.config.worker.graceful_timeout + KILL_MARGIN;
        let role = self.children.on_leaving(slot, Some(kill_at), now);
        let is_useless = !is_told && self.scoreboard.slot(slot).get(Metric::Requests) == 0;
        let mut delay = Duration::ZERO;
        if let Some(entry) = self.children.positions.get_mut(index).filter(|_| role == Role::Current && is_useless)
            && let Some(at) = &mut entry.next_start
        {
            delay = entry.respawn.delay(uptime, fastrand::f64());
            *at = now + delay;
        }
        if let Some(others) = self.supervising.deaths_allowance.admits(now).filter(|_| self.is_serving()) {
            let (age, others) = (uptime.as_secs_f64(), and_others(others));
            let when = match delay.is_zero() {
                true => "replacing it now".to_string(),
                false => format!("it never answered a request, replacing it in {:.1} s", delay.as_secs_f64()),
            };
            log::info!("worker {index} (pid {pid}) retires after {age:.1} s; {when}{others}");
        }
    }

    /// Checks the living workers once a second: which hang, which are due to be replaced.
    pub(super) fn check_workers(&mut self, now: Instant) {
        let since = now.duration_since(self.supervising.checked);
        // Also after an upgrade, while workers finish: no other process would end one of them that hangs.
        let is_on_guard = self.is_serving() || self.stopping.has_handed_over();
        if since < CHECK_INTERVAL {
            return;
        }
        self.supervising.checked = now;
        self.sweep();
        let supervision = self.config.supervision.clone();
        self.helpers_mut().for_each(|helper| helper.check(since, &supervision));
        if !is_on_guard {
            return;
        }
        let supervision = &self.config.supervision;
        let is_memory_due =
            supervision.recycling.rss_bytes_max.is_some() && now >= self.supervising.memory_checked + MEMORY_INTERVAL;
        if is_memory_due {
            self.supervising.memory_checked = now;
        }
        for (slot, child) in self.children.iter_mut() {
            let slot = self.scoreboard.slot(slot);
            let life = Life { heartbeat: slot.heartbeat_word(), progress: slot.progress_word() };
            let limit = match child.phase {
                Phase::Booting => supervision.boot_timeout,
                _ => supervision.worker_timeout,
            };
            match child.watch.check(life, since, limit) {
                Verdict::Fine => {}
                Verdict::Abort => end(&format!("worker {}", child.index), child, Signal::SIGABRT),
                Verdict::Kill => end(&format!("worker {}", child.index), child, Signal::SIGKILL),
            }
            if child.phase != Phase::Ready || child.is_due {
                continue;
            }
            let age = now.duration_since(child.started);
            if child.lifetime.is_some_and(|lifetime| age >= lifetime) {
                log::info!(
                    "worker {} (pid {}) is {:.0} s old; replacing it",
                    child.index,
                    child.pid,
                    age.as_secs_f64()
                );
                child.is_due = true;
            } else if is_memory_due {
                let rss_bytes = resident::alone(child.pid.as_raw() as u32);
                child.rss_strikes = recycle::rss_strikes(&supervision.recycling, child.rss_strikes, rss_bytes);
                if child.rss_strikes >= RSS_STRIKES_MAX {
                    let mib = rss_bytes.unwrap_or(0) >> 20;
                    log::info!("worker {} (pid {}) holds {mib}M; replacing it", child.index, child.pid);
                    child.is_due = true;
                }
            }
        }
    }

    /// Gives back what workers of a master held that was killed, as they end.
    pub(super) fn sweep(&mut self) {
        if self.memory.has_addresses()
            && self.scoreboard.address_counts(0).is_none()
            && let Err(e) = self.scoreboard.count_addresses(&self.memory)
        {
            log::debug!("the counts of addresses cannot be cleared: {e}");
        }
        let swept = self.scoreboard.sweep();
        if swept > 0 {
            log::info!(
                "{} of a master that has ended: what they held of the limits is given back",
                counted(swept as u64, "worker")
            );
        }
    }

    /// Kills workers that have not exited in time.
    pub(super) fn enforce(&mut self, now: Instant) {
        let drain_ends = self.stopping.is_kill_due(now);
        for (_, child) in self.children.iter_mut() {
            let is_late = match &mut child.phase {
                Phase::Leaving { kill_at: Some(kill_at), .. } if now >= *kill_at => {
                    *kill_at = now + KILL_MARGIN;
                    true
                }
                _ => false,
            };
            if is_late || drain_ends {
                log::warn!("worker {} (pid {}) did not exit in time; killing it", child.index, child.pid);
                child.is_killed = true;
                // It may have just exited.
                let _ = kill(child.pid, Signal::SIGKILL);
            }
        }
    }

    /// No process or channel can be created: all starts that are due are tried again together, after one back-off.
    pub(super) fn on_spawn_failed(&mut self, index: usize, error: &io::Error, now: Instant) {
        self.count(Count::ForksFailed);
        let round = self.shortage.on_failure(fastrand::f64(), now);
        let (Round::Begins(until) | Round::Joins(until)) = round;
        let missing = self.children.postpone(index, until, now);
        let what = match missing {
            1 => format!("worker {index}"),
            _ => counted(missing as u64, "worker"),
        };
        let line = format!("{what} cannot be started: {error}");
        let others = || self.supervising.deaths_allowance.admits(now);
        if let Some(others) = matches!(round, Round::Begins(_)).then(others).flatten() {
            let seconds = until.duration_since(now).as_secs_f64();
            log::error!("{line}; trying again in {seconds:.1} s{}", and_others(others));
        }
        self.supervising.last_cause = Some((line.clone(), now));
        self.abandon_reload(&line);
        // Booting workers may still become ready, and the server can serve with them.
        if self.children.count() == 0 {
            self.on_boots_failed(missing, line);
        }
    }
}

/// How a child died, in one line.
pub(super) fn describe_death(name: &str, child: &Child, status: WaitStatus, now: Instant) -> String {
    let how = match status {
        WaitStatus::Signaled(_, signal, _) => format!("was killed by {} ({})", signal.as_str(), signal as i32),
        WaitStatus::Exited(_, code) => format!("exited with status {code}"),
        other => format!("ended: {other:?}"),
    };
    let (pid, seconds) = (child.pid, now.duration_since(child.started).as_secs_f64());
    let hung = match (child.watch.is_suspect(), child.phase) {
        (false, _) => "",
        (true, Phase::Booting) => "; its app did not load within --boot-timeout",
        (true, _) => "; its event loop was blocked for --worker-timeout",
    };
    format!("{name} (pid {pid}) {how} after {seconds:.1} s{hung}")
}

/// Ends a child that hangs.
pub(super) fn end(name: &str, child: &mut Child, signal: Signal) {
    child.is_killed |= signal == Signal::SIGKILL;
    let (pid, still) = (child.pid, child.watch.still().as_secs_f64());
    let what = if child.phase == Phase::Booting { "is not ready" } else { "does not respond" };
    log::error!("{name} (pid {pid}) {what} after {still:.0} s; sending it {}", signal.as_str());
    // It may have died just now.
    let _ = kill(child.pid, signal);
}
