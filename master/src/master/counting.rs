//! What the master counts for metrics, in its own seat of the shared memory: how workers end, reloads, upgrades, CPU time.

use super::Master;
use super::helper::Helper;
use crate::children::{Child, Phase};
use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::wait::WaitStatus;
use std::time::{Instant, SystemTime, UNIX_EPOCH};
use tine_common::resident;
use tine_common::telemetry::{Count, Seat};

/// What this master has added so far to what all masters count.
#[derive(Debug, Default)]
pub struct Counting {
    lines_dropped: u64,
    exited_cpu_us: u64,
}

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
        self.count(if is_success { Count::Reloads } else { Count::ReloadsFailed });
        let unix = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        self.scoreboard.telemetry().set_last_reload(unix.as_secs(), is_success);
    }

    /// Once a second, while something reads metrics: if this master is killed, the next one counts what was last noted.
    pub(super) fn note_cpu(&self, now: Instant) {
        if now < self.supervising.next_check() || !self.scoreboard.gauges().is_wanted(now) {
            return;
        }
        for (slot, child) in self.children.iter() {
            self.scoreboard.slot(slot).note_cpu(child.pid.as_raw() as u32);
        }
        self.note_own_cpu();
    }

    /// This process's, and that of the helpers that live.
    fn note_own_cpu(&self) {
        let helpers = self.helpers().filter_map(Helper::child).map(|child| child.pid.as_raw() as u32);
        let seconds: f64 = helpers.filter_map(resident::cpu_seconds).sum();
        self.scoreboard.telemetry().note_master_cpu(cpu_us(UsageWho::RUSAGE_SELF) + (seconds * 1e6) as u64);
    }

    /// A child was reaped: the kernel has added its CPU time to that of all children.
    pub(super) fn count_cpu_of_exited(&mut self) {
        // If it was a helper, it is none of those that live.
        self.note_own_cpu();
        let all = cpu_us(UsageWho::RUSAGE_CHILDREN).max(self.counting.exited_cpu_us);
        let news = all - std::mem::replace(&mut self.counting.exited_cpu_us, all);
        self.scoreboard.telemetry().add_exited_cpu(news);
    }

    /// This master exits; the next one, if there is one, goes on with its counts.
    pub(super) fn count_own_end(&self) {
        self.scoreboard.telemetry().note_master_cpu(0);
        self.scoreboard.leave();
        self.scoreboard.telemetry().add_exited_cpu(cpu_us(UsageWho::RUSAGE_SELF));
    }

    /// Once a turn.
    pub(super) fn count_dropped_lines(&mut self) {
        let all = tine_common::log::lines_dropped();
        let news = all - std::mem::replace(&mut self.counting.lines_dropped, all);
        self.seat().count(Count::LogLinesDropped, news);
    }
}

fn cpu_us(of: UsageWho) -> u64 {
    getrusage(of).map_or(0, |usage| {
        let us = [usage.user_time(), usage.system_time()].map(|time| time.tv_sec() * 1_000_000 + time.tv_usec());
        us.iter().sum::<i64>() as u64
    })
}
