//! The keys of TLS session tickets, which the master makes anew now and then.

use super::Master;
use std::time::{Duration, Instant};

/// After a failure it is tried again this much later at the earliest.
const RETRY: Duration = Duration::from_secs(1);

impl Master {
    fn ticket_rotation(&self) -> Option<Duration> {
        let every = self.config.tls.ticket_rotation;
        (self.tls.is_some() && !every.is_zero()).then_some(every)
    }

    /// Makes a new key if one is due. Tickets of the last key are still read; of two masters one makes it.
    pub(super) fn keep_ticket_keys(&self) {
        let Some(every) = self.ticket_rotation() else { return };
        if let Err(e) = self.memory.ticket_keys().rotate_if_due(every) {
            log::error!("no new key for TLS tickets: {e}");
        }
    }

    pub(super) fn ticket_keys_due(&self, now: Instant) -> Option<Instant> {
        self.ticket_rotation().map(|every| now + self.memory.ticket_keys().due_in(every).max(RETRY))
    }
}
