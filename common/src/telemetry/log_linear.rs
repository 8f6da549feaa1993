//! A log-linear histogram of times, as HdrHistogram's: between two powers of two there are 32 buckets of one width, so that
//! a quantile is at most 1/32 too large, from microseconds to half an hour, in a fixed number of words.

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::time::Duration;

/// Buckets between two powers of two, as a power of two.
const STEP_BITS: u32 = 5;
const STEPS: u64 = 1 << STEP_BITS;
/// The unit is this power of two of a nanosecond: below 64 units, a bucket is one unit wide.
const UNIT_BITS: u32 = 6;
/// The largest value is below this power of two of the unit: 36 minutes.
const VALUE_BITS: u32 = 35;
/// The number of buckets; the last one also has all larger values.
pub const BUCKETS: usize = ((VALUE_BITS - STEP_BITS + 1) as usize) << STEP_BITS;
/// The powers of two of a nanosecond whose values [`LogLinear::count_below`] takes.
pub const POWERS: std::ops::RangeInclusive<u32> = UNIT_BITS + STEP_BITS..=UNIT_BITS + VALUE_BITS - 1;

/// The bucket of a time.
pub fn bucket_of(ns: u64) -> usize {
    let units = ns >> UNIT_BITS;
    let shift = (u64::BITS - (units | STEPS).leading_zeros()) - (STEP_BITS + 1);
    let bucket = (u64::from(shift) << STEP_BITS) + (units >> shift);
    (bucket as usize).min(BUCKETS - 1)
}

/// The first nanosecond that is above this bucket.
fn end_of(bucket: usize) -> u64 {
    let shift = (bucket as u64 >> STEP_BITS).saturating_sub(1);
    (((bucket as u64 - (shift << STEP_BITS)) + 1) << shift) << UNIT_BITS
}

/// The counts of one histogram, or of several added up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogLinear(Vec<u64>);

impl Default for LogLinear {
    fn default() -> Self {
        LogLinear(vec![0; BUCKETS])
    }
}

/// The buckets that are not empty: `[[64,3],[65,1]]`.
impl Serialize for LogLinear {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.0.iter().enumerate().filter(|&(_, &count)| count > 0))
    }
}

impl<'de> Deserialize<'de> for LogLinear {
    /// Buckets that this version does not have are skipped.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut times = LogLinear::default();
        for (bucket, count) in Vec::<(usize, u64)>::deserialize(deserializer)? {
            if let Some(known) = times.0.get_mut(bucket) {
                *known = count;
            }
        }
        Ok(times)
    }
}

impl LogLinear {
    pub fn record(&mut self, time: Duration) {
        self.add(bucket_of(u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)), 1);
    }

    pub fn add(&mut self, bucket: usize, count: u64) {
        self.0[bucket] += count;
    }

    pub fn count(&self) -> u64 {
        self.0.iter().sum()
    }

    /// What was added since `earlier` was read of the same source.
    pub fn since(&self, earlier: &LogLinear) -> LogLinear {
        LogLinear(self.0.iter().zip(&earlier.0).map(|(now, before)| now.saturating_sub(*before)).collect())
    }

    /// A time that this fraction of all do not exceed: the end of the bucket with the last of them. `None`: it is empty.
    pub fn quantile(&self, fraction: f64) -> Option<Duration> {
        let all = self.count();
        let wanted = ((all as f64 * fraction).ceil() as u64).clamp(1, all.max(1));
        let mut passed = 0;
        let bucket = self.0.iter().position(|&count| {
            passed += count;
            passed >= wanted
        })?;
        Some(Duration::from_nanos(end_of(bucket)))
    }

    /// How many times are below this power of two of a nanosecond, one of [`POWERS`].
    pub fn count_below(&self, power: u32) -> u64 {
        let end = bucket_of(1 << power).min(BUCKETS);
        self.0[..end].iter().sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn buckets_follow_one_another_without_a_gap() {
        assert_eq!(bucket_of(0), 0);
        for bucket in 0..BUCKETS - 1 {
            assert_eq!((bucket_of(end_of(bucket) - 1), bucket_of(end_of(bucket))), (bucket, bucket + 1));
        }
        assert_eq!(bucket_of(u64::MAX), BUCKETS - 1);
        assert_eq!(end_of(BUCKETS - 1), 1 << (UNIT_BITS + VALUE_BITS));
        assert_eq!(BUCKETS, 992);
    }

    #[test]
    fn quantiles_of_nothing_and_of_one() {
        let mut times = LogLinear::default();
        assert_eq!(times.quantile(0.5), None);
        times.record(Duration::from_micros(100));
        for fraction in [0.0, 0.5, 1.0] {
            let found = times.quantile(fraction).expect("one is in it");
            assert!((100_000..=103_200).contains(&found.as_nanos()), "{found:?}");
        }
    }

    #[test]
    fn json_has_the_buckets_that_are_not_empty() {
        let mut times = LogLinear::default();
        [0, 0, 70].into_iter().for_each(|ns| times.record(Duration::from_nanos(ns)));
        let json = serde_json::to_string(&times).expect("JSON");
        assert_eq!(json, "[[0,2],[1,1]]");
        assert_eq!(serde_json::from_str::<LogLinear>(&json).expect("the same"), times);
        assert_eq!(serde_json::from_str::<LogLinear>("[[0,2],[1,1],[99999,1]]").expect("of another version"), times);
    }

    #[test]
    fn counts_below_powers_are_exact() {
        let mut times = LogLinear::default();
        for ns in [0, 2047, 2048, 4095, 4096, 1 << 20, (1 << 20) - 1] {
            times.record(Duration::from_nanos(ns));
        }
        let counts = [11, 12, 13, 20, 21].map(|power| times.count_below(power));
        assert_eq!(counts, [2, 4, 5, 6, 7]);
        assert!(POWERS.contains(&11) && POWERS.contains(&40));
    }

    proptest! {
        #[test]
        fn a_quantile_is_at_most_a_32nd_too_large(
            mut times in prop::collection::vec(0u64..2_000_000_000_000, 1..200),
            fraction in 0.0f64..=1.0,
        ) {
            let mut histogram = LogLinear::default();
            times.iter().for_each(|&ns| histogram.record(Duration::from_nanos(ns)));
            times.sort_unstable();
            let rank = ((times.len() as f64 * fraction).ceil() as usize).clamp(1, times.len());
            let exact = times[rank - 1];
            let found = histogram.quantile(fraction).expect("it has some").as_nanos() as u64;
            prop_assert!(found > exact && found <= exact + exact / STEPS + (1 << UNIT_BITS), "{found} for {exact}");
            prop_assert_eq!(histogram.since(&histogram).count(), 0);
            prop_assert_eq!(histogram.count(), times.len() as u64);
        }
    }
}
