//! The in-flight table: the requests that a worker is processing, readable by any process that shares the memory.
//!
//! It is a page of shared memory per slot, beside the scoreboard. One entry is the current one: the request that was
//! last passed to the app. A request that outlives its turn is copied to a kept entry, if one is free; the number of
//! all requests in flight is [`Metric::InFlight`]. The word `running` names the entry that the loop is in right now, so
//! that the request in which a worker hangs is known; the worker's heartbeat tells since when.
//!
//! Only the worker writes; any process may read. An entry has a version, which is odd during a write, so that no reader
//! sees half of one request and half of another (a seqlock). Writing an entry takes no system call and no allocation.

use crate::log::one_line;
use crate::metric::Metric;
use crate::scoreboard::Slot;
use crate::sys::mmap::Line;
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};
use std::sync::atomic::fence;
use std::time::{Duration, Instant};

/// The bytes of a request's first line that an entry holds.
pub const TEXT_BYTES_MAX: usize = 112;
/// The number of requests of a slot that can be listed beyond their first turn.
pub const KEPT_MAX: usize = LINES - 2;
/// Lines of a slot: one page, which the kernel allocates when it is first written.
pub(crate) const LINES: usize = 32;

/// The line of `running` and `taken`; the entries follow, the current one first.
const HEADER: usize = 0;
const CURRENT: u64 = 1;
/// Words of the header. `taken` has a bit for each kept entry, by its line.
const RUNNING: usize = 0;
const TAKEN: usize = 1;
/// Words of an entry; the text follows.
const VERSION: usize = 0;
const FACTS: usize = 1;
const TEXT: usize = 2;
/// A reader that finds an entry being written tries again up to this often: the writer may have died or been stopped
/// there.
const READS_MAX: usize = 1000;

/// Values of `running` that are not an entry.
const NOWHERE: u64 = 0;
const WEBSOCKET: u64 = 254;
const UNKNOWN: u64 = 255;

/// The entries of one slot.
#[derive(Clone, Copy)]
pub struct InFlightTable {
    lines: &'static [Line; LINES],
    slot: Slot,
}

/// A kept entry, held by the connection whose request it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Kept(std::num::NonZeroU8);

/// A kept entry of one of several requests of a connection: given back when it is dropped.
pub struct OwnEntry {
    lines: &'static [Line; LINES],
    kept: Kept,
}

/// The state of a connection before it is advanced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Before {
    /// Between requests.
    Idle,
    /// In flight, with an entry if one was free.
    InFlight(Option<Kept>),
    WebSocket,
}

/// A request in flight, as [`InFlightTable::requests`] lists it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InFlight {
    /// Printable, as the target is.
    pub method: String,
    /// The target as it was sent, or its beginning.
    pub target: String,
    /// The target is longer than what an entry holds.
    pub is_cut: bool,
    /// Since its head was complete.
    pub age: Duration,
    /// The worker's loop is in it now.
    pub is_running: bool,
}

/// The requests of a worker.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Requests {
    /// The oldest first.
    pub listed: Vec<InFlight>,
    /// The number of requests in flight that are not listed, for lack of entries.
    pub others: u64,
}

/// What the loop is in.
#[derive(Debug, Clone, Copy)]
pub enum Running {
    Nothing,
    Request(Entry),
    /// A request that has no entry.
    Unknown,
    WebSocket,
}

/// A copy of an entry.
#[derive(Debug, Clone, Copy)]
pub struct Entry {
    begun_ms: u64,
    length: usize,
    is_cut: bool,
    text: [u8; TEXT_BYTES_MAX],
}

impl InFlightTable {
    pub(crate) fn new(lines: &'static [Line; LINES], slot: Slot) -> InFlightTable {
        InFlightTable { lines, slot }
    }

    /// The worker's loop begins with a connection.
    pub fn turn_to(&self, before: Before) {
        self.header(RUNNING).store(
            match before {
                Before::Idle => NOWHERE,
                Before::InFlight(None) => UNKNOWN,
                Before::InFlight(Some(Kept(line))) => line.get().into(),
                Before::WebSocket => WEBSOCKET,
            },
            Relaxed,
        );
    }

