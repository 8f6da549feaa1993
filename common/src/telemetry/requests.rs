//! Requests by method, status and version, with a histogram of their durations each.
//!
//! The sets of labels are numbered for the whole server in one directory, which workers add to: a set's key is claimed by
//! one compare-and-swap, once. A set that finds no place is counted under the last number, which has no labels but the
//! method `_OTHER`; so no client can make the table grow. Each worker has a line of words for each set.

use super::Seat;
use crate::method::Method;
use crate::sys::mmap::Line;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::{Acquire, Relaxed};

/// Sets of labels, without the one of those that find no place.
pub const SETS_MAX: usize = 256;
/// The upper bounds of the buckets, in nanoseconds: those of OpenTelemetry's `http.server.request.duration`.
pub const BOUNDS_NS: [u64; 14] = [
    5_000_000,
    10_000_000,
    25_000_000,
    50_000_000,
    75_000_000,
    100_000_000,
    250_000_000,
    500_000_000,
    750_000_000,
    1_000_000_000,
    2_500_000_000,
    5_000_000_000,
    7_500_000_000,
    10_000_000_000,
];
pub const BUCKETS: usize = BOUNDS_NS.len() + 1;

/// Lines of the directory.
pub(super) const KEY_LINES: usize = SETS_MAX / 16;
/// Words of a set's line: the sum of the durations in nanoseconds, then the buckets.
const SUM: usize = 0;
const BUCKET: usize = 1;
const _: () = assert!(BUCKET + BUCKETS == 16, "a set is a line");

/// The version of HTTP, as a label.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    Http10,
    Http11,
    Http2,
    /// The head was malformed.
    Unknown,
}

impl Protocol {
    const ALL: [Protocol; 4] = [Protocol::Http10, Protocol::Http11, Protocol::Http2, Protocol::Unknown];

    /// The value of OpenTelemetry's attribute `network.protocol.version`.
    pub fn name(self) -> &'static str {
        match self {
            Protocol::Http10 => "1.0",
            Protocol::Http11 => "1.1",
            Protocol::Http2 => "2",
            Protocol::Unknown => "",
        }
    }
}

/// What requests are told apart by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Labels {
    pub method: Method,
    /// `None`: no response was begun, or its head is unknown.
    pub status: Option<u16>,
    pub protocol: Protocol,
}

impl Labels {
    /// Of those that found no place.
    const OTHER: Labels = Labels { method: Method::Other, status: None, protocol: Protocol::Unknown };

    /// Never 0.
    fn key(self) -> u64 {
        1 << 32 | (self.method as u64) << 24 | (self.protocol as u64) << 16 | u64::from(self.status.unwrap_or(0))
    }

    fn of(key: u64) -> Labels {
        let at = |shift: u32| (key >> shift & 0xff) as usize;
        let status = key as u16;
        Labels {
            method: Method::ALL.get(at(24)).copied().unwrap_or(Method::Other),
            protocol: Protocol::ALL.get(at(16)).copied().unwrap_or(Protocol::Unknown),
            status: (status > 0).then_some(status),
        }
    }
}

/// Requests of one set of labels, over the whole server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RequestSet {
    pub labels: Labels,
    /// By duration: up to each of [`BOUNDS_NS`], and above all.
    pub buckets: [u64; BUCKETS],
    pub sum_ns: u64,
}

impl RequestSet {
    pub fn count(&self) -> u64 {
        self.buckets.iter().sum()
    }
}

/// The keys of all sets.
#[derive(Clone, Copy)]
pub(super) struct Directory(pub &'static [Line; KEY_LINES]);

impl Directory {
    fn key(self, set: usize) -> &'static AtomicU64 {
        &self.0[set / 16].words[set % 16]
    }

    /// The number of a set; claims one if it has none yet. Open addressing: a key is never removed.
    fn find(self, key: u64) -> usize {
        let first = (key.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 56) as usize;
        for step in 0..SETS_MAX {
            let set = (first + step) % SETS_MAX;
            let word = self.key(set);
            let found = match word.load(Acquire) {
                0 => word.compare_exchange(0, key, Relaxed, Acquire).map_or_else(|other| other, |_| key),
                found => found,
            };
            if found == key {
                return set;
            }
        }
        SETS_MAX
    }

    /// All sets that were ever counted.
    pub fn sets(self, seats: impl Iterator<Item = Seat> + Clone) -> Vec<RequestSet> {
        let claimed = (0..SETS_MAX).map(|set| (set, self.key(set).load(Acquire))).filter(|(_, key)| *key > 0);
        let all = claimed.map(|(set, key)| (set, Labels::of(key))).chain([(SETS_MAX, Labels::OTHER)]);
        let mut sets: Vec<RequestSet> = all
            .map(|(set, labels)| {
                let mut sum = RequestSet { labels, buckets: [0; BUCKETS], sum_ns: 0 };
                for line in seats.clone().filter_map(|seat| seat.set(set)) {
                    sum.sum_ns += line.words[SUM].load(Relaxed);
                    sum.buckets.iter_mut().zip(&line.words[BUCKET..]).for_each(|(to, from)| *to += from.load(Relaxed));
                }
                sum
            })
            .filter(|set| set.count() > 0)
            .collect();
        sets.sort_by_key(|set| set.labels.key());
        sets
    }
}

/// A worker's place in the table.
pub(super) struct Sets {
    directory: Directory,
    /// The key that was last looked for, and its number: most requests are like the one before.
    last: (u64, usize),
}

impl Sets {
    pub fn new(directory: Directory) -> Sets {
        Sets { directory, last: (0, SETS_MAX) }
    }

    /// `count` requests of this duration each. `lines`: the worker's, one for each set.
    pub fn record(&mut self, lines: &[Line], labels: Labels, ns: u64, count: u64) {
        let key = labels.key();
        if self.last.0 != key {
            self.last = (key, self.directory.find(key));
        }
        let line = &lines[self.last.1];
        let bucket = BOUNDS_NS.iter().position(|&bound| ns <= bound).unwrap_or(BOUNDS_NS.len());
        add(&line.words[SUM], ns * count);
        add(&line.words[BUCKET + bucket], count);
    }
}

/// Of the only writer.
pub(super) fn add(word: &AtomicU64, count: u64) {
    word.store(word.load(Relaxed).wrapping_add(count), Relaxed);
}
