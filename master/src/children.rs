//! The table of worker processes: for each worker index the current process, its successor, and those that still leave.
//!
//! A child is identified by its slot of the scoreboard, which no other living process has. A position is one of the N
//! workers, known by its index (`SLOT` in `tine ctl`). It has at most one current child, at most one successor that boots
//! beside it, and any number of children that leave. Invariant: a position without a current child has a time at which one
//! is started, unless no more are to be started (`Position::next_start`).

use crate::respawn::Respawn;
use crate::watchdog::Watch;
use mio::net::UnixStream;
use nix::unistd::Pid;
use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::time::{Duration, Instant};
use tine_common::message::{Order, Report};

/// Maximum number of processes: all workers and those that leave.
pub const SLOTS_MAX: usize = 4096;

pub struct Child {
    pub pid: Pid,
    /// Of its position.
    pub index: usize,
    /// Of the app: 1, and one more for each reload before this process.
    pub generation: u64,
    pub started: Instant,
    pub phase: Phase,
    /// Its error text, if its boot failed.
    pub boot_error: Option<Vec<u8>>,
    pub channel: UnixStream,
    pub watch: Watch,
    /// It is to be replaced, for a reason of its own.
    pub is_due: bool,
    /// The age at which it is due.
    pub lifetime: Option<Duration>,
    /// Checks in a row that found its memory above the limit.
    pub rss_strikes: u32,
    /// An operator has told it to leave, by `tine ctl drain`.
    pub is_told: bool,
    /// The master has sent it SIGKILL.
    pub is_killed: bool,
}

/// Length limit of the error text of a failed boot.
const BOOT_ERROR_BYTES_MAX: usize = 4096;

impl Child {
    /// A process just forked.
    pub fn new(pid: Pid, index: usize, generation: u64, channel: UnixStream, now: Instant) -> Child {
        Child {
            pid,
            index,
            generation,
            started: now,
            phase: Phase::Booting,
            boot_error: None,
            channel,
            watch: Watch::default(),
            is_due: false,
            lifetime: None,
            rss_strikes: 0,
            is_told: false,
            is_killed: false,
        }
    }

    pub fn order(&mut self, order: Order) {
        if let Err(e) = self.channel.write_all(&[order.byte()]) {
            // Dead or hung: it is reaped, or killed at the deadline.
            log::debug!("process {}: order {order:?} not sent: {e}", self.pid);
        }
    }

    /// Its reports since the last call; the text of a failed boot is kept.
    pub fn read_reports(&mut self) -> Vec<Report> {
        let mut bytes = [0; 512];
        let mut reports = Vec::new();
        // Ends when nothing is there yet and at the end of the stream, which the reaper handles.
        while let Ok(count @ 1..) = self.channel.read(&mut bytes) {
            for &byte in &bytes[..count] {
                if let Some(text) = &mut self.boot_error {
                    if text.len() < BOOT_ERROR_BYTES_MAX {
                        text.push(byte);
                    }
                    continue;
                }
                match Report::from_byte(byte) {
                    Some(Report::BootFailed) => self.boot_error = Some(Vec::new()),
                    Some(report) => reports.push(report),
                    None => log::warn!("process {} sent an unknown message: {byte}", self.pid),
                }
            }
        }
        reports
    }
}

/// A child's life from the fork until it is reaped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// Its app is being built.
    Booting,
    /// It has reported that its app is built and its listeners are polled.
    Ready,
    /// It accepts no more connections; killed at `kill_at`, if set.
    Leaving { since: Instant, kill_at: Option<Instant> },
}

/// The role of a child in its position.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    Current,
    Successor,
    Leaver,
}

#[derive(Default)]
pub struct Position {
    pub current: Option<usize>,
    pub successor: Option<usize>,
    /// When a child is started if there is none; `None` if there is one, or none is to be started.
    pub next_start: Option<Instant>,
    pub respawn: Respawn,
    /// One of its workers has become ready or has died: the first start is over.
    pub is_settled: bool,
    /// Failed boots: processes that never became ready, and failed forks.
    pub failures: u64,
    /// After a failed successor, the next one is not started before this time.
    pub retry_at: Option<Instant>,
}

/// The leaving workers of one position.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Leavers {
    pub count: usize,
    /// Its slot of the scoreboard, and since when it has been leaving.
    pub oldest: Option<(usize, Instant)>,
}

pub struct Children {
    pub positions: Vec<Position>,
    /// Positions without a child get one.
    is_open: bool,
    /// By slot of the scoreboard.
    slots: BTreeMap<usize, Child>,
}

impl Position {
    fn starting(now: Instant) -> Position {
        Position { next_start: Some(now), ..Position::default() }
    }
}

impl Children {
    pub fn new(workers: usize, now: Instant) -> Self {
        Children {
            positions: (0..workers).map(|_| Position::starting(now)).collect(),
            is_open: true,
            slots: BTreeMap::new(),
        }
    }

    /// Adds a process just forked, as the current child of its position or, if there is one, as its successor.
    pub fn insert(&mut self, slot: usize, child: Child) {
        let position = &mut self.positions[child.index];
        match position.current {
            None => (position.current, position.next_start) = (Some(slot), None),
            Some(_) => position.successor = Some(slot),
        }
        self.slots.insert(slot, child);
    }

    pub fn get(&self, slot: usize) -> Option<&Child> {
        self.slots.get(&slot)
    }

    pub fn get_mut(&mut self, slot: usize) -> Option<&mut Child> {
        self.slots.get_mut(&slot)
    }

    pub fn iter(&self) -> impl Iterator<Item = (usize, &Child)> {
        self.slots.iter().map(|(&slot, child)| (slot, child))
    }

