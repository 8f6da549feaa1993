//! When a dead worker is replaced: at once, then with exponential back-off while its successors die young.

use std::time::Duration;

/// A worker that lived this long was stable: its death has nothing to do with its start.
const STABLE: Duration = Duration::from_secs(60);
const DELAY_MIN: Duration = Duration::from_millis(100);
const DELAY_MAX: Duration = Duration::from_secs(30);

/// The back-off of one worker index, or of a process beside the workers.
#[derive(Debug, Clone)]
pub struct Respawn {
    quick_deaths: u32,
    delay_max: Duration,
}

impl Default for Respawn {
    fn default() -> Respawn {
        Respawn::up_to(DELAY_MAX)
    }
}

impl Respawn {
    pub fn up_to(delay_max: Duration) -> Respawn {
        Respawn { quick_deaths: 0, delay_max }
    }

    /// How long to wait before the next start, given how long the last worker lived. `jitter` from 0 to 1 varies the delay by
    /// up to a quarter in each direction.
    pub fn delay(&mut self, uptime: Duration, jitter: f64) -> Duration {
        if uptime >= STABLE {
            self.quick_deaths = 0;
        }
        let deaths = self.quick_deaths;
        self.quick_deaths = deaths.saturating_add(1);
        match deaths {
            0 => Duration::ZERO,
            _ => {
                (DELAY_MIN * 2u32.saturating_pow((deaths - 1).min(16))).min(self.delay_max).mul_f64(0.75 + jitter / 2.0)
            }
        }
    }

    pub fn quick_deaths(&self) -> u32 {
        self.quick_deaths
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn at_once_then_doubling_to_a_cap_and_forgiven_after_a_stable_minute() {
        let quick = Duration::from_millis(5);
        let mut respawn = Respawn::default();
        let ms: Vec<u128> = (0..12).map(|_| respawn.delay(quick, 0.5).as_millis()).collect();
        assert_eq!(ms, [0, 100, 200, 400, 800, 1600, 3200, 6400, 12800, 25600, 30000, 30000]);
        assert_eq!(respawn.delay(Duration::from_secs(60), 0.5), Duration::ZERO);
        assert_eq!(respawn.delay(quick, 0.0).as_millis(), 75);
        assert_eq!(respawn.delay(quick, 1.0).as_millis(), 250);
        let mut forever = Respawn { quick_deaths: u32::MAX, ..Respawn::default() };
        assert!(forever.delay(quick, 1.0) < Duration::from_secs(40));
        let mut soon = Respawn { quick_deaths: 9, ..Respawn::up_to(Duration::from_secs(1)) };
        assert_eq!(soon.delay(quick, 0.5), Duration::from_secs(1));
    }
}
