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
//! - a *seat* for each slot of the scoreboard: its worker's waiting requests, and what it has counted.
//!
//! This is memory and arithmetic only: which requests wait, in what order, and how they are refused is the worker's
//! (worker/src/throttle.rs). Permits, and requests of clients in flight, hold their *owner*, a seat; the master gives those of a
//! dead worker back when it has reaped it ([`Throttle::release_all_of`]).
//!
//! Time is passed in. It is in microseconds of the monotonic clock, which is the same in all processes.

mod change;
mod clients;
mod permits;
mod seats;
mod settings;
mod shares;
mod window;

#[cfg(test)]
#[path = "throttle/tests.rs"]
mod tests;

pub use change::{Change, Setting};
pub use clients::{Client, ClientsUse, Quota};
pub use seats::{Cause, Count, Waiting};
pub use settings::{CLIENT_CONCURRENCY_MAX, CONCURRENCY_MAX, Rate, ThrottleLimits};
pub use shares::{Lessee, Shares, StoreState};

use crate::server_memory::{Keys, Needs, Parts, ServerMemory};
use crate::sys::mmap::Line;
use clients::{ClientRates, ClientsInFlight, FLIGHT_LINES, RATE_LINES};
use permits::Permits;
use seats::Seats;
use settings::Word;
use std::cell::Cell;
use std::hash::Hash;
use std::io;
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
    /// Some request waits for the server's limits, or did until lately: requests that are admitted and that end have to look.
    AnyWaiting,
    /// Changes when a permit is given back while requests wait, and with the limits and the gates.
    Freed,
    /// Where the last of those permits is.
    FreedPlace,
    PermitsReach,
    WindowHead,
    ClientsSpan,
    SeatsReach,
    /// The most requests at one time, see [`Seat::look`].
    Peak,
}

const SHARED_LINES: usize = 8;
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
/// How often a worker looks at the number of requests of all, at most.
const LOOK_INTERVAL_US: u64 = 1000;

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
    keys: Keys,
    epoch: Instant,
}

/// Why a request is not admitted now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Denied {
    pub cause: Cause,
    /// When there is room for it, if that is known and no other request comes first.
    pub until_us: Option<u64>,
}

/// What a request holds while it is in flight; given back by [`Seat::give_back`].
#[derive(Debug, Default, PartialEq, Eq)]
#[must_use]
pub struct Held {
    place: Option<u32>,
}

/// What a client's request holds until it ends; given back by [`Seat::leave_client`].
#[derive(Debug, PartialEq, Eq)]
#[must_use]
pub struct ClientHeld {
    place: Option<u32>,
    client: Client,
}

impl ClientHeld {
    pub fn client(&self) -> Client {
        self.client
    }
}

/// The throttle as one worker uses it.
pub struct Seat {
    throttle: Throttle,
    owner: Owner,
    permits_hint: permits::Hint,
    window_hint: window::Hint,
    /// In its seat: see [`Seats::held`](seats::Seats::held).
    held: &'static AtomicU64,
    looked_us: Cell<u64>,
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
                word(Shared::PermitsReach),
            ),
            window: RateWindow::new(parts.take(ring_lines(rate_count)), word(Shared::WindowHead)),
            client_rates: ClientRates::new(parts.take(RATE_LINES)),
            clients_in_flight: ClientsInFlight::new(
                parts.take(FLIGHT_LINES),
                parts.take(FLIGHT_LINES / WORDS_PER_LINE as usize),
                word(Shared::ClientsSpan),
            ),
            seats: Seats::new(parts.take(slots * seats::LINES).as_chunks().0, word(Shared::SeatsReach)),
            keys: memory.keys(),
            epoch: memory.epoch(),
        };
        let throttle = Throttle(Box::leak(Box::new(region)));
        if !memory.is_taken_on() {
            throttle.set(&ThrottleLimits::default());
        }
        throttle
    }

    fn load(&self, word: Word) -> u64 {
        self.0.words.words[word as usize].load(Relaxed)
    }

    fn store(&self, word: Word, value: u64) {
        self.0.words.words[word as usize].store(value, SeqCst);
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
        let (permits_hint, window_hint) = (permits::Hint::of(owner), window::Hint::default());
        let held = self.0.seats.held(owner);
        Seat { throttle: *self, owner, permits_hint, window_hint, held, looked_us: Cell::new(0) }
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
            Cause::ClientRate => Some(self.0.client_rates.usage(limits.client_rate?, self.us(now))),
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
        Client(self.0.keys.hash_one(key))
    }
}

