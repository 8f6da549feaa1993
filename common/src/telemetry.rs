//! What is measured of requests, connections and the server, in shared memory that any process can read.
//!
//! In the server memory there is a seat for each slot, with one writer: the worker in that slot; each master has a seat of its
//! own. A count is a load and a store, without a lock. A seat is never cleared: the next worker of its slot continues
//! where the last one was killed. So a reader only adds up the seats, and no sum ever goes backwards; only levels are set
//! to 0 when a worker is reaped.
//!
//! [`count`] has the table of what is counted at its event, [`requests`] the requests by method, status and version,
//! [`log_linear`] the histograms for quantiles, [`app`] what applications count.

pub mod app;
pub mod count;
pub mod exposition;
pub mod log_linear;
pub mod report;
pub mod requests;

pub use count::{Count, Level};
pub use log_linear::LogLinear;
pub use requests::{Labels, Protocol, RequestSet};

use crate::server_memory::{MASTERS_MAX, Masters, Parts};
use crate::sys::mmap::Line;
use requests::{Directory, KEY_LINES, SETS_MAX, Sets};
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;

/// Slots with a seat, so that the memory does not have to be reserved for all that could ever exist. The workers of slots
/// above, of which there are only some if this many processes live at the same time, are not counted here.
const SEATS_MAX: usize = 1024;

const COUNT_LINES: usize = Count::ALL.len().div_ceil(16);
const LATENCY_LINES: usize = log_linear::BUCKETS / 16;
/// The lines of a seat, in this order: counts, levels, sets of requests, histograms, the application's metrics.
const LEVELS_AT: usize = COUNT_LINES;
const SETS_AT: usize = LEVELS_AT + 1;
const DURATIONS_AT: usize = SETS_AT + SETS_MAX + 1;
const FIRST_BYTES_AT: usize = DURATIONS_AT + LATENCY_LINES;
const APP_AT: usize = FIRST_BYTES_AT + LATENCY_LINES;
const LINES: usize = APP_AT + app::LINES;
/// A word of the levels' line that is none: the sum of all times to the first byte, in nanoseconds.
const FIRST_BYTE_SUM: usize = 15;
const _: () = assert!(Level::ALL.len() <= FIRST_BYTE_SUM);
/// Listeners whose queues are published.
pub const ACCEPT_QUEUES_MAX: usize = 16;
const SERVER_LINES: usize = 3;

/// Words of the server's second line, which the masters write.
#[derive(Clone, Copy)]
enum ServerWord {
    /// The most CPU time that was ever read, in microseconds.
    MostCpuUs,
    /// The most connections that were ever read.
    MostHandled,
    /// Of processes that have exited.
    ExitedCpuUs,
    /// When the last reload ended, in seconds of the Unix epoch; 0: there was none.
    LastReloadAt,
    LastReloadSucceeded,
}

/// Lines for this many slots.
pub(crate) const fn lines(slots: usize) -> usize {
    (seated(slots) + MASTERS_MAX) * LINES + KEY_LINES + SERVER_LINES
}

const fn seated(slots: usize) -> usize {
    if slots < SEATS_MAX { slots } else { SEATS_MAX }
}

/// Where the parts of a seat are.
pub(crate) const fn shape() -> [usize; 7] {
    [LEVELS_AT, SETS_AT, DURATIONS_AT, FIRST_BYTES_AT, APP_AT, LINES, FIRST_BYTE_SUM]
}

/// All seats.
#[derive(Clone, Copy)]
pub struct Telemetry {
    /// Those of masters are the first.
    seats: &'static [[Line; LINES]],
    directory: Directory,
    /// The queues of listeners, and the words that masters write.
    server: &'static [Line],
    /// The scoreboard's: the number of slots that were ever taken.
    reach: &'static AtomicU64,
    masters: Masters,
}

/// The words of one writer.
#[derive(Clone, Copy)]
pub struct Seat(Option<&'static [Line; LINES]>);

/// Which times a histogram has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Latency {
    /// Of requests, from their beginning to the last byte of the response.
    Duration,
    /// To the first byte of the response's head.
    FirstByte,
}

