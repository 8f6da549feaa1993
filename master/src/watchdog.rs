//! Who hangs: a worker whose heartbeat and progress stand still while the master looks on. A worker that goes from one request to
//! the next within one turn works, however long the turn takes.
//!
//! Pure: the master looks every [`LOOK_INTERVAL`] and says how long ago its last look was. Only time in which the master was
//! awake counts, so that nobody is suspected because the machine, or the whole server, was stopped.

use std::time::Duration;

/// The master looks this often.
pub const LOOK_INTERVAL: Duration = Duration::from_secs(1);
/// A worker that was told to say what it hangs in has this long before it is killed.
pub const CRASH_REPORT_TIMEOUT: Duration = Duration::from_secs(2);

/// What the master knows of one worker's heartbeats.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Watch {
    life: Life,
    still: Duration,
    is_told: bool,
}

/// The words of a worker's seat whose change is life.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Life {
    pub heartbeat: u64,
    pub progress: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    Fine,
    /// It is to say what it hangs in (SIGABRT).
    Abort,
    /// It did not even do that, or is stopped (SIGKILL).
    Kill,
}

impl Watch {
    /// `since`: the time since the last look; `limit`: how long both words may stand still, `None`: for ever.
    pub fn look(&mut self, life: Life, since: Duration, limit: Option<Duration>) -> Verdict {
        if life != self.life {
            *self = Watch { life, ..Watch::default() };
            return Verdict::Fine;
        }
        self.still += since.min(2 * LOOK_INTERVAL);
        let Some(limit) = limit else { return Verdict::Fine };
        match () {
            () if self.still < limit => Verdict::Fine,
            () if !std::mem::replace(&mut self.is_told, true) => Verdict::Abort,
            () if self.still >= limit + CRASH_REPORT_TIMEOUT => Verdict::Kill,
            () => Verdict::Fine,
        }
    }

    /// How long its loop has stood still, as far as the master looked on.
    pub fn still(&self) -> Duration {
        self.still
    }

    /// It was told that it hangs.
    pub fn is_suspect(&self) -> bool {
        self.is_told
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_stands_still_is_told_and_then_killed() {
        const S: Duration = Duration::from_secs(1);
        use Verdict::{Abort, Fine, Kill};
        let life = |heartbeat, progress| Life { heartbeat, progress };
        let look = |watch: &mut Watch, heartbeat, progress, seconds| {
            watch.look(life(heartbeat, progress), seconds * S, Some(3 * S))
        };
        // (the heartbeat, seconds since the last look, the verdict), with a limit of 3 s
        for looks in [
            &[(1, 1, Fine), (1, 1, Fine), (1, 1, Fine), (1, 1, Abort), (1, 1, Fine), (1, 1, Kill), (1, 1, Kill)][..],
            // A change is life, whatever was before.
            &[(1, 1, Fine), (1, 2, Fine), (2, 2, Fine), (2, 2, Fine), (2, 1, Abort), (3, 1, Fine), (3, 2, Fine)],
            // The machine slept for an hour: two seconds of it count.
            &[(1, 1, Fine), (1, 3600, Fine), (2, 1, Fine), (2, 1, Fine), (2, 3600, Abort)],
            // No heartbeat yet: a boot counts from the fork.
            &[(0, 1, Fine), (0, 1, Fine), (0, 1, Abort)],
        ] {
            let mut watch = Watch::default();
            for (i, &(heartbeat, seconds, expected)) in looks.iter().enumerate() {
                assert_eq!(look(&mut watch, heartbeat, 0, seconds), expected, "look {i} of {looks:?}");
            }
        }
        // A turn that does not end, but goes from one request to the next, and then hangs in the last.
        let mut watch = Watch::default();
        assert!((0..100).all(|progress| look(&mut watch, 5, progress, 1) == Fine));
        assert_eq!([0; 4].map(|_| look(&mut watch, 5, 99, 1)), [Fine, Fine, Abort, Fine]);
        let mut watch = Watch::default();
        assert!((0..1000).all(|_| watch.look(life(7, 0), S, None) == Fine), "no limit");
        assert_eq!(look(&mut watch, 7, 0, 1), Abort);
        assert!(watch.is_suspect());
    }
}
