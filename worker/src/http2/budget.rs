//! What a client may do on a connection that is of no use to any request. A connection whose budget is spent is ended with
//! ENHANCE_YOUR_CALM.
//!
//! Only what does no work is charged, never bytes that an exchange takes: gRPC streams are made of small DATA frames
//! and small window updates, and servers that charged for those have cut good clients (h2 0.4.16 to 0.4.20, jetty 13807). The
//! budget is refilled by time and by requests that are answered. So a client that cancels half of its requests can go on
//! for ever, as can one that sends a PING a second, while a flood ends after at most a thousand frames.

use std::time::{Duration, Instant};

/// The budget of a new connection, and the most that it can be: PAGI's burst of 1000 (its refill is 33 a second, too).
const BURST: u32 = 1000;
/// Each unit returns after this time: 33 a second.
const REFILL: Duration = Duration::from_millis(30);
/// What an answered request earns: as much as a reset costs.
const ANSWERED: u32 = 10;

/// A stream that the client resets earlier than this after its start has cost the server work and the client nothing, as its
/// place is free again (CVE-2023-44487). Later ones are bounded by the number of streams at a time: 100 streams that live for
/// 50 ms each are 2000 requests a second.
pub const RAPID: Duration = Duration::from_millis(50);
/// A WINDOW_UPDATE of fewer bytes is tiny: it is about as long as what it permits. With this limit grpcio's streams of small
/// messages pass, with 1024 some were cut.
pub const TINY_UPDATE: u32 = 16;

/// Something of no use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Waste {
    /// RST_STREAM for a request without an answer, earlier than [`RAPID`] after its start.
    RapidReset,
    /// A reset that the client's violation made us send (CVE-2025-8671). Not those that are our choice, as after a response that did
    /// not need the whole body.
    ForcedReset,
    /// A response that was sent for the protocol's sake without a call of the app: 431 for a block beyond its bounds.
    Refusal,
    /// SETTINGS: each is answered, and may change every stream's window (CVE-2019-9515).
    Settings,
    /// CVE-2019-9512.
    Ping,
    /// PRIORITY, or PRIORITY_UPDATE (CVE-2019-9513).
    Priority,
    /// DATA without a byte, and not the last (CVE-2019-9518).
    EmptyData,
    /// Below [`TINY_UPDATE`].
    TinyWindowUpdate,
    /// Whatever its length: blocks are bounded besides (CVE-2024-27316).
    Continuation,
    /// A frame of an unknown type, GOAWAY; HEADERS, RST_STREAM or WINDOW_UPDATE for a stream that has ended; a stream above a limit that
    /// the client does not know yet.
    Ignored,
}

impl Waste {
    /// Frames of the first kinds make the server work; the others cost no more than to read them.
    fn cost(self) -> u32 {
        match self {
            Waste::RapidReset | Waste::ForcedReset | Waste::Refusal | Waste::Settings => 10,
            Waste::Ping
            | Waste::Priority
            | Waste::EmptyData
            | Waste::TinyWindowUpdate
            | Waste::Continuation
            | Waste::Ignored => 1,
        }
    }
}

/// The budget is spent: ENHANCE_YOUR_CALM.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Spent;

#[derive(Debug)]
pub struct Budget {
    left: u32,
    /// Up to when it was refilled.
    refilled: Instant,
}

impl Budget {
    pub fn new(now: Instant) -> Self {
        Budget { left: BURST, refilled: now }
    }

    pub fn charge(&mut self, waste: Waste, now: Instant) -> Result<(), Spent> {
        self.refill(now);
        self.left = self.left.checked_sub(waste.cost()).ok_or(Spent)?;
        Ok(())
    }

    /// A request was answered.
    #[inline]
    pub fn on_answered(&mut self) {
        self.left = (self.left + ANSWERED).min(BURST);
    }

    fn refill(&mut self, now: Instant) {
        let units = now.saturating_duration_since(self.refilled).as_millis() / REFILL.as_millis();
        if units >= u128::from(BURST - self.left) {
            (self.left, self.refilled) = (BURST, now);
        } else {
            self.left += units as u32;
            self.refilled += REFILL * units as u32;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);
    const ALL: [Waste; 10] = [
        Waste::RapidReset,
        Waste::ForcedReset,
        Waste::Refusal,
        Waste::Settings,
        Waste::Ping,
        Waste::Priority,
        Waste::EmptyData,
        Waste::TinyWindowUpdate,
        Waste::Continuation,
        Waste::Ignored,
    ];

    #[test]
    fn a_flood_of_each_kind_ends_after_at_most_a_thousand_frames() {
        let now = Instant::now();
        for waste in ALL {
            let mut budget = Budget::new(now);
            let passed = (0..100_000).take_while(|_| budget.charge(waste, now).is_ok()).count();
            assert_eq!(passed as u32, BURST / waste.cost(), "{waste:?}");
            assert!((100..=1000).contains(&passed));
        }
    }

    #[test]
    fn a_flood_over_time_ends_as_well() {
        let start = Instant::now();
        for waste in ALL {
            let mut budget = Budget::new(start);
            // A hundred a second, which the refill does not keep up with.
            let passed = (0..).take_while(|&at| budget.charge(waste, start + SECOND / 100 * at).is_ok()).count();
            assert!(passed < 1600, "{waste:?} {passed}");
        }
    }

    #[test]
    fn time_refills_to_the_burst_and_no_further() {
        let start = Instant::now();
        let mut budget = Budget::new(start);
        let mut spend = |at: Instant| (0..).take_while(|_| budget.charge(Waste::Ping, at).is_ok()).count();
        assert_eq!(spend(start), 1000);
        assert_eq!(spend(start + REFILL - Duration::from_millis(1)), 0);
        assert_eq!(spend(start + REFILL), 1);
        assert_eq!(spend(start + SECOND), 32);
        assert_eq!(spend(start + SECOND), 0);
        assert_eq!(spend(start + 3600 * SECOND), 1000);
        // A clock that goes back refills nothing.
        assert_eq!(spend(start), 0);
    }

    #[test]
    fn good_clients_go_on() {
        let start = Instant::now();
        // 20 000 requests at once, every fifth, then every second of them cancelled.
        for every in [5, 2] {
            let mut budget = Budget::new(start);
            for request in 0..20_000 {
                match request % every {
                    0 => assert_eq!(budget.charge(Waste::RapidReset, start), Ok(()), "{request}"),
                    _ => budget.on_answered(),
                }
            }
        }
        // One stream for hours: a PING a second, and a tiny update now and then.
        let mut budget = Budget::new(start);
        for second in 0..100_000 {
            let now = start + SECOND * second;
            for _ in 0..10 {
                assert_eq!(budget.charge(Waste::Ping, now), Ok(()));
                assert_eq!(budget.charge(Waste::TinyWindowUpdate, now), Ok(()));
            }
        }
        // A browser's start: priorities of idle streams, SETTINGS, a reserved frame.
        let mut budget = Budget::new(start);
        for waste in [Waste::Settings, Waste::Ignored].into_iter().chain([Waste::Priority; 6]) {
            assert_eq!(budget.charge(waste, start), Ok(()));
        }
        assert!(budget.left > 900);
    }
}
