//! `--workers 0`: the process itself serves, as the only worker and without a master, so that a debugger, a profiler or
//! valgrind has a single process to examine.
//!
//! Nothing that a master does is done: no control socket, reload, upgrade, respawn, recycling or watchdog. TERM or INT drains
//! the server, a second one stops it at once; USR1 reopens the log file.

use crate::about::About;
use crate::affinity;
use crate::banner::Banner;
use crate::listener::{self, Bound};
use crate::notify::Notifier;
use crate::pidfile::Pidfile;
use crate::tls::Certificates;
use std::cell::RefCell;
use std::os::unix::net::UnixStream;
use std::time::Instant;
use tine_common::access_log::Sink;
use tine_common::config::{MasterConfig, RootPath};
use tine_common::scoreboard::Scoreboard;
use tine_common::server_memory::{Needs, ServerMemory};
use tine_common::sys::fork;
use tine_worker::app::metrics::AppMetrics;
use tine_worker::app::used_files::FileReports;
use tine_worker::app::{AppFactory, WorkerInfo};
use tine_worker::worker;

/// Everything that a server without a master is built from.
pub struct Alone {
    pub about: About,
    pub config: MasterConfig,
    pub certificates: Certificates,
    pub bound: Vec<Bound>,
    pub pidfile: Option<Pidfile>,
    pub access_log: Option<Sink>,
    pub notifier: Notifier,
}

impl Alone {
    /// Serves until it is stopped; returns the exit status. The error: the server could not start.
    pub fn run(mut self, factory: AppFactory) -> Result<u8, String> {
        let mut files: Vec<Bound> = self.bound.iter_mut().map(Bound::take_file).collect();
        let mut pidfile = self.pidfile.take();
        let written = pidfile.as_mut().map_or(Ok(()), Pidfile::write);
        pidfile.iter().for_each(Pidfile::lock);
        let status = written.and_then(|()| self.serve(factory));
        listener::remove_unix_sockets(&mut files);
        if let Some(pidfile) = &mut pidfile {
            pidfile.remove();
        }
        status
    }

    fn serve(self, factory: AppFactory) -> Result<u8, String> {
        let Alone { about, config, certificates, bound, access_log, notifier, .. } = self;
        let limits = config.worker.throttle.limits;
        let needs = Needs { slots: 1, rate_count: limits.rate.map_or(0, |rate| rate.count), store: 0 };
        let memory = ServerMemory::private(needs).map_err(|e| format!("no memory to share: {e}"))?;
        let scoreboard = Scoreboard::over(&memory).map_err(|e| format!("no memory for the scoreboard: {e}"))?;
        let mut scoreboard = scoreboard.with_dictionaries(config.shared_bytes_max);
        if config.worker.connections_per_address_max.is_some() {
            scoreboard.count_addresses(&memory).map_err(|e| format!("no memory for the counts of addresses: {e}"))?;
        }
        scoreboard.throttle().set(&limits);
        scoreboard.take(0, 0);
        if config.tls.is_on() && !config.tls.ticket_rotation.is_zero() {
            // The only key: this is for debuggers.
            let made = memory.ticket_keys().rotate_if_due(config.tls.ticket_rotation);
            made.map_err(|e| format!("no key for TLS tickets: {e}"))?;
        }
        // Nothing reads the other end. It stays open, as the worker takes the end of the channel for the master's exit.
        let (channel, _other_end) = UnixStream::pair().map_err(|e| format!("socketpair: {e}"))?;
        affinity::pin(&config.privileges.affinity, 0);
        let urls: Vec<String> = bound.iter().map(Bound::url).collect();
        let (is_quiet, notifier) = (config.quiet, RefCell::new(notifier));
        let start = worker::Start {
            info: WorkerInfo {
                index: 0,
                workers: 1,
                generation: 1,
                buffer_bytes: config.worker.buffer_bytes,
                metrics: AppMetrics::of(scoreboard.telemetry().seat(0)),
                dictionaries: scoreboard.dictionaries(),
                election: scoreboard.election(),
                root_path: config.worker.root_path.map_or("", RootPath::as_str),
                file_reports: FileReports::NONE,
            },
            config: config.worker,
            listeners: bound.into_iter().flat_map(Bound::into_listeners).collect(),
            tls: certificates.acceptor(memory.ticket_keys()),
            channel,
            access_log,
            scoreboard,
            slot: 0,
            requests_due: None,
            are_sockets_lent: false,
            master: None,
            signals: fork::Child::unforked(),
        };
        let factory: AppFactory = Box::new(move |info| {
            let app = factory(info)?;
            let (by, pid) = ("one process and no master", std::process::id());
            let About { name, also, try_next, .. } = &about;
            Banner { name, by, urls: &urls, also, try_next, pid, is_quiet }.show();
            notifier.borrow_mut().ready("serves without a master", Instant::now());
            Ok(app)
        });
        Ok(u8::try_from(worker::run(start, &factory)).unwrap_or(1))
    }
}
