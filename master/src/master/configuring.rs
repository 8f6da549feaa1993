//! What a reload changes besides the app: the options, if there is something to read them from again, such as a configuration
//! file.

use super::{About, Master, MemoryLine};
use crate::listener;
use crate::tls::Certificates;
use std::time::Instant;
use tine_common::config::MasterConfig;
use tine_worker::app::AppFactory;
use tine_worker::tls::Acceptor;

/// Reads the options again. The error is one line; nothing has changed then.
pub type Reread = Box<dyn Fn() -> Result<Reloaded, String>>;

/// What was read again.
pub struct Reloaded {
    pub about: About,
    pub factory: AppFactory,
    pub config: MasterConfig,
    /// A line for the log that names what differs from the start and cannot be changed by a reload.
    pub warning: Option<String>,
}

pub struct Configuring {
    reread: Option<Reread>,
    /// What was served before the reload in progress, if that has changed the options.
    previous: Option<Options>,
    /// The certificates that were served before it.
    previous_tls: Option<Acceptor>,
}

/// What a reload replaces as a whole.
struct Options {
    about: About,
    factory: AppFactory,
    config: MasterConfig,
}

impl Configuring {
    pub fn new(reread: Option<Reread>) -> Configuring {
        Configuring { reread, previous: None, previous_tls: None }
    }

    /// The options as they are now; `None` if they cannot change. The error: they are wrong.
    pub fn reread(&self) -> Result<Option<Reloaded>, String> {
        self.reread.as_ref().map(|reread| reread()).transpose()
    }
}

impl Master {
    /// Takes over what can change while the server runs; what cannot is named in one warning. Workers that are forked from
    /// now on are those of the new options.
    pub(super) fn adopt(&mut self, reloaded: Reloaded, source: &str, now: Instant) {
        let Reloaded { about, factory, config, warning } = reloaded;
        if let Some(line) = warning {
            log::warn!("{line}");
        }
        let options = Options { about, factory, config: self.config.reloaded(config) };
        let previous = self.apply(options, source, now);
        // Of several reloads, one of which interrupts the other, the first had what serves.
        self.configuring.previous.get_or_insert(previous);
    }

    /// Loads the certificates again, from the files that are named now; `None`: HTTPS is not served. The error: one is wrong.
    pub(super) fn load_certificates(&self, reloaded: Option<&Reloaded>) -> Result<Option<Acceptor>, String> {
        let named = reloaded.map_or(&self.config.tls, |reloaded| &reloaded.config.tls);
        let certificates = Certificates::load(&self.config.tls.reloaded(named.clone()))?;
        certificates.warnings().for_each(|line| log::warn!("{line}"));
        Ok(certificates.acceptor(self.memory.ticket_keys()))
    }

    /// Workers that are forked from now on have these certificates.
    pub(super) fn adopt_certificates(&mut self, tls: Option<Acceptor>) {
        let previous = std::mem::replace(&mut self.tls, tls);
        self.configuring.previous_tls = self.configuring.previous_tls.take().or(previous);
    }

    /// A reload has ended: keeps its options, or returns to those of before if it has no worker of its own.
    pub(super) fn settle_options(&mut self, is_any_fresh: bool, now: Instant) {
        let previous_tls = self.configuring.previous_tls.take();
        if let Some(tls) = previous_tls.filter(|_| !is_any_fresh) {
            self.tls = Some(tls);
        }
        let previous = self.configuring.previous.take();
        match previous.filter(|_| !is_any_fresh) {
            Some(previous) => drop(self.apply(previous, "the failed reload", now)),
            None => self.settle_limits(),
        }
    }

    /// Replaces the options; returns the old ones.
    fn apply(&mut self, options: Options, source: &str, now: Instant) -> Options {
        let previous = Options {
            about: std::mem::replace(&mut self.about, options.about),
            factory: std::mem::replace(&mut self.factory, options.factory),
            config: std::mem::replace(&mut self.config, options.config),
        };
        let (old, new) = (&previous.config, &self.config);
        if old.mem_interval != new.mem_interval {
            self.memory_line = MemoryLine::of(new, now);
        }
        if old.worker.limits.write_timeout != new.worker.limits.write_timeout {
            listener::set_write_timeout(&self.bound, new.worker.limits.write_timeout);
        }
        // Workers of before do not count; their connections are not limited until they have left.
        if new.worker.connections_per_address_max.is_some()
            && self.scoreboard.address_counts(0).is_none()
            && let Err(e) = self.scoreboard.count_addresses(&self.memory)
        {
            log::error!("--max-connections-per-address has no effect, no memory for the counts: {e}");
        }
        let (wanted, is_as_configured) = (new.workers, self.children.positions.len() == old.workers);
        let is_other_number = wanted != old.workers;
        self.configure_limits(new.worker.throttle.limits);
        // Not if TTIN, `tine ctl scale` or the like has set another number since.
        if is_other_number && is_as_configured && self.is_serving() {
            // The option's parser has checked the number.
            let _ = self.scale(wanted, source, now);
        }
        previous
    }
}
