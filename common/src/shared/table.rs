//! The structure of a dictionary, for the owner of its lock: entries of cells, found by their hash, in the order of their use.
//!
//! ```text
//!   line 0    the mutex
//!   line 1    the header: a word each for what is below
//!   8 lines   the journal
//!   buckets   a word each: the first entry
//!   cells    of 8 words; cell 0 is none, and holds both ends of the order of use
//! ```
//!
//! An entry is a chain of cells, so that there is nothing to defragment: what fits in the free cells can be stored, wherever
//! they are. Its first cell has
//!
//! ```text
//!   0  the next cell, and in its upper half the next entry of the bucket
//!   1  the entry used before this one, and in the upper half the one used after it
//!   2  when it expires, in ms of the server's clock; 0: never
//!   3  the upper half of its hash, and in the lower half the application's flags
//!   4  the kind of its value, the bytes of its key and those of its value
//!   5  the payload begins: a number or boolean is one word; then the key; then the bytes of a string
//! ```
//!
//! and each further one the payload after word 0. Key and string begin with a word. Cells that were never used begin at
//! `Fresh`; those that were given back are a chain like that of an entry.
//!
//! Invariants, whenever the journal is empty:
//! - Each cell below `Fresh` is in the chain of one entry, or free, and `FreeCount` of them are free.
//! - Each of the `Entries` entries is in the bucket of its hash, once, and in the order of use, once.
//! - What has been written to an entry before it was linked is never changed, except for the single word of a number; so a
//!   value is read whole. An entry's other value is another chain.
//!
//! Free cells may be written without the journal. So an operation commits what it has freed before it writes to it.

use super::entry::{CELL, EXPIRY, Entry, Kind, LINK, New, ORDER, PAYLOAD, SHAPE, Shape, TAG, both, words_of};
use super::journal::{self, Words};
use crate::sys::mmap::Line;
use crate::words::words_from;

/// Lines before the buckets.
const LINES_BEFORE: usize = 2 + journal::LINES;
const PER_LINE: usize = 16;

/// The words of the header.
#[derive(Clone, Copy)]
pub(super) enum Header {
    /// The first cell that was never used.
    Fresh,
    /// The first of the cells that were given back.
    Free,
    FreeCount,
    Entries,
    /// It is being emptied.
    Emptying,
    Changes,
    /// Of the lock.
    IsStuck,
}

#[derive(Clone, Copy)]
pub(super) struct Table {
    words: Words,
    buckets: usize,
    bucket_count: usize,
    cells: usize,
    /// Cell 0 included.
    cell_count: usize,
}

const fn low(word: u64) -> u32 {
    word as u32
}

const fn high(word: u64) -> u32 {
    (word >> 32) as u32
}

impl Table {
    /// `lines`: all lines of the dictionary.
    pub fn new(lines: &'static [Line]) -> Table {
        let words = (lines.len() - LINES_BEFORE) * PER_LINE;
        // A bucket for two to four cells.
        let bucket_count = (words / CELL / 2).next_power_of_two() / 2;
        let buckets = LINES_BEFORE * PER_LINE;
        let cells = buckets + bucket_count.next_multiple_of(PER_LINE);
        let cell_count = (lines.len() * PER_LINE - cells) / CELL;
        let header = |word: Header| PER_LINE + word as usize;
        Table {
            words: Words::new(lines, header(Header::Changes), 2 * PER_LINE),
            buckets,
            bucket_count,
            cells,
            cell_count,
        }
    }

    pub fn header(&self, word: Header) -> usize {
        PER_LINE + word as usize
    }

    fn get(&self, word: Header) -> u64 {
        self.words.get(self.header(word))
    }

    fn set(&self, word: Header, value: u64) {
        self.words.set(self.header(word), value);
    }

    /// Of a cell.
    fn at(&self, cell: u32, word: usize) -> usize {
        self.cells + cell as usize * CELL + word
    }

    fn of(&self, cell: u32, word: usize) -> u64 {
        self.words.get(self.at(cell, word))
    }

    pub fn commit(&self) {
        self.words.commit();
    }

    /// By each new owner of the lock: completes or undoes what its last owner has left.
    pub fn restore(&self) {
        if self.get(Header::Changes) != 0 {
            self.words.roll_back();
        }
        if self.get(Header::Emptying) != 0 {
            self.empty();
        }
    }

    /// Removes all entries. If the process dies in it, it is done again.
    pub fn empty(&self) {
        self.words.put(self.header(Header::Emptying), 1);
        for bucket in 0..self.bucket_count {
            self.words.put(self.buckets + bucket, 0);
        }
        self.words.put(self.at(0, ORDER), 0);
        self.words.put(self.header(Header::Fresh), 1);
        for word in [Header::Free, Header::FreeCount, Header::Entries] {
            self.words.put(self.header(word), 0);
        }
        std::sync::atomic::fence(std::sync::atomic::Ordering::Release);
        self.words.put(self.header(Header::Emptying), 0);
    }