impl Telemetry {
    pub(crate) fn over(parts: &mut Parts, slots: usize, reach: &'static AtomicU64, masters: Masters) -> Telemetry {
        let (seats, _) = parts.take((seated(slots) + MASTERS_MAX) * LINES).as_chunks();
        let directory = parts.take(KEY_LINES).try_into().expect("as many lines as it has");
        Telemetry { seats, directory: Directory(directory), server: parts.take(SERVER_LINES), reach, masters }
    }

    /// Of the worker in this slot.
    pub fn seat(&self, slot: usize) -> Seat {
        Seat(self.seats.get(MASTERS_MAX + slot))
    }

    /// Of this master.
    pub fn master(&self) -> Seat {
        Seat(self.seats.get(self.masters.own()))
    }

    /// Counts the requests of the worker in this slot.
    pub fn requests(&self, slot: usize) -> Requests {
        Requests { seat: self.seat(slot), sets: Sets::new(self.directory) }
    }

    /// The seats of masters, and those of all slots that were ever taken.
    fn all(&self) -> impl Iterator<Item = Seat> + Clone {
        let reach = self.reach.load(Relaxed) as usize;
        let (masters, slots) = self.seats.split_at(MASTERS_MAX);
        let all = masters.iter().take(self.masters.reach()).chain(slots.iter().take(reach));
        all.map(|lines| Seat(Some(lines)))
    }

    /// Over all processes, those included that have exited.
    pub fn counted(&self, count: Count) -> u64 {
        self.all().map(|seat| seat.counted(count)).sum()
    }

    /// Over all processes that live.
    pub fn level(&self, level: Level) -> u64 {
        self.all().map(|seat| seat.level(level)).sum()
    }

    /// Master only: the connections that wait in the queues of listeners.
    pub fn set_accept_queues(&self, waiting: impl Iterator<Item = u64>) {
        self.server[0].words.iter().zip(waiting).for_each(|(word, count)| word.store(count, Relaxed));
    }

    pub fn accept_queues(&self) -> [u64; ACCEPT_QUEUES_MAX] {
        self.server[0].words.each_ref().map(|word| word.load(Relaxed))
    }

    /// CPU time that was just read, or what was read before if that is more: what a worker has used is in no number for a
    /// moment when it exits.
    fn cpu_us_at_least(&self, us: u64) -> u64 {
        self.server_word(ServerWord::MostCpuUs).fetch_max(us, Relaxed).max(us)
    }

    fn server_word(&self, word: ServerWord) -> &'static AtomicU64 {
        &self.server[1].words[word as usize]
    }

    /// Master only: a process that this one has reaped, or this one at its end, has used that much CPU time.
    pub fn add_exited_cpu(&self, us: u64) {
        self.server_word(ServerWord::ExitedCpuUs).fetch_add(us, Relaxed);
    }

    fn exited_cpu_us(&self) -> u64 {
        self.server_word(ServerWord::ExitedCpuUs).load(Relaxed)
    }

    /// Master only: this one and its helpers have used that much CPU time so far, in case that it is killed.
    pub fn note_master_cpu(&self, us: u64) {
        self.server[2].words[self.masters.own()].store(us, Relaxed);
    }

    /// Of a master that is dead: what it has noted, and then the word, which the next master of that number may have taken.
    pub(crate) fn master_cpu(&self, number: usize) -> (u64, &'static AtomicU64) {
        let word = &self.server[2].words[number];
        (word.load(Relaxed), word)
    }

    /// Master only: a reload has ended at this time of the Unix epoch.
    pub fn set_last_reload(&self, at: u64, is_success: bool) {
        self.server_word(ServerWord::LastReloadSucceeded).store(is_success.into(), Relaxed);
        self.server_word(ServerWord::LastReloadAt).store(at, Relaxed);
    }

    /// When the last reload ended, and 1 if it succeeded.
    fn last_reload(&self) -> Option<(u64, u64)> {
        let load = |word| self.server_word(word).load(Relaxed);
        Some((load(ServerWord::LastReloadAt), load(ServerWord::LastReloadSucceeded))).filter(|(at, _)| *at > 0)
    }

    /// Connections that were not refused, of sums that were read one after the other, or what was said before if that is more.
    pub fn handled_at_least(&self, connections: u64) -> u64 {
        self.server_word(ServerWord::MostHandled).fetch_max(connections, Relaxed).max(connections)
    }

    fn first_byte_ns(&self) -> u64 {
        self.all().filter_map(|seat| seat.0).map(|lines| lines[LEVELS_AT].words[FIRST_BYTE_SUM].load(Relaxed)).sum()
    }

    pub fn request_sets(&self) -> Vec<RequestSet> {
        self.directory.sets(self.all())
    }

    pub fn latencies(&self, which: Latency) -> LogLinear {
        let mut sum = LogLinear::default();
        for lines in self.all().filter_map(|seat| seat.latencies(which)) {
            for (bucket, word) in lines.iter().flat_map(|line| &line.words).enumerate() {
                sum.add(bucket, word.load(Relaxed));
            }
        }
        sum
    }

    /// Master only: the worker in this slot has exited, and with it this many requests that were in flight.
    pub(crate) fn retire(&self, slot: usize, in_flight: u64) {
        let seat = self.seat(slot);
        seat.count(Count::CutWorkerDied, in_flight);
        Level::ALL.into_iter().for_each(|level| seat.set_level(level, 0));
        if let Some(area) = seat.app() {
            app::retire(area);
        }
    }
}

