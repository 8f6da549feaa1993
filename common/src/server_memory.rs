//! The server memory: the shared memory that is of the whole server and outlives a master. An upgrade hands it on, so that
//! both masters and all of their workers admit and count in one place.
//!
//! One mapping of a file in memory: a header, the numbers of the masters, the election, the keys of TLS tickets, and the parts, which [`Parts`] deals out in a fixed
//! order. The file is passed to the next master, which takes the memory on if it has the same layout and is large enough
//! ([`ServerMemory::take_on`]). Where no file can be made, the memory is anonymous, and ends with its master.
//!
//! Times in it count from its epoch, a moment of the monotonic clock.

mod masters;

pub use masters::{MASTERS_MAX, Masters, ProcessKey};

use crate::election::Election;
use crate::gauges::Resource;
use crate::method::Method;
use crate::metric::Metric;
use crate::scoreboard;
use crate::sys::clock::monotonic_ns;
use crate::sys::mmap::{ALIGNMENT, Line, map_lines, memory_file, read_line, shared_lines};
use crate::telemetry::{self, Count, Level};
use crate::throttle::{self, Cause, Setting};
use crate::ticket_keys::TicketKeys;
use foldhash::SharedSeed;
use foldhash::quality::{FixedState, SeedableRandomState};
use std::fmt;
use std::hash::{BuildHasher, DefaultHasher, Hash, Hasher, RandomState};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::{Relaxed, SeqCst};
use std::time::{Duration, Instant};

/// "tine-mem".
const MAGIC: u64 = u64::from_be_bytes(*b"tine-mem");
/// To be changed if a word has another meaning at the same place, which no name or size shows.
const LAYOUT: u64 = 5;
/// The epoch is known by two clocks, which are read one after the other: no further apart than this.
const EPOCH_APART: Duration = Duration::from_nanos(200);
const EPOCH_TRIES: usize = 1000;

/// The words of line 0. Those up to the epoch are constant.
#[derive(Clone, Copy)]
enum Word {
    Magic,
    Layout,
    Slots,
    RateCount,
    KeyOne,
    KeyOther,
    /// A hash of the store that the limits are shared through; 0: none.
    Store,
    EpochNs,
    /// Connections of addresses were counted here.
    HasAddresses,
    MastersReach,
    /// See [`Masters::lead`].
    Leader,
}

const HEADER: usize = 0;
const MASTERS: usize = 1;
const ELECTION: usize = 2;
const TICKET_KEYS: usize = 3;
const HEADER_LINES: usize = 4;

/// What a master needs the memory for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Needs {
    pub slots: usize,
    /// The highest count of a rate that is to be limited.
    pub rate_count: u64,
    /// A hash of the store of shared limits; 0: there is none.
    pub store: u64,
}

/// Why memory of another master cannot be taken on.
#[derive(Debug)]
pub enum Unusable {
    OtherVersion,
    OtherSlots(u64),
    RateTooHigh { asked: u64, most: u64 },
    OtherStore,
    TooManyMasters,
    Unreadable(io::Error),
}

pub struct ServerMemory {
    lines: &'static [Line],
    file: Option<OwnedFd>,
    masters: Masters,
    epoch: Instant,
    needs: Needs,
    is_taken_on: bool,
}

/// The lines of the memory, dealt out from the first on.
pub(crate) struct Parts(&'static [Line]);

impl Parts {
    pub fn take(&mut self, count: usize) -> &'static [Line] {
        let (taken, rest) = self.0.split_at(count);
        self.0 = rest;
        taken
    }

    pub fn line(&mut self) -> &'static Line {
        &self.take(1)[0]
    }
}

/// Secret, so that no client can choose what shares a place with another. The same in all processes.
#[derive(Debug, Clone, Copy)]
pub struct Keys([u64; 2]);

impl Keys {
    pub fn hash_one(self, value: impl Hash) -> u64 {
        let mut hasher = DefaultHasher::new();
        (self.0, value).hash(&mut hasher);
        hasher.finish()
    }

    /// For what is hashed at each request, in a tenth of the instructions that SipHash takes. It withstands those who cannot see
    /// its results, which no table of clients shows.
    pub fn client_hasher(self) -> SeedableRandomState {
        let [seed, shared] = self.0;
        SeedableRandomState::with_seed(seed, Box::leak(Box::new(SharedSeed::from_u64(shared))))
    }
}