    pub fn cells_max(&self) -> usize {
        self.cell_count - 1
    }

    pub fn free_cells(&self) -> usize {
        self.cell_count - self.get(Header::Fresh) as usize + self.get(Header::FreeCount) as usize
    }

    pub fn entries(&self) -> usize {
        self.get(Header::Entries) as usize
    }

    // Reading an entry.

    pub fn shape(&self, entry: Entry) -> Shape {
        Shape::of_word(self.of(entry.0, SHAPE))
    }

    pub fn bits(&self, entry: Entry) -> u64 {
        self.of(entry.0, PAYLOAD)
    }

    pub fn expiry_ms(&self, entry: Entry) -> u64 {
        self.of(entry.0, EXPIRY)
    }

    pub fn flags(&self, entry: Entry) -> u32 {
        low(self.of(entry.0, TAG))
    }

    /// Appends the bytes of a string.
    pub fn read_value(&self, entry: Entry, into: &mut Vec<u8>) {
        let shape = self.shape(entry);
        self.read(entry, shape.before() + words_of(shape.key_bytes), shape.value_bytes, into);
    }

    pub fn read_key(&self, entry: Entry, into: &mut Vec<u8>) {
        let shape = self.shape(entry);
        self.read(entry, shape.before(), shape.key_bytes, into);
    }

    fn read(&self, entry: Entry, skip: usize, bytes: usize, into: &mut Vec<u8>) {
        into.reserve(bytes + 8);
        let end = into.len() + bytes;
        for at in self.payload(entry).skip(skip).take(words_of(bytes)) {
            into.extend_from_slice(&self.words.get(at).to_ne_bytes());
        }
        into.truncate(end);
    }

    /// The places of the payload of an entry, or of free cells, and of all that follows.
    fn payload(&self, entry: Entry) -> impl Iterator<Item = usize> {
        let (mut cell, mut word) = (entry.0, PAYLOAD);
        std::iter::from_fn(move || {
            if word == CELL {
                (cell, word) = (low(self.of(cell, LINK)), 1);
            }
            word += 1;
            (cell != 0).then(|| self.at(cell, word - 1))
        })
    }

    fn has_key(&self, entry: Entry, hash: u32, key: &[u8]) -> bool {
        if high(self.of(entry.0, TAG)) != hash {
            return false;
        }
        let shape = self.shape(entry);
        shape.key_bytes == key.len()
            && self
                .payload(entry)
                .skip(shape.before())
                .zip(words_from(key))
                .all(|(at, word)| self.words.get(at) == word)
    }

    // The buckets.

    fn bucket(&self, hash: u32) -> usize {
        self.buckets + hash as usize % self.bucket_count
    }

    fn next_in_bucket(&self, cell: u32) -> u32 {
        high(self.of(cell, LINK))
    }

    fn in_bucket(&self, hash: u32) -> impl Iterator<Item = Entry> {
        let first = Some(low(self.words.get(self.bucket(hash))));
        std::iter::successors(first, |&cell| Some(self.next_in_bucket(cell))).take_while(|&cell| cell != 0).map(Entry)
    }

    pub fn find(&self, hash: u32, key: &[u8]) -> Option<Entry> {
        self.in_bucket(hash).find(|&entry| self.has_key(entry, hash, key))
    }

    /// Makes `to` what comes after `before` in the bucket; `None`: what comes first.
    fn link_in_bucket(&self, hash: u32, before: Option<Entry>, to: u32) {
        match before {
            None => self.words.set(self.bucket(hash), to.into()),
            Some(Entry(cell)) => self.words.set(self.at(cell, LINK), both(to, low(self.of(cell, LINK)))),
        }
    }

    // The order of use. Cell 0 comes before the newest and after the oldest entry.

    pub fn newest(&self) -> Option<Entry> {
        Some(self.older(0)).filter(|&cell| cell != 0).map(Entry)
    }

    pub fn oldest(&self) -> Option<Entry> {
        Some(self.newer(0)).filter(|&cell| cell != 0).map(Entry)
    }

    pub fn next_older(&self, entry: Entry) -> Option<Entry> {
        Some(self.older(entry.0)).filter(|&cell| cell != 0).map(Entry)
    }

    pub fn next_newer(&self, entry: Entry) -> Option<Entry> {
        Some(self.newer(entry.0)).filter(|&cell| cell != 0).map(Entry)
    }

    fn older(&self, cell: u32) -> u32 {
        low(self.of(cell, ORDER))
    }

    fn newer(&self, cell: u32) -> u32 {
        high(self.of(cell, ORDER))
    }

    fn set_older(&self, cell: u32, older: u32) {
        self.words.set(self.at(cell, ORDER), both(self.newer(cell), older));
    }

