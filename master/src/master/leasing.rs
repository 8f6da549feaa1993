//! The process of `--limit-store` (store/), which leases this server's shares of limits that servers have in common.
//!
//! It begins before the workers, and ends last: requests may be in flight until then, and others have to know. A reload does not
//! replace it. At an upgrade that of the new master stands by, and goes on with the lease when that of the old one has left; for the
//! store they are the same server. With memory of its own, a new master is another one.

use super::helper::{Helper, SLOT};
use super::{Duty, Forked, LIMIT_STORE, Master};
use std::io;
use std::time::{Duration, Instant};
use tine_common::config::StoreUrl;
use tine_common::message::Order;
use tine_common::privileges::{Affinity, Privileges};
use tine_common::throttle::Throttle;

/// It is started again within this time, however often it dies: far below the time after which the others take this server for
/// dead.
const DELAY_MAX: Duration = Duration::from_secs(1);

pub struct Leasing {
    pub helper: Helper,
    url: StoreUrl,
    /// This server, for the others.
    id: String,
}

impl Leasing {
    pub fn new(url: StoreUrl, throttle: Throttle, now: Instant) -> io::Result<Leasing> {
        // A host name may be that of many machines, and a process id that of many containers.
        let host = nix::unistd::gethostname().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        let id = format!("{host}-{:016x}", throttle.store_id(|| fastrand::u64(..)));
        Ok(Leasing { helper: Helper::new("the process of --limit-store", LIMIT_STORE, now)?.early(DELAY_MAX), url, id })
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
        Some(Forked { name: tine_store::NAME.to_string(), duty: Duty::Lease(Box::new(start)), privileges })
    }
    /// Another master has taken over: with the memory, its process goes on with the lease.
    pub(super) fn hand_over_lease(&mut self, now: Instant) {
        let is_handed_on = self.scoreboard.masters().is_led_by_another();
        if let Some(leasing) = self.leasing.as_mut().filter(|_| is_handed_on) {
            leasing.helper.leave(Order::Leave, now);
        }
    }
}
