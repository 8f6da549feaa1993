//! What is done to the server, and when: all of it from the seed, so that it can be repeated.

use std::ops::Range;
use std::time::Duration;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// KILL to a worker.
    Kill,
    /// STOP to a worker, CONT after this many milliseconds.
    Pause(u64),
    /// STOP to a worker, which the master has to detect.
    Freeze,
    /// TERM to a worker: it leaves, and is replaced.
    Dismiss,
    /// STOP to the master, CONT after this many milliseconds.
    PauseMaster(u64),
    /// HUP.
    Reload,
    /// HUP while the app cannot be loaded.
    ReloadBroken,
    /// TTIN.
    Add,
    /// TTOU.
    Remove,
    /// WINCH, and HUP after this many milliseconds.
    Rest(u64),
    /// USR2.
    Upgrade,
    /// USR2 while the app cannot be loaded.
    UpgradeBroken,
    /// USR2, and KILL to the new master, after this many milliseconds.
    UpgradeKilled(u64),
    /// USR2, and TERM to the new master, after this many milliseconds.
    UpgradeEnded(u64),
    /// USR2, and KILL to the process between the two masters, after this many milliseconds.
    UpgradeOrphaned(u64),
    /// A worker has a low limit of open files for this many milliseconds.
    Limit(u64),
    /// A request that ends its worker's process.
    Exit,
    /// A request that never ends.
    Hang,
}

#[derive(Debug, Clone, Copy)]
pub struct Step {
    pub at: Duration,
    pub action: Action,
    /// Chooses among the workers that exist then.
    pub choice: usize,
}

/// The weight of an action, for how many milliseconds it may last, and the action.
type Weighted = (u32, Option<Range<u64>>, fn(u64) -> Action);

const WEIGHTS: [Weighted; 18] = [
    (5, None, |_| Action::Kill),
    (5, Some(20..800), Action::Pause),
    (1, None, |_| Action::Freeze),
    (4, None, |_| Action::Dismiss),
    (2, Some(20..500), Action::PauseMaster),
    (6, None, |_| Action::Reload),
    (2, None, |_| Action::ReloadBroken),
    (4, None, |_| Action::Add),
    (4, None, |_| Action::Remove),
    (1, Some(50..400), Action::Rest),
    (3, None, |_| Action::Upgrade),
    (1, None, |_| Action::UpgradeBroken),
    (2, Some(1..80), Action::UpgradeKilled),
    (2, Some(1..80), Action::UpgradeEnded),
    (1, Some(1..80), Action::UpgradeOrphaned),
    (4, Some(100..800), Action::Limit),
    (2, None, |_| Action::Exit),
    (1, None, |_| Action::Hang),
];

/// The steps of a run of this length: one each quarter of a second, more or less.
pub fn plan(seed: u64, lasts: Duration) -> Vec<Step> {
    let mut random = fastrand::Rng::with_seed(seed);
    let mut steps = Vec::new();
    let mut at = Duration::from_millis(200);
    let sum: u32 = WEIGHTS.iter().map(|(weight, ..)| weight).sum();
    while at < lasts {
        let mut draw = random.u32(0..sum);
        let (_, range, action) = WEIGHTS
            .iter()
            .find(|(weight, ..)| {
                let is_it = draw < *weight;
                draw = draw.saturating_sub(*weight);
                is_it
            })
            .expect("a weight for each draw");
        let action = action(range.as_ref().map_or(0, |range| random.u64(range.clone())));
        steps.push(Step { at, action, choice: random.usize(..) });
        at += Duration::from_millis(random.u64(20..480));
    }
    steps
}
