//! Permits: the number of requests in flight in the whole server, exact, and safe against a process that dies anywhere.
//!
//! A place for each request that may be in flight. It holds its owner, so that the permits of a dead process can be given back;
//! a counter could not tell how much of it was whose. Taking, giving back and sweeping are one atomic operation on one place.
//!
//! The word of the limit is 0 for none, and N + 1 for a limit of N, which may be 0: a share of a limit (`throttle::shares`).
//!
//! With a limit of N only the first N places are given out. A limit that is lowered leaves permits above: until those are back,
//! a place is taken first, and then all that are taken are counted. Of two processes that do so at the same time, at least one
//! sees the other's, so that there are never more than N; both may see too many, and then both wait.

use super::Owner;
use crate::sys::mmap::Line;
use std::cell::Cell;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::{Relaxed, Release, SeqCst};

const WORDS_PER_LINE: usize = 16;

#[derive(Clone, Copy)]
pub(super) struct Permits {
    places: &'static [Line],
    /// The limit and one; 0: there is none.
    most: &'static AtomicU64,
    /// No place at or above this one, and the limit, is taken.
    reach: &'static AtomicU64,
}

/// Where a process looks first: processes that each keep to a line of their own do not disturb each other.
#[derive(Debug, Default)]
pub(super) struct Hint(Cell<usize>);

impl Hint {
    pub fn of(owner: Owner) -> Hint {
        Hint(Cell::new((owner.0 as usize - 1) * WORDS_PER_LINE))
    }

    pub fn set(&self, place: usize) {
        self.0.set(place);
    }
}

impl Permits {
    pub fn new(places: &'static [Line], most: &'static AtomicU64, reach: &'static AtomicU64) -> Permits {
        Permits { places, most, reach }
    }

    pub fn capacity(&self) -> usize {
        self.places.len() * WORDS_PER_LINE
    }

    fn place(&self, index: usize) -> &'static AtomicU64 {
        &self.places[index / WORDS_PER_LINE].words[index % WORDS_PER_LINE]
    }

    /// `None`: no limit. Permits that are out stay so. Of the master, or of the process that has the shares.
    pub fn set_most(&self, most: Option<usize>) {
        let most = most.map_or(0, |most| most as u64 + 1);
        self.reach.fetch_max(self.most.load(SeqCst).max(most).saturating_sub(1), SeqCst);
        self.most.store(most, SeqCst);
    }

    pub fn most(&self) -> Option<usize> {
        let most = self.most.load(SeqCst);
        (most > 0).then(|| (most as usize - 1).min(self.capacity()))
    }

    /// A place, if fewer than the limit are taken. Without a limit all are admitted, and there is nothing to hold.
    pub fn take(&self, owner: Owner, hint: &Hint) -> Result<Option<usize>, ()> {
        let Some(most) = self.most() else { return Ok(None) };
        if most == 0 {
            return Err(());
        }
        let hinted = hint.0.get();
        let first = if hinted < most { hinted } else { hinted % most };
        let takes = |index: usize| {
            let place = self.place(index);
            place.load(Relaxed) == 0 && place.compare_exchange(0, owner.0, SeqCst, Relaxed).is_ok()
        };
        let index = match takes(first) {
            true => first,
            false => (first + 1..most).chain(0..first).find(|&index| takes(index)).ok_or(())?,
        };
        hint.0.set(index);
        // Read again after the place was taken: a limit that is lowered after this is read counts this place.
        let (now, reach) = (self.most(), self.reach.load(SeqCst) as usize);
        if now == Some(most) && reach <= most || self.are_few_enough(index, now, reach.max(most)) {
            return Ok(Some(index));
        }
        self.give_back(index);
        Err(())
    }

    /// The limit is being lowered.
    #[cold]
    fn are_few_enough(&self, index: usize, most: Option<usize>, reach: usize) -> bool {
        let Some(most) = most else { return true };
        let held = |places: std::ops::Range<usize>| places.filter(|&index| self.place(index).load(SeqCst) != 0).count();
        let (below, above) = (held(0..most), held(most..reach.max(most)));
        if above == 0 && reach > most {
            // It fails if the limit has been changed, and is tried again by whoever takes next.
            let _ = self.reach.compare_exchange(reach as u64, most as u64, SeqCst, Relaxed);
        }
        index < most && below + above <= most
    }

    pub fn give_back(&self, index: usize) {
        self.place(index).store(0, Release);
    }

    /// Places taken, of all processes.
    pub fn taken(&self) -> usize {
        self.all().filter(|place| place.load(SeqCst) != 0).count()
    }

    /// The owner is dead: gives its places back. Returns their number.
    pub fn sweep(&self, owner: Owner) -> usize {
        self.all()
            .filter(|place| {
                place.load(Relaxed) == owner.0 && place.compare_exchange(owner.0, 0, SeqCst, Relaxed).is_ok()
            })
            .count()
    }

    /// All places that may be taken.
    fn all(&self) -> impl Iterator<Item = &'static AtomicU64> + '_ {
        let reach = (self.reach.load(SeqCst) as usize).max(self.most().unwrap_or(0));
        (0..reach.min(self.capacity())).map(|index| self.place(index))
    }
}
