//! Numbers that look random and that any client can recompute: SplitMix64 (Steele, Lea and Flood, 2014) by position.
//!
//! Output i of a seed, from 1, is `mix(seed + i * GAMMA)`: no state, so the n-th draw is the same whichever worker
//! makes it. A [`Draw`] is what `?seed=&n=` select at endpoints whose responses vary at random, `/mix` and
//! `/fault/flaky`. It equals the n-th `nextDouble()` of Java's `new SplittableRandom(seed)`.

use super::query;
use tine_worker::http::Request;

/// The increment of SplitMix64's state: the odd number nearest to 2^64 divided by the golden ratio.
const GAMMA: u64 = 0x9E37_79B9_7F4A_7C15;

/// Output `index` of SplitMix64, from 0, for `seed`.
pub fn word(seed: u64, index: u64) -> u64 {
    mix(seed.wrapping_add(index.wrapping_add(1).wrapping_mul(GAMMA)))
}

/// Scatters the bits of a number. A bijection.
fn mix(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

/// The n-th draw of a seed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Draw {
    pub seed: u64,
    /// From 1.
    pub n: u64,
}

impl Draw {
    /// The draw that a request asks for: `seed=`, by default 0; `n=`, by default the number of the request on its
    /// connection, from 1. The error is the text of a 400.
    pub fn asked_by(request: &Request<'_>) -> Result<Draw, String> {
        let seed = query::number(request, "seed", 0..=u64::MAX)?.unwrap_or(0);
        let n = query::number(request, "n", 1..=u64::MAX)?.unwrap_or(request.place().into());
        Ok(Draw { seed, n })
    }

    /// The number drawn: at least 0, less than 1, a multiple of 2^-53, all of them equally likely.
    pub fn unit(self) -> f64 {
        (word(self.seed, self.n.wrapping_sub(1)) >> 11) as f64 * (1.0 / (1u64 << 53) as f64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The first outputs of the reference implementation, splitmix64.c, whose state began as the seed.
    #[test]
    fn words_are_splitmix64() {
        for (seed, words) in [
            (0, vec![0xE220_A839_7B1D_CDAF, 0x6E78_9E6A_A1B9_65F4]),
            (
                1234567,
                vec![
                    6457827717110365317,
                    3203168211198807973,
                    9817491932198370423,
                    4593380528125082431,
                    16408922859458223821,
                ],
            ),
        ] {
            for (index, expected) in words.into_iter().enumerate() {
                assert_eq!(word(seed, index as u64), expected, "output {index} of {seed}");
            }
        }
    }

    #[test]
    fn units_are_the_upper_53_bits() {
        assert_eq!(Draw { seed: 0, n: 1 }.unit(), (0xE220_A839_7B1D_CDAF_u64 >> 11) as f64 / 9007199254740992.0);
        let mut sum = 0.0;
        for n in 1..=10_000 {
            let unit = Draw { seed: 7, n }.unit();
            assert!((0.0..1.0).contains(&unit));
            sum += unit;
        }
        assert!((sum / 10_000.0 - 0.5).abs() < 0.01, "the mean is {}", sum / 10_000.0);
        // The last possible output, and a seed that wraps.
        assert!(Draw { seed: u64::MAX, n: u64::MAX }.unit() < 1.0);
    }
}
