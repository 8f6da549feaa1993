//! What each worker tells about its requests, and counts: some lines for each slot of the scoreboard, written by that worker only.
//!
//! What it has counted is never cleared or moved: the next worker of the slot continues. So no sum ever goes backwards,
//! whenever another process reads it.

use super::Owner;
use crate::sys::mmap::Line;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::{Relaxed, SeqCst};

/// Why a request is not admitted at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cause {
    Concurrency,
    Rate,
    Memory,
    Cpu,
    Descriptors,
    ClientConcurrency,
    ClientRate,
}

impl Cause {
    /// In the order of the variants.
    pub const ALL: [Cause; 7] = [
        Cause::Concurrency,
        Cause::Rate,
        Cause::Memory,
        Cause::Cpu,
        Cause::Descriptors,
        Cause::ClientConcurrency,
        Cause::ClientRate,
    ];

    /// Its name in JSON and in metrics.
    pub fn name(self) -> &'static str {
        match self {
            Cause::Concurrency => "concurrency",
            Cause::Rate => "rate",
            Cause::Memory => "memory",
            Cause::Cpu => "cpu",
            Cause::Descriptors => "descriptors",
            Cause::ClientConcurrency => "client_concurrency",
            Cause::ClientRate => "client_rate",
        }
    }

    /// The client's own limit, not the server's.
    pub fn is_clients(self) -> bool {
        matches!(self, Cause::ClientConcurrency | Cause::ClientRate)
    }
}

/// What is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Count {
    /// Requests that were looked at and admitted.
    Admitted,
    /// Requests whose clients left while they waited.
    Left,
    /// Refused requests for which there was no place to wait; they are counted in `Refused`, too.
    QueueFull,
    /// Clients whose rate was forgotten while they owed, as others filled the table.
    ForgottenClient,
    /// Requests that were not counted for their client, as others filled the table.
    NoPlaceForRequest,
    /// Requests that had to wait, by what they waited for at first, whatever became of them.
    Waited(Cause),
    /// Requests that were refused.
    Refused(Cause),
    /// Requests that a dry run would have refused, or made wait.
    WouldRefuse(Cause),
}

impl Count {
    const SINGLE: usize = 5;
    const ALL: usize = Count::SINGLE + 3 * Cause::ALL.len();

    fn place(self) -> usize {
        let of_cause = |group: usize, cause: Cause| Count::SINGLE + group * Cause::ALL.len() + cause as usize;
        HELD + 1
            + match self {
                Count::Admitted => 0,
                Count::Left => 1,
                Count::QueueFull => 2,
                Count::ForgottenClient => 3,
                Count::NoPlaceForRequest => 4,
                Count::Waited(cause) => of_cause(0, cause),
                Count::Refused(cause) => of_cause(1, cause),
                Count::WouldRefuse(cause) => of_cause(2, cause),
            }
    }
}

const WORDS_PER_LINE: usize = 16;
/// Lines of a seat: what it tells of waiting requests; then the permits that it holds and what it counts, as each request that is
/// admitted changes both.
pub(super) const LINES: usize = 1 + (HELD + 1 + Count::ALL).div_ceil(WORDS_PER_LINE);
/// The place of the number of permits among what is counted.
const HELD: usize = 0;

/// The words that a seat tells of waiting requests.
#[derive(Clone, Copy)]
enum Word {
    /// Requests that wait in the worker.
    Waiting,
    /// Those of them that wait for a limit of their client.
    WaitingForClients,
    /// Since when the first of the others waits; 0: none does.
    OldestSince,
    /// When the worker last attended to them.
    AttendedAt,
}

/// The seats of all slots.
#[derive(Clone, Copy)]
pub(super) struct Seats {
    seats: &'static [[Line; LINES]],
    /// The number of seats to read.
    reach: &'static AtomicU64,
}

/// Requests that wait.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Waiting {
    pub all: usize,
    /// Those of them that wait for a limit of their client.
    pub for_clients: usize,
    /// Since when the first of the others waits, in the throttle's time.
    pub oldest_since_us: Option<u64>,
}