impl Seat {
    /// Outside of a server: nothing is counted.
    pub const NONE: Seat = Seat(None);

    /// Of its only writer.
    pub fn count(&self, count: Count, number: u64) {
        if let Some(lines) = self.0 {
            requests::add(&lines[count as usize / 16].words[count as usize % 16], number);
        }
    }

    pub fn counted(&self, count: Count) -> u64 {
        self.0.map_or(0, |lines| lines[count as usize / 16].words[count as usize % 16].load(Relaxed))
    }

    pub fn set_level(&self, level: Level, value: u64) {
        if let Some(lines) = self.0 {
            lines[LEVELS_AT].words[level as usize].store(value, Relaxed);
        }
    }

    pub fn level(&self, level: Level) -> u64 {
        self.0.map_or(0, |lines| lines[LEVELS_AT].words[level as usize].load(Relaxed))
    }

    fn app(&self) -> Option<app::Area> {
        Some(app::Area(&self.0?[APP_AT..]))
    }

    fn set(&self, number: usize) -> Option<&'static Line> {
        Some(&self.0?[SETS_AT + number])
    }

    fn latencies(&self, which: Latency) -> Option<&'static [Line]> {
        let at = match which {
            Latency::Duration => DURATIONS_AT,
            Latency::FirstByte => FIRST_BYTES_AT,
        };
        Some(&self.0?[at..at + LATENCY_LINES])
    }
}

/// The requests of one worker.
pub struct Requests {
    seat: Seat,
    sets: Sets,
}

impl Requests {
    pub fn seat(&self) -> Seat {
        self.seat
    }

    /// `count` requests have ended alike. `first_byte_ns`: `None` if none of their responses was sent.
    pub fn record(&mut self, labels: Labels, duration_ns: u64, first_byte_ns: Option<u64>, count: u64) {
        let Some(lines) = self.seat.0 else { return };
        self.sets.record(&lines[SETS_AT..DURATIONS_AT], labels, duration_ns, count);
        let add = |at: usize, ns: u64| {
            let bucket = log_linear::bucket_of(ns);
            requests::add(&lines[at + bucket / 16].words[bucket % 16], count);
        };
        add(DURATIONS_AT, duration_ns);
        if let Some(ns) = first_byte_ns {
            add(FIRST_BYTES_AT, ns);
            requests::add(&lines[LEVELS_AT].words[FIRST_BYTE_SUM], ns * count);
        }
    }
}

#[cfg(test)]
#[path = "telemetry/tests.rs"]
mod tests;
