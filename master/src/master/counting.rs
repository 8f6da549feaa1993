//! What the master counts for metrics, in its own seat of the shared memory: how workers end, reloads, upgrades.

use super::Master;
use crate::children::{Child, Phase};
use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::wait::WaitStatus;
use std::time::{SystemTime, UNIX_EPOCH};
use tine_common::telemetry::{Count, Level, Seat};

/// Why a worker has exited that was not told to.
pub fn exit_of(child: &Child, status: WaitStatus, is_by_oom: bool) -> Count {
    match status {
        _ if is_by_oom => Count::ExitOom,
        _ if child.phase == Phase::Booting => Count::ExitBoot,
        _ if child.watch.is_suspect() => Count::ExitHung,
        WaitStatus::Signaled(..) => Count::ExitSignal,
        _ => Count::ExitStatus,
    }
}

impl Master {
    pub(super) fn seat(&self) -> Seat {
        self.scoreboard.telemetry().master()
    }

    pub(super) fn count(&self, count: Count) {
        self.seat().count(count, 1);
    }

    pub(super) fn count_reload(&self, is_success: bool) {
        let seat = self.seat();
        seat.count(if is_success { Count::Reloads } else { Count::ReloadsFailed }, 1);
        let unix = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        seat.set_level(Level::LastReloadSucceeded, is_success.into());
        seat.set_level(Level::LastReloadAt, unix.as_secs());
    }

    /// A child was reaped: the kernel has added its CPU time to that of all children.
    pub(super) fn count_cpu_of_exited(&self) {
        if let Ok(usage) = getrusage(UsageWho::RUSAGE_CHILDREN) {
            let us = [usage.user_time(), usage.system_time()].map(|time| time.tv_sec() * 1_000_000 + time.tv_usec());
            self.seat().set_level(Level::ExitedCpuUs, us.iter().sum::<i64>() as u64);
        }
    }

    /// Once a turn.
    pub(super) fn count_dropped_lines(&self) {
        let seat = self.seat();
        let news = tine_common::log::lines_dropped() - seat.counted(Count::LogLinesDropped);
        seat.count(Count::LogLinesDropped, news);
    }
}
