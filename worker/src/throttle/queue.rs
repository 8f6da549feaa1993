//! The requests of a worker that wait for room, in the order of their arrival.
//!
//! ```text
//!   pushed --- its client's limit ---> asks ---+
//!      |                                       | its client's limit lets it pass
//!      +------ the server's limits --> line <--+
//!                                       | it is the first, and there is room
//!                                       v
//!                                    admitted: its permit is fetched by its connection
//! ```

use super::{LOOK, Permit};
use crate::app::ConnectionId;
use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};
use tine_common::throttle::{Cause, Client, ClientHeld, Denied, Seat, Waiting};

/// A request that waits for a limit of its client, and of which it is not known when there is room, asks this often.
const CLIENT_ASKS_US: u64 = 20_000;

#[derive(Default)]
pub struct Queue {
    /// By their numbers, in the order of arrival.
    waiters: BTreeMap<u64, Waiter>,
    last_number: u64,
    /// Those that wait for the server's limits.
    line: BTreeSet<u64>,
    /// Those that wait for a limit of their client, by the time at which they ask again.
    asks: BTreeSet<(u64, u64)>,
    admitted: BTreeMap<u64, Permit>,
    /// `Seat::freed` as it was before the first of the line was last denied.
    freed: u64,
    /// When there is room for it, or it is to ask in any case.
    asks_at_us: u64,
    look_at: Option<Instant>,
}

pub struct Waiter {
    pub connection: ConnectionId,
    pub client: Option<Client>,
    /// What it holds of its client's limits.
    pub held: Option<ClientHeld>,
    pub since_us: u64,
    /// By what it was denied last.
    pub denied: Denied,
    /// If it waits for a limit of its client: when it asks again.
    pub asks_at_us: u64,
}

impl Waiter {
    fn asks_after(&mut self, denied: Denied, now_us: u64) {
        self.denied = denied;
        self.asks_at_us = denied.until_us.unwrap_or(now_us + CLIENT_ASKS_US);
    }
}

impl Queue {
    /// Nothing waits.
    pub fn is_empty(&self) -> bool {
        self.waiters.is_empty()
    }

    /// Returns its number.
    pub fn push(&mut self, mut waiter: Waiter) -> u64 {
        self.last_number += 1;
        let number = self.last_number;
        if waiter.denied.cause.is_clients() {
            waiter.asks_after(waiter.denied, waiter.since_us);
            self.asks.insert((waiter.asks_at_us, number));
        } else {
            if self.line.is_empty() {
                // What it needs may have been given back since it was denied.
                self.asks_at_us = waiter.since_us;
            }
            self.line.insert(number);
        }
        self.waiters.insert(number, waiter);
        self.look_at.get_or_insert_with(Instant::now);
        number
    }

    pub fn remove(&mut self, number: u64) -> Option<Waiter> {
        let waiter = self.waiters.remove(&number)?;
        if !self.line.remove(&number) {
            self.asks.remove(&(waiter.asks_at_us, number));
        }
        Some(waiter)
    }

    /// What the other processes are told.
    pub fn waiting(&self) -> Waiting {
        Waiting {
            all: self.waiters.len(),
            for_clients: self.asks.len(),
            oldest_since_us: self.first().map(|first| first.since_us),
        }
    }

    /// Asks for those whose time has come whether their clients' limits let them pass.
    pub fn ask_for_clients(&mut self, seat: &Seat, now_us: u64) {
        while let Some((at_us, number)) = self.asks.pop_first() {
            if at_us > now_us {
                self.asks.insert((at_us, number));
                return;
            }
            let waiter = self.waiters.get_mut(&number).expect("each that asks waits");
            match waiter.client.map(|client| seat.admit_client(client, now_us)) {
                Some(Err(denied)) => {
                    waiter.asks_after(denied, now_us);
                    self.asks.insert((waiter.asks_at_us, number));
                }
                held => {
                    waiter.held = held.and_then(Result::ok);
                    // From now on the server's limits are the cause, whichever it is.
                    waiter.denied = Denied { cause: Cause::Concurrency, until_us: None };
                    self.line.insert(number);
                    self.asks_at_us = now_us;
                }
            }
        }
    }

    /// The first of those that wait for the server's limits.
    pub fn first(&self) -> Option<&Waiter> {
        self.waiters.get(self.line.first()?)
    }

    /// Whether it is worth asking: something was given back since the last time, or the time has come.
    pub fn is_room_likely(&self, freed: u64, now_us: u64) -> bool {
        freed != self.freed || now_us >= self.asks_at_us
    }

    /// Admits the first; returns its connection, which fetches the permit.
    pub fn admit_first(&mut self, permit: impl FnOnce(Option<ClientHeld>) -> Permit) -> ConnectionId {
        let number = self.line.pop_first().expect("there is a first");
        let waiter = self.waiters.remove(&number).expect("each in the line waits");
        self.admitted.insert(number, permit(waiter.held));
        waiter.connection
    }

    /// There is no room for the first.
    pub fn deny_first(&mut self, denied: Denied, freed: u64, now_us: u64) {
        let first = self.line.first().and_then(|number| self.waiters.get_mut(number));
        first.expect("there is a first").denied = denied;
        self.freed = freed;
        self.asks_at_us = denied.until_us.unwrap_or(now_us + LOOK.as_micros() as u64);
    }

    pub fn take_admitted(&mut self, number: u64) -> Option<Permit> {
        self.admitted.remove(&number)
    }

    /// All that could be done was done, until this much later.
    pub fn looked(&mut self, now: Instant, pause: Duration) {
        self.look_at = (!self.is_empty()).then_some(now + pause);
    }

    /// When to look again; `None` as soon as nothing waits.
    pub fn look_at(&self) -> Option<Instant> {
        self.look_at.filter(|_| !self.is_empty())
    }
}
