//! No process, channel or poll entry is to be had: a lack of the system's, which every start meets, and not a fault of one
//! slot. So all starts that are due wait together, for one back-off, and the first of them tries for all.

use crate::respawn::Respawn;
use std::time::{Duration, Instant};

/// The first wait.
const DELAY_MIN: Duration = Duration::from_millis(100);

#[derive(Debug, Default)]
pub struct Shortage {
    rounds: Respawn,
    /// When the next round begins; `None`: nothing is lacking.
    again_at: Option<Instant>,
}

/// What a start that failed is to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Round {
    /// It is the first one of its round: all that are due wait until then, and one line says so.
    Begins(Instant),
    /// It became due while the others wait: it waits with them.
    Joins(Instant),
}

impl Shortage {
    /// A start has failed.
    pub fn meet(&mut self, jitter: f64, now: Instant) -> Round {
        if let Some(at) = self.again_at.filter(|&at| now < at) {
            return Round::Joins(at);
        }
        let at = now + self.rounds.delay(Duration::ZERO, jitter).max(DELAY_MIN);
        self.again_at = Some(at);
        Round::Begins(at)
    }

    /// All that was due has been started, or waits. A round that nothing has failed in is the end of the shortage.
    pub fn settle(&mut self, now: Instant) {
        if self.again_at.is_some_and(|at| at <= now) {
            *self = Shortage::default();
        }
    }

    /// Starts that are not urgent, because a worker is in their slot, wait.
    pub fn holds(&self, now: Instant) -> bool {
        self.again_at.is_some_and(|at| now < at)
    }

    /// What is asked for now is tried now.
    pub fn hasten(&mut self, now: Instant) {
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
            let Round::Begins(at) = shortage.meet(0.5, now) else { panic!("a round of its own: {shortage:?}") };
            shortage.settle(now);
            assert_eq!(shortage.meet(0.5, now + (at - now) / 2), Round::Joins(at));
            assert!(shortage.holds(now) && !shortage.holds(at));
            waits.push((at - now).as_millis());
            now = at;
        }
        assert_eq!(waits, [100, 100, 200, 400, 800, 1600, 3200, 6400, 12800, 25600]);
        shortage.settle(now);
        assert!(!shortage.holds(now));
        assert_eq!(shortage.meet(0.5, now), Round::Begins(now + DELAY_MIN));
        shortage.hasten(now);
        assert!(matches!(shortage.meet(0.5, now), Round::Begins(at) if at >= now + DELAY_MIN));
    }
}
