//! Events at a fixed interval: the first at once, the next after `every_ms`, and so on, all counted from the first. A
//! late event does not delay later ones, so a stream does not drift; no event is early.

use std::time::{Duration, Instant};
use tine_worker::app::Cx;

#[derive(Default)]
pub struct Pace {
    every_ms: u64,
    /// When the first event happened.
    began: Option<Instant>,
    happened: u64,
}

impl Pace {
    pub fn new(every_ms: u64) -> Self {
        Pace { every_ms, ..Pace::default() }
    }

    pub fn is_unpaced(&self) -> bool {
        self.every_ms == 0
    }

    /// When the next event is due, if that is later than now.
    pub fn waits_until(&self, cx: &Cx<'_>) -> Option<Instant> {
        Some(self.next(cx.now())).filter(|&due| due > cx.now())
    }

    /// Records an event; returns when the next is due, or now if that is already late.
    pub fn happened(&mut self, cx: &Cx<'_>) -> Instant {
        self.began.get_or_insert(cx.now());
        self.happened += 1;
        self.next(cx.now()).max(cx.now())
    }

    fn next(&self, now: Instant) -> Instant {
        let after = Duration::from_millis(self.every_ms.saturating_mul(self.happened));
        let began = self.began.unwrap_or(now);
        // A time that the clock cannot represent never comes.
        began.checked_add(after).unwrap_or(now + NEVER)
    }
}

/// A century.
const NEVER: Duration = Duration::from_secs(100 * 365 * 24 * 3600);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_is_late_delays_nobody() {
        let began = Instant::now();
        let at = |ms| began + Duration::from_millis(ms);
        let mut pace = Pace::new(100);
        assert_eq!(pace.next(at(0)), at(0));
        (pace.began, pace.happened) = (Some(at(0)), 1);
        assert_eq!(pace.next(at(0)), at(100));
        assert_eq!(pace.next(at(250)), at(100), "it was due long ago");
        pace.happened = 3;
        assert_eq!(pace.next(at(250)), at(300));
        pace.happened = u64::MAX;
        assert!(pace.next(at(250)) > at(u64::from(u32::MAX)));
        let unpaced = Pace { began: Some(at(0)), happened: 7, ..Pace::new(0) };
        assert_eq!(unpaced.next(at(5)), at(0));
    }
}