    /// All slots that are taken, for loops that change the table.
    pub fn slots(&self) -> Vec<usize> {
        self.slots.keys().copied().collect()
    }

    pub fn iter_mut(&mut self) -> impl Iterator<Item = (usize, &mut Child)> {
        self.slots.iter_mut().map(|(&slot, child)| (slot, child))
    }

    pub fn count(&self) -> usize {
        self.slots.len()
    }

    pub fn slot_of(&self, pid: Pid) -> Option<usize> {
        self.iter().find(|(_, child)| child.pid == pid).map(|(slot, _)| slot)
    }

    pub fn current(&self, index: usize) -> Option<&Child> {
        self.get(self.positions.get(index)?.current?)
    }

    pub fn is_ready(&self, index: usize) -> bool {
        self.current(index).is_some_and(|child| child.phase == Phase::Ready)
    }

    pub fn count_ready(&self) -> usize {
        (0..self.positions.len()).filter(|&index| self.is_ready(index)).count()
    }

    pub fn are_all_settled(&self) -> bool {
        self.positions.iter().all(|position| position.is_settled)
    }

    /// The child leaves and has a time at which it is killed.
    pub fn is_ending(&self, slot: usize) -> bool {
        self.get(slot).is_some_and(|child| matches!(child.phase, Phase::Leaving { kill_at: Some(_), .. }))
    }

    /// The leaving workers of each position.
    pub fn all_leavers(&self) -> Vec<Leavers> {
        let mut all = vec![Leavers::default(); self.positions.len()];
        for (slot, child) in self.iter() {
            // A position that was removed may still have leavers.
            let (Phase::Leaving { since, .. }, Some(leavers)) = (child.phase, all.get_mut(child.index)) else {
                continue;
            };
            leavers.count += 1;
            if leavers.oldest.is_none_or(|(_, oldest)| since < oldest) {
                leavers.oldest = Some((slot, since));
            }
        }
        all
    }

    /// A child is ready and becomes the current one of its position; returns the slot of the child that it succeeds.
    pub fn on_ready(&mut self, slot: usize) -> Option<usize> {
        let child = self.slots.get_mut(&slot).filter(|child| child.phase == Phase::Booting)?;
        child.phase = Phase::Ready;
        let position = self.positions.get_mut(child.index)?;
        position.is_settled = true;
        if position.successor != Some(slot) {
            return None;
        }
        (position.successor, position.retry_at) = (None, None);
        position.current.replace(slot)
    }

    /// A child accepts no more connections and gives up its position, which its successor or the next start fills.
    pub fn on_leaving(&mut self, slot: usize, kill_at: Option<Instant>, now: Instant) -> Role {
        let Some(child) = self.slots.get_mut(&slot) else { return Role::Leaver };
        child.phase = match child.phase {
            Phase::Leaving { since, .. } => Phase::Leaving { since, kill_at },
            _ => Phase::Leaving { since: now, kill_at },
        };
        self.vacate(slot, Some(now))
    }

    /// Removes a dead child. If it was the current one, its successor takes its position, or the position stays empty without
    /// a time for the next start.
    pub fn remove(&mut self, slot: usize) -> Option<(Child, Role)> {
        let role = self.vacate(slot, None);
        Some((self.slots.remove(&slot)?, role))
    }

    /// The child gives up its position. If there is no successor, the next child is started at `next`.
    fn vacate(&mut self, slot: usize, next: Option<Instant>) -> Role {
        let Some(position) =
            self.positions.iter_mut().find(|position| [position.current, position.successor].contains(&Some(slot)))
        else {
            return Role::Leaver;
        };
        if position.successor == Some(slot) {
            position.successor = None;
            return Role::Successor;
        }
        position.current = position.successor.take();
        position.retry_at = None;
        if position.current.is_none() {
            position.next_start = next.filter(|_| self.is_open);
        }
        Role::Current
    }

    /// The index of a position whose next start is due.
    pub fn due(&self, now: Instant) -> Option<usize> {
        self.positions.iter().position(|position| position.next_start.is_some_and(|at| at <= now))
    }

    /// When the next worker is to be started after a failure.
    pub fn next_start(&self, now: Instant) -> Option<Instant> {
        let retries = self.positions.iter().filter_map(|position| position.retry_at).filter(|&at| at > now);
        self.positions.iter().filter_map(|position| position.next_start).chain(retries).min()
    }

    /// No process can be started: all starts that are due are postponed, as is that of this index. Returns their number.
    pub fn postpone(&mut self, index: usize, until: Instant, now: Instant) -> usize {
        let mut count = 0;
        for (at, entry) in self.positions.iter_mut().enumerate() {
            if entry.next_start.is_some_and(|at| at <= now) {
                entry.next_start = Some(until);
            } else if at == index {
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

    /// No more workers are started.
    pub fn close(&mut self) {
        self.is_open = false;
        self.positions.iter_mut().for_each(|position| position.next_start = None);
    }

    pub fn is_open(&self) -> bool {
        self.is_open
    }

    /// Positions without a child get one now, without back-off.
    pub fn open(&mut self, now: Instant) {
        self.is_open = true;
        for position in &mut self.positions {
            position.retry_at = None;
            if position.current.is_none() {
                (position.next_start, position.respawn) = (Some(now), Respawn::default());
            }
        }
    }

    /// Adds a position, to be filled at once.
    pub fn add(&mut self, now: Instant) {
        self.positions.push(Position::starting(now));
    }

    /// Removes the last position; returns the slots of its current child and its successor.
    pub fn take_last(&mut self) -> Vec<usize> {
        let position = self.positions.pop();
        position.into_iter().flat_map(|position| [position.current, position.successor]).flatten().collect()
    }
}
