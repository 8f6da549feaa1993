//! The dead, those who cannot be started, those who hang, and those who do not end.

use super::stopping::Stage;
use super::{KILL_MARGIN, Master};
use crate::children::{Child, Phase, Role};
use crate::recycle::{self, MEMORY_INTERVAL, RSS_STRIKES_MAX};
use crate::resident;
use crate::shortage::Round;
use crate::watchdog::{CHECK_INTERVAL, Life, Verdict};
use nix::errno::Errno;
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;
use std::io;
use std::time::Instant;
use tine_common::in_flight_table::Running;
use tine_common::log::{and_others, indented};
use tine_common::message::Report;
use tine_common::units::counted;

impl Master {
    /// Everybody who died: workers, and as process 1 also strangers, who are buried silently.
    pub(super) fn reap(&mut self, now: Instant) {
        loop {
            match waitpid(Pid::from_raw(-1), Some(WaitPidFlag::WNOHANG)) {
                Ok(WaitStatus::StillAlive) | Err(Errno::ECHILD) => return,
                Ok(status @ (WaitStatus::Exited(pid, _) | WaitStatus::Signaled(pid, _, _))) => {
                    if let Some(seat) = self.children.seat_of(pid) {
                        // Its last words. That it was ready is past.
                        for report in self.read_reports(seat) {
                            if report == Report::Leaving {
                                self.on_left_by_itself(seat, now);
                            }
                        }
                        self.on_death(seat, status, now);
                    } else {
                        self.on_other_died(pid, status);
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

    fn on_death(&mut self, seat: usize, status: WaitStatus, now: Instant) {
        let Some((child, role)) = self.children.remove(seat) else { return };
        let last = self.scoreboard.slot(seat);
        let was_ready = last.heartbeat_word() > 0;
        // The request that it hung or crashed in was not counted yet.
        let is_in_one = !matches!(self.scoreboard.in_flight_table(seat).running(), Running::Nothing);
        let in_flight = last.in_flight().max(u64::from(is_in_one));
        let requests = counted(in_flight, "request");
        self.scoreboard.retire(seat);
        let is_clean = matches!(status, WaitStatus::Exited(_, 0));
        let is_killed_by_another = matches!(status, WaitStatus::Signaled(_, Signal::SIGKILL, _)) && !child.is_killed;
        let by_whom = match is_killed_by_another && self.oom_kills.explains_a_death() {
            true => "; the kernel's OOM killer did it: the control group was out of memory",
            false => "",
        };
        let line = obituary(&child, status, now) + by_whom;
        // Last in its line: it may have several.
        let cause = match &child.boot_error {
            Some(text) => format!(": {}", indented(&String::from_utf8_lossy(text))),
            None => String::new(),
        };
        if !self.stage.is_serving() {
            let is_told =
                matches!((self.stage, status), (Stage::Stopping { .. }, WaitStatus::Signaled(_, Signal::SIGKILL, _)));
            if is_told {
                // All were, at once.
                log::debug!("{line}");
            } else if !is_clean {
                self.cut_by_kill += in_flight;
                log::warn!("{line}, {requests} in flight{cause}");
            }
            return;
        }
        let is_booting = child.phase == Phase::Booting;
        if let Phase::Leaving { .. } = child.phase {
            // One that was never ready was ended by us, because nobody needs it any more.
            match is_clean || !was_ready {
                true => log::debug!("{line}; it was leaving"),
                false => log::warn!("{line}, {requests} in flight; it was leaving{cause}"),
            }
            return;
        }
        self.last_cause = Some((format!("{line}{cause}"), now));
        let uptime = now.duration_since(child.started);
        let Some(entry) = self.children.slots.get_mut(child.slot) else { return };
        entry.is_settled = true;
        entry.failures += u64::from(is_booting);
        let delay = entry.respawn.delay(uptime, fastrand::f64());
        let quick_deaths = entry.respawn.quick_deaths();
        match role {
            Role::Successor => entry.retry_at = Some(now + delay),
            // Its successor, who boots already, fills the slot.
            _ if entry.current.is_some() => {}
            _ => entry.next_start = Some(now + delay),
        }
        if !self.ever_ready {
            self.on_boots_failed(1, line + &cause);
            return;
        }
        if let Some(others) = self.deaths_said.admits(now) {
            let when = match (role, delay.is_zero()) {
                (Role::Successor, _) => "the worker that it was to replace serves on".to_string(),
                (_, true) => "replacing it now".to_string(),
                (_, false) => format!("{quick_deaths} quick deaths, replacing it in {:.1} s", delay.as_secs_f64()),
            };
            log::warn!("{line}, {requests} in flight; {when}{}{cause}", and_others(others));
        }
        if is_booting && child.generation == self.generation {
            self.abandon_reload(&format!("{line}{cause}"));
        }
    }

    /// Looks after the living, once a second: who hangs, who is due to be replaced.
    pub(super) fn look(&mut self, now: Instant) {
        let since = now.duration_since(self.looked);
        // Also at those who finish what was in flight at an upgrade: nobody else would end one of them that hangs.
        let is_on_guard = self.stage.is_serving() || self.stage == Stage::HandedOver;
        if since < CHECK_INTERVAL {
            return;
        }
        self.looked = now;
        if !is_on_guard {
            return;
        }
        let supervision = &self.start.config.supervision;
        let is_weighed = supervision.recycling.rss_bytes_max.is_some() && now >= self.weighed + MEMORY_INTERVAL;
        if is_weighed {
            self.weighed = now;
        }
        for (seat, child) in self.children.iter_mut() {
            let seat = self.scoreboard.slot(seat);
            let life = Life { heartbeat: seat.heartbeat_word(), progress: seat.progress_word() };
            let limit = match child.phase {
                Phase::Booting => supervision.boot_timeout,
                _ => supervision.worker_timeout,
            };
            match child.watch.check(life, since, limit) {
                Verdict::Fine => {}
                Verdict::Abort => end(child, Signal::SIGABRT),
                Verdict::Kill => end(child, Signal::SIGKILL),
            }
            if child.phase != Phase::Ready || child.is_due {
                continue;
            }
            let age = now.duration_since(child.started);
            if child.lifetime.is_some_and(|lifetime| age >= lifetime) {
                log::info!(
                    "worker {} (pid {}) is {:.0} s old and is replaced",
                    child.slot,
                    child.pid,
                    age.as_secs_f64()
                );
                child.is_due = true;
            } else if is_weighed {
                let rss_bytes = resident::alone(child.pid.as_raw() as u32);
                child.rss_strikes = recycle::rss_strikes(&supervision.recycling, child.rss_strikes, rss_bytes);
                if child.rss_strikes >= RSS_STRIKES_MAX {
                    let mib = rss_bytes.unwrap_or(0) >> 20;
                    log::info!("worker {} (pid {}) holds {mib}M and is replaced", child.slot, child.pid);
                    child.is_due = true;
                }
            }
        }
    }

    /// Kills who does not end in time.
    pub(super) fn enforce(&mut self, now: Instant) {
        let stage_ends = match self.stage {
            Stage::Draining { began, kill_at, .. } if now >= kill_at => {
                self.stage = Stage::Draining { began, kill_at: now + KILL_MARGIN, is_cut: true };
                true
            }
            _ => false,
        };
        for (_, child) in self.children.iter_mut() {
            let is_late = match &mut child.phase {
                Phase::Leaving { kill_at: Some(kill_at), .. } if now >= *kill_at => {
                    *kill_at = now + KILL_MARGIN;
                    true
                }
                _ => false,
            };
            if is_late || stage_ends {
                log::warn!("worker {} (pid {}) did not end in time; killing it", child.slot, child.pid);
                child.is_killed = true;
                // It may have died just now.
                let _ = kill(child.pid, Signal::SIGKILL);
            }
        }
    }

    /// No process or no channel is to be had: all starts that are due are tried again together, after one back-off.
    pub(super) fn on_spawn_failed(&mut self, slot: usize, error: &io::Error, now: Instant) {
        let round = self.shortage.on_failure(fastrand::f64(), now);
        let (Round::Begins(until) | Round::Joins(until)) = round;
        let missing = self.children.postpone(slot, until, now);
        let who = match missing {
            1 => format!("worker {slot}"),
            _ => counted(missing as u64, "worker"),
        };
        let line = format!("{who} cannot be started: {error}");
        let others = || self.deaths_said.admits(now);
        if let Some(others) = matches!(round, Round::Begins(_)).then(others).flatten() {
            let seconds = until.duration_since(now).as_secs_f64();
            log::error!("{line}; trying again in {seconds:.1} s{}", and_others(others));
        }
        self.last_cause = Some((line.clone(), now));
        self.abandon_reload(&line);
        // Those that boot may be ready yet; the server serves with them then.
        if self.children.count() == 0 {
            self.on_boots_failed(missing, line);
        }
    }

    /// Gives up when no worker was ever ready and as many starts failed as there are slots.
    fn on_boots_failed(&mut self, count: usize, cause: String) {
        if self.ever_ready || !self.stage.is_serving() {
            return;
        }
        self.boot_failures += count;
        if self.boot_failures >= self.start.config.workers {
            let line = format!("no worker became ready; the last one: {cause}");
            log::error!("{line}");
            self.send_reason(&line);
            self.stop_at_once(1);
        }
    }
}

/// What became of a child, in one line.
fn obituary(child: &Child, status: WaitStatus, now: Instant) -> String {
    let how = match status {
        WaitStatus::Signaled(_, signal, _) => format!("was killed by {} ({})", signal.as_str(), signal as i32),
        WaitStatus::Exited(_, code) => format!("exited with status {code}"),
        other => format!("ended: {other:?}"),
    };
    let (slot, pid, seconds) = (child.slot, child.pid, now.duration_since(child.started).as_secs_f64());
    let hung = match (child.watch.is_suspect(), child.phase) {
        (false, _) => "",
        (true, Phase::Booting) => "; its app was not built within --boot-timeout",
        (true, _) => "; its loop stood still for --worker-timeout",
    };
    format!("worker {slot} (pid {pid}) {how} after {seconds:.1} s{hung}")
}

/// Ends a child that hangs.
fn end(child: &mut Child, signal: Signal) {
    child.is_killed |= signal == Signal::SIGKILL;
    let (slot, pid, still) = (child.slot, child.pid, child.watch.still().as_secs_f64());
    let what = if child.phase == Phase::Booting { "is not ready" } else { "does not answer" };
    log::error!("worker {slot} (pid {pid}) {what} after {still:.0} s; sending it {}", signal.as_str());
    // It may have died just now.
    let _ = kill(child.pid, signal);
}
