//! All that the status page shows, at one time: `/status.json` is it, and the page is drawn from it.

use super::Sources;
use super::history::{self, Sample, Word};
use super::latency::Latency;
use serde::Serialize;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use tine_common::log::Event;
use tine_common::roster::Roster;
use tine_common::status::Status;

/// What the master has made known.
#[derive(Debug, Default)]
pub struct Known {
    pub roster: Roster,
    /// Workers that are ready and have a heartbeat.
    pub responding: usize,
    /// How long ago the master was last seen alive.
    pub master_still: Duration,
}

#[derive(Debug, Default, Serialize)]
pub struct Snapshot {
    #[serde(flatten)]
    pub status: Status,
    /// By the wall clock, since 1970.
    pub unix_ms: u64,
    /// Since the master was last seen alive.
    pub master_still_s: f64,
    pub cpu_percent: Option<f64>,
    /// Over the last ten seconds.
    pub rates: Rates,
    /// Of the requests that ended within the last minute; `None`: there were none.
    pub latency: Option<Latency>,
    /// The log of the master, the last lines, the oldest first.
    pub events: Vec<Event>,
    #[serde(skip)]
    pub seconds: Vec<Option<Sample>>,
}

/// Each a second; `None`: not known yet.
#[derive(Debug, Default, Serialize)]
pub struct Rates {
    pub requests_per_s: Option<f64>,
    pub accepted_per_s: Option<f64>,
    pub refused_per_s: Option<f64>,
}

impl Known {
    pub fn new(sources: &Sources, now: Instant) -> Known {
        let Sources { server, bulletin, .. } = sources;
        // Before the first post there is nothing to know.
        let roster = sources.roster().unwrap_or_default();
        let responding = roster.count_responding(server, now);
        Known { roster, responding, master_still: server.since(bulletin.alive_ms(), now) }
    }
}

impl Snapshot {
    pub fn new(sources: &Sources, latency: Option<Latency>, now: Instant) -> Snapshot {
        let measured = sources.server.gauges().read(now);
        let Known { roster, master_still, .. } = Known::new(sources, now);
        let status = roster.status(&sources.server, true, now);
        let seconds = sources.history.seconds(sources.server.ms(now));
        let rate = |word| history::rate(&seconds, word);
        Snapshot {
            status: Status { memory_bytes: measured.and_then(|measured| measured.memory_bytes), ..status },
            unix_ms: SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as u64),
            master_still_s: master_still.as_secs_f64(),
            cpu_percent: measured.map(|measured| measured.cpu_percent),
            rates: Rates {
                requests_per_s: rate(Word::Requests),
                accepted_per_s: rate(Word::Accepted),
                refused_per_s: rate(Word::Refused),
            },
            latency,
            events: roster.events,
            seconds,
        }
    }
}
