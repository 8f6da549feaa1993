//! The number of connections of each client's address in the whole server, for `--max-connections-per-address`.
//!
//! It is a part of the server memory that is mapped only with that option: a table for each slot, with one writer, of two rows of
//! counters. An address is counted in one cell of each row, which a seeded hash chooses; its connections are summed
//! over all slots, and the smaller sum of the two rows is taken (a count-min sketch). So the count is never too small.
//! It is too large if other addresses share the cell in both rows: with 50,000 connections, 3 share a cell on average,
//! and 100 addresses at their limit cause one in 27,000 others to be refused.
//!
//! An IPv6 address counts by its /64, which is what one client is assigned; an IPv4 address as such, also when it is
//! mapped into IPv6. The master clears the table of a worker that it has reaped.

use crate::server_memory::Keys;
use crate::sys::mmap::Line;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::{Relaxed, SeqCst};

const ROWS: usize = 2;
/// Cells of a row; a power of two.
const CELLS: usize = 1 << 14;
/// A cell has 16 bits: four share a word.
const CELL_BITS: usize = 16;
const CELL_MAX: u64 = (1 << CELL_BITS) - 1;
const CELLS_PER_WORD: usize = 64 / CELL_BITS;
const WORDS_PER_LINE: usize = size_of::<Line>() / size_of::<u64>();
/// Lines of a slot: 64 KiB.
const LINES: usize = ROWS * CELLS / CELLS_PER_WORD / WORDS_PER_LINE;

/// Lines of this many slots.
pub(crate) const fn lines(slots: usize) -> usize {
    slots * LINES
}

/// The tables of all slots.
#[derive(Clone, Copy)]
pub(crate) struct Tables {
    slots: &'static [[Line; LINES]],
    keys: Keys,
}

/// The counts as one worker sees and changes them.
pub struct AddressCounts {
    tables: Tables,
    slot: usize,
    /// The number of slots to read.
    reach: &'static AtomicU64,
}

/// One connection of an address, as it was counted: the cell in each row. Given back by [`AddressCounts::leave`].
#[derive(Debug, PartialEq, Eq)]
#[must_use]
pub struct Entry([u16; ROWS]);

impl Tables {
    /// The kernel allocates memory only for the tables of slots that were ever taken.
    pub(crate) fn new(lines: &'static [Line], keys: Keys) -> Tables {
        let (slots, _) = lines.as_chunks();
        Tables { slots, keys }
    }

    pub(crate) fn of(self, slot: usize, reach: &'static AtomicU64) -> AddressCounts {
        AddressCounts { tables: self, slot, reach }
    }

    /// The slot's worker is gone, and with it its connections.
    pub(crate) fn clear(self, slot: usize) {
        let words = self.slots[slot].iter().flat_map(|line| &line.words);
        // Most are empty: do not take their cache lines from other CPUs for nothing.
        words.filter(|word| word.load(Relaxed) != 0).for_each(|word| word.store(0, Relaxed));
    }

    /// The word of a cell, and the cell's shift in it.
    fn cell(self, slot: usize, row: usize, cell: u16) -> (&'static AtomicU64, usize) {
        let (word, part) = (usize::from(cell) / CELLS_PER_WORD, usize::from(cell) % CELLS_PER_WORD);
        let word = row * CELLS / CELLS_PER_WORD + word;
        (&self.slots[slot][word / WORDS_PER_LINE].words[word % WORDS_PER_LINE], part * CELL_BITS)
    }

    fn load(self, slot: usize, row: usize, cell: u16) -> u64 {
        let (word, shift) = self.cell(slot, row, cell);
        word.load(SeqCst) >> shift & CELL_MAX
    }
}

impl AddressCounts {
    /// Counts one more connection of the address, unless it has `most`.
    ///
    /// It is counted first, and then the sum is read: of two workers that do so at the same time, at least one sees the
    /// other's. So there are never more than `most`; if two compete for the last one, both may be refused.
    pub fn enter(&self, address: IpAddr, most: u64) -> Option<Entry> {
        let hash = self.tables.keys.hash_one(client_of(address));
        let entry = Entry([hash, hash >> 32].map(|bits| (bits % CELLS as u64) as u16));
        if entry.cells().any(|(row, cell)| self.tables.load(self.slot, row, cell) == CELL_MAX) {
            return None;
        }
        for (row, cell) in entry.cells() {
            let (word, shift) = self.tables.cell(self.slot, row, cell);
            word.fetch_add(1 << shift, SeqCst);
        }
        if self.count(&entry) > most {
            self.leave(entry);
            return None;
        }
        Some(entry)
    }

