//! The limits of each client: a rate and a number of requests in flight, in two tables of fixed size.
//!
//! A client is a hash that is seeded at the start, so that no one can choose clients that share a bucket. A flood of new clients
//! makes neither table grow nor slow: where a bucket is full, the rate table drops the client that owes least, and the table of
//! requests in flight does not count one more. So a flood can make a limit forget, and never refuses anyone by it.
//!
//! The rate is GCRA: each client's word says when its requests so far would have arrived, had they come evenly (its theoretical
//! arrival time); one that is further ahead than a window is over. That admits a burst of N and then N a window.
//!
//! A request in flight is a word with its client and its owner, so that those of a dead process can be removed. It is entered
//! first and then its client's are counted: two processes that do so at the same time cannot both miss each other's.

use super::Owner;
use super::settings::{CLIENT_CONCURRENCY_MAX, Rate};
use crate::address_counts::client_of;
use crate::sys::mmap::Line;
use std::net::IpAddr;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::{AcqRel, Relaxed, Release, SeqCst};

const WORDS_PER_LINE: usize = 16;
/// Clients in a bucket of the rate table: one cache line.
const BUCKET: usize = 8;
/// Lines of the rate table, two buckets each; 65 536 clients in 512 KiB.
pub(super) const RATE_LINES: usize = 1 << 12;
/// Lines of the table of requests in flight; 131 072 of them in 1 MiB.
pub(super) const FLIGHT_LINES: usize = 1 << 13;
/// Bits of a word of the rate table that are a time in microseconds, modulo 203 days. The client's are above.
const TIME_BITS: u32 = 44;
const TIME_MASK: u64 = (1 << TIME_BITS) - 1;
/// Readings of the clock that are older than this are not used.
const CLOCKS_APART_US: u64 = 60_000_000;
/// Bits of a word of a request in flight that are its owner. The client's are above.
const OWNER_BITS: u32 = 16;
/// Two requests of one client that are entered at the same time may both count one too many, and are counted again.
const TRIES: usize = 3;

/// A client, as the tables know it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Client(pub(super) u64);

/// An address as a key of a client, in one word: the /64 of an IPv6 address; an IPv4 address as a /64 that is reserved
/// (RFC 4291, 2.4).
pub(super) fn word_of(address: IpAddr) -> u64 {
    match client_of(address) {
        IpAddr::V4(v4) => 0xffff << 32 | u64::from(u32::from(v4)),
        IpAddr::V6(v6) => (u128::from(v6) >> 64) as u64,
    }
}

/// Both tables are arrays, so that no place of theirs costs a division or a check of its bounds.
#[derive(Clone, Copy)]
pub(super) struct ClientRates {
    lines: &'static [Line; RATE_LINES],
}

/// A rate, as the times of clients are reckoned by it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pace {
    count: u64,
    window_us: u64,
    /// From one request to the next, where they come evenly.
    period_us: u64,
}

impl From<Rate> for Pace {
    fn from(rate: Rate) -> Pace {
        let window_us = rate.window_us();
        Pace { count: rate.count, window_us, period_us: (window_us / rate.count).max(1) }
    }
}

/// The client is over its rate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Over {
    pub until_us: u64,
}

/// How the clients stand to a limit that each of them has.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct ClientsUse {
    /// Clients that use some of it now.
    pub clients: u64,
    /// Those of them that have nothing left.
    pub at_limit: u64,
    /// What the client that uses most of it uses, in requests.
    pub most: u64,
}

impl ClientsUse {
    fn add(&mut self, used: u64, limit: u64) {
        self.clients += 1;
        self.at_limit += u64::from(used >= limit);
        self.most = self.most.max(used.min(limit));
    }
}

/// What is left of a rate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Quota {
    pub remaining: u64,
    /// Until one more remains; the whole window if nothing is used.
    pub more_in_us: u64,
}

impl ClientRates {
    pub fn new(lines: &'static [Line]) -> ClientRates {
        ClientRates { lines: lines.try_into().expect("as many lines as asked for") }
    }

