//! The limits of the whole server in shared memory: what is admitted is exact, however many processes there are, and none of it
//! is lost with a process that dies, whenever that is.
//!
//! It is a part of the server memory, which an upgrade hands on:
//!
//! - the *limits*, as words that the master can change while the server runs, and the *gates*: the master, which samples memory,
//!   CPU and descriptors, closes one while its limit is exceeded;
//! - the *permits*: one for each request in flight, see [`permits`];
//! - the log of the last admissions, which bounds them in any window, see [`window`];
//! - this server's *shares* of the limits, if it has them in common with others, see [`shares`];
//! - the *clients'* own limits, see [`clients`];
//! - a *seat* for each slot of the scoreboard: its worker's waiting requests, and what it has counted, see [`seats`]. By its own a worker
//!   admits requests ([`Seat`]).
//!
//! This is memory and arithmetic only: which requests wait, in what order, and how they are refused is the worker's
//! (worker/src/throttle.rs). Permits, and requests of clients in flight, hold their *owner*, a seat; the master gives those of a
//! dead worker back when it has reaped it ([`Throttle::release_all_of`]).
//!
//! Time is passed in. It is in microseconds of the monotonic clock, which is the same in all processes.

mod change;
mod clients;
mod permits;
mod seat;
mod seats;
mod settings;
mod shares;
mod window;

#[cfg(test)]
#[path = "throttle/tests.rs"]
mod tests;

pub use change::{Change, Setting};
pub use clients::{Client, ClientsUse, Quota};
pub use seat::{ClientHeld, Denied, Held, Seat};
pub use seats::{Cause, Count, Waiting};
pub use settings::{CLIENT_CONCURRENCY_MAX, CONCURRENCY_MAX, Rate, ThrottleLimits};
pub use shares::{Lessee, Shares, StoreState};

use crate::server_memory::{Needs, Parts, ServerMemory};
use crate::sys::mmap::Line;
use clients::{ClientRates, ClientsInFlight, FLIGHT_LINES, RATE_LINES};
use foldhash::quality::SeedableRandomState;
use permits::Permits;
use seats::Seats;
use settings::Word;
use std::hash::{BuildHasher, Hash};
use std::io;
use std::net::IpAddr;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::{Relaxed, SeqCst};
use std::time::Instant;
use window::RateWindow;

/// The count of a rate that can always be set while the server runs; the log of admissions takes 8 bytes for each.
const RATE_COUNT_LEAST: u64 = 1 << 17;
const WORDS_PER_LINE: u64 = 16;

/// A process that holds permits: a slot of the scoreboard.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Owner(u64);

impl Owner {
    fn of_slot(slot: usize) -> Owner {
        Owner(slot as u64 + 1)
    }

    fn seat(self) -> usize {
        self.0 as usize - 1
    }
}

/// What the master closes while a limit of what it samples is exceeded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Gate {
    Memory,
    Cpu,
    Descriptors,
}

impl Gate {
    pub const ALL: [Gate; 3] = [Gate::Memory, Gate::Cpu, Gate::Descriptors];

    fn cause(self) -> Cause {
        match self {
            Gate::Memory => Cause::Memory,
            Gate::Cpu => Cause::Cpu,
            Gate::Descriptors => Cause::Descriptors,
        }
    }

    fn bit(self) -> u64 {
        1 << self as u64
    }
}

/// Words that all processes change, each on a line of its own.
#[derive(Clone, Copy)]
enum Shared {
    /// Changes when a permit is given back while requests wait, and with the limits and the gates.
    Freed,
    /// Where the last of those permits is.
    FreedPlace,
    WindowHead,
    ClientsSpan,
    SeatsReach,
    /// The most requests at one time, see [`Seat::look`].
    Peak,
}

const SHARED_LINES: usize = 6;
const PERMIT_LINES: usize = CONCURRENCY_MAX / WORDS_PER_LINE as usize;

/// The length of the log of admissions, for this count of a rate.
pub(crate) fn ring_entries(rate_count: u64) -> u64 {
    rate_count.clamp(RATE_COUNT_LEAST, settings::RATE_COUNT_MAX).next_power_of_two()
}

fn ring_lines(rate_count: u64) -> usize {
    (ring_entries(rate_count) / WORDS_PER_LINE) as usize
}