    /// That connection is gone.
    pub fn leave(&self, entry: Entry) {
        for (row, cell) in entry.cells() {
            let (word, shift) = self.tables.cell(self.slot, row, cell);
            word.fetch_sub(1 << shift, SeqCst);
        }
    }

    /// Connections of the entry's address, in all slots.
    fn count(&self, entry: &Entry) -> u64 {
        let slots = self.reach.load(Relaxed) as usize;
        let sum = |(row, cell)| (0..slots).map(|slot| self.tables.load(slot, row, cell)).sum();
        entry.cells().map(sum).min().unwrap_or(0)
    }
}

impl Entry {
    fn cells(&self) -> impl Iterator<Item = (usize, u16)> + use<> {
        self.0.into_iter().enumerate()
    }
}

/// What counts as one client: an IPv4 address, or the /64 of an IPv6 address.
pub fn client_of(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) => {
            let [a, b, c, d, ..] = v6.segments();
            IpAddr::V6(Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0))
        }
        v4 => v4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scoreboard::Scoreboard;
    use crate::server_memory::{Needs, ServerMemory};

    fn two_slots() -> (Scoreboard, [AddressCounts; 2]) {
        let memory = ServerMemory::private(Needs { slots: 3, rate_count: 0, store: 0 }).unwrap();
        let mut board = Scoreboard::over(&memory).unwrap();
        board.count_addresses(&memory).unwrap();
        (0..2).for_each(|slot| board.take(slot, slot));
        (board, [0, 1].map(|slot| board.address_counts(slot).unwrap()))
    }

    fn is_empty(counts: &AddressCounts) -> bool {
        counts.tables.slots.iter().flatten().flat_map(|line| &line.words).all(|word| word.load(Relaxed) == 0)
    }

    #[test]
    fn the_limit_of_an_address_holds_over_all_slots() {
        let (board, [one, other]) = two_slots();
        let (client, neighbour) = ("192.0.2.1".parse().unwrap(), "192.0.2.2".parse().unwrap());
        let first = one.enter(client, 3).expect("the first");
        let _second = other.enter(client, 3).expect("the second");
        let _third = other.enter(client, 3).expect("the third");
        for counts in [&one, &other] {
            assert_eq!(counts.enter(client, 3), None, "a fourth");
        }
        let of_neighbour = one.enter(neighbour, 1).expect("another address");
        one.leave(first);
        let first = one.enter(client, 3).expect("the first has left");
        assert_eq!(one.enter(client, 3), None);
        board.retire(1, 0);
        let (a, b) = (one.enter(client, 3), one.enter(client, 3));
        assert!(a.is_some() && b.is_some(), "those of a cleared slot are gone");
        assert_eq!(one.enter(client, 3), None);
        [Some(first), Some(of_neighbour), a, b].into_iter().flatten().for_each(|entry| one.leave(entry));
        assert!(is_empty(&one), "all cells are zero again");
    }

    #[test]
    fn a_full_cell_refuses_more() {
        let (_, [one, _]) = two_slots();
        let client = "192.0.2.1".parse().unwrap();
        let entries: Vec<Entry> = (0..CELL_MAX).map(|_| one.enter(client, u64::MAX).expect("room")).collect();
        assert_eq!(one.enter(client, u64::MAX), None);
        entries.into_iter().for_each(|entry| one.leave(entry));
        assert!(is_empty(&one));
    }

    #[test]
    fn a_client_is_an_ipv4_address_or_a_64() {
        for (one, other, is_same) in [
            ("192.0.2.1", "192.0.2.1", true),
            ("192.0.2.1", "192.0.2.2", false),
            ("192.0.2.1", "::ffff:192.0.2.1", true),
            ("::ffff:192.0.2.1", "::ffff:192.0.2.2", false),
            ("2001:db8::1", "2001:db8::ffff:1:2:3", true),
            ("2001:db8::1", "2001:db8:0:1::1", false),
        ] {
            let [a, b] = [one, other].map(|address| client_of(address.parse().unwrap()));
            assert_eq!(a == b, is_same, "{one} and {other}");
        }
    }
}
