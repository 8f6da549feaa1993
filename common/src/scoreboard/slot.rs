//! A slot of the scoreboard: what its worker publishes of itself, and what others read of it.

use crate::metric::{Kind, Metric, Metrics};
use crate::sys::mmap::Line;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

/// A sleeping worker without a heartbeat for this long does not respond (it is stopped).
const WAITING_FRESH: Duration = Duration::from_millis(1500);
/// A worker that has been in one turn of its loop for this long is busy with something other than accepting.
const BUSY_FRESH: Duration = Duration::from_millis(50);
/// After this long in one turn a worker's own queue is orphaned: all workers accept from it. Longer than [`BUSY_FRESH`],
/// because taking over a queue costs system calls; 16 workers on 2 busy CPUs have turns of 50 ms by waiting for a CPU alone.
pub(super) const OWNER_BUSY_FRESH: Duration = Duration::from_millis(300);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    Empty = 0,
    Booting = 1,
    Ready = 2,
    Draining = 3,
}

impl State {
    fn from_word(word: u64) -> State {
        [State::Booting, State::Ready, State::Draining]
            .into_iter()
            .find(|&state| state as u64 == word)
            .unwrap_or(State::Empty)
    }
}

/// The words of a slot, by position.
#[derive(Clone, Copy)]
pub(super) enum Word {
    State,
    Heartbeat,
    /// The worker's index, and above it the number of its master; written by that before the fork.
    Index,
    Progress,
}

impl Word {
    pub(super) const ALL: [Word; 4] = [Word::State, Word::Heartbeat, Word::Index, Word::Progress];
}

/// The first of the words that follow: one a metric.
pub(super) const METRICS: usize = Word::ALL.len();
const _: () = assert!(METRICS + Metric::ALL.len() <= 16, "a line has a word for each");
/// Lines of a slot: what its worker publishes, and what masters write: the claim, and in the places of the same metrics what
/// its counters had before that worker.
pub(super) const SLOT_LINES: usize = 2;
/// Bits of the word of the index.
pub(super) const INDEX_BITS: u32 = 32;

#[derive(Clone, Copy)]
pub struct Slot {
    pub(super) line: &'static Line,
    /// What counters had when the slot was last cleared, and the claim; written by masters.
    pub(super) before: &'static Line,
    pub(super) epoch: Instant,
}

impl Slot {
    pub(super) fn load(&self, word: Word) -> u64 {
        self.line.words[word as usize].load(Relaxed)
    }

    pub(super) fn store(&self, word: Word, value: u64) {
        self.line.words[word as usize].store(value, Relaxed);
    }

    pub fn state(&self) -> State {
        State::from_word(self.load(Word::State))
    }

    pub fn worker_index(&self) -> usize {
        self.load(Word::Index) as u32 as usize
    }

    /// Changes with every turn of its worker's loop that is a millisecond after the last; 0 before the first.
    pub fn heartbeat_word(&self) -> u64 {
        self.load(Word::Heartbeat)
    }

    /// Changes with every unit of work of a turn except the first, see [`Slot::set_progress`].
    pub fn progress_word(&self) -> u64 {
        self.load(Word::Progress)
    }

    /// When its worker's last heartbeat was, by the scoreboard's clock; 0 before the first.
    pub fn heartbeat_ms(&self) -> u64 {
        self.load(Word::Heartbeat) >> 1
    }

    /// The time since `ms` of the scoreboard's clock.
    pub fn since(&self, ms: u64, now: Instant) -> Duration {
        now.saturating_duration_since(self.epoch).saturating_sub(Duration::from_millis(ms))
    }

    /// Its worker is asleep until an event.
    pub fn is_waiting(&self) -> bool {
        self.load(Word::Heartbeat) & 1 == 1
    }

    /// How long ago its worker last began or ended a wait; `None` before its first heartbeat.
    pub fn heartbeat_age(&self, now: Instant) -> Option<Duration> {
        let heartbeat = self.load(Word::Heartbeat);
        let age_ms = (now.duration_since(self.epoch).as_millis() as u64).saturating_sub(heartbeat >> 1);
        (heartbeat > 0).then(|| Duration::from_millis(age_ms))
    }

    pub fn set_state(&self, state: State) {
        self.store(Word::State, state as u64);
    }

    /// Written before and after each wait of the loop. `waiting`: asleep until an event, and able to accept.
    pub fn heartbeat(&self, now: Instant, waiting: bool) {
        let ms = now.duration_since(self.epoch).as_millis() as u64;
        self.store(Word::Heartbeat, ms << 1 | u64::from(waiting));
    }

    /// One more unit of work has begun within a turn: a connection, a request, a call of an exchange.
    pub fn set_progress(&self, units: u64) {
        self.store(Word::Progress, units);
    }

    /// `value`: of its process.
    pub fn set(&self, metric: Metric, value: u64) {
        self.word(metric).store(self.before(metric) + value, Relaxed);
    }

    /// Of its process.
    pub fn get(&self, metric: Metric) -> u64 {
        // The slot may be cleared in between: then its process has counted nothing.
        self.word(metric).load(Relaxed).saturating_sub(self.before(metric))
    }

    pub(super) fn word(&self, metric: Metric) -> &'static AtomicU64 {
        &self.line.words[METRICS + metric as usize]
    }

    /// What a counter had when the slot was last cleared.
    fn before(&self, metric: Metric) -> u64 {
        match metric.kind() {
            Kind::Counter => self.before.words[METRICS + metric as usize].load(Relaxed),
            Kind::Gauge => 0,
        }
    }

    /// What its process has counted belongs to an earlier one from now on, and so do the requests that ended with it.
    pub(super) fn begin_anew(&self, in_flight: u64) {
        self.set(Metric::ResponsesCut, self.get(Metric::ResponsesCut) + in_flight);
        for metric in Metric::ALL {
            match metric.kind() {
                Kind::Counter => {
                    self.before.words[METRICS + metric as usize].store(self.word(metric).load(Relaxed), Relaxed)
                }
                Kind::Gauge => self.word(metric).store(0, Relaxed),
            }
        }
    }

    pub fn publish(&self, metrics: &Metrics) {
        Metric::ALL.into_iter().for_each(|metric| self.set(metric, metrics[metric]));
    }

    pub(super) fn is_accepting(&self, now: Instant) -> bool {
        self.has_heartbeat(now, BUSY_FRESH)
    }

    /// Whether it is ready, and either asleep in its poll or out of it for at most `busy_fresh`.
    pub(super) fn has_heartbeat(&self, now: Instant, busy_fresh: Duration) -> bool {
        if self.load(Word::State) != State::Ready as u64 {
            return false;
        }
        let heartbeat = self.load(Word::Heartbeat);
        let age_ms = (now.duration_since(self.epoch).as_millis() as u64).saturating_sub(heartbeat >> 1);
        let fresh = if heartbeat & 1 == 1 { WAITING_FRESH } else { busy_fresh };
        age_ms <= fresh.as_millis() as u64
    }
}