impl Needs {
    fn lines(&self) -> usize {
        HEADER_LINES + scoreboard::lines(self.slots, self.rate_count)
    }

    /// Where the counts of addresses begin, which are only mapped if they are needed.
    fn addresses_at(&self) -> usize {
        self.lines().next_multiple_of(ALIGNMENT)
    }
}

/// Two programs with the same one put every number at the same place.
fn layout() -> u64 {
    // Another hash function is another layout, too: clients have their places by it.
    let mut hasher = DefaultHasher::new();
    FixedState::with_seed(LAYOUT).hash_one(LAYOUT).hash(&mut hasher);
    // Each C library has a mutex of its own.
    (LAYOUT, size_of::<Line>(), MASTERS_MAX, HEADER_LINES, cfg!(target_env = "gnu")).hash(&mut hasher);
    Metric::ALL.map(|metric| metric.name()).hash(&mut hasher);
    Count::ALL.map(|count| (count.describe().0.name, count.describe().1)).hash(&mut hasher);
    Level::ALL.len().hash(&mut hasher);
    Cause::ALL.map(Cause::name).hash(&mut hasher);
    Setting::ALL.map(Setting::name).hash(&mut hasher);
    Resource::ALL.map(Resource::name).hash(&mut hasher);
    Method::ALL.map(Method::name).hash(&mut hasher);
    (telemetry::requests::BOUNDS_NS, telemetry::log_linear::BUCKETS).hash(&mut hasher);
    (telemetry::shape(), throttle::shape(), scoreboard::lines(1, 0)).hash(&mut hasher);
    hasher.finish()
}

impl ServerMemory {
    /// New memory that can be handed on; anonymous if the system allows no file in memory, which is logged.
    pub fn new(needs: Needs) -> io::Result<ServerMemory> {
        let made = memory_file(needs.addresses_at() + crate::address_counts::lines(needs.slots))
            .and_then(|file| Ok((map_lines(file.as_fd(), 0, needs.lines())?, file)));
        match made {
            Ok((lines, file)) => ServerMemory::begin(lines, Some(file), needs),
            Err(e) => {
                log::warn!(
                    "an upgrade will not keep counters and limits exact: the shared memory cannot be handed on: {e}"
                );
                ServerMemory::private(needs)
            }
        }
    }

    /// New memory of this process and those that it forks.
    pub fn private(needs: Needs) -> io::Result<ServerMemory> {
        ServerMemory::begin(shared_lines(needs.lines())?, None, needs)
    }

    fn begin(lines: &'static [Line], file: Option<OwnedFd>, needs: Needs) -> io::Result<ServerMemory> {
        Election::make(&lines[ELECTION])?;
        let (epoch, epoch_ns) = now_by_both_clocks();
        let secret = RandomState::new();
        for (word, value) in [
            (Word::Magic, MAGIC),
            (Word::Layout, layout()),
            (Word::Slots, needs.slots as u64),
            (Word::RateCount, needs.rate_count),
            (Word::KeyOne, secret.hash_one(1)),
            (Word::KeyOther, secret.hash_one(2)),
            (Word::Store, needs.store),
            (Word::EpochNs, epoch_ns),
        ] {
            lines[HEADER].words[word as usize].store(value, SeqCst);
        }
        let masters = register(lines).expect("it is the first");
        masters.lead();
        Ok(ServerMemory { lines, file, masters, epoch, needs, is_taken_on: false })
    }

