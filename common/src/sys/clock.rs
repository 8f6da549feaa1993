//! The monotonic clock as a number, for programs that count from the same moment.

/// Nanoseconds of CLOCK_MONOTONIC, which is the clock of `std::time::Instant`: the same in all processes.
pub fn monotonic_ns() -> u64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the call writes one structure, which outlives it. It cannot fail: every kernel has this clock.
    unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &raw mut time) };
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}