impl Seat {
    pub fn throttle(&self) -> Throttle {
        self.throttle
    }

    /// Whether a request has to be looked at: a limit is set or a gate is closed.
    pub fn is_active(&self) -> bool {
        self.throttle.load(Word::IsActive) != 0
    }

    pub fn limits(&self) -> ThrottleLimits {
        self.throttle.limits()
    }

    pub fn is_dry_run(&self) -> bool {
        self.throttle.load(Word::DryRun) != 0
    }

    /// Whether the clock has to be exact, as a rate of the whole server is limited.
    pub fn has_rate(&self) -> bool {
        self.throttle.load(Word::Rate) != 0
    }

    pub fn has_client_limits(&self) -> bool {
        self.throttle.load(Word::ClientRate) | self.throttle.load(Word::ClientConcurrency) != 0
    }

    /// Admits one more request of this client by the client's own limits.
    pub fn admit_client(&self, client: Client, now_us: u64) -> Result<ClientHeld, Denied> {
        let region = self.throttle.0;
        let most = self.throttle.load(Word::ClientConcurrency) as usize;
        let place = match most {
            0 => None,
            most => {
                let entered = region.clients_in_flight.enter(client, most, self.owner);
                let place = entered.map_err(|()| Denied { cause: Cause::ClientConcurrency, until_us: None })?;
                if place.is_none() {
                    self.count(Count::NoPlaceForRequest);
                }
                place
            }
        };
        let held = ClientHeld { place: place.map(|place| place as u32), client };
        match Rate::of_word(self.throttle.load(Word::ClientRate)) {
            Some(rate) => match region.client_rates.admit(client, rate, now_us) {
                Ok(has_forgotten) => {
                    if has_forgotten {
                        self.count(Count::ForgottenClient);
                    }
                    Ok(held)
                }
                Err(over) => {
                    self.leave_client(held);
                    Err(Denied { cause: Cause::ClientRate, until_us: Some(over.until_us) })
                }
            },
            None => Ok(held),
        }
    }

    /// The client's request is over.
    pub fn leave_client(&self, held: ClientHeld) {
        if let Some(place) = held.place {
            self.throttle.0.clients_in_flight.leave(place as usize);
        }
    }

    /// The client's request was not answered after all: it does not count in its rate.
    pub fn give_back_client(&self, held: ClientHeld, now_us: u64) {
        if let Some(rate) = Rate::of_word(self.throttle.load(Word::ClientRate)) {
            self.throttle.0.client_rates.give_back(held.client, rate, now_us);
        }
        self.leave_client(held);
    }

    /// Admits one more request by the limits of the whole server. Requests that wait are not considered.
    pub fn admit(&self, now_us: u64) -> Result<Held, Denied> {
        let (throttle, region) = (self.throttle, self.throttle.0);
        if let Some(cause) = self.closed_gate() {
            return Err(Denied { cause, until_us: None });
        }
        let place = region
            .permits
            .take(self.owner, &self.permits_hint)
            .map_err(|()| Denied { cause: Cause::Concurrency, until_us: None })?;
        // Last: it cannot be undone.
        let refused = match Rate::of_word(throttle.load(Word::RateShare)) {
            None => None,
            Some(rate) if rate.count == 0 => Some(None),
            Some(rate) => region.window.admit(rate, now_us, &self.window_hint).err().map(|full| Some(full.until_us)),
        };
        if let Some(until_us) = refused {
            place.into_iter().for_each(|place| region.permits.give_back(place));
            return Err(Denied { cause: Cause::Rate, until_us });
        }
        if place.is_some() {
            self.held.store(self.held.load(Relaxed).wrapping_add(1), Relaxed);
        }
        Ok(Held { place: place.map(|place| place as u32) })
    }

    /// The gate that is closed, as a cause.
    pub fn closed_gate(&self) -> Option<Cause> {
        let gates = self.throttle.load(Word::Gates);
        if gates == 0 {
            return None;
        }
        Some(Gate::ALL.into_iter().find(|gate| gates & gate.bit() != 0).unwrap_or(Gate::Memory).cause())
    }

