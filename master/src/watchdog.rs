//! Detects hung workers: a worker hangs if its heartbeat and progress stand still for too long. A worker that goes from one
//! request to the next within one turn does not hang, however long the turn takes.
//!
//! Pure: the master checks every [`CHECK_INTERVAL`] and passes the time since its last check. Only time in which the master
//! itself ran counts, so that no worker is suspected after the machine or the whole server was stopped.

use std::time::Duration;

/// The master checks this often.
pub const CHECK_INTERVAL: Duration = Duration::from_secs(1);
/// A worker that was told to report where it hangs has this long before it is killed.
pub const CRASH_REPORT_TIMEOUT: Duration = Duration::from_secs(2);

/// What the master knows of one worker's heartbeats.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Watch {
    life: Life,
    still: Duration,
    is_told: bool,
}

/// The words of a worker's slot whose change shows that it is alive.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Life {
    pub heartbeat: u64,
    pub progress: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    Fine,
    /// Make it report where it hangs (SIGABRT).
    Abort,
    /// It did not exit after that, or is stopped (SIGKILL).
    Kill,
}

impl Watch {
    /// `since`: the time since the last check; `limit`: how long both words may stand still, `None` for no limit.
    pub fn check(&mut self, life: Life, since: Duration, limit: Option<Duration>) -> Verdict {
        if life != self.life {
            *self = Watch { life, ..Watch::default() };
            return Verdict::Fine;
        }
        self.still += since.min(2 * CHECK_INTERVAL);
        let Some(limit) = limit else { return Verdict::Fine };
        match () {
            () if self.still < limit => Verdict::Fine,
            () if !std::mem::replace(&mut self.is_told, true) => Verdict::Abort,
            () if self.still >= limit + CRASH_REPORT_TIMEOUT => Verdict::Kill,
            () => Verdict::Fine,
        }
    }

    /// How long its loop has stood still, as far as the master ran.
    pub fn still(&self) -> Duration {
        self.still
    }

    /// It was sent SIGABRT.
    pub fn is_suspect(&self) -> bool {
        self.is_told
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_worker_that_stands_still_is_aborted_and_then_killed() {
        const S: Duration = Duration::from_secs(1);
        use Verdict::{Abort, Fine, Kill};
        let life = |heartbeat, progress| Life { heartbeat, progress };
        let check = |watch: &mut Watch, heartbeat, progress, seconds| {
            watch.check(life(heartbeat, progress), seconds * S, Some(3 * S))
        };
        // (the heartbeat, seconds since the last check, the verdict), with a limit of 3 s
        for checks in [
            &[(1, 1, Fine), (1, 1, Fine), (1, 1, Fine), (1, 1, Abort), (1, 1, Fine), (1, 1, Kill), (1, 1, Kill)][..],
            // A change is life, whatever was before.
            &[(1, 1, Fine), (1, 2, Fine), (2, 2, Fine), (2, 2, Fine), (2, 1, Abort), (3, 1, Fine), (3, 2, Fine)],
            // The machine slept for an hour: two seconds of it count.
            &[(1, 1, Fine), (1, 3600, Fine), (2, 1, Fine), (2, 1, Fine), (2, 3600, Abort)],
            // No heartbeat yet: a boot counts from the fork.
            &[(0, 1, Fine), (0, 1, Fine), (0, 1, Abort)],
        ] {
            let mut watch = Watch::default();
            for (i, &(heartbeat, seconds, expected)) in checks.iter().enumerate() {
                assert_eq!(check(&mut watch, heartbeat, 0, seconds), expected, "check {i} of {checks:?}");
            }
        }
        // A turn that does not end, but goes from one request to the next, and then hangs in the last.
        let mut watch = Watch::default();
        assert!((0..100).all(|progress| check(&mut watch, 5, progress, 1) == Fine));
        assert_eq!([0; 4].map(|_| check(&mut watch, 5, 99, 1)), [Fine, Fine, Abort, Fine]);
        let mut watch = Watch::default();
        assert!((0..1000).all(|_| watch.check(life(7, 0), S, None) == Fine), "no limit");
        assert_eq!(check(&mut watch, 7, 0, 1), Abort);
        assert!(watch.is_suspect());
    }
}