impl Waiting {
    /// Requests that wait for a limit of the server.
    pub fn for_server(&self) -> usize {
        // The two are read one after the other.
        self.all.saturating_sub(self.for_clients)
    }
}

impl Seats {
    pub fn new(seats: &'static [[Line; LINES]], reach: &'static AtomicU64) -> Seats {
        Seats { seats, reach }
    }

    pub fn take(&self, owner: Owner) {
        self.reach.fetch_max(owner.0, Relaxed);
    }

    fn word(&self, owner: Owner, word: Word) -> &'static AtomicU64 {
        &self.seats[owner.seat()][0].words[word as usize]
    }

    pub fn tell(&self, owner: Owner, waiting: Waiting, now_us: u64) {
        self.word(owner, Word::AttendedAt).store(now_us, Relaxed);
        self.word(owner, Word::WaitingForClients).store(waiting.for_clients as u64, SeqCst);
        self.word(owner, Word::OldestSince).store(waiting.oldest_since_us.unwrap_or(0), SeqCst);
        self.word(owner, Word::Waiting).store(waiting.all as u64, SeqCst);
    }

    /// Permits that the worker holds, for those that want to know how many are out without looking at each. The word is changed by
    /// the seat's worker only, by one for each permit.
    pub fn held(&self, owner: Owner) -> &'static AtomicU64 {
        self.counted_word(owner, HELD)
    }

    /// Permits that all workers hold together: the sum of what each says, not at one moment.
    pub fn all_held(&self) -> u64 {
        let held = self.owners().map(|owner| self.held(owner).load(Relaxed));
        held.fold(0, u64::wrapping_add)
    }

    fn owners(&self) -> impl Iterator<Item = Owner> + use<> {
        (1..=self.reach.load(Relaxed)).map(Owner)
    }

    pub fn waiting_of(&self, owner: Owner) -> Waiting {
        Waiting {
            all: self.word(owner, Word::Waiting).load(SeqCst) as usize,
            for_clients: self.word(owner, Word::WaitingForClients).load(SeqCst) as usize,
            oldest_since_us: Some(self.word(owner, Word::OldestSince).load(SeqCst)).filter(|&since| since > 0),
        }
    }

    /// Of all workers together.
    pub fn waiting(&self) -> Waiting {
        self.owners().map(|owner| self.waiting_of(owner)).fold(Waiting::default(), |sum, one| Waiting {
            all: sum.all + one.all,
            for_clients: sum.for_clients + one.for_clients,
            oldest_since_us: [sum.oldest_since_us, one.oldest_since_us].into_iter().flatten().min(),
        })
    }

    /// Since when the first request waits in the workers that have attended to theirs at `fresh_us` or later: a worker that
    /// hangs or is stopped must not hold the others back.
    pub fn oldest_since_us(&self, fresh_us: u64) -> Option<u64> {
        let owners = self.owners().filter(|&owner| self.word(owner, Word::AttendedAt).load(Relaxed) >= fresh_us);
        owners.filter_map(|owner| self.waiting_of(owner).oldest_since_us).min()
    }

    fn counted_word(&self, owner: Owner, place: usize) -> &'static AtomicU64 {
        &self.seats[owner.seat()][1 + place / WORDS_PER_LINE].words[place % WORDS_PER_LINE]
    }

    /// By the seat's worker only.
    pub fn count(&self, owner: Owner, count: Count) {
        let word = self.counted_word(owner, count.place());
        word.store(word.load(Relaxed) + 1, Relaxed);
    }

    /// Of all workers, also of those that have exited.
    pub fn counted(&self, count: Count) -> u64 {
        self.owners().map(|owner| self.counted_word(owner, count.place()).load(Relaxed)).sum()
    }

    /// The owner is dead: its requests no longer wait. What it has counted stays.
    pub fn sweep(&self, owner: Owner) {
        self.seats[owner.seat()][0].words.iter().for_each(|word| word.store(0, SeqCst));
        self.held(owner).store(0, SeqCst);
    }
}
