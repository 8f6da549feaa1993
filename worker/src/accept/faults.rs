//! What may go wrong with a listener, and the reaction to it. Pure: the caller makes the system calls.
//!
//! - The kernel has no memory to add it to the poll: tried again every [`RETRY`] for as long as that is wanted.
//! - accept(2) fails repeatedly: accepting pauses, longer each time.
//! - Its descriptor was closed by the app: the worker has to end.
//!
//! The log lines are rate-limited.

use std::io;
use std::time::{Duration, Instant};
use tine_common::log::{Allowance, and_others};
use tine_common::sys::epoll;

const RETRY: Duration = Duration::from_millis(100);
/// Consecutive connections that were aborted before they were accepted, after which accepting pauses.
const ABORTED_MAX: u32 = 16;
/// The first pause; each further pause is twice as long.
const PAUSE_MIN: Duration = Duration::from_millis(100);
/// The longest pause.
const PAUSE_MAX: Duration = Duration::from_secs(1);

pub struct Faults {
    retry_at: Option<Instant>,
    aborted_in_a_row: u32,
    /// The last pause; zero since a connection was accepted.
    pause: Duration,
    lost: Option<io::Error>,
    said: Allowance,
}

impl Default for Faults {
    fn default() -> Self {
        // Two lines at once, then one in half a minute.
        let said = Allowance::new(2.0, 1.0 / 30.0);
        Faults { retry_at: None, aborted_in_a_row: 0, pause: Duration::ZERO, lost: None, said }
    }
}

impl Faults {
    /// When to try again to add or remove a listener.
    pub fn retry_at(&self) -> Option<Instant> {
        self.retry_at
    }

    /// All listeners are in the poll or out of it, as wanted.
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
            log::error!(
                "cannot add a listener to epoll or remove it: {error}; retrying every {ms} ms{}",
                and_others(others)
            );
        }
    }

    pub fn on_accepted(&mut self) {
        (self.aborted_in_a_row, self.pause) = (0, Duration::ZERO);
    }

    /// A connection was aborted before it was accepted. True: accepting should pause.
    pub fn on_aborted(&mut self) -> bool {
        self.aborted_in_a_row = self.aborted_in_a_row.saturating_add(1);
        self.aborted_in_a_row >= ABORTED_MAX
    }

    /// Returns how long accepting pauses.
    pub fn on_accept_failed(&mut self, error: &io::Error, now: Instant) -> Duration {
        self.pause = (self.pause * 2).clamp(PAUSE_MIN, PAUSE_MAX);
        if let Some(others) = self.said.admits(now) {
            let seconds = self.pause.as_secs_f64();
            log::error!("cannot accept connections: {error}; retrying in {seconds:.1} s{}", and_others(others));
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
        assert_eq!((1..=ABORTED_MAX).find(|_| faults.on_aborted()), Some(ABORTED_MAX));
        assert!(faults.on_aborted(), "the next pauses at once");
        assert_eq!(pauses(&mut faults), [100, 200, 400, 800, 1000, 1000]);
        faults.on_accepted();
        assert!(!faults.on_aborted());
        assert_eq!(pauses(&mut faults), [100, 200, 400, 800, 1000, 1000]);
    }
}
