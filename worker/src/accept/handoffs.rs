//! When the owner of a queue leaves who waits in it to somebody who has fewer connections, and for how long.
//!
//! He *offers* the connection: rings who has least, and leaves it in the queue. Who is rung may be held up, or full, or
//! dying; so after [`PATIENCE`] the owner takes whoever waits still, and then offers nothing for a while, twice as long each
//! time. Pure: the queue and the waker are the caller's.

use super::PATIENCE;
use std::time::{Duration, Instant};

/// Nothing is offered for this long after an offer that nobody took, then twice as long, …
const REST_MIN: Duration = PATIENCE;
/// … and at the most this long.
const REST_MAX: Duration = Duration::from_secs(1);

#[derive(Debug, Default)]
pub struct Handoffs {
    /// Whoever waits then is taken.
    until: Option<Instant>,
    /// Nothing is offered before.
    resting_until: Option<Instant>,
    /// The last rest; zero, if the last offer was taken.
    rest: Duration,
}

impl Handoffs {
    /// Whether connections may be offered, or have to be taken.
    pub fn may_begin(&self, now: Instant) -> bool {
        !self.is_over(now) && self.resting_until.is_none_or(|at| now >= at)
    }

    /// Somebody was rung. `is_alone`: nobody else waits, so that those who were offered before have been taken.
    pub fn begin(&mut self, is_alone: bool, now: Instant) {
        if is_alone || self.until.is_none() {
            self.until = Some(now + PATIENCE);
        }
    }

    /// When [`Handoffs::end`] is due.
    pub fn deadline(&self) -> Option<Instant> {
        self.until
    }

    pub fn is_over(&self, now: Instant) -> bool {
        self.until.is_some_and(|until| now >= until)
    }

    /// `was_left`: nobody had taken it.
    pub fn end(&mut self, was_left: bool, now: Instant) {
        self.until = None;
        self.rest = if was_left { (self.rest * 2).clamp(REST_MIN, REST_MAX) } else { Duration::ZERO };
        self.resting_until = was_left.then(|| now + self.rest);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_handoff_that_is_taken_is_followed_by_others() {
        let (mut handoffs, began) = (Handoffs::default(), Instant::now());
        assert!(handoffs.may_begin(began));
        handoffs.begin(true, began);
        let later = began + PATIENCE / 2;
        assert!(handoffs.may_begin(later));
        handoffs.begin(false, later);
        assert_eq!(handoffs.deadline(), Some(began + PATIENCE), "somebody of the first offer may wait still");
        handoffs.begin(true, later);
        assert_eq!(handoffs.deadline(), Some(later + PATIENCE), "nobody does");
        let end = later + PATIENCE;
        assert!(handoffs.is_over(end) && !handoffs.may_begin(end));
        handoffs.end(false, end);
        assert!(!handoffs.is_over(end) && handoffs.may_begin(end));
        assert_eq!(handoffs.deadline(), None);
    }

    #[test]
    fn handoffs_that_nobody_takes_become_rare() {
        let (mut handoffs, mut now) = (Handoffs::default(), Instant::now());
        for rest_ms in [8, 16, 32, 64, 128, 256, 512, 1000, 1000] {
            handoffs.begin(true, now);
            now += PATIENCE;
            handoffs.end(true, now);
            let rest = Duration::from_millis(rest_ms);
            assert!(!handoffs.may_begin(now + rest - Duration::from_millis(1)), "rests for {rest_ms} ms");
            now += rest;
            assert!(handoffs.may_begin(now), "rests for {rest_ms} ms only");
        }
        handoffs.begin(true, now);
        handoffs.end(false, now);
        assert!(handoffs.may_begin(now), "one that was taken ends it");
    }
}
