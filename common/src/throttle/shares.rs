//! This server's shares of limits that it has in common with other servers (`--limit-store`).
//!
//! The limits themselves are words that the master sets; what requests are admitted by are the shares. Without a store a share
//! is the whole limit, and the master sets it, too. With one, only the process that has the shares does: it leases them, and
//! keeps here what it knows of the store, so that the process after it goes on with that.

use super::settings::{Rate, Word};
use super::{Shared, Throttle, ThrottleLimits, window};
use crate::server_memory::ProcessKey;
use std::sync::atomic::Ordering::{Relaxed, SeqCst};
use std::time::{Duration, Instant};

/// What is admitted by; unlike that of a limit, a count may be 0: nothing is admitted. `None`: no limit.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Shares {
    pub concurrency: Option<usize>,
    pub rate: Option<Rate>,
}

/// What the process that leases the shares knows.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct StoreState {
    pub is_reachable: bool,
    /// When the store last answered.
    pub contact_us: Option<u64>,
    /// Servers that were in contact with it then, this one included.
    pub servers: u64,
    /// The limits that are shared: those of the server that has the lowest.
    pub whole: Shares,
}

/// Words beside those that requests read.
#[derive(Clone, Copy)]
pub(super) enum StoreWord {
    IsReachable,
    ContactUs,
    Servers,
    Concurrency,
    Rate,
    /// Of the last request to the store.
    Serial,
    /// The server's name for the store, beside that of its machine.
    Id,
    /// The process that leases, and the one that stands by.
    Holder,
    Heir,
    /// There is a store: the shares are not the whole limits.
    IsShared,
}

/// A process's part in the lease. Of the processes of two masters only one leases, so that shares are set in the order in which
/// they were granted.
#[derive(Clone, Copy)]
pub struct Lessee {
    throttle: Throttle,
    own: ProcessKey,
}

impl Lessee {
    /// True: this process is the one that leases, from now on. If another one does, this one stands by.
    pub fn try_hold(&self) -> bool {
        let (holder, own) = (self.throttle.store_word(StoreWord::Holder), self.own.word());
        let before = holder.load(SeqCst);
        if before == own {
            return true;
        }
        let is_free = ProcessKey::from_word(before).is_none_or(|key| !key.lives());
        if is_free && holder.compare_exchange(before, own, SeqCst, Relaxed).is_ok() {
            self.stand_down();
            return true;
        }
        self.throttle.store_word(StoreWord::Heir).store(own, SeqCst);
        false
    }

    /// Another process stands by for the lease.
    pub fn has_heir(&self) -> bool {
        let heir = ProcessKey::from_word(self.throttle.store_word(StoreWord::Heir).load(SeqCst));
        heir.is_some_and(|heir| heir != self.own && heir.lives())
    }

    /// This process neither leases nor stands by any more.
    pub fn let_go(&self) {
        self.stand_down();
        // It fails if another one holds it.
        let holder = self.throttle.store_word(StoreWord::Holder);
        let _ = holder.compare_exchange(self.own.word(), 0, SeqCst, Relaxed);
    }

    fn stand_down(&self) {
        // As above.
        let heir = self.throttle.store_word(StoreWord::Heir);
        let _ = heir.compare_exchange(self.own.word(), 0, SeqCst, Relaxed);
    }
}

impl Shares {
    /// This part of the limits, in percent, rounded down.
    pub fn part_of(limits: &ThrottleLimits, percent: u64) -> Shares {
        Shares {
            concurrency: limits.concurrency.map(|most| (most as u64 * percent / 100) as usize),
            rate: limits.rate.map(|rate| Rate { count: rate.count * percent / 100, ..rate }),
        }
    }

    /// At most as much as the limits.
    pub fn within(self, limits: &ThrottleLimits) -> Shares {
        Shares {
            concurrency: limits.concurrency.map(|most| self.concurrency.map_or(0, |share| share.min(most))),
            rate: limits.rate.map(|rate| match self.rate {
                Some(share) => Rate { count: share.count.min(rate.count), window: share.window.max(rate.window) },
                None => Rate { count: 0, ..rate },
            }),
        }
    }
}