    /// The loop is not in any request.
    pub fn turn_away(&self) {
        self.header(RUNNING).store(NOWHERE, Relaxed);
    }

    /// A request is about to be passed to the app. Its text begins with method and target, `length` bytes in all. They are
    /// copied by words where they lie: put together from two strings they cost 80 instructions more.
    pub fn begin(&self, text: &[u8], length: usize) {
        let running = self.header(RUNNING);
        let before = running.load(Relaxed);
        if before > CURRENT && before < LINES as u64 {
            // The connection's earlier request, which is answered.
            set_taken(self.lines, before, false);
        }
        self.lines[CURRENT as usize].write(self.slot.heartbeat_ms(), text, length);
        running.store(CURRENT, Relaxed);
    }

    /// The connection has had its turn; returns the entry that it keeps, if it has one from now on.
    pub fn keep(&self, kept: Option<Kept>, is_in_flight: bool) -> Option<Kept> {
        match kept {
            Some(Kept(line)) if !is_in_flight => {
                set_taken(self.lines, line.get().into(), false);
                return None;
            }
            None if !is_in_flight => return None,
            // The same request as before.
            kept if self.header(RUNNING).load(Relaxed) != CURRENT => return kept,
            _ => {}
        }
        let kept = kept.or_else(|| {
            let taken = self.header(TAKEN).load(Relaxed);
            let line = (CURRENT as u8 + 1..LINES as u8).find(|line| taken & 1 << line == 0)?;
            std::num::NonZeroU8::new(line).map(Kept)
        })?;
        let line = kept.0.get();
        self.lines[line as usize].write_copy(&self.lines[CURRENT as usize]);
        set_taken(self.lines, line.into(), true);
        self.header(RUNNING).store(line.into(), Relaxed);
        Some(kept)
    }

    /// The request that was just passed to the app goes on, beside others of its connection; `None`: no entry is free.
    pub fn keep_own(&self) -> Option<OwnEntry> {
        self.keep(None, true).map(|kept| OwnEntry { lines: self.lines, kept })
    }

    /// The slot's worker is gone.
    pub(crate) fn clear(&self) {
        self.header(RUNNING).store(NOWHERE, Relaxed);
        self.header(TAKEN).store(0, Relaxed);
    }

    /// What the loop is in. Allocates nothing: signal handlers call this, too.
    pub fn running(&self) -> Running {
        match self.header(RUNNING).load(Acquire) {
            NOWHERE => Running::Nothing,
            WEBSOCKET => Running::WebSocket,
            line => {
                let entry = self.lines.get(line as usize).and_then(Line::read);
                entry.map_or(Running::Unknown, Running::Request)
            }
        }
    }

    /// The requests that are in flight.
    pub fn requests(&self, now: Instant) -> Requests {
        let (running, taken) = (self.header(RUNNING).load(Acquire), self.header(TAKEN).load(Acquire));
        let kept = (CURRENT + 1..LINES as u64).filter(|line| taken & 1 << line != 0);
        // The current one, or one whose response is complete and whose end is still being processed.
        let running_line = (CURRENT..LINES as u64).contains(&running) && taken & 1 << running == 0;
        let entries = kept
            .chain(running_line.then_some(running))
            .filter_map(|line| Some((line, self.lines[line as usize].read()?)));
        let mut entries: Vec<(u64, Entry)> = entries.collect();
        entries.sort_by_key(|(_, entry)| entry.begun_ms);
        let others = self.slot.get(Metric::InFlight).saturating_sub(u64::from(taken.count_ones()));
        let listed = entries.into_iter().map(|(line, entry)| InFlight {
            method: one_line(&String::from_utf8_lossy(entry.method())),
            target: one_line(&String::from_utf8_lossy(entry.target())),
            is_cut: entry.is_cut,
            age: self.slot.since(entry.begun_ms, now),
            is_running: line == running,
        });
        Requests { listed: listed.collect(), others }
    }

