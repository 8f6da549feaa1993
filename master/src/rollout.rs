//! The one gate through which workers are replaced, for a reload as for a recycling: which of them is next.
//!
//! Pure: looks at the slots, says one step. New before old: a successor boots beside the worker that it replaces, which
//! leaves when the successor is ready. Invariant: never more than `surge_max` successors boot, and no step leaves more than
//! `unavailable_max` slots without a ready worker.

use std::time::Duration;

/// One that leaves and is one too many has had this long, at least, before it is cut.
pub const LEAVE_MIN: Duration = Duration::from_secs(2);

/// What may be missing, and what may be too much, while workers are replaced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Slots without a ready worker.
    pub unavailable_max: usize,
    /// Successors that boot beside those whom they replace.
    pub surge_max: usize,
    /// Processes of one slot, those that leave included.
    pub generations_max: usize,
}

/// A slot as the gate sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SlotView {
    pub is_ready: bool,
    /// Its worker is to be replaced, and may be now.
    pub is_due: bool,
    pub has_successor: bool,
    pub leavers: usize,
    /// How long the oldest of the leavers has been leaving.
    pub oldest: Duration,
    /// It has been told to end by some time already.
    pub is_oldest_ending: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Start a successor in this slot.
    Start(usize),
    /// Let the worker of this slot leave; its place is filled when it has begun to.
    Leave(usize),
    /// Cut the oldest that leaves in this slot: there are too many.
    CutOldest(usize),
}

/// What to do next; `None`: nothing now.
pub fn next(slots: &[SlotView], limits: Limits) -> Option<Step> {
    let is_full = |slot: &SlotView| slot.leavers + 1 >= limits.generations_max;
    let is_next = |slot: &SlotView| slot.is_due && slot.is_ready && !slot.has_successor;
    let is_too_full =
        |slot: &SlotView| is_next(slot) && is_full(slot) && slot.oldest >= LEAVE_MIN && !slot.is_oldest_ending;
    if let Some(at) = slots.iter().position(is_too_full) {
        return Some(Step::CutOldest(at));
    }
    let at = slots.iter().position(|slot| is_next(slot) && !is_full(slot))?;
    let surging = slots.iter().filter(|slot| slot.has_successor).count();
    let unavailable = slots.iter().filter(|slot| !slot.is_ready).count();
    match () {
        () if surging < limits.surge_max => Some(Step::Start(at)),
        () if unavailable < limits.unavailable_max => Some(Step::Leave(at)),
        () => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const READY: SlotView = SlotView {
        is_ready: true,
        is_due: false,
        has_successor: false,
        leavers: 0,
        oldest: Duration::ZERO,
        is_oldest_ending: false,
    };
    const DUE: SlotView = SlotView { is_due: true, ..READY };
    const BOOTS: SlotView = SlotView { has_successor: true, ..DUE };
    const DOWN: SlotView = SlotView { is_ready: false, ..DUE };
    const FULL: SlotView = SlotView { leavers: 3, ..DUE };

    fn limits(unavailable_max: usize, surge_max: usize) -> Limits {
        Limits { unavailable_max, surge_max, generations_max: 4 }
    }

    #[test]
    fn new_before_old_as_many_at_a_time_as_told() {
        use Step::{CutOldest, Leave, Start};
        let old = SlotView { oldest: LEAVE_MIN, ..FULL };
        let ending = SlotView { is_oldest_ending: true, ..old };
        for (slots, unavailable, surge, expected) in [
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
            // Who is down is started anyway, and is no concern of the gate.
            (&[DOWN], 1, 1, None),
            // A slot with too many processes waits, and the oldest is cut when it has had its time.
            (&[FULL, DUE], 0, 1, Some(Start(1))),
            (&[FULL], 0, 1, None),
            (&[old], 0, 1, Some(CutOldest(0))),
            // Once: then the others have their turn.
            (&[ending], 0, 1, None),
            (&[ending, DUE], 0, 1, Some(Start(1))),
            (&[SlotView { leavers: 2, ..DUE }], 0, 1, Some(Start(0))),
            (&[SlotView { is_due: false, ..old }], 0, 1, None),
        ] {
            assert_eq!(next(slots, limits(unavailable, surge)), expected, "{slots:?} {unavailable} {surge}");
        }
    }

    /// Whatever the limits: all are replaced in the end, and the invariant holds at every step.
    #[test]
    fn all_are_replaced_and_never_too_many_are_missing() {
        for (workers, unavailable, surge) in [(1, 0, 1), (4, 0, 1), (4, 0, 3), (5, 2, 0), (5, 1, 1), (3, 9, 9)] {
            let limits = limits(unavailable, surge);
            let mut slots = vec![DUE; workers];
            for _ in 0..10 * workers {
                while let Some(step) = next(&slots, limits) {
                    match step {
                        Step::Start(at) => slots[at].has_successor = true,
                        Step::Leave(at) => slots[at].is_ready = false,
                        Step::CutOldest(at) => panic!("slot {at} has no leavers"),
                    }
                    assert!(slots.iter().filter(|slot| slot.has_successor).count() <= surge);
                    assert!(slots.iter().filter(|slot| !slot.is_ready).count() <= unavailable);
                }
                // Somebody becomes ready.
                if let Some(slot) = slots.iter_mut().find(|slot| slot.has_successor || !slot.is_ready) {
                    *slot = READY;
                }
            }
            assert_eq!(slots, vec![READY; workers]);
        }
    }
}