    fn set_newer(&self, cell: u32, newer: u32) {
        self.words.set(self.at(cell, ORDER), both(newer, self.older(cell)));
    }

    fn take_out_of_order(&self, entry: Entry) {
        let (older, newer) = (self.older(entry.0), self.newer(entry.0));
        self.set_older(newer, older);
        self.set_newer(older, newer);
    }

    fn put_first(&self, entry: Entry) {
        let first = self.older(0);
        self.words.set(self.at(entry.0, ORDER), both(0, first));
        self.set_newer(first, entry.0);
        self.set_older(0, entry.0);
    }

    /// It was used just now. To be committed.
    pub fn touch(&self, entry: Entry) {
        if self.older(0) != entry.0 {
            self.take_out_of_order(entry);
            self.put_first(entry);
        }
    }

    // Changes. All are to be committed.

    pub fn set_expiry(&self, entry: Entry, expiry_ms: u64) {
        self.words.set(self.at(entry.0, EXPIRY), expiry_ms);
    }

    pub fn set_flags(&self, entry: Entry, flags: u32) {
        self.words.set(self.at(entry.0, TAG), both(high(self.of(entry.0, TAG)), flags));
    }

    /// Of an entry that has a number or boolean.
    pub fn set_bits(&self, entry: Entry, kind: Kind, bits: u64) {
        let shape = Shape { kind, ..self.shape(entry) };
        if self.of(entry.0, SHAPE) != shape.word() {
            self.words.set(self.at(entry.0, SHAPE), shape.word());
        }
        self.words.set(self.at(entry.0, PAYLOAD), bits);
    }

    pub fn remove(&self, entry: Entry) {
        let hash = high(self.of(entry.0, TAG));
        let before = self.in_bucket(hash).take_while(|&one| one != entry).last();
        self.link_in_bucket(hash, before, self.next_in_bucket(entry.0));
        self.take_out_of_order(entry);
        let mut last = entry.0;
        let mut count = 1;
        while low(self.of(last, LINK)) != 0 {
            last = low(self.of(last, LINK));
            count += 1;
        }
        self.words.set(self.at(last, LINK), both(high(self.of(last, LINK)), low(self.get(Header::Free))));
        self.set(Header::Free, entry.0.into());
        self.set(Header::FreeCount, self.get(Header::FreeCount) + count);
        self.set(Header::Entries, self.get(Header::Entries) - 1);
    }

    /// Makes at least this many cells of those that were given back, which must be free. Commits.
    fn ready(&self, cells: usize) {
        let (have, fresh) = (self.get(Header::FreeCount), self.get(Header::Fresh) as u32);
        let more = (cells as u64).saturating_sub(have) as u32;
        if more == 0 {
            return;
        }
        for cell in fresh..fresh + more - 1 {
            self.words.put(self.at(cell, LINK), u64::from(cell + 1));
        }
        self.words.put(self.at(fresh + more - 1, LINK), self.get(Header::Free));
        self.set(Header::Free, fresh.into());
        self.set(Header::Fresh, u64::from(fresh + more));
        self.set(Header::FreeCount, have + u64::from(more));
        self.commit();
    }

    /// Stores an entry in place of `old`, which has the same key, in as many cells as it [needs](New::cells), which must be free.
    /// Nothing before is uncommitted.
    pub fn store(&self, new: &New<'_>, old: Option<Entry>) {
        let cells = new.cells();
        self.ready(cells);
        let entry = Entry(low(self.get(Header::Free)));
        let mut payload = self.payload(entry);
        let number = (new.kind != Kind::String).then_some(new.bits);
        for word in number.into_iter().chain(words_from(new.key)).chain(words_from(new.bytes)) {
            self.words.put(payload.next().expect("it has as many cells as it needs"), word);
        }
        drop(payload);
        self.words.put(self.at(entry.0, EXPIRY), new.expiry_ms);
        self.words.put(self.at(entry.0, TAG), both(new.hash, new.flags));
        self.words.put(self.at(entry.0, SHAPE), new.shape().word());
        let last = (1..cells).fold(entry.0, |cell, _| low(self.of(cell, LINK)));
        self.set(Header::Free, low(self.of(last, LINK)).into());
        self.set(Header::FreeCount, self.get(Header::FreeCount) - cells as u64);
        self.words.set(self.at(last, LINK), both(high(self.of(last, LINK)), 0));
        if let Some(old) = old {
            self.remove(old);
        }
        let bucket = self.bucket(new.hash);
        let next = low(self.words.get(bucket));
        self.words.set(self.at(entry.0, LINK), both(next, low(self.of(entry.0, LINK))));
        self.words.set(bucket, entry.0.into());
        self.put_first(entry);
        self.set(Header::Entries, self.get(Header::Entries) + 1);
        self.commit();
    }
}

#[cfg(test)]
#[path = "table_tests.rs"]
mod tests;
