//! The table of the workers: who fills each slot, who is to take over there, and who still leaves.
//!
//! A child is known by its seat, which no other living process has. A slot is a place among the workers; it has one
//! current child at the most, at the most one successor that boots beside it, and any number that leave. Invariant: a
//! slot without a current child has a time at which one is started, unless nobody is to come (`Slot::next_start`).

use crate::respawn::Respawn;
use crate::watchdog::Watch;
use mio::net::UnixStream;
use nix::unistd::Pid;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// Processes at the same time: all workers, and those that leave.
pub const SEATS_MAX: usize = 4096;

pub struct Child {
    pub pid: Pid,
    pub slot: usize,
    /// Of the app: counts the reloads before this process.
    pub generation: u64,
    pub started: Instant,
    pub phase: Phase,
    /// What it said about a boot that failed.
    pub boot_error: Option<Vec<u8>>,
    pub channel: UnixStream,
    pub watch: Watch,
    /// It is to be replaced, for a reason of its own.
    pub is_due: bool,
    /// It is due once it is that old.
    pub lifetime: Option<Duration>,
    /// Looks at its memory, one after another, that found too much.
    pub rss_strikes: u32,
    /// The master has sent it SIGKILL.
    pub is_killed: bool,
}

/// From the fork to the burial.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// Its app is being built.
    Booting,
    /// It said that its app is built and its listeners are in its loop.
    Ready,
    /// It takes nobody in any more; killed at `kill_at`, where there is such a time.
    Leaving { since: Instant, kill_at: Option<Instant> },
}

/// What a child was to its slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    Current,
    Successor,
    Leaver,
}

#[derive(Default)]
pub struct Slot {
    pub current: Option<usize>,
    pub successor: Option<usize>,
    /// When a child is started for a slot that has none; `None`, where there is one or nobody is to come.
    pub next_start: Option<Instant>,
    pub respawn: Respawn,
    /// A worker of this slot has been ready or has died: its first start is over.
    pub is_settled: bool,
    /// Its processes that were never ready, and forks that failed.
    pub failures: u64,
    /// After a successor that failed, the next is not started before that time.
    pub retry_at: Option<Instant>,
}

/// The workers of one slot that leave.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Leavers {
    pub count: usize,
    /// Its seat, and since when.
    pub oldest: Option<(usize, Instant)>,
}

pub struct Children {
    pub slots: Vec<Slot>,
    /// Slots that nobody fills are to be filled.
    is_open: bool,
    seats: BTreeMap<usize, Child>,
}

impl Slot {
    fn starting(now: Instant) -> Slot {
        Slot { next_start: Some(now), ..Slot::default() }
    }
}

impl Children {
    pub fn new(workers: usize, now: Instant) -> Self {
        Children { slots: (0..workers).map(|_| Slot::starting(now)).collect(), is_open: true, seats: BTreeMap::new() }
    }

    /// A seat that nobody has.
    pub fn free_seat(&self) -> Option<usize> {
        (0..SEATS_MAX).find(|seat| !self.seats.contains_key(seat))
    }

    /// Takes in a process just forked, as the current child of its slot or, where there is one, as its successor.
    pub fn insert(&mut self, seat: usize, child: Child) {
        let slot = &mut self.slots[child.slot];
        match slot.current {
            None => (slot.current, slot.next_start) = (Some(seat), None),
            Some(_) => slot.successor = Some(seat),
        }
        self.seats.insert(seat, child);
    }

    pub fn get(&self, seat: usize) -> Option<&Child> {
        self.seats.get(&seat)
    }

    pub fn get_mut(&mut self, seat: usize) -> Option<&mut Child> {
        self.seats.get_mut(&seat)
    }

    pub fn iter(&self) -> impl Iterator<Item = (usize, &Child)> {
        self.seats.iter().map(|(&seat, child)| (seat, child))
    }

    /// All seats that are taken, for who changes the table meanwhile.
    pub fn seats(&self) -> Vec<usize> {
        self.seats.keys().copied().collect()
    }

    pub fn iter_mut(&mut self) -> impl Iterator<Item = (usize, &mut Child)> {
        self.seats.iter_mut().map(|(&seat, child)| (seat, child))
    }

    pub fn count(&self) -> usize {
        self.seats.len()
    }

    pub fn seat_of(&self, pid: Pid) -> Option<usize> {
        self.iter().find(|(_, child)| child.pid == pid).map(|(seat, _)| seat)
    }

    pub fn current(&self, slot: usize) -> Option<&Child> {
        self.get(self.slots.get(slot)?.current?)
    }

    pub fn is_ready(&self, slot: usize) -> bool {
        self.current(slot).is_some_and(|child| child.phase == Phase::Ready)
    }

    pub fn count_ready(&self) -> usize {
        (0..self.slots.len()).filter(|&slot| self.is_ready(slot)).count()
    }

    pub fn are_all_settled(&self) -> bool {
        self.slots.iter().all(|slot| slot.is_settled)
    }

