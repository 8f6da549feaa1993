//! This server's side of the lease: what it holds and wants of the limits, and what it is granted. No input or output.
//!
//! What it reports to hold is the share that requests are admitted by, or what is in flight, or was admitted in the last window,
//! if that is more. A share that was lowered is reported a turn later at the earliest: a request may just be looked at by the one
//! before.

use std::time::{Duration, Instant};
use tine_common::throttle::{Cause, Count, Rate, Shares, StoreState, Throttle, ThrottleLimits};

/// What the script is told; 0 stands for no limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Report {
    pub is_leaving: bool,
    /// The store has answered before, to this process or one before it.
    pub was_here: bool,
    pub serial: u64,
    pub limit: u64,
    pub held: u64,
    pub want: u64,
    pub rate: u64,
    pub window_ms: u64,
    pub rate_held: u64,
    pub rate_want: u64,
}

/// What the script grants, and the limits that are shared: the lowest of all servers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Grant {
    pub concurrency: u64,
    pub limit: u64,
    pub count: u64,
    pub rate: u64,
    pub window: Duration,
    /// Servers in contact with the store.
    pub servers: u64,
}

impl Grant {
    pub fn of(numbers: &[i64]) -> Option<Grant> {
        let numbers: Vec<u64> = numbers.iter().filter_map(|&number| number.try_into().ok()).collect();
        let &[concurrency, limit, count, rate, window_ms, servers] = &numbers[..] else { return None };
        Some(Grant { concurrency, limit, count, rate, window: Duration::from_millis(window_ms), servers })
    }
}

/// The highest value of about the last second.
#[derive(Debug, Default)]
struct Recent(u64);

impl Recent {
    /// To be called in each turn.
    fn with(&mut self, value: u64) -> u64 {
        self.0 = value.max(self.0 - self.0.div_ceil(8));
        self.0
    }
}

/// How much a count has grown since the last turn.
#[derive(Debug, Default)]
struct Growth(u64);

impl Growth {
    fn to(&mut self, count: u64) -> u64 {
        count.saturating_sub(std::mem::replace(&mut self.0, count))
    }
}

pub struct Lease {
    throttle: Throttle,
    /// What the rates of all servers are counted in, if that is known.
    window: Duration,
    wanted: Recent,
    held_back: Recent,
    admitted: Growth,
    refused: Growth,
    refused_by_rate: Growth,
}

impl Lease {
    pub fn new(throttle: Throttle) -> Lease {
        let mut lease = Lease {
            throttle,
            window: throttle.store_state().whole.rate.map_or(Duration::ZERO, |rate| rate.window),
            wanted: Recent::default(),
            held_back: Recent::default(),
            admitted: Growth::default(),
            refused: Growth::default(),
            refused_by_rate: Growth::default(),
        };
        // Of before.
        lease.growth();
        lease
    }

    pub fn state(&self) -> StoreState {
        self.throttle.store_state()
    }

    pub fn shares(&self) -> Shares {
        self.throttle.shares()
    }

    pub fn limits(&self) -> ThrottleLimits {
        self.throttle.limits()
    }

    pub fn in_flight(&self) -> usize {
        self.throttle.in_flight()
    }

    /// The configured limits may have changed: no share is above them, and none is missing.
    pub fn keep_within(&self) {
        self.set(self.shares().within(&self.limits()));
    }

    /// Nothing is admitted from now on.
    pub fn close(&self) {
        let Shares { concurrency, rate } = self.shares();
        self.set(Shares { concurrency: concurrency.map(|_| 0), rate: rate.map(|rate| Rate { count: 0, ..rate }) });
    }

    fn set(&self, shares: Shares) {
        if shares != self.shares() {
            self.throttle.set_shares(shares);
        }
    }

    /// Requests that were admitted, refused, and refused by the rate since the last turn. Exempt ones do not count.
    fn growth(&mut self) -> (u64, u64, u64) {
        let throttle = self.throttle;
        let refused = |cause| throttle.counted(Count::Refused(cause)) + throttle.counted(Count::WouldRefuse(cause));
        (
            self.admitted.to(throttle.counted(Count::Admitted)),
            self.refused.to(refused(Cause::Concurrency)),
            self.refused_by_rate.to(refused(Cause::Rate)),
        )
    }

    pub fn report(&mut self, is_leaving: bool, now: Instant) -> Report {
        let (limits, shares) = (self.limits(), self.shares());
        let (begun, refused, refused_by_rate) = self.growth();
        let demand = self.throttle.demand();
        let wanted = self.wanted.with((demand + refused).max(begun.min(1)));
        let waiting = self.throttle.waiting();
        let waiting = waiting.all.saturating_sub(waiting.for_clients) as u64;
        let held_back = self.held_back.with(waiting + refused_by_rate);
        let own_window = limits.rate.map_or(Duration::ZERO, |rate| rate.window);
        let admitted = match limits.rate {
            Some(_) => self.throttle.admitted_within(own_window.max(self.window), now),
            None => 0,
        };
        Report {
            is_leaving,
            was_here: self.state().contact_us.is_some(),
            serial: self.throttle.next_serial(),
            limit: limits.concurrency.unwrap_or(0) as u64,
            held: shares.concurrency.map_or(0, |share| share.max(self.throttle.in_flight())) as u64,
            want: wanted,
            rate: limits.rate.map_or(0, |rate| rate.count),
            window_ms: own_window.as_millis() as u64,
            rate_held: shares.rate.map_or(0, |rate| rate.count.max(admitted)),
            // Twice, as those that were refused are no longer there to be counted.
            rate_want: admitted + 2 * held_back,
        }
    }

    pub fn take(&mut self, grant: &Grant, now: Instant) {
        let rate = |count| Rate { count, window: grant.window };
        self.window = grant.window;
        let limits = self.limits();
        let shares = Shares {
            concurrency: limits.concurrency.map(|_| grant.concurrency as usize),
            rate: limits.rate.map(|_| rate(grant.count)),
        };
        self.set(shares.within(&limits));
        self.throttle.set_store_state(&StoreState {
            is_reachable: true,
            contact_us: Some(self.throttle.us(now)),
            servers: grant.servers,
            whole: Shares {
                concurrency: Some(grant.limit as usize).filter(|&limit| limit > 0),
                rate: Some(rate(grant.rate)).filter(|rate| rate.count > 0),
            },
        });
    }

    pub fn lose(&self) {
        self.throttle.set_store_state(&StoreState { is_reachable: false, ..self.state() });
    }
}
