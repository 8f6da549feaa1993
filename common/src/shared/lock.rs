//! The lock of a dictionary: a robust mutex that is waited for only so long.
//!
//! An owner holds it for less than a microsecond, without a system call. So a waiter that finds it taken spins, then gives up its
//! CPU, as the owner may be waiting for one, then sleeps in short pieces. For a dead owner none waits: the kernel hands the
//! mutex to the next that tries. A *stopped* owner is (SIGSTOP, a debugger, a frozen cgroup): it can neither go on nor be
//! overtaken, since it would go on in the middle of its work when it is continued. Then the waiter gives up after
//! [`SLEEPS`], and marks the lock as stuck, so that from then on each call gives up at once until one gets it again.
//! The wait is bounded by a number of sleeps, not by the clock: where a whole cgroup was frozen, none of them has passed.

use crate::sys::mmap::Line;
use crate::sys::robust_mutex::RobustMutex;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

const SPINS: u32 = 100;
const YIELDS: u32 = 20;
const SLEEPS: u32 = 250;
const SLEEP: Duration = Duration::from_millis(1);

#[derive(Clone, Copy)]
pub(super) struct Lock {
    mutex: RobustMutex,
    is_stuck: &'static AtomicU64,
}

/// Until it is dropped, no other process has the lock.
pub(super) struct Guard(RobustMutex);

/// Another process holds the lock and does not go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Stuck;

impl Lock {
    pub fn new(line: &'static Line, is_stuck: &'static AtomicU64) -> Lock {
        Lock { mutex: RobustMutex::at(line), is_stuck }
    }

    pub fn take(&self) -> Result<Guard, Stuck> {
        let mut tries = 0;
        while self.mutex.try_lock().is_none() {
            tries += 1;
            if tries <= SPINS {
                std::hint::spin_loop();
            } else if tries <= SPINS + YIELDS {
                std::thread::yield_now();
            } else if tries <= SPINS + YIELDS + SLEEPS && self.is_stuck.load(Relaxed) == 0 {
                std::thread::sleep(SLEEP);
            } else {
                self.is_stuck.store(1, Relaxed);
                return Err(Stuck);
            }
        }
        if self.is_stuck.load(Relaxed) != 0 {
            self.is_stuck.store(0, Relaxed);
        }
        Ok(Guard(self.mutex))
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        self.0.unlock();
    }
}
