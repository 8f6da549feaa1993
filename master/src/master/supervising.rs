//! The dead, those who cannot be started, and those who do not end.

use super::{KILL_MARGIN, Master, Stage, and_others};
use crate::children::Occupant;
use nix::errno::Errno;
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;
use std::io;
use std::time::{Duration, Instant};
use tine_common::log::indented;

impl Master {
    /// Everybody who died: workers, and as process 1 also strangers, who are buried silently.
    pub(super) fn reap(&mut self, now: Instant) {
        loop {
            match waitpid(Pid::from_raw(-1), Some(WaitPidFlag::WNOHANG)) {
                Ok(WaitStatus::StillAlive) | Err(Errno::ECHILD) => return,
                Ok(status @ (WaitStatus::Exited(pid, _) | WaitStatus::Signaled(pid, _, _))) => {
                    if let Some(slot) = self.children.slot_of(pid) {
                        self.hear_worker(slot); // its last words
                        self.on_death(slot, status, now);
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
        let Some(child) = self.children.take(slot) else { return };
        let last = self.scoreboard.seat(slot);
        let (in_flight, connections, requests) = (last.in_flight(), last.connections(), last.requests());
        self.scoreboard.retire(slot);
        let uptime = now.duration_since(child.started);
        let how = match status {
            WaitStatus::Signaled(_, signal, _) => format!("was killed by {} ({})", signal.as_str(), signal as i32),
            WaitStatus::Exited(_, code) => format!("exited with status {code}"),
            other => format!("ended: {other:?}"),
        };
        let (pid, seconds) = (child.pid, uptime.as_secs_f64());
        let line = format!("worker {slot} (pid {pid}) {how} after {seconds:.1} s");
        // Last in its line: it may have several.
        let cause = match child.has_boot_error {
            true => format!(": {}", indented(&String::from_utf8_lossy(&child.boot_error))),
            false => String::new(),
        };
        let is_clean = matches!(status, WaitStatus::Exited(_, 0));
        if self.stage != Stage::Serving {
            if !is_clean {
                // The request that it hung or crashed in was not counted yet.
                self.cut_by_kill += in_flight.max(connections.min(1));
                log::warn!("{line}, {in_flight} requests in flight{cause}");
            }
            return;
        }
        let entry = self.children.slot(slot);
        entry.is_settled = true;
        // Whoever answers nobody before he retires is no use, and is replaced later and later like a crash.
        if child.is_retiring && is_clean && requests > 0 {
            entry.occupant = Occupant::StartAt(now);
            if let Some(others) = self.deaths_said.admits(now) {
                let others = and_others(others);
                log::info!("worker {slot} (pid {pid}) has retired after {seconds:.1} s; replacing it now{others}");
            }
            return;
        }
        let delay = entry.respawn.delay(uptime, fastrand::f64());
        let quick_deaths = entry.respawn.quick_deaths();
        entry.occupant = Occupant::StartAt(now + delay);
        if !self.ever_ready {
            self.on_boot_failed(line + &cause);
            return;
        }
        if let Some(others) = self.deaths_said.admits(now) {
            let when = if delay.is_zero() {
                "replacing it now".to_string()
            } else {
                format!("{quick_deaths} quick deaths, replacing it in {:.1} s", delay.as_secs_f64())
            };
            log::warn!("{line}, {in_flight} requests in flight; {when}{}{cause}", and_others(others));
        }
    }

    /// Kills who does not end in time.
    pub(super) fn enforce(&mut self, now: Instant) {
        let Stage::Draining { began, kill_at, .. } = self.stage else { return };
        if now < kill_at {
            return;
        }
        for (slot, child) in self.children.running() {
            log::warn!("worker {slot} (pid {}) did not end in time; killing it", child.pid);
            // It may have died just now.
            let _ = kill(child.pid, Signal::SIGKILL);
        }
        self.stage = Stage::Draining { began, kill_at: now + KILL_MARGIN, is_cut: true };
    }

    /// No process or no channel to be had: tried again like a worker that died at once.
    pub(super) fn on_spawn_failed(&mut self, slot: usize, error: &io::Error, now: Instant) {
        let entry = self.children.slot(slot);
        entry.is_settled = true;
        let delay = entry.respawn.delay(Duration::ZERO, fastrand::f64()).max(Duration::from_millis(100));
        entry.occupant = Occupant::StartAt(now + delay);
        let line = format!("worker {slot} cannot be started: {error}");
        if let Some(others) = self.deaths_said.admits(now) {
            log::error!("{line}; trying again in {:.1} s{}", delay.as_secs_f64(), and_others(others));
        }
        self.on_boot_failed(line);
    }

    /// Gives up when no worker was ever ready and as many starts failed as there are slots.
    fn on_boot_failed(&mut self, cause: String) {
        if self.ever_ready || self.stage != Stage::Serving {
            return;
        }
        self.boot_failures += 1;
        if self.boot_failures >= self.start.config.workers {
            log::error!("no worker became ready; the last one: {cause}");
            self.stop_at_once(1);
        }
    }
}
