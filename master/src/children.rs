//! The table of worker slots: who sits there, or when the next one is started.

use crate::respawn::Respawn;
use mio::net::UnixStream;
use nix::unistd::Pid;
use std::time::Instant;

pub struct Child {
    pub pid: Pid,
    pub started: Instant,
    /// It said that its app is built and its listeners are in its loop.
    pub is_ready: bool,
    /// It said that its app has asked for a fresh worker.
    pub is_retiring: bool,
    /// What it said about a boot that failed.
    pub boot_error: Vec<u8>,
    pub has_boot_error: bool,
    pub channel: UnixStream,
}

pub enum Occupant {
    Running(Child),
    /// Nobody; a worker is started then.
    StartAt(Instant),
    /// Nobody, and nobody is to come: the server stops.
    Vacant,
}

pub struct SlotEntry {
    pub occupant: Occupant,
    pub respawn: Respawn,
    /// A worker of this slot has been ready or has died: its first start is over.
    pub is_settled: bool,
}

pub struct Children {
    slots: Vec<SlotEntry>,
}

impl Children {
    pub fn new(workers: usize, now: Instant) -> Self {
        let entry = || SlotEntry { occupant: Occupant::StartAt(now), respawn: Respawn::default(), is_settled: false };
        Children { slots: (0..workers).map(|_| entry()).collect() }
    }

    pub fn slot(&mut self, slot: usize) -> &mut SlotEntry {
        &mut self.slots[slot]
    }

    pub fn running(&mut self) -> impl Iterator<Item = (usize, &mut Child)> {
        self.slots.iter_mut().enumerate().filter_map(|(slot, entry)| match &mut entry.occupant {
            Occupant::Running(child) => Some((slot, child)),
            _ => None,
        })
    }

    pub fn count_running(&self) -> usize {
        self.slots.iter().filter(|entry| matches!(entry.occupant, Occupant::Running(_))).count()
    }

    pub fn count_ready(&self) -> usize {
        self.slots.iter().filter(|entry| matches!(&entry.occupant, Occupant::Running(child) if child.is_ready)).count()
    }

    pub fn are_all_settled(&self) -> bool {
        self.slots.iter().all(|entry| entry.is_settled)
    }

    pub fn running_in(&mut self, slot: usize) -> Option<&mut Child> {
        match &mut self.slots.get_mut(slot)?.occupant {
            Occupant::Running(child) => Some(child),
            _ => None,
        }
    }

    pub fn slot_of(&self, pid: Pid) -> Option<usize> {
        self.slots.iter().position(|entry| matches!(&entry.occupant, Occupant::Running(child) if child.pid == pid))
    }

    /// Takes the dead child out of its slot.
    pub fn take(&mut self, slot: usize) -> Option<Child> {
        match std::mem::replace(&mut self.slots[slot].occupant, Occupant::Vacant) {
            Occupant::Running(child) => Some(child),
            other => {
                self.slots[slot].occupant = other;
                None
            }
        }
    }

    /// A slot whose worker is due.
    pub fn due(&self, now: Instant) -> Option<usize> {
        self.slots.iter().position(|entry| matches!(entry.occupant, Occupant::StartAt(at) if at <= now))
    }

    pub fn next_start(&self) -> Option<Instant> {
        self.slots
            .iter()
            .filter_map(|entry| match entry.occupant {
                Occupant::StartAt(at) => Some(at),
                _ => None,
            })
            .min()
    }

    /// Nobody is started any more.
    pub fn vacate(&mut self) {
        for entry in &mut self.slots {
            if matches!(entry.occupant, Occupant::StartAt(_)) {
                entry.occupant = Occupant::Vacant;
            }
        }
    }
}