impl Throttle {
    /// From now on the limits are shared. To be called before the first fork; `percent`: how much of them is admitted until
    /// the store has answered.
    pub fn share(&self, percent: u64) {
        self.store_word(StoreWord::IsShared).store(1, SeqCst);
        self.set_shares(Shares::part_of(&self.limits(), percent));
    }

    pub fn is_shared(&self) -> bool {
        self.store_word(StoreWord::IsShared).load(Relaxed) != 0
    }

    /// Of the only process that has the shares.
    pub fn set_shares(&self, shares: Shares) {
        self.0.permits.set_most(shares.concurrency);
        self.store(Word::RateShare, shares.rate.map_or(0, Rate::word));
        self.shared(Shared::Freed).fetch_add(1, SeqCst);
    }

    pub fn shares(&self) -> Shares {
        Shares { concurrency: self.0.permits.most(), rate: Rate::of_word(self.load(Word::RateShare)) }
    }

    /// Requests that were admitted by the rate within this time, which ends now, whatever the rate was then.
    pub fn admitted_within(&self, window: Duration, now: Instant) -> u64 {
        let rate = Rate { count: self.0.window.capacity(), window };
        self.0.window.admitted(rate, self.us(now), &window::Hint::default()).0
    }

    /// The number by which the store knows this server: drawn by the first master.
    pub fn store_id(&self, draw: impl FnOnce() -> u64) -> u64 {
        let (word, drawn) = (self.store_word(StoreWord::Id), draw() | 1);
        word.compare_exchange(0, drawn, SeqCst, SeqCst).map_or_else(|id| id, |_| drawn)
    }

    /// This process, which may lease the shares.
    pub fn lessee(&self) -> Lessee {
        Lessee { throttle: *self, own: ProcessKey::own() }
    }

    /// The number of the next request to the store: a request that is late never counts after a newer one.
    pub fn next_serial(&self) -> u64 {
        self.store_word(StoreWord::Serial).fetch_add(1, SeqCst) + 1
    }