/// Lines for this many slots, and the highest count of a rate that is to be set.
pub(crate) fn lines(slots: usize, rate_count: u64) -> usize {
    let of_clients = RATE_LINES + FLIGHT_LINES + FLIGHT_LINES / WORDS_PER_LINE as usize;
    2 + SHARED_LINES + PERMIT_LINES + ring_lines(rate_count) + of_clients + slots * seats::LINES
}

/// What there is of each part.
pub(crate) fn shape() -> [usize; 6] {
    [SHARED_LINES, PERMIT_LINES, RATE_LINES, FLIGHT_LINES, seats::LINES, Setting::ALL.len()]
}

#[derive(Clone, Copy)]
pub struct Throttle(&'static Region);

struct Region {
    words: &'static Line,
    shared: &'static [Line],
    /// What is known of the store of the shares.
    store: &'static Line,
    permits: Permits,
    window: RateWindow,
    client_rates: ClientRates,
    clients_in_flight: ClientsInFlight,
    seats: Seats,
    /// By the keys of the memory.
    hasher: SeedableRandomState,
    epoch: Instant,
}

impl Throttle {
    /// For this many slots, without limits. `rate_count_max`: the highest count of a rate that is to be set later, at least.
    /// In memory of its own.
    pub fn new(slots: usize, rate_count_max: u64) -> io::Result<Throttle> {
        let memory = ServerMemory::private(Needs { slots, rate_count: rate_count_max, store: 0 })?;
        Ok(Throttle::over(&mut memory.parts(), slots, rate_count_max, &memory))
    }

    /// Never unmapped: it lives as long as the processes do. The kernel allocates memory only for what is used.
    pub(crate) fn over(parts: &mut Parts, slots: usize, rate_count: u64, memory: &ServerMemory) -> Throttle {
        let (words, store, shared) = (parts.line(), parts.line(), parts.take(SHARED_LINES));
        let word = |one: Shared| &shared[one as usize].words[0];
        let region = Region {
            words,
            shared,
            store,
            permits: Permits::new(
                parts.take(PERMIT_LINES),
                &words.words[Word::ConcurrencyShare as usize],
                &words.words[Word::PermitsReach as usize],
            ),
            window: RateWindow::new(parts.take(ring_lines(rate_count)), word(Shared::WindowHead)),
            client_rates: ClientRates::new(parts.take(RATE_LINES)),
            clients_in_flight: ClientsInFlight::new(
                parts.take(FLIGHT_LINES),
                parts.take(FLIGHT_LINES / WORDS_PER_LINE as usize),
                word(Shared::ClientsSpan),
            ),
            seats: Seats::new(parts.take(slots * seats::LINES).as_chunks().0, word(Shared::SeatsReach)),
            hasher: memory.keys().client_hasher(),
            epoch: memory.epoch(),
        };
        let throttle = Throttle(Box::leak(Box::new(region)));
        if !memory.is_taken_on() {
            throttle.set(&ThrottleLimits::default());
        }
        throttle
    }

    fn word(&self, word: Word) -> &'static AtomicU64 {
        &self.0.words.words[word as usize]
    }

    fn load(&self, word: Word) -> u64 {
        self.word(word).load(Relaxed)
    }

    fn store(&self, word: Word, value: u64) {
        self.word(word).store(value, SeqCst);
    }

    fn shared(&self, word: Shared) -> &'static AtomicU64 {
        &self.0.shared[word as usize].words[0]
    }

    /// The throttle's time: microseconds since the memory was made.
    pub fn us(&self, at: Instant) -> u64 {
        // Not 0, which stands for none.
        let since = at.saturating_duration_since(self.0.epoch);
        since.as_secs() * 1_000_000 + u64::from(since.subsec_micros()) + 1
    }

    /// Master only: sets all limits, at once for what begins from now on. What cannot be set is clipped: see [`Throttle::fits`].
    pub fn set(&self, limits: &ThrottleLimits) {
        for (word, value) in limits.words() {
            match word {
                Word::Concurrency => self.store(word, value.min(CONCURRENCY_MAX as u64)),
                _ => self.store(word, value),
            }
        }
        if !self.is_shared() {
            self.set_shares(Shares::part_of(&self.limits(), 100));
        }
        self.0.clients_in_flight.set_most(limits.client_concurrency.unwrap_or(0));
        self.on_changed();
    }

    /// Whether these limits can be set while the server runs. The error is one line.
    pub fn fits(&self, limits: &ThrottleLimits) -> Result<(), String> {
        match limits.rate {
            Some(rate) if rate.count > self.0.window.capacity() => Err(format!(
                "a rate of {rate} needs a restart; without one, at most {} requests can be set for a time",
                self.0.window.capacity()
            )),
            _ => Ok(()),
        }
    }

    pub fn limits(&self) -> ThrottleLimits {
        ThrottleLimits::of_words(|word| self.load(word))
    }

    /// Master only: no request is admitted while a gate is closed.
    pub fn set_gate(&self, gate: Gate, is_closed: bool) {
        let gates = self.load(Word::Gates);
        let new = if is_closed { gates | gate.bit() } else { gates & !gate.bit() };
        if new != gates {
            self.store(Word::Gates, new);
            self.on_changed();
        }
    }

    pub fn is_closed(&self, gate: Gate) -> bool {
        self.load(Word::Gates) & gate.bit() != 0
    }

    /// Whether a gate is closed.
    pub fn is_any_closed(&self) -> bool {
        self.load(Word::Gates) != 0
    }

    fn on_changed(&self) {
        let is_active = self.limits().is_any_counted() || self.is_any_closed();
        self.store(Word::IsActive, u64::from(is_active));
        self.shared(Shared::Freed).fetch_add(1, SeqCst);
    }

    /// Master only: a worker is to have this slot.
    pub fn take_seat(&self, slot: usize) {
        self.0.seats.take(Owner::of_slot(slot));
    }

    pub fn seat(&self, slot: usize) -> Seat {
        let owner = Owner::of_slot(slot);
        self.0.seats.take(owner);
        Seat::new(*self, owner)
    }

    /// Master only: the slot's worker is dead, and all that it held is given back. Returns the number of its permits.
    pub fn release_all_of(&self, slot: usize) -> usize {
        let owner = Owner::of_slot(slot);
        let permits = self.0.permits.sweep(owner);
        self.0.clients_in_flight.sweep(owner);
        self.0.seats.sweep(owner);
        self.shared(Shared::Freed).fetch_add(1, SeqCst);
        permits
    }

    /// Requests in flight, as far as they are counted: while there is a limit of them.
    pub fn in_flight(&self) -> usize {
        self.0.permits.taken()
    }

    /// Requests that are in flight or wait for a limit of the server, as far as they are counted.
    pub fn demand(&self) -> u64 {
        self.0.seats.all_held() + self.waiting().for_server() as u64
    }

    /// Master only: the highest demand since the last call.
    pub fn take_peak(&self) -> u64 {
        let now = self.demand();
        self.shared(Shared::Peak).swap(now, Relaxed).max(now)
    }

    /// Requests admitted within the window of the rate that ends now; `None`: there is no such limit.
    pub fn admitted_in_window(&self, now: Instant) -> Option<(u64, Rate)> {
        let rate = Rate::of_word(self.load(Word::Rate))?;
        Some((self.0.window.admitted(rate, self.us(now), &window::Hint::default()).0, rate))
    }

    /// How the clients stand to a limit of theirs; `None`: there is no such limit.
    pub fn clients_use(&self, cause: Cause, now: Instant) -> Option<ClientsUse> {
        let limits = self.limits();
        match cause {
            Cause::ClientConcurrency => Some(self.0.clients_in_flight.usage(limits.client_concurrency?)),
            Cause::ClientRate => Some(self.0.client_rates.usage(limits.client_rate?.into(), self.us(now))),
            _ => None,
        }
    }

    /// Requests that wait, of all workers.
    pub fn waiting(&self) -> Waiting {
        self.0.seats.waiting()
    }

    pub fn waiting_in(&self, slot: usize) -> Waiting {
        self.0.seats.waiting_of(Owner::of_slot(slot))
    }

    /// What all workers have counted, also those that have exited.
    pub fn counted(&self, count: Count) -> u64 {
        self.0.seats.counted(count)
    }

    pub fn client(&self, key: impl Hash) -> Client {
        Client(self.0.hasher.hash_one(key))
    }

    /// The client of this address.
    pub fn client_at(&self, address: IpAddr) -> Client {
        self.client(clients::word_of(address))
    }
}
