//! How long the server waits for a request body: `--body-timeout` for the next bytes, and over all waits the time in a
//! token bucket, which waiting drains and bytes fill.
//!
//! The bucket begins full, at [`SLACK`]. Each byte of the body returns the time that it may take by `--body-rate-min`,
//! up to the full bucket. So a client that stays below the rate for longer times out, while one that is slow for a
//! moment, or has no network for some seconds, can make up for it. Only waiting counts: while the app does not take the
//! body, or the client does not read the response, no time passes here.

use std::time::{Duration, Instant};
use tine_common::config::Limits;

/// The full bucket: the time that a client may lag behind the rate; `--body-timeout` if that is longer.
const SLACK: Duration = Duration::from_secs(30);

pub struct Patience {
    /// The time left in the bucket.
    left: Duration,
    /// The start of the current wait for the client.
    since: Option<Instant>,
}

impl Patience {
    pub fn new(limits: &Limits) -> Patience {
        Patience { left: full(limits), since: None }
    }

    /// A wait for the client begins, unless one is in progress.
    pub fn wait(&mut self, now: Instant) {
        self.since.get_or_insert(now);
    }

    /// The wait for the client ends.
    pub fn rest(&mut self, now: Instant) {
        if let Some(since) = self.since.take() {
            self.left = self.left.saturating_sub(now.saturating_duration_since(since));
        }
    }

    /// Bytes of the body were taken.
    pub fn feed(&mut self, bytes: usize, limits: &Limits, now: Instant) {
        self.rest(now);
        if self.left < full(limits) {
            let given = match limits.body_rate_min_bytes {
                0 => full(limits),
                rate => Duration::from_nanos((bytes as u64).saturating_mul(1_000_000_000) / rate),
            };
            self.left = self.left.saturating_add(given).min(full(limits));
        }
    }

    /// When the current wait times out.
    pub fn ends(&self, limits: &Limits) -> Option<Instant> {
        self.since.map(|since| since + self.left.min(limits.body_timeout))
    }

    /// The reason for the timeout, once the wait has timed out.
    pub fn is_over(&self, limits: &Limits, now: Instant) -> Option<&'static str> {
        self.ends(limits).filter(|&end| now >= end)?;
        Some(match self.left < limits.body_timeout {
            true => "the request's body came too slowly",
            false => "the request's body stopped arriving",
        })
    }
}

fn full(limits: &Limits) -> Duration {
    limits.body_timeout.max(SLACK)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Seconds until the timeout, after waits of (seconds, bytes that ended the wait).
    fn left(timeout: u64, rate: u64, waits: &[(u64, usize)]) -> u64 {
        let body_timeout = Duration::from_secs(timeout);
        let limits = Limits { body_rate_min_bytes: rate, body_timeout, ..Limits::default() };
        let mut patience = Patience::new(&limits);
        let mut now = Instant::now();
        for &(seconds, bytes) in waits {
            patience.wait(now);
            now += Duration::from_secs(seconds);
            patience.feed(bytes, &limits, now);
            // The app's own time does not count.
            now += Duration::from_secs(1000);
        }
        patience.wait(now);
        (patience.ends(&limits).expect("it waits") - now).as_secs()
    }

    #[test]
    fn waiting_drains_it_and_bytes_fill_it() {
        for (timeout, rate, waits, expected) in [
            (30, 100, &[][..], 30),
            (30, 100, &[(29, 1)], 1),
            (30, 100, &[(29, 1), (1, 1)], 0),
            (30, 100, &[(29, 1000)], 11),
            (30, 100, &[(29, 1_000_000)], 30),
            // More than a full bucket is not saved up.
            (30, 100, &[(0, 1_000_000), (29, 1)], 1),
            // At the rate it never times out; a little below it does.
            (30, 100, &[(10, 1000); 50], 30),
            (30, 100, &[(10, 900); 19], 11),
            (30, 100, &[(40, 1)], 0),
            // The next bytes have their own timeout.
            (5, 100, &[], 5),
            (5, 100, &[(4, 1); 6], 5),
            (5, 100, &[(4, 1); 7], 2),
            (60, 100, &[], 60),
            (60, 100, &[(59, 1)], 1),
            // Without a rate each byte is as good as any number.
            (30, 0, &[(29, 1); 50], 30),
        ] {
            assert_eq!(left(timeout, rate, waits), expected, "{timeout} {rate} {waits:?}");
        }
    }
}
