//! The throttle as one worker uses it, in its seat: what its requests are admitted by, hold while they are in flight, and give
//! back.

use super::clients::{Pace, Quota};
use super::permits;
use super::settings::{Rate, ThrottleLimits, Word};
use super::window;
use super::{Cause, Client, Count, Gate, Owner, Shared, Throttle, Waiting};
use std::cell::Cell;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::{Relaxed, SeqCst};

/// How often a worker looks at the number of requests of all, at most.
const LOOK_INTERVAL_US: u64 = 1000;

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
    pub(super) place: Option<u32>,
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
    /// Of the client's rate, and the word that it was made of.
    client_pace: Cell<(u64, Option<Pace>)>,
    /// In its seat: see [`Seats::held`](super::seats::Seats::held).
    held: &'static AtomicU64,
    looked_us: Cell<u64>,
}

impl Seat {
    pub(super) fn new(throttle: Throttle, owner: Owner) -> Seat {
        let (permits_hint, window_hint) = (permits::Hint::of(owner), window::Hint::default());
        let held = throttle.0.seats.held(owner);
        Seat { throttle, owner, permits_hint, window_hint, client_pace: Cell::default(), held, looked_us: Cell::new(0) }
    }

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

    pub fn has_client_limits(&self) -> bool {
        self.throttle.load(Word::ClientRate) | self.throttle.load(Word::ClientConcurrency) != 0
    }

    #[inline(always)]
    fn client_pace(&self) -> Option<Pace> {
        let word = self.throttle.load(Word::ClientRate);
        if self.client_pace.get().0 != word {
            self.client_pace.set((word, Rate::of_word(word).map(Pace::from)));
        }
        self.client_pace.get().1
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
        match self.client_pace() {
            Some(pace) => match region.client_rates.admit(client, pace, now_us) {
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
        if let Some(pace) = self.client_pace() {
            self.throttle.0.client_rates.give_back(held.client, pace, now_us);
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
        self.throttle.word(Word::AnyWaiting).load(SeqCst) != 0
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
        if waiting.oldest_since_us.is_none() {
            self.settle();
        } else if !self.is_any_waiting() {
            self.throttle.store(Word::AnyWaiting, 1);
        }
    }

    /// Nothing waits here for the server's limits: if nothing does anywhere, requests need not look.
    fn settle(&self) {
        let is_any = || self.throttle.waiting().oldest_since_us.is_some();
        if self.is_any_waiting() && !is_any() {
            self.throttle.store(Word::AnyWaiting, 0);
            // One that came in between has found it set before, or sets it after this.
            if is_any() {
                self.throttle.store(Word::AnyWaiting, 1);
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
    pub fn room_at_us(&self, ahead: u64, now_us: u64) -> Option<u64> {
        let rate = Rate::of_word(self.throttle.load(Word::RateShare)).filter(|rate| rate.count > 0)?;
        Some(self.throttle.0.window.room_at_us(rate, ahead, &self.window_hint, now_us))
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
        Some((rate, self.throttle.0.client_rates.quota(client, rate.into(), now_us)))
    }
}
