//! The process of `--admin`: it serves what there is to see of the server, and nothing else.
//!
//! It runs the loop of a worker with an app of its own, but it is none of the workers: its scoreboard is its own, so that it
//! counts in no total and in no balance. It is forked once the server has taken over, started again when it dies, watched
//! like a worker, and ended last. A reload does not replace it: it runs no code of the application, and all that it shows is
//! in shared memory.

use super::helper::{Helper, SLOT};
use super::{ADMIN, Duty, Forked, KILL_MARGIN, Master};
use crate::listener::{Bound, remove_unix_sockets};
use std::io;
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};
use tine_apps::admin::Sources;
use tine_common::bulletin::Bulletin;
use tine_common::config::{AcceptMode, Limits, ProxyConfig, RequestLogConfig, ThrottleConfig, WorkerConfig};
use tine_common::message::Order;
use tine_common::privileges::{Affinity, Privileges};
use tine_common::roster::Roster;
use tine_common::scoreboard::Scoreboard;
use tine_common::status::{ServerState, WorkerState};
use tine_common::sys::fork;
use tine_worker::app::WorkerInfo;
use tine_worker::worker;

/// The name of the process in its title and in the log.
pub const NAME: &str = "admin";
/// A changed roster is posted at most this often, except what probes ask for ([`outline`]).
const POST_INTERVAL: Duration = Duration::from_millis(100);
const CONNECTIONS_MAX: usize = 64;
const BUFFER_BYTES: usize = 16 << 10;

pub struct Admin {
    pub helper: Helper,
    bound: Bound,
    sources: Sources,
    /// What is on the bulletin, and since when.
    posted: Option<(Roster, Instant)>,
    /// The roster has changed since.
    is_stale: bool,
}

impl Admin {
    /// `server`: the scoreboard of the workers. From now on lines of the log are kept, which it shows.
    pub fn new(bound: Bound, server: Scoreboard, now: Instant) -> io::Result<Admin> {
        let admin = Admin {
            helper: Helper::new("the process of --admin", ADMIN, now)?,
            bound,
            sources: Sources::new(server, Bulletin::new()?)?,
            posted: None,
            is_stale: false,
        };
        tine_common::log::keep();
        Ok(admin)
    }

    pub fn claim_file(&mut self) {
        self.bound.claim_file();
    }

    pub fn bound(&self) -> &Bound {
        &self.bound
    }

    /// When the master has something to post.
    pub fn deadline(&self) -> Option<Instant> {
        self.posted.as_ref().filter(|_| self.is_stale).map(|(_, at)| *at + POST_INTERVAL)
    }
}

/// Few connections, little memory: a scraper, a browser, a probe.
fn worker_config() -> WorkerConfig {
    WorkerConfig {
        is_alone: false,
        is_helper: true,
        is_outdated_on_leave: false,
        accept: AcceptMode::Shared,
        connections_max: Some(CONNECTIONS_MAX),
        connections_per_address_max: None,
        graceful_timeout: KILL_MARGIN,
        buffer_bytes: BUFFER_BYTES,
        limits: Limits { write_timeout: Duration::from_secs(10), ..Limits::default() },
        throttle: ThrottleConfig::default(),
        request_log: RequestLogConfig::default(),
        proxies: ProxyConfig::default(),
        root_path: None,
    }
}

/// What is posted at once when it changes: the state, whether any worker is ready, and whether all are.
fn outline(roster: &Roster) -> (ServerState, bool, bool) {
    let ready = roster.processes.iter().filter(|process| process.state == WorkerState::Ready).count();
    (roster.state, ready > 0, ready as u64 == roster.workers_wanted)
}

impl Master {
    /// Forks the process if it is due; returns `Some` in the child.
    pub(super) fn spawn_admin(&mut self, now: Instant) -> Option<Forked> {
        let (signals, channel) =
            self.fork_helper(|master| master.admin.as_mut().map(|admin| &mut admin.helper), now)?;
        self.forked_admin(signals, channel)
    }

    /// In the process just forked.
    fn forked_admin(&mut self, signals: fork::Child, channel: UnixStream) -> Option<Forked> {
        let are_sockets_lent = self.are_sockets_shared();
        let Admin { helper, bound, sources, .. } = self.admin.take()?;
        let config = worker_config();
        let start = worker::Start {
            tls: None,
            info: WorkerInfo::alone(config.buffer_bytes),
            config,
            listeners: bound.into_listeners(),
            channel,
            access_log: None,
            scoreboard: helper.scoreboard,
            slot: SLOT,
            requests_due: None,
            are_sockets_lent,
            master: Some(self.pid),
            signals,
        };
        // Not pinned to a CPU: that is for the workers.
        let privileges = Privileges { affinity: Affinity::default(), ..self.config.privileges.clone() };
        let duty = Duty::Serve(Box::new(start), sources.factory());
        Some(Forked { name: NAME.to_string(), duty, privileges })
    }

    /// Another master serves the address from now on.
    pub(super) fn hand_over_admin(&mut self, now: Instant) {
        let Some(admin) = &mut self.admin else { return };
        admin.bound.hand_over();
        admin.bound.close();
        admin.helper.leave(Order::Leave, now);
    }

    /// The server stops: the process has the address alone, and shows the drain until the last worker is gone.
    pub(super) fn close_admin(&mut self) {
        let is_pending = self.succession.is_pending();
        let Some(admin) = &mut self.admin else { return };
        if is_pending {
            admin.bound.hand_over();
        }
        remove_unix_sockets([&mut admin.bound]);
        admin.bound.close();
        admin.helper.close();
    }

    /// Posts what the process shows of the master: what has changed soon, and once a second that the master is alive.
    pub(super) fn post(&mut self, now: Instant) {
        let Some(admin) = &self.admin else { return };
        admin.sources.bulletin.set_alive(self.scoreboard.ms(now));
        let roster = self.roster();
        let Some(admin) = &mut self.admin else { return };
        let (is_same, is_early) = match &admin.posted {
            Some((posted, at)) => (*posted == roster, now < *at + POST_INTERVAL && outline(posted) == outline(&roster)),
            None => (false, false),
        };
        admin.is_stale = !is_same && is_early;
        if is_same || is_early {
            return;
        }
        match serde_json::to_vec(&roster) {
            Ok(text) if admin.sources.bulletin.post(&text) => {}
            Ok(text) => log::error!("--admin shows old data: {} bytes do not fit", text.len()),
            Err(e) => log::error!("--admin shows old data: {e}"),
        }
        admin.posted = Some((roster, now));
    }
}
