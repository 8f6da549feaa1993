//! The banner with the server's addresses, and the memory line.

use super::Master;
use crate::banner::Banner;
use crate::listener::Bound;
use crate::memory_line::Counts;
use crate::resident;
use std::time::Instant;
use tine_common::metric::Metric;
use tine_common::units;

impl Master {
    /// Once all workers are ready and the server has taken over, if it is to: prints its addresses and what to try.
    pub(super) fn announce(&mut self) {
        if self.announced
            || self.succession.is_pending()
            || !self.is_serving()
            || !self.children.are_all_settled()
            || self.children.count_ready() == 0
        {
            return;
        }
        self.announced = true;
        let urls: Vec<String> = self.start.bound.iter().map(Bound::url).collect();
        let by = counted(self.children.count_ready());
        Banner {
            name: &self.start.name,
            by: &by,
            urls: &urls,
            also: &self.start.also,
            try_next: &self.start.try_next,
            pid: self.pid,
            is_quiet: self.start.config.quiet,
        }
        .show();
    }

    /// Logs the memory line when it is due.
    pub(super) fn log_memory(&mut self, now: Instant) {
        let Some(memory_line) = self.memory_line.as_mut().filter(|line| line.due() <= now) else { return };
        let workers = self.children.iter().map(|(_, child)| child.pid.as_raw() as u32);
        let memory_bytes = resident::together(std::iter::once(self.pid).chain(workers));
        let totals = self.scoreboard.totals();
        let (connections, in_flight, requests) =
            (totals[Metric::Connections], totals[Metric::InFlight], totals[Metric::Requests]);
        if let Some(line) = memory_line.sample(now, Counts { memory_bytes, connections, in_flight, requests }) {
            log::info!("{line}");
        }
    }
}

/// `1 worker`, `3 workers`.
pub(super) fn counted(workers: usize) -> String {
    units::counted(workers as u64, "worker")
}

pub(super) fn and_cut(responses: u64) -> String {
    if responses == 0 { String::new() } else { format!(", {} cut", units::counted(responses, "response")) }
}

pub(super) fn and_refused(refused: u64) -> String {
    if refused == 0 { String::new() } else { format!(", {} refused with 503", units::counted(refused, "connection")) }
}
