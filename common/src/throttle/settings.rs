//! The limits as an operator sets them, and as words in the shared memory, where they can be changed while the server runs.
//!
//! A rate is one word, count and window together, so that no process ever reads the one of before with the other of now.

use crate::units::{parse_duration, show_duration};
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

/// Requests in flight that can be limited: the permits' places in the shared memory.
pub const CONCURRENCY_MAX: usize = 1 << 18;
/// Requests of one client in flight that can be limited.
pub const CLIENT_CONCURRENCY_MAX: usize = 1 << 10;
/// The count of any rate. The rate of the whole server also has to fit into its window's log, see `RateWindow`.
pub const RATE_COUNT_MAX: u64 = (1 << 24) - 1;
const RATE_WINDOW_MAX: Duration = Duration::from_secs(24 * 3600);
/// Bits of a rate's window, in milliseconds; its count is above.
const WINDOW_BITS: u32 = 40;

/// At most `count` requests in any `window`: `2000/min`, `50/s`, `10/5s`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    pub count: u64,
    pub window: Duration,
}

/// What is limited, and how a request that is over a limit is treated. `None`: no limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ThrottleLimits {
    /// Requests of the whole server in flight.
    pub concurrency: Option<usize>,
    pub rate: Option<Rate>,
    /// Memory of all processes together.
    pub memory_bytes: Option<u64>,
    /// CPU of all processes together; 100 is one CPU.
    pub cpu_percent: Option<u64>,
    pub client_concurrency: Option<usize>,
    pub client_rate: Option<Rate>,
    /// A limit of which this much is used is near.
    pub warn_percent: u64,
    /// How long a request waits for room before it is refused.
    pub wait: Duration,
    /// Requests of the whole server that wait at the same time.
    pub queue_max: usize,
    /// Requests over a limit are counted and served.
    pub is_dry_run: bool,
}

impl Default for ThrottleLimits {
    fn default() -> Self {
        ThrottleLimits {
            concurrency: None,
            rate: None,
            memory_bytes: None,
            cpu_percent: None,
            client_concurrency: None,
            client_rate: None,
            warn_percent: 80,
            wait: Duration::from_secs(1),
            queue_max: 1000,
            is_dry_run: false,
        }
    }
}

/// The words that seldom change: one for each field, 0 in those of limits for none, and what follows from them. Each request reads
/// the first eight, which are one line of the cache.
#[derive(Clone, Copy)]
pub(super) enum Word {
    /// Whether a request has to be looked at, as a limit is set or a gate closed: all that a request reads while none is.
    IsActive,
    /// The gates that are closed, a bit each.
    Gates,
    /// What requests are admitted by, see `Permits` and `Shares`.
    ConcurrencyShare,
    RateShare,
    ClientConcurrency,
    ClientRate,
    DryRun,
    /// Some request waits for the server's limits, or did until lately: requests that are admitted and that end have to look.
    AnyWaiting,
    /// See `Permits`.
    PermitsReach,
    Concurrency,
    Rate,
    Memory,
    Cpu,
    WarnPercent,
    WaitMs,
    QueueMax,
}

impl ThrottleLimits {
    pub(super) fn words(&self) -> [(Word, u64); 10] {
        [
            (Word::Concurrency, self.concurrency.unwrap_or(0) as u64),
            (Word::Rate, self.rate.map_or(0, Rate::word)),
            (Word::Memory, self.memory_bytes.unwrap_or(0)),
            (Word::Cpu, self.cpu_percent.unwrap_or(0)),
            (Word::ClientConcurrency, self.client_concurrency.unwrap_or(0) as u64),
            (Word::ClientRate, self.client_rate.map_or(0, Rate::word)),
            (Word::WarnPercent, self.warn_percent),
            (Word::WaitMs, self.wait.as_millis() as u64),
            (Word::QueueMax, self.queue_max as u64),
            (Word::DryRun, u64::from(self.is_dry_run)),
        ]
    }

    pub(super) fn of_words(load: impl Fn(Word) -> u64) -> ThrottleLimits {
        let some = |word| Some(load(word)).filter(|&value| value > 0);
        ThrottleLimits {
            concurrency: some(Word::Concurrency).map(|most| most as usize),
            rate: Rate::of_word(load(Word::Rate)),
            memory_bytes: some(Word::Memory),
            cpu_percent: some(Word::Cpu),
            client_concurrency: some(Word::ClientConcurrency).map(|most| most as usize),
            client_rate: Rate::of_word(load(Word::ClientRate)),
            warn_percent: load(Word::WarnPercent),
            wait: Duration::from_millis(load(Word::WaitMs)),
            queue_max: load(Word::QueueMax) as usize,
            is_dry_run: load(Word::DryRun) != 0,
        }
    }

