//! Deadlines of connections: at most one entry each, however often the deadline moves.
//!
//! Moving a deadline later, which every request does, costs nothing: the entry stays, and when it expires early the
//! owner arms it again. Only an earlier deadline changes the queue.

use crate::run_queue::Token;
use std::collections::BTreeSet;
use std::time::Instant;

#[derive(Default)]
pub struct Timers {
    queue: BTreeSet<(Instant, Token)>,
}

/// The time of a connection's entry; kept by the connection.
pub type Armed = Option<Instant>;

/// The earlier of two times that may not be set.
pub fn earlier(one: Option<Instant>, other: Option<Instant>) -> Option<Instant> {
    match (one, other) {
        (Some(one), Some(other)) => Some(one.min(other)),
        (one, other) => one.or(other),
    }
}

impl Timers {
    /// Makes sure that `token` expires at `at` or earlier.
    pub fn arm(&mut self, token: Token, armed: &mut Armed, at: Instant) {
        match *armed {
            Some(standing) if standing <= at => return,
            Some(standing) => {
                self.queue.remove(&(standing, token));
            }
            None => {}
        }
        self.queue.insert((at, token));
        *armed = Some(at);
    }

    /// Removes the entry.
    pub fn disarm(&mut self, token: Token, armed: &mut Armed) {
        if let Some(standing) = armed.take() {
            self.queue.remove(&(standing, token));
        }
    }

    pub fn nearest(&self) -> Option<Instant> {
        self.queue.first().map(|&(at, _)| at)
    }

    /// Removes one expired entry. The owner must then set its `Armed` to `None`.
    pub fn expired(&mut self, now: Instant) -> Option<Token> {
        match self.queue.first() {
            Some(&(at, _)) if at <= now => self.queue.pop_first().map(|(_, token)| token),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn one_entry_each_and_later_costs_nothing() {
        let start = Instant::now();
        let at = |ms| start + Duration::from_millis(ms);
        let mut timers = Timers::default();
        let (mut a, mut b) = (None, None);
        timers.arm(1, &mut a, at(50));
        timers.arm(1, &mut a, at(90)); // later: the entry stays
        timers.arm(2, &mut b, at(70));
        timers.arm(2, &mut b, at(20)); // earlier: it moves
        assert_eq!((timers.queue.len(), timers.nearest()), (2, Some(at(20))));
        assert_eq!(timers.expired(at(19)), None);
        assert_eq!(timers.expired(at(60)), Some(2));
        assert_eq!(timers.expired(at(60)), Some(1));
        assert_eq!(timers.expired(at(60)), None);
        timers.arm(3, &mut None, at(5));
        timers.disarm(3, &mut Some(at(5)));
        assert_eq!(timers.nearest(), None);
    }
}
