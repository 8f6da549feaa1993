//! Limits by name, as `tine ctl limit` shows and changes them: `concurrency=200`, `rate=off`.
//!
//! A name is that of the option without `--limit-`, and a value is written as there; `off` takes a limit away.

use super::settings::{CLIENT_CONCURRENCY_MAX, CONCURRENCY_MAX, Rate, ThrottleLimits};
use crate::units::{parse_duration, parse_size, parse_yes_or_no, show_duration, show_size};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::ops::RangeInclusive;
use std::str::FromStr;
use std::time::Duration;

/// More CPUs than any machine has.
const CPU_PERCENT_MAX: u64 = 1_000_000;
const WAIT_MAX: Duration = Duration::from_secs(3600);
const QUEUE_MAX: usize = 1 << 20;

/// What can be changed while the server runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Setting {
    Concurrency,
    Rate,
    Memory,
    Cpu,
    ClientConcurrency,
    ClientRate,
    Warn,
    Wait,
    Queue,
    DryRun,
}

impl Setting {
    /// The value without a limit.
    pub const OFF: &str = "off";

    pub const ALL: [Setting; 10] = [
        Setting::Concurrency,
        Setting::Rate,
        Setting::Memory,
        Setting::Cpu,
        Setting::ClientConcurrency,
        Setting::ClientRate,
        Setting::Warn,
        Setting::Wait,
        Setting::Queue,
        Setting::DryRun,
    ];

    pub fn name(self) -> &'static str {
        match self {
            Setting::Concurrency => "concurrency",
            Setting::Rate => "rate",
            Setting::Memory => "memory",
            Setting::Cpu => "cpu",
            Setting::ClientConcurrency => "client-concurrency",
            Setting::ClientRate => "client-rate",
            Setting::Warn => "warn",
            Setting::Wait => "wait",
            Setting::Queue => "queue",
            Setting::DryRun => "dry-run",
        }
    }

    /// Its value, as [`Setting::set`] takes it.
    pub fn get(self, limits: &ThrottleLimits) -> String {
        fn or_off<T>(value: Option<T>, show: impl FnOnce(T) -> String) -> String {
            value.map_or_else(|| Setting::OFF.to_string(), show)
        }
        match self {
            Setting::Concurrency => or_off(limits.concurrency, |most| most.to_string()),
            Setting::Rate => or_off(limits.rate, |rate| rate.to_string()),
            Setting::Memory => or_off(limits.memory_bytes, show_size),
            Setting::Cpu => or_off(limits.cpu_percent, |percent| format!("{percent}%")),
            Setting::ClientConcurrency => or_off(limits.client_concurrency, |most| most.to_string()),
            Setting::ClientRate => or_off(limits.client_rate, |rate| rate.to_string()),
            Setting::Warn => format!("{}%", limits.warn_percent),
            Setting::Wait => show_duration(limits.wait),
            Setting::Queue => limits.queue_max.to_string(),
            Setting::DryRun => if limits.is_dry_run { "on" } else { Setting::OFF }.to_string(),
        }
    }

    /// Sets it from text. The error is one line that says what would be right; nothing has changed then.
    pub fn set(self, limits: &mut ThrottleLimits, text: &str) -> Result<(), String> {
        fn unless_off<T>(text: &str, parse: impl FnOnce(&str) -> Result<T, String>) -> Result<Option<T>, String> {
            if text == Setting::OFF { Ok(None) } else { parse(text).map(Some) }
        }
        match self {
            Setting::Concurrency => limits.concurrency = unless_off(text, |text| number(text, 1..=CONCURRENCY_MAX))?,
            Setting::Rate => limits.rate = unless_off(text, Rate::from_str)?,
            Setting::Memory => {
                limits.memory_bytes = unless_off(text, |text| match parse_size(text)? {
                    0 => Err("no memory at all is too little; give a size, or off".to_string()),
                    bytes => Ok(bytes),
                })?;
            }
            Setting::Cpu => limits.cpu_percent = unless_off(text, |text| percent(text, 1..=CPU_PERCENT_MAX))?,
            Setting::ClientConcurrency => {
                limits.client_concurrency = unless_off(text, |text| number(text, 1..=CLIENT_CONCURRENCY_MAX))?;
            }
            Setting::ClientRate => limits.client_rate = unless_off(text, Rate::from_str)?,
            Setting::Warn => limits.warn_percent = percent(text, 1..=100)?,
            Setting::Wait => match parse_duration(text)? {
                wait if wait > WAIT_MAX => {
                    return Err(format!("{text} is too long; give at most {}", show_duration(WAIT_MAX)));
                }
                wait => limits.wait = wait,
            },
            Setting::Queue => limits.queue_max = number(text, 0..=QUEUE_MAX)?,
            Setting::DryRun => limits.is_dry_run = parse_yes_or_no(text)?,
        }
        Ok(())
    }
}

