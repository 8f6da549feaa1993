//! The limits that `tine ctl limit` has set, over the configured ones.
//!
//! Pure. A value that was set stays, also through reloads and upgrades, until the configured value of the same limit is another
//! one than when it was set: whoever changes the configuration after that has the last word.

use std::collections::BTreeMap;
use tine_common::throttle::{Change, Setting, ThrottleLimits};

/// Between the value that was set and the configured one, in the text for a new master.
const OVER: &str = " over ";

#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct LimitOverrides(BTreeMap<Setting, Override>);

#[derive(Debug, Clone, PartialEq, Eq)]
struct Override {
    change: Change,
    /// The configured value at the time.
    configured: String,
}

impl LimitOverrides {
    /// The limits that are in force.
    pub fn over(&self, configured: &ThrottleLimits) -> ThrottleLimits {
        let mut limits = *configured;
        self.0.values().filter(|one| one.holds(configured)).for_each(|one| one.change.apply(&mut limits));
        limits
    }

    /// Remembers what was set; a configured value that is set again ends the override.
    pub fn set(&mut self, changes: &[Change], configured: &ThrottleLimits) {
        for change in changes {
            let one = Override { change: change.clone(), configured: change.setting.get(configured) };
            match one.change.value == one.configured {
                true => self.0.remove(&change.setting),
                false => self.0.insert(change.setting, one),
            };
        }
    }

    /// What was set and is no longer in force, as the configured value is another one.
    pub fn outdated(&self, configured: &ThrottleLimits) -> impl Iterator<Item = &Change> {
        self.0.values().filter(|one| !one.holds(configured)).map(|one| &one.change)
    }

    /// Forgets what is no longer in force, also for the case that the configured value returns.
    pub fn forget_outdated(&mut self, configured: &ThrottleLimits) {
        self.0.retain(|_, one| one.holds(configured));
    }

    /// What is set, for the log.
    pub fn changes(&self) -> Vec<String> {
        self.0.values().map(|one| one.change.to_string()).collect()
    }

    /// For a new master.
    pub fn to_text(&self) -> String {
        self.0.values().map(|one| format!("{}{OVER}{}\n", one.change, one.configured)).collect()
    }

    /// From an old master; what this version does not have is left out.
    pub fn of_text(text: &str) -> LimitOverrides {
        let parse = |line: &str| {
            let (change, configured) = line.split_once(OVER)?;
            let change: Change = change.parse().ok()?;
            Some((change.setting, Override { change, configured: configured.to_string() }))
        };
        LimitOverrides(text.lines().filter_map(parse).collect())
    }
}

impl Override {
    fn holds(&self, configured: &ThrottleLimits) -> bool {
        self.change.setting.get(configured) == self.configured
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limits(changes: &[&str]) -> ThrottleLimits {
        let mut limits = ThrottleLimits::default();
        parsed(changes).iter().for_each(|change| change.apply(&mut limits));
        limits
    }

    fn parsed(changes: &[&str]) -> Vec<Change> {
        changes.iter().map(|text| text.parse().expect("it is one")).collect()
    }

    #[test]
    fn what_was_set_stays_until_its_own_configured_value_changes() {
        let configured = limits(&["concurrency=100", "rate=2000/min"]);
        let mut overrides = LimitOverrides::default();
        overrides.set(&parsed(&["concurrency=200", "memory=1G"]), &configured);
        for (reloaded, expected) in [
            (vec!["concurrency=100", "rate=2000/min"], vec!["concurrency=200", "memory=1G", "rate=2000/min"]),
            (vec!["concurrency=100", "rate=50/s"], vec!["concurrency=200", "memory=1G", "rate=50/s"]),
            (vec!["concurrency=150"], vec!["concurrency=150", "memory=1G"]),
            (vec!["concurrency=100", "memory=2G"], vec!["concurrency=200", "memory=2G"]),
            (vec![], vec!["memory=1G"]),
        ] {
            assert_eq!(overrides.over(&limits(&reloaded)), limits(&expected), "{reloaded:?}");
        }
    }

    #[test]
    fn what_is_outdated_does_not_return_with_the_old_value() {
        let (before, between) = (limits(&["concurrency=100"]), limits(&["concurrency=150"]));
        let mut overrides = LimitOverrides::default();
        overrides.set(&parsed(&["concurrency=200", "wait=2s"]), &before);
        assert_eq!(overrides.outdated(&between).map(Change::to_string).collect::<Vec<_>>(), ["concurrency=200"]);
        // A reload that failed returns to the options of before.
        assert_eq!(overrides.over(&before), limits(&["concurrency=200", "wait=2s"]));
        overrides.forget_outdated(&between);
        assert_eq!(overrides.over(&before), limits(&["concurrency=100", "wait=2s"]));
        assert_eq!(overrides.changes(), ["wait=2s"]);
    }

    #[test]
    fn the_configured_value_is_no_override() {
        let configured = limits(&["concurrency=100"]);
        let mut overrides = LimitOverrides::default();
        overrides.set(&parsed(&["concurrency=200", "rate=off"]), &configured);
        assert_eq!(overrides.changes(), ["concurrency=200"], "the rate is off anyway");
        overrides.set(&parsed(&["concurrency=100"]), &configured);
        assert_eq!(overrides, LimitOverrides::default());
    }

    #[test]
    fn a_new_master_is_told_what_was_set_over_what() {
        let configured = limits(&["concurrency=100", "rate=2000/min"]);
        let mut overrides = LimitOverrides::default();
        overrides.set(&parsed(&["concurrency=200", "rate=off", "dry-run=on"]), &configured);
        assert_eq!(LimitOverrides::of_text(&overrides.to_text()), overrides);
        let text = format!("brightness=7 over 6\nconcurrency=0 over 5\nnonsense\n{}", overrides.to_text());
        assert_eq!(LimitOverrides::of_text(&text), overrides, "another version's");
        assert_eq!(LimitOverrides::of_text(""), LimitOverrides::default());
    }
}
