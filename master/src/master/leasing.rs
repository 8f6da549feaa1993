//! The process of `--limit-store` (store/), which leases this server's shares of limits that servers have in common.
//!
//! It begins before the workers, and ends last: requests may be in flight until then, and others have to know. So at an upgrade
//! there are two servers for the store, until the old one has finished. A reload does not replace it.

use super::helper::{Helper, SLOT};
use super::{Forked, LIMIT_STORE, Master, Task};
use std::io;
use std::time::Instant;
use tine_common::config::StoreUrl;
use tine_common::privileges::{Affinity, Privileges};

pub struct Leasing {
    pub helper: Helper,
    url: StoreUrl,
    /// This server, for the others.
    id: String,
}

impl Leasing {
    pub fn new(url: StoreUrl, now: Instant) -> io::Result<Leasing> {
        // A host name may be that of many machines, and a process id that of many containers.
        let host = nix::unistd::gethostname().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        let id = format!("{host}-{}-{:016x}", std::process::id(), fastrand::u64(..));
        Ok(Leasing { helper: Helper::new("the process of --limit-store", LIMIT_STORE, now)?.early(), url, id })
    }
}

impl Master {
    /// Forks the process if it is due; returns `Some` in the child.
    pub(super) fn spawn_leasing(&mut self, now: Instant) -> Option<Forked> {
        let (signals, channel) =
            self.fork_helper(|one| one.leasing.as_mut().map(|leasing| &mut leasing.helper), now)?;
        let Leasing { helper, url, id } = self.leasing.take()?;
        let start = tine_store::Start {
            url,
            id,
            throttle: self.scoreboard.throttle(),
            slot: helper.scoreboard.slot(SLOT),
            channel,
            master: self.pid,
            graceful_timeout: self.config.worker.graceful_timeout,
            signals,
        };
        // Not pinned to a CPU: that is for the workers.
        let privileges = Privileges { affinity: Affinity::default(), ..self.config.privileges.clone() };
        Some(Forked { name: tine_store::NAME.to_string(), task: Task::Lease(Box::new(start)), privileges })
    }
}