    fn header(&self, word: usize) -> &'static std::sync::atomic::AtomicU64 {
        &self.lines[HEADER].words[word]
    }
}

fn set_taken(lines: &[Line; LINES], line: u64, is_taken: bool) {
    let word = &lines[HEADER].words[TAKEN];
    let others = word.load(Relaxed) & !(1 << line);
    // The entry itself has been written.
    word.store(others | u64::from(is_taken) << line, Release);
}

impl OwnEntry {
    pub fn kept(&self) -> Kept {
        self.kept
    }
}

impl Drop for OwnEntry {
    fn drop(&mut self) {
        set_taken(self.lines, self.kept.0.get().into(), false);
    }
}

impl Entry {
    pub fn method(&self) -> &[u8] {
        self.text().split(|&byte| byte == b' ').next().unwrap_or_default()
    }

    /// Only its beginning if [`Entry::is_cut`].
    pub fn target(&self) -> &[u8] {
        self.text().get(self.method().len() + 1..).unwrap_or_default()
    }

    pub fn is_cut(&self) -> bool {
        self.is_cut
    }

    /// By the scoreboard's clock, as [`Slot::since`] takes it.
    pub fn begun_ms(&self) -> u64 {
        self.begun_ms
    }

    fn text(&self) -> &[u8] {
        &self.text[..self.length]
    }
}

/// An entry's line: its version, `begun_ms << 8 | is_cut << 7 | length`, its text.
impl Line {
    /// Writes `length` bytes of the text, and as many of the following bytes as fill the last word: clearing them costs
    /// more.
    fn write(&self, begun_ms: u64, text: &[u8], length: usize) {
        let is_cut = length > TEXT_BYTES_MAX;
        let length = length.min(TEXT_BYTES_MAX);
        let facts = begun_ms << 8 | u64::from(is_cut) << 7 | length as u64;
        let words = length.div_ceil(8);
        debug_assert!(text.len() >= words * 8, "the version of HTTP follows the target");
        self.change(|line| {
            line.words[FACTS].store(facts, Relaxed);
            for (word, bytes) in line.words[TEXT..].iter().zip(text.as_chunks::<8>().0).take(words) {
                word.store(u64::from_ne_bytes(*bytes), Relaxed);
            }
        });
    }

    fn write_copy(&self, other: &Line) {
        self.change(|line| {
            for (word, other) in line.words[FACTS..].iter().zip(&other.words[FACTS..]) {
                word.store(other.load(Relaxed), Relaxed);
            }
        });
    }

    fn change(&self, write: impl FnOnce(&Line)) {
        // Odd already if an earlier worker of this slot died during a write.
        let writing = self.words[VERSION].load(Relaxed) | 1;
        self.words[VERSION].store(writing, Relaxed);
        fence(Release);
        write(self);
        self.words[VERSION].store(writing.wrapping_add(1), Release);
    }

    /// `None`: it was being written at every try.
    fn read(&self) -> Option<Entry> {
        for _ in 0..READS_MAX {
            let version = self.words[VERSION].load(Acquire);
            let facts = self.words[FACTS].load(Relaxed);
            let mut text = [0; TEXT_BYTES_MAX];
            for (bytes, word) in text.as_chunks_mut::<8>().0.iter_mut().zip(&self.words[TEXT..]) {
                *bytes = word.load(Relaxed).to_ne_bytes();
            }
            fence(Acquire);
            if version & 1 == 0 && self.words[VERSION].load(Relaxed) == version {
                let length = (facts as usize & 0x7f).min(TEXT_BYTES_MAX);
                return Some(Entry { begun_ms: facts >> 8, length, is_cut: facts & 0x80 != 0, text });
            }
            std::hint::spin_loop();
        }
        None
    }
}

#[cfg(test)]
#[path = "in_flight_table_tests.rs"]
mod tests;
