//! The gate through which all workers are replaced, in a reload as in recycling: decides which one is next.
//!
//! Pure: takes the state of the positions and returns one step. New before old: a successor boots beside the worker that it
//! replaces, which leaves when the successor is ready. Invariant: never more than `surge_max` successors boot, and no step
//! leaves more than `unavailable_max` positions without a ready worker.

use std::time::Duration;

/// A surplus leaving worker has at least this long before it is cut.
pub const LEAVE_MIN: Duration = Duration::from_secs(2);

/// The limits of missing and of surplus workers during a replacement.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Positions without a ready worker.
    pub unavailable_max: usize,
    /// Successors that boot beside the workers that they replace.
    pub surge_max: usize,
    /// Processes of one position, including those that leave.
    pub generations_max: usize,
}

/// The state of a position.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PositionView {
    pub is_ready: bool,
    /// Its worker is to be replaced, and its back-off is over.
    pub is_due: bool,
    pub has_successor: bool,
    pub leavers: usize,
    /// How long the oldest of the leavers has been leaving.
    pub oldest: Duration,
    /// The oldest has a deadline already.
    pub is_oldest_ending: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Start a successor for this index.
    Start(usize),
    /// Let the worker of this index leave; a new one is started at once.
    Leave(usize),
    /// Cut the oldest leaving worker of this index: there are too many.
    CutOldest(usize),
}

/// The next step; `None` if there is nothing to do now.
pub fn next(positions: &[PositionView], limits: Limits) -> Option<Step> {
    let is_full = |position: &PositionView| position.leavers + 1 >= limits.generations_max;
    let is_next = |position: &PositionView| position.is_due && position.is_ready && !position.has_successor;
    let is_too_full = |position: &PositionView| {
        is_next(position) && is_full(position) && position.oldest >= LEAVE_MIN && !position.is_oldest_ending
    };
    if let Some(at) = positions.iter().position(is_too_full) {
        return Some(Step::CutOldest(at));
    }
    let at = positions.iter().position(|position| is_next(position) && !is_full(position))?;
    let surging = positions.iter().filter(|position| position.has_successor).count();
    let unavailable = positions.iter().filter(|position| !position.is_ready).count();
    match () {
        () if surging < limits.surge_max => Some(Step::Start(at)),
        () if unavailable < limits.unavailable_max => Some(Step::Leave(at)),
        () => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const READY: PositionView = PositionView {
        is_ready: true,
        is_due: false,
        has_successor: false,
        leavers: 0,
        oldest: Duration::ZERO,
        is_oldest_ending: false,
    };
    const DUE: PositionView = PositionView { is_due: true, ..READY };
    const BOOTS: PositionView = PositionView { has_successor: true, ..DUE };
    const DOWN: PositionView = PositionView { is_ready: false, ..DUE };
    const FULL: PositionView = PositionView { leavers: 3, ..DUE };

    fn limits(unavailable_max: usize, surge_max: usize) -> Limits {
        Limits { unavailable_max, surge_max, generations_max: 4 }
    }

    #[test]
    fn new_before_old_as_many_at_a_time_as_told() {
        use Step::{CutOldest, Leave, Start};
        let old = PositionView { oldest: LEAVE_MIN, ..FULL };
        let ending = PositionView { is_oldest_ending: true, ..old };
        for (positions, unavailable, surge, expected) in [
            (&[][..], 0, 1, None),
            (&[READY, READY], 0, 1, None),
            (&[DUE, DUE], 0, 1, Some(Start(0))),
            (&[READY, DUE], 0, 1, Some(Start(1))),
            (&[BOOTS, DUE], 0, 1, None),
            (&[BOOTS, DUE], 0, 2, Some(Start(1))),
            (&[BOOTS, BOOTS, DUE], 0, 2, None),
            // Without a surge the old one leaves first, if one may be missing.
            (&[DUE, DUE], 1, 0, Some(Leave(0))),
            (&[DOWN, DUE], 1, 0, None),
            (&[DOWN, DUE], 2, 0, Some(Leave(1))),
            (&[DOWN, DUE], 0, 1, Some(Start(1))),
            // Both: the surge is used first.
            (&[BOOTS, DUE], 1, 1, Some(Leave(1))),
            (&[BOOTS, DOWN, DUE], 1, 1, None),
            // A worker that is down is started anyway, without the gate.
            (&[DOWN], 1, 1, None),
            // A position with too many processes waits, and the oldest is cut after its time.
            (&[FULL, DUE], 0, 1, Some(Start(1))),
            (&[FULL], 0, 1, None),
            (&[old], 0, 1, Some(CutOldest(0))),
            // Only once: then the others have their turn.
            (&[ending], 0, 1, None),
            (&[ending, DUE], 0, 1, Some(Start(1))),
            (&[PositionView { leavers: 2, ..DUE }], 0, 1, Some(Start(0))),
            (&[PositionView { is_due: false, ..old }], 0, 1, None),
        ] {
            assert_eq!(next(positions, limits(unavailable, surge)), expected, "{positions:?} {unavailable} {surge}");
        }
    }

    /// Whatever the limits: all are replaced in the end, and the invariant holds at every step.
    #[test]
    fn all_are_replaced_and_never_too_many_are_missing() {
        for (workers, unavailable, surge) in [(1, 0, 1), (4, 0, 1), (4, 0, 3), (5, 2, 0), (5, 1, 1), (3, 9, 9)] {
            let limits = limits(unavailable, surge);
            let mut positions = vec![DUE; workers];
            for _ in 0..10 * workers {
                while let Some(step) = next(&positions, limits) {
                    match step {
                        Step::Start(at) => positions[at].has_successor = true,
                        Step::Leave(at) => positions[at].is_ready = false,
                        Step::CutOldest(at) => panic!("position {at} has no leavers"),
                    }
                    assert!(positions.iter().filter(|position| position.has_successor).count() <= surge);
                    assert!(positions.iter().filter(|position| !position.is_ready).count() <= unavailable);
                }
                // A worker becomes ready.
                if let Some(position) =
                    positions.iter_mut().find(|position| position.has_successor || !position.is_ready)
                {
                    *position = READY;
                }
            }
            assert_eq!(positions, vec![READY; workers]);
        }
    }
}