    /// It leaves, and is killed at some time.
    pub fn is_ending(&self, seat: usize) -> bool {
        self.get(seat).is_some_and(|child| matches!(child.phase, Phase::Leaving { kill_at: Some(_), .. }))
    }

    /// Those that leave, of each slot.
    pub fn all_leavers(&self) -> Vec<Leavers> {
        let mut all = vec![Leavers::default(); self.slots.len()];
        for (seat, child) in self.iter() {
            // A slot that was taken away has leavers still.
            let (Phase::Leaving { since, .. }, Some(leavers)) = (child.phase, all.get_mut(child.slot)) else {
                continue;
            };
            leavers.count += 1;
            if leavers.oldest.is_none_or(|(_, oldest)| since < oldest) {
                leavers.oldest = Some((seat, since));
            }
        }
        all
    }

    /// A child is ready: it fills its slot, and whom it succeeds is returned.
    pub fn on_ready(&mut self, seat: usize) -> Option<usize> {
        let child = self.seats.get_mut(&seat).filter(|child| child.phase == Phase::Booting)?;
        child.phase = Phase::Ready;
        let slot = self.slots.get_mut(child.slot)?;
        slot.is_settled = true;
        if slot.successor != Some(seat) {
            return None;
        }
        (slot.successor, slot.retry_at) = (None, None);
        slot.current.replace(seat)
    }

    /// A child takes nobody in any more. It fills no slot then; where it did, its successor or the next start does.
    pub fn on_leaving(&mut self, seat: usize, kill_at: Option<Instant>, now: Instant) -> Role {
        let Some(child) = self.seats.get_mut(&seat) else { return Role::Leaver };
        child.phase = match child.phase {
            Phase::Leaving { since, .. } => Phase::Leaving { since, kill_at },
            _ => Phase::Leaving { since: now, kill_at },
        };
        self.vacate(seat, Some(now))
    }

    /// Takes a dead child out of the table. A slot that it filled is filled by its successor, or left empty without a
    /// time for the next start.
    pub fn remove(&mut self, seat: usize) -> Option<(Child, Role)> {
        let role = self.vacate(seat, None);
        Some((self.seats.remove(&seat)?, role))
    }

    /// The child fills its slot no more; if nobody is there to follow, one is started at `next`.
    fn vacate(&mut self, seat: usize, next: Option<Instant>) -> Role {
        let Some(slot) = self.slots.iter_mut().find(|slot| [slot.current, slot.successor].contains(&Some(seat))) else {
            return Role::Leaver;
        };
        if slot.successor == Some(seat) {
            slot.successor = None;
            return Role::Successor;
        }
        slot.current = slot.successor.take();
        slot.retry_at = None;
        if slot.current.is_none() {
            slot.next_start = next.filter(|_| self.is_open);
        }
        Role::Current
    }

    /// A slot whose first worker, or next one, is due.
    pub fn due(&self, now: Instant) -> Option<usize> {
        self.slots.iter().position(|slot| slot.next_start.is_some_and(|at| at <= now))
    }

    /// When somebody is to be started next, after a failure.
    pub fn next_start(&self, now: Instant) -> Option<Instant> {
        let retries = self.slots.iter().filter_map(|slot| slot.retry_at).filter(|&at| at > now);
        self.slots.iter().filter_map(|slot| slot.next_start).chain(retries).min()
    }

    /// No process is to be had: the slots that wait for their next worker, if they are due, wait until then, and so does this
    /// one. Returns how many that are.
    pub fn postpone(&mut self, slot: usize, until: Instant, now: Instant) -> usize {
        let mut count = 0;
        for (index, entry) in self.slots.iter_mut().enumerate() {
            if entry.next_start.is_some_and(|at| at <= now) {
                entry.next_start = Some(until);
            } else if index == slot {
                entry.retry_at = Some(until);
            } else {
                continue;
            }
            entry.is_settled = true;
            entry.failures += 1;
            count += 1;
        }
        count
    }

    /// Nobody is started any more.
    pub fn close(&mut self) {
        self.is_open = false;
        self.slots.iter_mut().for_each(|slot| slot.next_start = None);
    }

    pub fn is_open(&self) -> bool {
        self.is_open
    }

    /// Slots that have nobody are filled now, whatever they waited for.
    pub fn open(&mut self, now: Instant) {
        self.is_open = true;
        for slot in &mut self.slots {
            slot.retry_at = None;
            if slot.current.is_none() {
                (slot.next_start, slot.respawn) = (Some(now), Respawn::default());
            }
        }
    }

    /// One slot more, filled as soon as may be.
    pub fn add(&mut self, now: Instant) {
        self.slots.push(Slot::starting(now));
    }

    /// The youngest slot goes; returns the seats of those who filled it or were about to.
    pub fn take_last(&mut self) -> Vec<usize> {
        let slot = self.slots.pop();
        slot.into_iter().flat_map(|slot| [slot.current, slot.successor]).flatten().collect()
    }
}
