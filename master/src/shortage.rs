//! Back-off while the system refuses a process, a channel or a poll entry. Such a shortage affects every start and is not the
//! fault of one worker. So all starts that are due wait for one common back-off, and the first of them tries for all.

use crate::respawn::Respawn;
use std::time::{Duration, Instant};

/// The first wait.
const DELAY_MIN: Duration = Duration::from_millis(100);

#[derive(Debug, Default)]
pub struct Shortage {
    rounds: Respawn,
    /// When the next round begins; `None`: there is no shortage.
    again_at: Option<Instant>,
}

/// When a failed start is tried again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Round {
    /// It is the first of its round: all starts that are due wait until then, and one line reports it.
    Begins(Instant),
    /// It became due while others wait, and waits with them.
    Joins(Instant),
}

impl Shortage {
    /// A start has failed.
    pub fn on_failure(&mut self, jitter: f64, now: Instant) -> Round {
        if let Some(at) = self.again_at.filter(|&at| now < at) {
            return Round::Joins(at);
        }
        let at = now + self.rounds.delay(Duration::ZERO, jitter).max(DELAY_MIN);
        self.again_at = Some(at);
        Round::Begins(at)
    }

    /// All starts that were due have been made or wait. A round without a failure ends the shortage.
    pub fn settle(&mut self, now: Instant) {
        if self.again_at.is_some_and(|at| at <= now) {
            *self = Shortage::default();
        }
    }

    /// Whether starts that are not urgent, because they replace a running worker, have to wait.
    pub fn defers(&self, now: Instant) -> bool {
        self.again_at.is_some_and(|at| now < at)
    }

    /// The operator has asked for new workers: try again now.
    pub fn retry_now(&mut self, now: Instant) {
        self.again_at = self.again_at.map(|at| at.min(now));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_round_at_a_time_later_and_later_until_one_succeeds() {
        let (mut now, mut shortage) = (Instant::now(), Shortage::default());
        let mut waits = Vec::new();
        for _ in 0..10 {
            let Round::Begins(at) = shortage.on_failure(0.5, now) else { panic!("a round of its own: {shortage:?}") };
            shortage.settle(now);
            assert_eq!(shortage.on_failure(0.5, now + (at - now) / 2), Round::Joins(at));
            assert!(shortage.defers(now) && !shortage.defers(at));
            waits.push((at - now).as_millis());
            now = at;
        }
        assert_eq!(waits, [100, 100, 200, 400, 800, 1600, 3200, 6400, 12800, 25600]);
        shortage.settle(now);
        assert!(!shortage.defers(now));
        assert_eq!(shortage.on_failure(0.5, now), Round::Begins(now + DELAY_MIN));
        shortage.retry_now(now);
        assert!(matches!(shortage.on_failure(0.5, now), Round::Begins(at) if at >= now + DELAY_MIN));
    }
}