fn number<T: FromStr + PartialOrd + fmt::Display>(text: &str, range: RangeInclusive<T>) -> Result<T, String> {
    let number = text.parse().ok().filter(|number| range.contains(number) && !text.starts_with('+'));
    number.ok_or_else(|| format!("{text:?} is not a number from {} to {}", range.start(), range.end()))
}

/// `80%`, or `80`.
fn percent(text: &str, range: RangeInclusive<u64>) -> Result<u64, String> {
    number(text.strip_suffix('%').unwrap_or(text), range).map_err(|line| format!("{line}, in percent"))
}

/// `NAME=VALUE`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct Change {
    pub setting: Setting,
    /// It can be set.
    pub value: String,
}

impl Change {
    /// The error is one line that says what would be right.
    pub fn of(setting: Setting, text: &str) -> Result<Change, String> {
        let mut tried = ThrottleLimits::default();
        setting.set(&mut tried, text)?;
        // As it is shown, so that it can be compared.
        Ok(Change { setting, value: setting.get(&tried) })
    }

    pub fn apply(&self, limits: &mut ThrottleLimits) {
        self.setting.set(limits, &self.value).expect("it was tried when it was read");
    }
}

impl FromStr for Change {
    type Err = String;

    fn from_str(text: &str) -> Result<Change, String> {
        let names = || Setting::ALL.map(Setting::name).join(", ");
        let (name, value) = text
            .split_once('=')
            .ok_or_else(|| format!("{text:?} is not NAME=VALUE, as in concurrency=200; names are {}", names()))?;
        let setting = Setting::ALL.into_iter().find(|setting| setting.name() == name);
        let setting = setting.ok_or_else(|| format!("there is no limit {name:?}; there are {}", names()))?;
        Change::of(setting, value).map_err(|line| format!("{name}: {line}"))
    }
}

impl TryFrom<String> for Change {
    type Error = String;

    fn try_from(text: String) -> Result<Change, String> {
        text.parse()
    }
}

impl From<Change> for String {
    fn from(change: Change) -> String {
        change.to_string()
    }
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}={}", self.setting.name(), self.value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_setting_can_be_changed_and_comes_back() {
        let mut limits = ThrottleLimits::default();
        for (text, shown) in [
            ("concurrency=200", "concurrency=200"),
            ("rate=4000/60s", "rate=4000/min"),
            ("memory=1024M", "memory=1G"),
            ("cpu=150", "cpu=150%"),
            ("client-concurrency=10", "client-concurrency=10"),
            ("client-rate=100/min", "client-rate=100/min"),
            ("warn=75%", "warn=75%"),
            ("wait=2s", "wait=2s"),
            ("queue=0", "queue=0"),
            ("dry-run=yes", "dry-run=on"),
        ] {
            let change: Change = text.parse().expect("it is one");
            assert_eq!(change.to_string(), shown);
            change.apply(&mut limits);
            assert_eq!(change.setting.get(&limits), change.value);
            assert_eq!(shown.parse(), Ok(change));
        }
        let expected = ThrottleLimits {
            concurrency: Some(200),
            rate: Some(Rate { count: 4000, window: Duration::from_secs(60) }),
            memory_bytes: Some(1 << 30),
            cpu_percent: Some(150),
            client_concurrency: Some(10),
            client_rate: Some(Rate { count: 100, window: Duration::from_secs(60) }),
            warn_percent: 75,
            wait: Duration::from_secs(2),
            queue_max: 0,
            is_dry_run: true,
        };
        assert_eq!(limits, expected, "there is a change for every field");
        for setting in Setting::ALL {
            let default = Change { setting, value: setting.get(&ThrottleLimits::default()) };
            assert_eq!(default.to_string().parse(), Ok(default.clone()));
            default.apply(&mut limits);
        }
        assert_eq!(limits, ThrottleLimits::default());
    }

    #[test]
    fn what_cannot_be_set_is_refused_with_what_can() {
        for (text, hint) in [
            ("", "names are concurrency, rate,"),
            ("concurrency", "is not NAME=VALUE"),
            ("concurency=1", "there are concurrency, rate,"),
            ("concurrency=0", "from 1 to"),
            ("concurrency=+5", "from 1 to"),
            ("concurrency=-5", "from 1 to"),
            ("concurrency=99999999", "from 1 to"),
            ("rate=5", "50/s"),
            ("rate=0/s", "at least"),
            ("memory=0", "off"),
            ("memory=much", "64K"),
            ("cpu=0%", "in percent"),
            ("warn=off", "1 to 100"),
            ("warn=101%", "1 to 100"),
            ("wait=off", "10s"),
            ("wait=2h", "at most 1h"),
            ("queue=off", "0 to"),
            ("dry-run=perhaps", "true or false"),
            ("exempt=/health", "there is no limit"),
        ] {
            let line = text.parse::<Change>().expect_err(text);
            assert!(line.contains(hint) && !line.contains('\n'), "{text}: {line}");
        }
    }
}
