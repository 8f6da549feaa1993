//! The rate of the whole server: at most N admitted requests in any window of time, however the window lies.
//!
//! A log of the last admissions, in a ring. Admission `s` is the entry at `s` modulo the ring's length: its lap around the ring
//! and its time, in one word. It may follow if admission `s - N` is at least a window old. Replacing the entry of the lap before
//! by one compare-and-swap *is* the admission: a process can die anywhere without an admission being lost or counted twice. The
//! count and the window can be changed at any time, as the log says when the last requests were admitted, whatever the limit
//! was then; the count is at most the ring's length.
//!
//! That any N + 1 admissions span a window holds although processes read the clock at different times, so that times in the log
//! may go backwards by some microseconds: of N + 1 entries two are at places that differ by a multiple of N, and between those
//! it is checked. A time is rounded up where it is logged and down where it is compared.

use super::settings::Rate;
use crate::sys::mmap::Line;
use std::cell::Cell;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed};

/// Bits of an entry's time, in microseconds: 8.9 years. Its lap is above.
const TIME_BITS: u32 = 48;
const LAP_MASK: u64 = (1 << (u64::BITS - TIME_BITS)) - 1;
/// Added to all times, so that an empty entry, of time 0, is older than any window.
const EPOCH_US: u64 = 1 << (TIME_BITS - 1);
const WORDS_PER_LINE: u64 = 16;
/// The shared head is moved on after this many admissions, not after each: it would be one more cache line that all processes
/// write. From there to the first free entry it is a few steps within the line that is written anyway.
const HEAD_STEP: u64 = WORDS_PER_LINE;

#[derive(Clone, Copy)]
pub(super) struct RateWindow {
    ring: &'static [Line],
    /// Its length in entries is this power of two.
    bits: u32,
    /// No later than the next admission. Admissions count from the ring's length, as lap 0 is the empty ring.
    head: &'static AtomicU64,
}

/// The window is full.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Full {
    /// The first time at which it is not.
    pub until_us: u64,
}

/// A hint holds for this long, far less than it takes to go around the ring so often that the laps begin again.
const HINT_HOLDS_US: u64 = 1_000_000;

/// A process's own idea of the head. While it holds, the shared head, which others write, is read only if this is wrong.
#[derive(Debug, Default)]
pub(super) struct Hint {
    next: Cell<u64>,
    /// When that was so.
    at_us: Cell<u64>,
}

impl Hint {
    fn set(&self, next: u64, now_us: u64) {
        self.next.set(next);
        self.at_us.set(now_us);
    }
}

struct Entry {
    lap: u64,
    time_us: u64,
}

impl Entry {
    fn of(word: u64) -> Entry {
        Entry { lap: word >> TIME_BITS, time_us: word & ((1 << TIME_BITS) - 1) }
    }

    fn word(&self) -> u64 {
        self.lap << TIME_BITS | self.time_us
    }
}

impl RateWindow {
    pub fn new(ring: &'static [Line], head: &'static AtomicU64) -> RateWindow {
        assert!(ring.len().is_power_of_two());
        RateWindow { ring, bits: ring.len().ilog2() + WORDS_PER_LINE.ilog2(), head }
    }

    /// The highest count of a rate.
    pub fn capacity(&self) -> u64 {
        1 << self.bits
    }

