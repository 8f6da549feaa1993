//! When, and for how long, a queue's owner leaves pending connections to a less-loaded worker.
//!
//! In a *handoff* the owner leaves the connection in its queue and wakes the least-loaded worker. That worker may be
//! busy, full or dying; so after [`PATIENCE`] the owner accepts what is still pending, and then starts no handoff for a
//! while, which doubles each time. Pure: the caller has the queue and the waker.

use super::PATIENCE;
use std::time::{Duration, Instant};

/// No handoff starts for this long after one that no worker took; the pause doubles each time.
const REST_MIN: Duration = PATIENCE;
/// The longest pause between handoffs.
const REST_MAX: Duration = Duration::from_secs(1);

#[derive(Debug, Default)]
pub struct Handoffs {
    /// When the owner accepts what is still pending.
    until: Option<Instant>,
    /// No handoff starts before.
    resting_until: Option<Instant>,
    /// The last pause; zero if the last handoff was taken.
    rest: Duration,
}

impl Handoffs {
    /// Whether a handoff may start; otherwise the owner has to accept.
    pub fn may_begin(&self, now: Instant) -> bool {
        !self.is_over(now) && self.resting_until.is_none_or(|at| now >= at)
    }

    /// Another worker was woken. `is_alone`: only one connection is pending, so all earlier ones have been taken.
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

    /// `was_left`: no worker had taken the connection.
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
        assert_eq!(
            handoffs.deadline(),
            Some(began + PATIENCE),
            "a connection of the first handoff may still be pending"
        );
        handoffs.begin(true, later);
        assert_eq!(handoffs.deadline(), Some(later + PATIENCE), "none is");
        let end = later + PATIENCE;
        assert!(handoffs.is_over(end) && !handoffs.may_begin(end));
        handoffs.end(false, end);
        assert!(!handoffs.is_over(end) && handoffs.may_begin(end));
        assert_eq!(handoffs.deadline(), None);
    }

    #[test]
    fn handoffs_that_are_not_taken_become_rare() {
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
