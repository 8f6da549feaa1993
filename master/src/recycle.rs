//! When a worker that works is replaced all the same: after so many requests, so much time, or with so much memory.
//!
//! Pure. A worker counts its requests itself and says when it is due; its age and its memory the master looks at. Each
//! worker's limits are drawn once, at its start, so that workers that started together do not end together. Who is due waits for the
//! gate ([`crate::rollout`]) like any other.

use std::time::Duration;
use tine_common::config::Recycling;

/// Memory is looked at this often.
pub const MEMORY_INTERVAL: Duration = Duration::from_secs(2);
/// So many looks in a row have to find too much: a single large request is no reason.
pub const FAT_LOOKS: u32 = 3;

/// Requests after which a worker asks for a successor. `draw` from 0 to 1.
pub fn requests(limits: &Recycling, draw: f64) -> Option<u64> {
    let more = (limits.requests_jitter as f64 * draw).round() as u64;
    limits.requests_max.map(|most| most.saturating_add(more).max(1))
}

/// The age at which a worker is due. `draw` from 0 to 1.
pub fn lifetime(limits: &Recycling, draw: f64) -> Option<Duration> {
    limits.lifetime_max.map(|most| most + limits.lifetime_jitter.mul_f64(draw))
}

/// How many looks in a row have found too much, this one included; `None`: it cannot be known.
pub fn fat_looks(limits: &Recycling, before: u32, rss_bytes: Option<u64>) -> u32 {
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
        let mut looks = 0;
        for (mib, expected) in [(65, 1), (70, 2), (64, 0), (65, 1), (65, 2), (65, 3)] {
            looks = fat_looks(&LIMITS, looks, Some(mib << 20));
            assert_eq!(looks, expected);
        }
        assert_eq!(fat_looks(&LIMITS, 2, None), 0, "not known");
        assert_eq!(fat_looks(&Recycling { rss_bytes_max: None, ..LIMITS }, 2, Some(u64::MAX)), 0);
    }
}