    fn store_word(&self, word: StoreWord) -> &'static std::sync::atomic::AtomicU64 {
        &self.0.store.words[word as usize]
    }

    pub fn store_state(&self) -> StoreState {
        let load = |word| self.store_word(word).load(Relaxed);
        let some = |word| Some(load(word)).filter(|&value| value > 0);
        StoreState {
            is_reachable: load(StoreWord::IsReachable) != 0,
            contact_us: some(StoreWord::ContactUs),
            servers: load(StoreWord::Servers),
            whole: Shares {
                concurrency: some(StoreWord::Concurrency).map(|most| most as usize),
                rate: Rate::of_word(load(StoreWord::Rate)),
            },
        }
    }

    pub fn set_store_state(&self, state: &StoreState) {
        for (word, value) in [
            (StoreWord::IsReachable, u64::from(state.is_reachable)),
            (StoreWord::ContactUs, state.contact_us.unwrap_or(0)),
            (StoreWord::Servers, state.servers),
            (StoreWord::Concurrency, state.whole.concurrency.unwrap_or(0) as u64),
            (StoreWord::Rate, state.whole.rate.map_or(0, Rate::word)),
        ] {
            self.store_word(word).store(value, Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::throttle::{Cause, Held, Seat};

    fn limits(concurrency: usize, rate: &str) -> ThrottleLimits {
        ThrottleLimits { concurrency: Some(concurrency), rate: rate.parse().ok(), ..ThrottleLimits::default() }
    }

    fn shares(concurrency: usize, count: u64) -> Shares {
        Shares { concurrency: Some(concurrency), rate: Some(Rate { count, window: Duration::from_secs(1) }) }
    }

    fn throttle(limits: &ThrottleLimits, percent: u64) -> (Throttle, Seat) {
        let throttle = Throttle::new(4, 0).expect("memory");
        throttle.set(limits);
        throttle.share(percent);
        (throttle, throttle.seat(0))
    }

    #[test]
    fn the_share_is_what_admits() {
        let all = limits(10, "6/s");
        let (throttle, seat) = throttle(&all, 0);
        assert_eq!((throttle.limits(), throttle.shares()), (all, shares(0, 0)));
        assert_eq!(seat.admit(1).expect_err("nothing is").cause, Cause::Concurrency);
        assert_eq!((seat.room_at_us(0, 1), seat.quota(1).map(|(_, quota)| quota.remaining)), (None, Some(0)));
        throttle.set_shares(shares(3, 0));
        assert_eq!(seat.admit(1).expect_err("no rate").cause, Cause::Rate);
        throttle.set_shares(shares(3, 6));
        let held: Vec<Held> = (0..3).map(|_| seat.admit(1).expect("room")).collect();
        assert_eq!(seat.admit(1).expect_err("three are in flight").cause, Cause::Concurrency);
        throttle.set_shares(shares(0, 2));
        assert_eq!((throttle.in_flight(), throttle.admitted_within(Duration::from_secs(9), Instant::now())), (3, 3));
        held.into_iter().for_each(|held| assert!(!seat.give_back(held)));
        assert_eq!(seat.admit(1).expect_err("nothing is").cause, Cause::Concurrency);
        throttle.set_shares(shares(5, 4));
        let _fourth = seat.admit(1).expect("of 4 in the window");
        assert_eq!(seat.admit(1).expect_err("the window is full").cause, Cause::Rate);
    }

    #[test]
    fn limits_that_change_leave_the_shares_to_their_process() {
        let (throttle, seat) = throttle(&limits(10, "6/s"), 50);
        assert_eq!(throttle.shares(), shares(5, 3));
        throttle.set(&ThrottleLimits::default());
        assert_eq!(throttle.shares(), shares(5, 3));
        assert!(!seat.is_active());
        throttle.set(&limits(4, "1/2s"));
        let (within, window) = (throttle.shares().within(&throttle.limits()), Duration::from_secs(2));
        assert_eq!(within, Shares { concurrency: Some(4), rate: Some(Rate { count: 1, window }) });
        assert_eq!(Shares::default().within(&limits(4, "1/s")), shares(0, 0), "not unlimited meanwhile");
        assert_eq!(within.within(&ThrottleLimits::default()), Shares::default());
    }

    #[test]
    fn one_process_leases_and_another_stands_by() {
        let (throttle, _) = throttle(&limits(10, "6/s"), 0);
        let own = throttle.lessee();
        let other = Lessee { own: ProcessKey::new(1, 0), ..own };
        assert!(own.try_hold() && own.try_hold() && !own.has_heir());
        assert!(!other.try_hold() && own.has_heir());
        own.let_go();
        assert!(other.try_hold() && !own.has_heir());
        assert!(!own.try_hold() && other.has_heir());
        own.let_go();
        assert!(!other.has_heir() && other.try_hold(), "it keeps it");
        let dead = Lessee { own: ProcessKey::new(std::process::id(), 1), ..own };
        other.let_go();
        assert!(dead.try_hold() && own.try_hold(), "it has ended");
        assert_eq!((throttle.store_id(|| 6), throttle.store_id(|| 8)), (7, 7));
    }

    #[test]
    fn what_is_known_of_the_store_outlives_its_process() {
        let (throttle, _) = throttle(&limits(10, "6/s"), 0);
        assert_eq!(throttle.store_state(), StoreState::default());
        let state = StoreState { is_reachable: true, contact_us: Some(7), servers: 2, whole: shares(8, 5) };
        throttle.set_store_state(&state);
        assert_eq!(throttle.store_state(), state);
        assert_eq!((throttle.next_serial(), throttle.next_serial()), (1, 2));
    }
}