    fn bucket(&self, client: Client) -> &'static [AtomicU64] {
        let number = (client.0 as usize) % (RATE_LINES * WORDS_PER_LINE / BUCKET);
        let first = number * BUCKET % WORDS_PER_LINE;
        &self.lines[number * BUCKET / WORDS_PER_LINE].words[first..first + BUCKET]
    }

    /// The client's bits of a word; never 0, which is an empty one.
    fn tag(client: Client) -> u64 {
        client.0 >> TIME_BITS | 1
    }

    /// How far ahead of now the word's time is; 0 if it is past, or so old that the clock has wrapped around since. Another
    /// process may have read the clock a little later.
    fn ahead_us(word: u64, pace: Pace, now_us: u64) -> u64 {
        let ahead = word.wrapping_sub(now_us) & TIME_MASK;
        if ahead <= pace.window_us + CLOCKS_APART_US { ahead } else { 0 }
    }

    /// The client's word, or the one in its bucket that owes least.
    #[inline(always)]
    fn find(&self, client: Client, pace: Pace, now_us: u64) -> (&'static AtomicU64, u64) {
        let (bucket, tag) = (self.bucket(client), Self::tag(client));
        let mut words = bucket.iter().map(|word| (word, word.load(Relaxed)));
        words.find(|(_, word)| word >> TIME_BITS == tag).unwrap_or_else(|| Self::least(bucket, pace, now_us))
    }

    #[inline(never)]
    fn least(bucket: &'static [AtomicU64], pace: Pace, now_us: u64) -> (&'static AtomicU64, u64) {
        let words = bucket.iter().map(|word| (word, word.load(Relaxed)));
        words
            .min_by_key(|&(_, word)| if word == 0 { 0 } else { 1 + Self::ahead_us(word, pace, now_us) })
            .expect("a bucket has words")
    }

    fn owed_us(word: u64, client: Client, pace: Pace, now_us: u64) -> u64 {
        if word >> TIME_BITS == Self::tag(client) { Self::ahead_us(word, pace, now_us) } else { 0 }
    }

    /// True: for this, a client that owed was forgotten.
    pub fn admit(&self, client: Client, pace: Pace, now_us: u64) -> Result<bool, Over> {
        loop {
            let (place, word) = self.find(client, pace, now_us);
            let owes = Self::owed_us(word, client, pace, now_us) + pace.period_us;
            if owes > pace.window_us {
                return Err(Over { until_us: now_us + owes - pace.window_us });
            }
            let new = Self::tag(client) << TIME_BITS | (now_us + owes) & TIME_MASK;
            if place.compare_exchange_weak(word, new, AcqRel, Relaxed).is_ok() {
                let is_own = word >> TIME_BITS == Self::tag(client);
                return Ok(!is_own && word != 0 && Self::ahead_us(word, pace, now_us) > 0);
            }
        }
    }

    /// A request that was admitted here and not by the server's own limits is not counted after all.
    pub fn give_back(&self, client: Client, pace: Pace, now_us: u64) {
        let (place, word) = self.find(client, pace, now_us);
        let owed = Self::owed_us(word, client, pace, now_us);
        if owed > 0 {
            let new = Self::tag(client) << TIME_BITS | (now_us + owed.saturating_sub(pace.period_us)) & TIME_MASK;
            // If it fails the client has asked again, and owes one more than it should: the safe side.
            let _ = place.compare_exchange(word, new, AcqRel, Relaxed);
        }
    }

    /// What remains for a client that owes this much.
    fn remaining(pace: Pace, owed_us: u64) -> u64 {
        (pace.window_us.saturating_sub(owed_us) / pace.period_us).min(pace.count)
    }

    /// Of all clients in the table: reads all of it, half a megabyte.
    pub fn usage(&self, pace: Pace, now_us: u64) -> ClientsUse {
        let mut usage = ClientsUse::default();
        for word in self.lines.iter().flat_map(|line| &line.words) {
            let word = word.load(Relaxed);
            let owed = if word == 0 { 0 } else { Self::ahead_us(word, pace, now_us) };
            if owed > 0 {
                usage.add(pace.count - Self::remaining(pace, owed), pace.count);
            }
        }
        usage
    }

    pub fn quota(&self, client: Client, pace: Pace, now_us: u64) -> Quota {
        let (_, word) = self.find(client, pace, now_us);
        let owed = Self::owed_us(word, client, pace, now_us);
        let remaining = Self::remaining(pace, owed);
        // One more remains once no more than this is owed.
        let then = pace.window_us.saturating_sub((remaining + 1) * pace.period_us);
        Quota { remaining, more_in_us: if owed == 0 { pace.window_us } else { owed - then.min(owed) } }
    }
}

