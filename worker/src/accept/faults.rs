//! What may go wrong with a listener, and what comes of it. Pure: the calls are the caller's.
//!
//! - The poll has no memory for it: tried again every [`RETRY`], for as long as it is wanted there.
//! - accept(2) fails, again and again: accepting pauses, for longer each time.
//! - Its descriptor is not ours any more, because the app closed it: the worker is to end.
//!
//! However often it happens, it is said now and then.

use std::io;
use std::time::{Duration, Instant};
use tine_common::log::{Allowance, and_others};
use tine_common::sys::epoll;

const RETRY: Duration = Duration::from_millis(100);
/// Connections that were gone when they were to be accepted, one after another, before accepting pauses.
const GONE_MAX: u32 = 16;
/// The first pause, the next is twice as long, …
const PAUSE_MIN: Duration = Duration::from_millis(100);
/// … and the longest.
const PAUSE_MAX: Duration = Duration::from_secs(1);

pub struct Faults {
    retry_at: Option<Instant>,
    gone_in_a_row: u32,
    /// The last pause; zero since a connection was accepted.
    pause: Duration,
    lost: Option<io::Error>,
    said: Allowance,
}

impl Default for Faults {
    fn default() -> Self {
        // Two lines at once, then one in half a minute.
        let said = Allowance::new(2.0, 1.0 / 30.0);
        Faults { retry_at: None, gone_in_a_row: 0, pause: Duration::ZERO, lost: None, said }
    }
}

impl Faults {
    /// When a listener is to be put where it is wanted.
    pub fn retry_at(&self) -> Option<Instant> {
        self.retry_at
    }

    /// All listeners are where they are wanted.
    pub fn on_settled(&mut self) {
        self.retry_at = None;
    }

    pub fn on_poll_failed(&mut self, failed: epoll::Failed, now: Instant) {
        if !failed.is_shortage {
            return self.lose(failed.error);
        }
        self.retry_at = Some(now + RETRY);
        if let Some(others) = self.said.admits(now) {
            let (error, ms) = (failed.error, RETRY.as_millis());
            log::error!("a listener cannot be polled: {error}; trying again every {ms} ms{}", and_others(others));
        }
    }

    pub fn on_accepted(&mut self) {
        (self.gone_in_a_row, self.pause) = (0, Duration::ZERO);
    }

    /// True: so many were gone that accepting is to pause.
    pub fn on_aborted(&mut self) -> bool {
        self.gone_in_a_row = self.gone_in_a_row.saturating_add(1);
        self.gone_in_a_row >= GONE_MAX
    }

    /// How long accepting pauses.
    pub fn on_accept_failed(&mut self, error: &io::Error, now: Instant) -> Duration {
        self.pause = (self.pause * 2).clamp(PAUSE_MIN, PAUSE_MAX);
        if let Some(others) = self.said.admits(now) {
            let seconds = self.pause.as_secs_f64();
            log::error!("no connection can be accepted: {error}; trying again in {seconds:.1} s{}", and_others(others));
        }
        self.pause
    }

    /// The first loss is the cause of those that follow.
    pub fn lose(&mut self, error: io::Error) {
        self.lost.get_or_insert(error);
    }

    pub fn take_lost(&mut self) -> Option<io::Error> {
        self.lost.take()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failed(is_shortage: bool) -> epoll::Failed {
        epoll::Failed { is_shortage, error: io::Error::other("epoll_ctl") }
    }

    #[test]
    fn a_shortage_is_tried_again_until_all_is_settled() {
        let (mut faults, now) = (Faults::default(), Instant::now());
        faults.on_poll_failed(failed(true), now);
        assert_eq!(faults.retry_at(), Some(now + RETRY));
        assert!(faults.take_lost().is_none());
        faults.on_settled();
        assert_eq!(faults.retry_at(), None);
    }

    #[test]
    fn any_other_error_of_the_poll_is_a_loss() {
        let mut faults = Faults::default();
        faults.on_poll_failed(failed(false), Instant::now());
        faults.lose(io::Error::other("what follows from it"));
        assert_eq!(faults.take_lost().map(|e| e.to_string()), Some("epoll_ctl".to_string()));
        assert_eq!(faults.retry_at(), None);
    }

    #[test]
    fn pauses_grow_until_a_connection_is_accepted() {
        let (mut faults, now) = (Faults::default(), Instant::now());
        let pauses = |faults: &mut Faults| {
            [(); 6].map(|()| faults.on_accept_failed(&io::Error::other("ENOSYS"), now).as_millis())
        };
        assert_eq!((1..=GONE_MAX).find(|_| faults.on_aborted()), Some(GONE_MAX));
        assert!(faults.on_aborted(), "the next pauses at once");
        assert_eq!(pauses(&mut faults), [100, 200, 400, 800, 1000, 1000]);
        faults.on_accepted();
        assert!(!faults.on_aborted());
        assert_eq!(pauses(&mut faults), [100, 200, 400, 800, 1000, 1000]);
    }
}