    /// The memory of the master before this one, if it is what this one needs.
    pub fn take_on(file: OwnedFd, needs: Needs) -> Result<ServerMemory, Unusable> {
        // How much is to be mapped is only known from the header, which does not change.
        let header = read_line(file.as_fd(), HEADER).map_err(Unusable::Unreadable)?;
        let load = |word: Word| header[word as usize];
        if (load(Word::Magic), load(Word::Layout)) != (MAGIC, layout()) {
            return Err(Unusable::OtherVersion);
        }
        if load(Word::Slots) != needs.slots as u64 {
            return Err(Unusable::OtherSlots(load(Word::Slots)));
        }
        let most = load(Word::RateCount);
        if throttle::ring_entries(needs.rate_count) > throttle::ring_entries(most) {
            return Err(Unusable::RateTooHigh { asked: needs.rate_count, most: throttle::ring_entries(most) });
        }
        if load(Word::Store) != needs.store {
            return Err(Unusable::OtherStore);
        }
        let needs = Needs { rate_count: most, ..needs };
        let lines = map_lines(file.as_fd(), 0, needs.lines()).map_err(Unusable::Unreadable)?;
        let (now, now_ns) = now_by_both_clocks();
        let age = Duration::from_nanos(now_ns.saturating_sub(load(Word::EpochNs)));
        let epoch = now.checked_sub(age).ok_or(Unusable::OtherVersion)?;
        let masters = register(lines).ok_or(Unusable::TooManyMasters)?;
        Ok(ServerMemory { lines, file: Some(file), masters, epoch, needs, is_taken_on: true })
    }

    /// Another master made it, and may still use it.
    pub fn is_taken_on(&self) -> bool {
        self.is_taken_on
    }

    /// What the next master gets.
    pub fn file(&self) -> Option<BorrowedFd<'_>> {
        self.file.as_ref().map(AsFd::as_fd)
    }

    pub fn masters(&self) -> Masters {
        self.masters
    }

    /// Of one worker of all that use this memory.
    pub fn election(&self) -> Election {
        Election::at(&self.lines[ELECTION])
    }

    /// The keys of TLS session tickets.
    pub fn ticket_keys(&self) -> TicketKeys {
        TicketKeys::at(&self.lines[TICKET_KEYS])
    }

    pub fn epoch(&self) -> Instant {
        self.epoch
    }

    pub(crate) fn needs(&self) -> Needs {
        self.needs
    }

    pub(crate) fn parts(&self) -> Parts {
        Parts(&self.lines[HEADER_LINES..])
    }

    pub(crate) fn keys(&self) -> Keys {
        Keys([Word::KeyOne, Word::KeyOther].map(|word| self.word(word).load(Relaxed)))
    }

    fn word(&self, word: Word) -> &'static AtomicU64 {
        &self.lines[HEADER].words[word as usize]
    }

    /// A master has counted the connections of addresses here.
    pub fn has_addresses(&self) -> bool {
        self.word(Word::HasAddresses).load(SeqCst) != 0
    }

    /// The lines in which they are counted.
    pub(crate) fn addresses(&self) -> io::Result<&'static [Line]> {
        let count = crate::address_counts::lines(self.needs.slots);
        self.word(Word::HasAddresses).store(1, SeqCst);
        match &self.file {
            Some(file) => map_lines(file.as_fd(), self.needs.addresses_at(), count),
            None => shared_lines(count),
        }
    }
}

fn register(lines: &'static [Line]) -> Option<Masters> {
    let [reach, leader] = [Word::MastersReach, Word::Leader].map(|word| &lines[HEADER].words[word as usize]);
    Masters::register(&lines[MASTERS], reach, leader)
}

/// This moment, by the clock that the program uses and by that of the kernel.
fn now_by_both_clocks() -> (Instant, u64) {
    let read = || {
        let (before, ns) = (Instant::now(), monotonic_ns());
        (before.elapsed(), before, ns)
    };
    // Interrupted between the two, they would be apart by more than the rounding of the times in the memory.
    let mut best = read();
    for _ in 0..EPOCH_TRIES {
        if best.0 <= EPOCH_APART {
            break;
        }
        best = best.min(read());
    }
    (best.1, best.2)
}

impl fmt::Display for Unusable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Unusable::OtherVersion => write!(f, "this version lays it out in another way"),
            Unusable::OtherSlots(slots) => write!(f, "it has {slots} slots"),
            Unusable::RateTooHigh { asked, most } => {
                write!(f, "it has room for a rate of at most {most} requests, and --limit-rate asks for {asked}")
            }
            Unusable::OtherStore => write!(f, "--limit-store is another one"),
            Unusable::TooManyMasters => write!(f, "{MASTERS_MAX} masters have it already"),
            Unusable::Unreadable(e) => write!(f, "{e}"),
        }
    }
}

#[cfg(test)]
#[path = "server_memory/tests.rs"]
mod tests;
