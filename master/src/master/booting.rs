//! The start, from the first fork to the banner with the server's addresses, or until no worker can be started.

use super::Master;
use super::reporting::counted;
use crate::banner::Banner;
use crate::listener::Bound;

/// How far the start has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Boot {
    /// No worker has been ready yet; `failures` boots have failed.
    NoneReady { failures: usize },
    /// A worker has been ready: the app can be built.
    SomeReady,
    /// The banner is printed.
    Announced,
}

impl Boot {
    pub fn has_been_ready(self) -> bool {
        !matches!(self, Boot::NoneReady { .. })
    }

    pub fn is_announced(self) -> bool {
        self == Boot::Announced
    }

    pub fn on_ready(&mut self) {
        if !self.has_been_ready() {
            *self = Boot::SomeReady;
        }
    }
}

impl Master {
    /// Gives up when no worker was ever ready and as many starts have failed as there are positions.
    pub(super) fn on_boots_failed(&mut self, count: usize, cause: String) {
        if !self.is_serving() {
            return;
        }
        let Boot::NoneReady { failures } = &mut self.boot else { return };
        *failures += count;
        if *failures >= self.config.workers {
            let line = format!("no worker became ready; the last failure: {cause}");
            log::error!("{line}");
            self.send_reason(&line);
            self.stop_at_once(1);
        }
    }

    /// Once all workers are ready and the server has taken over, if it is to: prints its addresses and what to try.
    pub(super) fn announce(&mut self) {
        if self.boot.is_announced()
            || self.succession.is_pending()
            || !self.is_serving()
            || !self.children.are_all_settled()
            || self.children.count_ready() == 0
        {
            return;
        }
        self.boot = Boot::Announced;
        let urls: Vec<String> = self.bound.iter().map(Bound::url).collect();
        let by = counted(self.children.count_ready());
        Banner {
            name: &self.about.name,
            by: &by,
            urls: &urls,
            also: &self.about.also,
            try_next: &self.about.try_next,
            pid: self.pid,
            is_quiet: self.config.quiet,
        }
        .show();
    }
}