    fn word(&self, admission: u64) -> &'static AtomicU64 {
        let place = admission & (self.capacity() - 1);
        &self.ring[(place / WORDS_PER_LINE) as usize].words[(place % WORDS_PER_LINE) as usize]
    }

    fn lap(&self, admission: u64) -> u64 {
        (admission >> self.bits) & LAP_MASK
    }

    /// The number of the next admission, and the entry in its place.
    fn next(&self, hint: &Hint, now_us: u64) -> (u64, u64) {
        let is_fresh = now_us.saturating_sub(hint.at_us.get()) < HINT_HOLDS_US;
        let head = || self.head.load(Acquire);
        let mut next = hint.next.get().max(if is_fresh { 0 } else { head() }).max(self.capacity());
        loop {
            let word = self.word(next).load(Acquire);
            if self.lap(next).wrapping_sub(Entry::of(word).lap) & LAP_MASK == 1 {
                return (next, word);
            }
            next = head().max(next + 1);
        }
    }

    /// Admits a request, or says when there is room.
    pub fn admit(&self, rate: Rate, now_us: u64, hint: &Hint) -> Result<(), Full> {
        let (since_epoch_us, count) = (now_us + EPOCH_US, rate.count.min(self.capacity()));
        loop {
            let (next, word) = self.next(hint, now_us);
            let oldest = if count == self.capacity() { word } else { self.word(next - count).load(Acquire) };
            let oldest = Entry::of(oldest);
            if oldest.lap != self.lap(next - count) {
                hint.set(next + 1, now_us); // overwritten, so that `next` is taken, too
                continue;
            }
            let until_us = oldest.time_us + rate.window_us();
            if since_epoch_us < until_us {
                hint.set(next, now_us);
                return Err(Full { until_us: until_us - EPOCH_US });
            }
            // The caller's clock has been rounded down.
            let admitted = Entry { lap: self.lap(next), time_us: since_epoch_us + 1 }.word();
            let is_ours = self.word(next).compare_exchange(word, admitted, AcqRel, Relaxed).is_ok();
            if is_ours {
                hint.set(next + 1, now_us);
                if next % HEAD_STEP == 0 {
                    self.head.fetch_max(next, AcqRel);
                }
                return Ok(());
            }
        }
    }

    /// When the request may be admitted that comes after `ahead` others; now or in the past if there is room.
    pub fn room_at_us(&self, rate: Rate, ahead: u64, hint: &Hint, now_us: u64) -> u64 {
        let count = rate.count.min(self.capacity());
        let (next, _) = self.next(hint, now_us);
        let entry = Entry::of(self.word(next - count + ahead % count).load(Acquire));
        let rounds = 1 + ahead / count;
        (entry.time_us + rounds * rate.window_us()).saturating_sub(EPOCH_US)
    }

    /// Requests admitted within the window that ends now, up to the rate's count, and the time of the first of them.
    pub fn admitted(&self, rate: Rate, now_us: u64, hint: &Hint) -> (u64, Option<u64>) {
        let count = rate.count.min(self.capacity());
        let (next, _) = self.next(hint, now_us);
        let is_old = |admission: u64| {
            let entry = Entry::of(self.word(admission).load(Acquire));
            entry.time_us + rate.window_us() <= now_us + EPOCH_US
        };
        // The first that is not old, by halves.
        let (mut low, mut high) = (next - count, next);
        while low < high {
            let middle = low + (high - low) / 2;
            if is_old(middle) { low = middle + 1 } else { high = middle }
        }
        let first = (low < next).then(|| Entry::of(self.word(low).load(Acquire)).time_us.saturating_sub(EPOCH_US));
        (next - low, first)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn a_process_that_slept_until_the_laps_began_again_asks_for_the_head() {
        let ring: &'static [Line] = Box::leak(Box::new([Line { words: Default::default() }]));
        let window = RateWindow::new(ring, Box::leak(Box::default()));
        // The admission that the next has to follow comes after the reserved place.
        let (rate, laps) = (Rate { count: 13, window: Duration::from_micros(1) }, LAP_MASK + 1);
        let (sleeper, other) = (Hint::default(), Hint::default());
        window.admit(rate, 1, &sleeper).expect("the first");
        // Then the place of the sleeper's hint has the lap before that of the hint, but others after it have been used, too.
        let last = laps * window.capacity() + 5;
        for step in 1..=last - window.capacity() {
            window.admit(rate, 1 + 2 * step, &other).expect("the window is over");
        }
        assert_eq!((sleeper.next.get(), other.next.get()), (window.capacity() + 1, last + 1));
        window.admit(rate, 1 + 2 * (last + 1), &sleeper).expect("room");
        assert_eq!(sleeper.next.get(), last + 2);
    }
}
