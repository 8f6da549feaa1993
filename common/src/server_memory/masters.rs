//! Which masters use the server memory: for each a word, by which the others see whether it lives.

use crate::sys::mmap::Line;
use nix::errno::Errno;
use nix::sys::signal::kill;
use nix::unistd::Pid;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::{Acquire, Relaxed, SeqCst};

/// Masters at the same time: all but one finish what they have in flight.
pub const MASTERS_MAX: usize = 16;
/// Process ids are below 2^22 (PID_MAX_LIMIT).
const PID_BITS: u32 = 22;

/// A process, told apart from a later one of the same id: the id, and when it started in the kernel's ticks. Never 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ProcessKey(u64);

impl ProcessKey {
    pub fn own() -> ProcessKey {
        let pid = std::process::id();
        ProcessKey::new(pid, State::of(pid).map_or(0, |state| state.started))
    }

    /// `started`: 0 if that is not known.
    pub fn new(pid: u32, started: u64) -> ProcessKey {
        ProcessKey(started << PID_BITS | u64::from(pid))
    }

    pub fn from_word(word: u64) -> Option<ProcessKey> {
        (word != 0).then_some(ProcessKey(word))
    }

    pub fn word(self) -> u64 {
        self.0
    }

    pub fn pid(self) -> u32 {
        (self.0 & ((1 << PID_BITS) - 1)) as u32
    }

    pub fn started(self) -> u64 {
        self.0 >> PID_BITS
    }

    /// A process that has ended and was not reaped yet does not live.
    pub fn lives(self) -> bool {
        match State::of(self.pid()) {
            Some(state) => !state.has_ended && (self.started() == 0 || state.started == self.started()),
            // Where /proc is not mounted.
            None => kill(Pid::from_raw(self.pid() as i32), None) != Err(Errno::ESRCH),
        }
    }
}

/// What proc_pid_stat(5) says of a process.
struct State {
    has_ended: bool,
    started: u64,
}

impl State {
    fn of(pid: u32) -> Option<State> {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        // The name before may contain anything. Fields count from 1; the state is field 3.
        let mut fields = stat[stat.rfind(')')? + 2..].split(' ');
        let has_ended = matches!(fields.next()?, "Z" | "X");
        Some(State { has_ended, started: fields.nth(22 - 4)?.parse().ok()? })
    }
}

/// The masters, as one of them sees them.
#[derive(Clone, Copy)]
pub struct Masters {
    line: &'static Line,
    /// Numbers that were ever taken.
    reach: &'static AtomicU64,
    leader: &'static AtomicU64,
    own: usize,
}

impl Masters {
    /// Registers this process; `None`: there is no number left.
    pub(super) fn register(
        line: &'static Line,
        reach: &'static AtomicU64,
        leader: &'static AtomicU64,
    ) -> Option<Masters> {
        let key = ProcessKey::own().word();
        let own = line.words.iter().position(|word| word.compare_exchange(0, key, SeqCst, Relaxed).is_ok())?;
        reach.fetch_max(own as u64 + 1, SeqCst);
        Some(Masters { line, reach, leader, own })
    }

    /// The number of this one.
    pub fn own(&self) -> usize {
        self.own
    }

    pub fn reach(&self) -> usize {
        (self.reach.load(Acquire) as usize).min(MASTERS_MAX)
    }

    fn others(&self) -> impl Iterator<Item = (usize, ProcessKey)> + use<> {
        let (line, own) = (self.line, self.own);
        let all = (0..self.reach()).filter(move |&number| number != own);
        all.filter_map(move |number| Some((number, ProcessKey::from_word(line.words[number].load(SeqCst))?)))
    }

    pub fn living(&self) -> impl Iterator<Item = ProcessKey> + use<> {
        self.others().map(|(_, key)| key).filter(|key| key.lives())
    }

    /// This master is the service: those before it finish.
    pub fn lead(&self) {
        self.leader.store(self.line.words[self.own].load(SeqCst), SeqCst);
    }

    /// Another master acts for the memory: the service, or the first of those that finish if that has ended. The service may have
    /// other memory: then the last one that had this acts.
    pub fn is_led_by_another(&self) -> bool {
        let leader = self.leader.load(SeqCst);
        if leader == self.line.words[self.own].load(SeqCst) {
            return false;
        }
        ProcessKey::from_word(leader).is_some_and(ProcessKey::lives)
            || self.others().any(|(number, key)| number < self.own && key.lives())
    }

    pub(crate) fn dead(&self) -> impl Iterator<Item = (usize, ProcessKey)> + use<> {
        self.others().filter(|(_, key)| !key.lives())
    }

    /// The number is free for another master: all slots of that one are. False: another master has just done so.
    pub(crate) fn free(&self, number: usize, key: ProcessKey) -> bool {
        self.line.words[number].compare_exchange(key.word(), 0, SeqCst, Relaxed).is_ok()
    }

    /// This process has no more slots, and exits.
    pub(crate) fn leave(&self) {
        self.line.words[self.own].store(0, SeqCst);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_known_by_its_start() {
        let own = ProcessKey::own();
        assert_eq!((own.pid(), own.lives()), (std::process::id(), true));
        assert!(own.started() > 0);
        assert!(!ProcessKey::new(own.pid(), own.started() + 1).lives(), "one before it had the id");
        assert!(ProcessKey::new(own.pid(), 0).lives());
        let mut child = std::process::Command::new("true").spawn().expect("a process");
        let key = ProcessKey::new(child.id(), 0);
        while key.lives() {
            std::thread::yield_now(); // it ends, and is a zombie then
        }
        child.wait().expect("it has ended");
        assert!(!key.lives());
        assert_eq!(ProcessKey::from_word(key.word()), Some(key));
        assert_eq!(ProcessKey::from_word(0), None);
    }
}
