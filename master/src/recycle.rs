//! When a healthy worker is replaced: after a number of requests, at an age, or above an amount of memory.
//!
//! Pure. A worker counts its requests itself and reports when it is due; the master checks its age and memory. The random
//! part of each worker's limits is drawn once, at its start, so that workers that start together are not replaced together.
//! A worker that is due waits for the gate ([`crate::rollout`]).

use std::time::Duration;
use tine_common::config::Recycling;

/// Memory is checked this often.
pub const MEMORY_INTERVAL: Duration = Duration::from_secs(2);
/// A worker is due after this many checks in a row above the limit: a single large request is not a reason.
pub const RSS_STRIKES_MAX: u32 = 3;

/// Requests after which a worker asks for a successor. `draw` from 0 to 1.
pub fn requests(limits: &Recycling, draw: f64) -> Option<u64> {
    let more = (limits.requests_jitter as f64 * draw).round() as u64;
    limits.requests_max.map(|most| most.saturating_add(more).max(1))
}

/// The age at which a worker is due. `draw` from 0 to 1.
pub fn lifetime(limits: &Recycling, draw: f64) -> Option<Duration> {
    limits.lifetime_max.map(|most| most + limits.lifetime_jitter.mul_f64(draw))
}

/// How many checks in a row, this one included, were above the limit. `rss_bytes` is `None` if it is unknown.
pub fn rss_strikes(limits: &Recycling, before: u32, rss_bytes: Option<u64>) -> u32 {
    match (limits.rss_bytes_max, rss_bytes) {
        (Some(most), Some(bytes)) if bytes > most => before.saturating_add(1),
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: Recycling = Recycling {
        requests_max: Some(1000),
        requests_jitter: 100,
        lifetime_max: Some(Duration::from_secs(60)),
        lifetime_jitter: Duration::from_secs(6),
        rss_bytes_max: Some(64 << 20),
    };

    #[test]
    fn limits_are_drawn_between_themselves_and_their_jitter() {
        for (draw, most, age) in [(0.0, 1000, 60), (0.5, 1050, 63), (1.0, 1100, 66)] {
            assert_eq!(requests(&LIMITS, draw), Some(most));
            assert_eq!(lifetime(&LIMITS, draw), Some(Duration::from_secs(age)));
        }
        assert_eq!(requests(&Recycling { requests_max: None, ..LIMITS }, 1.0), None);
        assert_eq!(lifetime(&Recycling { lifetime_max: None, ..LIMITS }, 1.0), None);
    }

    #[test]
    fn memory_has_to_be_too_much_several_times_in_a_row() {
        let mut strikes = 0;
        for (mib, expected) in [(65, 1), (70, 2), (64, 0), (65, 1), (65, 2), (65, 3)] {
            strikes = rss_strikes(&LIMITS, strikes, Some(mib << 20));
            assert_eq!(strikes, expected);
        }
        assert_eq!(rss_strikes(&LIMITS, 2, None), 0, "not known");
        assert_eq!(rss_strikes(&Recycling { rss_bytes_max: None, ..LIMITS }, 2, Some(u64::MAX)), 0);
    }
}