    /// Whether a request has to be looked at before it is answered. Memory and CPU close a gate when they are over.
    pub(super) fn is_any_counted(&self) -> bool {
        self.concurrency.is_some() || self.rate.is_some() || self.is_any_of_clients()
    }

    /// Whether anything is limited.
    pub fn is_any(&self) -> bool {
        self.is_any_counted() || self.memory_bytes.is_some() || self.cpu_percent.is_some()
    }

    pub fn is_any_of_clients(&self) -> bool {
        self.client_concurrency.is_some() || self.client_rate.is_some()
    }
}

impl Rate {
    pub(super) fn word(self) -> u64 {
        self.count << WINDOW_BITS | self.window.as_millis() as u64
    }

    pub(super) fn of_word(word: u64) -> Option<Rate> {
        let window = Duration::from_millis(word & ((1 << WINDOW_BITS) - 1));
        (word > 0).then_some(Rate { count: word >> WINDOW_BITS, window })
    }

    pub(super) fn window_us(self) -> u64 {
        self.window.as_micros() as u64
    }
}

const UNITS: [(&str, Duration); 4] = [
    ("ms", Duration::from_millis(1)),
    ("s", Duration::from_secs(1)),
    ("min", Duration::from_secs(60)),
    ("h", Duration::from_secs(3600)),
];

impl FromStr for Rate {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("{text:?} is not a rate; write it as 50/s, 2000/min or 10/5s");
        let (count, window) = text.split_once('/').ok_or_else(wrong)?;
        let count: u64 = count.parse().map_err(|_| wrong())?;
        let unit = UNITS.iter().find(|(unit, _)| *unit == window).map(|&(_, one)| one);
        let window = match (unit, window) {
            (Some(one), _) => one,
            (None, "m") => Duration::from_secs(60),
            (None, window) => parse_duration(window).map_err(|_| wrong())?,
        };
        match (count, window) {
            (0, _) => Err(format!("{text:?} would admit nothing; give at least 1/{}", show_duration(window))),
            (RATE_COUNT_MAX.., _) => {
                Err(format!("{text:?} is too high; give at most {} for a time", RATE_COUNT_MAX - 1))
            }
            (_, Duration::ZERO) => Err(wrong()),
            (_, window) if window > RATE_WINDOW_MAX => {
                Err(format!("{text:?} is for too long a time; give at most 24h"))
            }
            _ => Ok(Rate { count, window }),
        }
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match UNITS.iter().find(|&&(_, one)| one == self.window) {
            Some((unit, _)) => write!(f, "{}/{unit}", self.count),
            None => write!(f, "{}/{}", self.count, show_duration(self.window)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_read_as_people_write_them() {
        for (text, count, ms, shown) in [
            ("2000/min", 2000, 60_000, "2000/min"),
            ("50/s", 50, 1000, "50/s"),
            ("10/5s", 10, 5000, "10/5s"),
            ("1/h", 1, 3_600_000, "1/h"),
            ("3/1m", 3, 60_000, "3/min"),
            ("3/m", 3, 60_000, "3/min"),
            ("7/250ms", 7, 250, "7/250ms"),
            ("7/24h", 7, 86_400_000, "7/24h"),
        ] {
            let rate: Rate = text.parse().unwrap_or_else(|e| panic!("{e}"));
            assert_eq!(rate, Rate { count, window: Duration::from_millis(ms) }, "{text}");
            assert_eq!(rate.to_string(), shown);
            assert_eq!(shown.parse(), Ok(rate));
            assert_eq!(Rate::of_word(rate.word()), Some(rate));
        }
        for text in ["", "5", "/s", "5/", "0/s", "-1/s", "5/0s", "1.5/s", "5/d", "5/25h", "99999999/s", "5 / s", "s/5"]
        {
            assert!(text.parse::<Rate>().is_err(), "{text}");
        }
    }

    #[test]
    fn words_hold_every_limit() {
        let limits = ThrottleLimits {
            concurrency: Some(100),
            rate: "2000/min".parse().ok(),
            memory_bytes: Some(1 << 30),
            cpu_percent: Some(200),
            client_concurrency: Some(10),
            client_rate: "100/min".parse().ok(),
            warn_percent: 75,
            wait: Duration::from_millis(1500),
            queue_max: 7,
            is_dry_run: true,
        };
        for limits in [limits, ThrottleLimits::default()] {
            let words = limits.words();
            let load = |word| words.iter().find(|(one, _)| *one as usize == word as usize).expect("a word").1;
            assert_eq!(ThrottleLimits::of_words(load), limits);
        }
    }
}