#[derive(Clone, Copy)]
pub(super) struct ClientsInFlight {
    lines: &'static [Line; FLIGHT_LINES],
    /// A word for each line: how many places from there on the requests have reached of clients that begin there. So that most
    /// of the span, which is empty, need not be looked at. It only grows.
    extents: &'static [Line; FLIGHT_LINES / WORDS_PER_LINE],
    /// Places in which a client's requests may be, from the first of its line on; it only grows.
    span: &'static AtomicU64,
}

impl ClientsInFlight {
    pub fn new(lines: &'static [Line], extents: &'static [Line], span: &'static AtomicU64) -> ClientsInFlight {
        let expected = "as many lines as asked for";
        let (lines, extents) = (lines.try_into().expect(expected), extents.try_into().expect(expected));
        ClientsInFlight { lines, extents, span }
    }

    /// Master only. Each line has room for half as many requests of others.
    pub fn set_most(&self, most: usize) {
        let lines = (most.min(CLIENT_CONCURRENCY_MAX) + WORDS_PER_LINE / 2).div_ceil(WORDS_PER_LINE) * 3 / 2;
        self.span.fetch_max((lines.max(1) * WORDS_PER_LINE) as u64, SeqCst);
    }

    fn word(&self, place: usize) -> &'static AtomicU64 {
        let place = place % (FLIGHT_LINES * WORDS_PER_LINE);
        &self.lines[place / WORDS_PER_LINE].words[place % WORDS_PER_LINE]
    }

    /// The place where the client begins, and how many places its requests have reached.
    fn home(&self, client: Client) -> (usize, &'static AtomicU64) {
        let line = client.0 as usize % FLIGHT_LINES;
        (line * WORDS_PER_LINE, &self.extents[line / WORDS_PER_LINE].words[line % WORDS_PER_LINE])
    }

    fn tag(client: Client) -> u64 {
        client.0 >> OWNER_BITS | 1
    }

    /// Enters a request if the client has fewer than `most`. `Ok(None)`: there is no room to count it.
    pub fn enter(&self, client: Client, most: usize, owner: Owner) -> Result<Option<usize>, ()> {
        let (tag, (first, extent)) = (Self::tag(client), self.home(client));
        let places = |count: u64| first..first + count as usize;
        let entry = tag << OWNER_BITS | owner.0;
        for _ in 0..TRIES {
            let taken = places(self.span.load(SeqCst)).find(|&place| {
                let word = self.word(place);
                word.load(Relaxed) == 0 && word.compare_exchange(0, entry, SeqCst, Relaxed).is_ok()
            });
            let Some(place) = taken else { return Ok(None) };
            // Before they are counted: a process that does not see this had entered its own before.
            let reached = (place - first + 1) as u64;
            if extent.load(SeqCst) < reached {
                extent.fetch_max(reached, SeqCst);
            }
            let all = places(extent.load(SeqCst));
            let held = all.filter(|&place| self.word(place).load(SeqCst) >> OWNER_BITS == tag).count();
            if held <= most {
                return Ok(Some(place));
            }
            self.leave(place);
            if held > most + 1 {
                break;
            }
        }
        Err(())
    }

    pub fn leave(&self, place: usize) {
        self.word(place).store(0, Release);
    }

    /// Of all clients with requests in flight: reads all of the table, a megabyte. A request that is entered at this moment, and
    /// will be denied, may count.
    pub fn usage(&self, most: usize) -> ClientsUse {
        let words = self.lines.iter().flat_map(|line| &line.words).map(|word| word.load(Relaxed));
        let mut clients: Vec<u64> = words.filter(|&word| word != 0).map(|word| word >> OWNER_BITS).collect();
        clients.sort_unstable();
        let mut usage = ClientsUse::default();
        clients.chunk_by(|a, b| a == b).for_each(|requests| usage.add(requests.len() as u64, most as u64));
        usage
    }

    /// The owner is dead: its requests are no longer in flight. Returns their number.
    pub fn sweep(&self, owner: Owner) -> usize {
        if self.span.load(SeqCst) == 0 {
            return 0; // it was never used
        }
        let words = self.lines.iter().flat_map(|line| &line.words);
        words
            .filter(|word| {
                let entry = word.load(Relaxed);
                entry & ((1 << OWNER_BITS) - 1) == owner.0
                    && entry != 0
                    && word.compare_exchange(entry, 0, SeqCst, Relaxed).is_ok()
            })
            .count()
    }
}
