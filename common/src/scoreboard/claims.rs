//! Whose a slot is. The masters of one memory claim slots by one compare-and-swap, so that no two workers ever have the same
//! one; and each can tell which slots are those of workers that have ended without a master.
//!
//! A claim is written by the master, once more by the process that it has forked, and by the master that frees the slot: its own,
//! or another one if that is dead.

use super::{INDEX_BITS, Scoreboard, Slot, Word};
use crate::metric::Metric;
use crate::resident;
use crate::server_memory::{Masters, ProcessKey};
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::{Relaxed, SeqCst};

/// Words of the line of a slot that masters write, before those of the metrics. The claim is the number of the master and one;
/// above it the process, once it has begun. 0: the slot is free.
const CLAIM: usize = 0;
/// When that process started, see [`ProcessKey`].
const STARTED: usize = 1;
/// The CPU time of that process in microseconds, as its master has last seen it.
const CPU: usize = 2;
/// Bits of a claim that are the master's.
const MASTER_BITS: u32 = 8;

/// A slot that is claimed.
struct Claim {
    number: usize,
    word: u64,
    /// The number of the master.
    master: usize,
    /// `None`: it has not begun.
    process: Option<ProcessKey>,
}

impl Scoreboard {
    /// The masters that have this memory.
    pub fn masters(&self) -> Masters {
        self.masters
    }

    /// Master only: claims a free slot for a worker of this index. `None`: there is none.
    pub fn claim(&self, worker_index: usize) -> Option<usize> {
        let number = self.slots.iter().position(|[_, line]| {
            let claim = &line.words[CLAIM];
            claim.load(Relaxed) == 0 && claim.compare_exchange(0, self.own_claim(), SeqCst, Relaxed).is_ok()
        })?;
        self.take(number, worker_index);
        Some(number)
    }

    /// In a process just forked for the slot, before it does anything. False: its master is dead, and the slot is another's.
    pub fn occupy(&self, number: usize) -> bool {
        let (slot, own, key) = (self.slot(number), self.own_claim(), ProcessKey::own());
        let occupied = own | u64::from(key.pid()) << MASTER_BITS;
        let is_ours = slot.claim().compare_exchange(own, occupied, SeqCst, Relaxed).is_ok();
        if is_ours {
            slot.started().store(key.started(), SeqCst);
        }
        is_ours
    }

    pub(super) fn put_claim(&self, slot: &Slot) {
        slot.claim().store(self.own_claim(), SeqCst);
    }

    fn own_claim(&self) -> u64 {
        self.masters.own() as u64 + 1
    }

    /// What the words of the indexes of this master's workers have above the index.
    pub(super) fn own_mark(&self) -> u64 {
        self.own_claim() << INDEX_BITS
    }

    fn claims(&self) -> impl Iterator<Item = Claim> + '_ {
        self.slots().enumerate().filter_map(|(number, slot)| {
            let word = slot.claim().load(SeqCst);
            let master = (word as usize & ((1 << MASTER_BITS) - 1)).checked_sub(1)?;
            let pid = (word >> MASTER_BITS) as u32;
            let process = (pid > 0).then(|| ProcessKey::new(pid, slot.started().load(SeqCst)));
            Some(Claim { number, word, master, process })
        })
    }

    /// Master only: it has no more workers, and exits.
    pub fn leave(&self) {
        self.masters.leave();
    }

    /// The processes of the other masters: these, and their workers.
    pub fn other_pids(&self) -> Vec<u32> {
        let masters: Vec<u32> = self.masters.living().map(ProcessKey::pid).collect();
        if masters.is_empty() {
            return masters;
        }
        let own = self.masters.own();
        let workers = self.claims().filter(|claim| claim.master != own);
        let workers = workers.filter_map(|claim| claim.process.map(ProcessKey::pid));
        masters.into_iter().chain(workers).collect()
    }

    /// Master only: retires the slots of workers that have ended without a master that would reap them. Returns their number. The
    /// kernel adds their CPU time to no other process's, nor that of their master: what was last seen of it counts.
    pub fn sweep(&self) -> usize {
        let mut count = 0;
        for (dead, key) in self.masters.dead() {
            let mut is_any_left = false;
            for claim in self.claims().filter(|claim| claim.master == dead) {
                let living = claim.process.filter(|process| process.lives());
                if let Some(process) = living {
                    self.slot(claim.number).note_cpu(process.pid());
                }
                let is_swept = living.is_none() && self.try_sweep(&claim);
                count += usize::from(is_swept);
                is_any_left |= !is_swept;
            }
            let (cpu_us, word) = self.telemetry.master_cpu(dead);
            if !is_any_left && self.masters.free(dead, key) {
                self.telemetry.add_exited_cpu(cpu_us);
                // It fails if another master has the number by now.
                let _ = word.compare_exchange(cpu_us, 0, SeqCst, Relaxed);
            }
        }
        count
    }

    /// Of several masters that sweep, one gets it; none if its process has begun meanwhile.
    fn try_sweep(&self, claim: &Claim) -> bool {
        let (slot, ours) = (self.slot(claim.number), self.own_claim() | claim.word >> MASTER_BITS << MASTER_BITS);
        let is_ours = slot.claim().compare_exchange(claim.word, ours, SeqCst, Relaxed).is_ok();
        if is_ours {
            self.telemetry.add_exited_cpu(slot.cpu().load(Relaxed));
            self.clear(claim.number, slot.get(Metric::InFlight));
        }
        is_ours
    }

    pub(super) fn is_own(&self, slot: &Slot) -> bool {
        slot.load(Word::Index) >> INDEX_BITS == self.own_claim()
    }
}

impl Slot {
    fn claim(&self) -> &'static AtomicU64 {
        &self.before.words[CLAIM]
    }

    fn started(&self) -> &'static AtomicU64 {
        &self.before.words[STARTED]
    }

    fn cpu(&self) -> &'static AtomicU64 {
        &self.before.words[CPU]
    }

    /// Master only: keeps how much CPU time this process, the slot's, has used, in case that nothing reaps it.
    pub fn note_cpu(&self, pid: u32) {
        if let Some(seconds) = resident::cpu_seconds(pid) {
            self.cpu().store((seconds * 1e6) as u64, Relaxed);
        }
    }

    pub(super) fn give_up_claim(&self) {
        self.cpu().store(0, Relaxed);
        self.started().store(0, SeqCst);
        self.claim().store(0, SeqCst);
    }
}