    /// The request has ended. True: requests wait, perhaps for this.
    pub fn give_back(&self, held: Held) -> bool {
        let Some(place) = held.place else { return self.is_any_waiting() };
        self.throttle.0.permits.give_back(place as usize);
        self.held.store(self.held.load(Relaxed).wrapping_sub(1), Relaxed);
        if !self.is_any_waiting() {
            return false;
        }
        self.throttle.shared(Shared::FreedPlace).store(place.into(), Relaxed);
        self.throttle.shared(Shared::Freed).fetch_add(1, SeqCst);
        true
    }

    /// Whether requests may wait, here or in another worker.
    pub fn is_any_waiting(&self) -> bool {
        self.throttle.shared(Shared::AnyWaiting).load(SeqCst) != 0
    }

    /// Changes when there may be room again.
    pub fn freed(&self) -> u64 {
        self.throttle.shared(Shared::Freed).load(SeqCst)
    }

    /// As [`Seat::admit`], for a request that waits: looks first where a permit was given back last.
    pub fn admit_waiting(&self, now_us: u64) -> Result<Held, Denied> {
        self.permits_hint.set(self.throttle.shared(Shared::FreedPlace).load(Relaxed) as usize);
        self.admit(now_us)
    }

    /// Tells the other processes what waits here.
    pub fn tell(&self, waiting: Waiting, now_us: u64) {
        self.throttle.0.seats.tell(self.owner, waiting, now_us);
        if waiting.oldest_since_us.is_some() {
            self.throttle.shared(Shared::AnyWaiting).store(1, SeqCst);
        } else {
            self.settle();
        }
    }

    /// Nothing waits here for the server's limits: if nothing does anywhere, requests need not look.
    fn settle(&self) {
        let any = self.throttle.shared(Shared::AnyWaiting);
        let is_any = || self.throttle.waiting().oldest_since_us.is_some();
        if any.load(SeqCst) != 0 && !is_any() {
            any.store(0, SeqCst);
            // One that came in between has set it before or sets it after this.
            if is_any() {
                any.store(1, SeqCst);
            }
        }
    }

    /// For the peak: looks at the demand. To be called at the beginning of a turn, before requests end in it, so that one of
    /// the workers sees a peak before it is over, unless it lasts for less than a millisecond.
    pub fn look(&self, now_us: u64) {
        let most = self.throttle.load(Word::Concurrency);
        if most == 0 || now_us.saturating_sub(self.looked_us.get()) < LOOK_INTERVAL_US {
            return;
        }
        self.looked_us.set(now_us);
        let (peak, demand) = (self.throttle.shared(Shared::Peak), self.throttle.demand());
        if demand > peak.load(Relaxed) {
            peak.fetch_max(demand, Relaxed);
        }
    }

    /// Since when the first request waits in any worker that has attended to its own at `fresh_us` or later.
    pub fn oldest_since_us(&self, fresh_us: u64) -> Option<u64> {
        self.throttle.0.seats.oldest_since_us(fresh_us)
    }

    pub fn count(&self, count: Count) {
        self.throttle.0.seats.count(self.owner, count);
    }

    /// When a request may be admitted by the rate that comes after `ahead` others.
    pub fn room_at_us(&self, ahead: u64) -> Option<u64> {
        let rate = Rate::of_word(self.throttle.load(Word::RateShare)).filter(|rate| rate.count > 0)?;
        Some(self.throttle.0.window.room_at_us(rate, ahead, &self.window_hint))
    }

    /// What is left of the rate of the whole server, and the rate.
    pub fn quota(&self, now_us: u64) -> Option<(Rate, Quota)> {
        let rate = Rate::of_word(self.throttle.load(Word::RateShare))?;
        let (admitted, first) = self.throttle.0.window.admitted(rate, now_us, &self.window_hint);
        let more_in_us = first.map_or(rate.window_us(), |first| (first + rate.window_us()).saturating_sub(now_us));
        Some((rate, Quota { remaining: rate.count - admitted.min(rate.count), more_in_us }))
    }

    /// What is left of the client's rate, and the rate.
    pub fn client_quota(&self, client: Client, now_us: u64) -> Option<(Rate, Quota)> {
        let rate = Rate::of_word(self.throttle.load(Word::ClientRate))?;
        Some((rate, self.throttle.0.client_rates.quota(client, rate, now_us)))
    }
}
