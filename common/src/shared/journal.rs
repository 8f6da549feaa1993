//! The words of a dictionary, and the journal by which its structure changes as a whole or not at all.
//!
//! Before a word is changed, its place and its old value are appended to the journal, which is in the shared memory as well; a
//! commit empties it. If the owner of the lock dies in between, the next one finds the journal and puts the old values back,
//! the last first. Should it die at that, the one after it does the same again, with the same result. So with an empty
//! journal the structure is whole.
//!
//! A process dies between two of its instructions, and all that it has stored until then is stored. So only the order of the
//! stores matters, and the fences are there for the compiler, and for processors that let other processors see stores in
//! another order.

use crate::sys::mmap::Line;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::{Relaxed, Release};
use std::sync::atomic::fence;

/// Changes between two commits, at most.
const CHANGES_MAX: usize = 64;
const PER_LINE: usize = 16;
/// The lines that a journal takes.
pub(super) const LINES: usize = CHANGES_MAX * 2 / PER_LINE;

#[derive(Clone, Copy)]
pub(super) struct Words {
    lines: &'static [Line],
    /// The number of changes in the journal.
    count: usize,
    journal: usize,
}

impl Words {
    /// `count`: the word that counts the changes of the journal; `journal`: where they begin.
    pub fn new(lines: &'static [Line], count: usize, journal: usize) -> Words {
        Words { lines, count, journal }
    }

    pub fn word(&self, at: usize) -> &'static AtomicU64 {
        &self.lines[at / PER_LINE].words[at % PER_LINE]
    }

    pub fn get(&self, at: usize) -> u64 {
        self.word(at).load(Relaxed)
    }

    /// Changes a word that is not part of the structure yet, or is all of it.
    pub fn put(&self, at: usize, value: u64) {
        #[cfg(test)]
        dying::step();
        self.word(at).store(value, Relaxed);
    }

    /// Changes a word of the structure.
    pub fn set(&self, at: usize, value: u64) {
        let changes = self.get(self.count) as usize;
        assert!(changes < CHANGES_MAX, "a commit comes before the journal is full");
        let entry = self.journal + changes * 2;
        self.put(entry, at as u64);
        self.put(entry + 1, self.get(at));
        fence(Release);
        self.put(self.count, changes as u64 + 1);
        fence(Release);
        self.put(at, value);
    }

    /// What was changed stays.
    pub fn commit(&self) {
        fence(Release);
        self.put(self.count, 0);
    }

    /// By the next owner of the lock: undoes what was not committed.
    pub fn roll_back(&self) {
        for change in (0..self.get(self.count) as usize).rev() {
            let entry = self.journal + change * 2;
            self.put(self.get(entry) as usize, self.get(entry + 1));
        }
        self.commit();
    }
}

/// Lets a test end a process, as it were, between any two stores.
#[cfg(test)]
pub(super) mod dying {
    use std::cell::Cell;

    thread_local!(static STEPS: Cell<Option<usize>> = const { Cell::new(None) });

    pub fn after(steps: Option<usize>) {
        STEPS.set(steps);
    }

    pub fn step() {
        match STEPS.get() {
            Some(0) => {
                STEPS.set(None);
                std::panic::resume_unwind(Box::new("died"));
            }
            Some(steps) => STEPS.set(Some(steps - 1)),
            None => {}
        }
    }
}
