//! At capacity: which connections are closed so that others are let in. Those that idle, the longest first; where none does,
//! those whose head is long in coming.
//!
//! Idle connections are in no order of their own, which each request would have to keep. They are looked for when room is
//! needed: one pass over all finds the [`FOUND_MAX`] that have waited longest, and each is looked at again when it is its
//! turn. A pass is not made more often than its time allows.

use crate::connection::Connection;
use crate::run_queue::Token;
use slab::Slab;
use std::collections::BinaryHeap;
use std::time::{Duration, Instant};

/// Connections that one pass finds.
const FOUND_MAX: usize = 64;
/// The next pass is this long after the last, for each connection of it: twenty times what it takes.
const PASS_REST: Duration = Duration::from_nanos(400);
/// A client that was answered less long ago than this is about to ask again: no room is made by closing it, …
const IDLE_MIN: Duration = Duration::from_millis(100);
/// … and one that has said nothing yet has so much time. …
const FRESH_MIN: Duration = Duration::from_secs(1);
/// … Under pressure, so much is what remains of `--header-timeout`.
const HEAD_MIN: Duration = Duration::from_secs(2);

/// What a connection waits for that may be closed; in the order in which that is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Waits {
    /// The next request, or the first.
    Request { is_first: bool },
    /// The rest of a head.
    Head,
}

#[derive(Debug, Default)]
pub struct Evictions {
    /// The one that has waited longest last.
    found: Vec<Found>,
    /// No pass before.
    pass_at: Option<Instant>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Found {
    is_head: bool,
    since: Instant,
    token: Token,
}

impl Evictions {
    /// The connection that is to be closed next.
    pub fn next(&mut self, connections: &Slab<Connection>, now: Instant) -> Option<Token> {
        self.next_of(|token| connections.get(token)?.waits_since(), || connections.iter().map(|(token, _)| token), now)
    }

    /// `waits_since`: what a connection waits for, and since when; `None`: it is not to be closed.
    fn next_of<Tokens: Iterator<Item = Token>>(
        &mut self,
        waits_since: impl Fn(Token) -> Option<(Waits, Instant)>,
        tokens: impl Fn() -> Tokens,
        now: Instant,
    ) -> Option<Token> {
        let look = |token: Token| {
            let (waits, since) = waits_since(token)?;
            let least = match waits {
                Waits::Request { is_first: false } => IDLE_MIN,
                Waits::Request { is_first: true } => FRESH_MIN,
                Waits::Head => HEAD_MIN,
            };
            let is_head = waits == Waits::Head;
            (now.saturating_duration_since(since) >= least).then_some(Found { is_head, since, token })
        };
        loop {
            while let Some(found) = self.found.pop() {
                if look(found.token) == Some(found) {
                    return Some(found.token);
                }
            }
            if self.pass_at.is_some_and(|at| now < at) {
                return None;
            }
            let (mut longest, mut count) = (BinaryHeap::with_capacity(FOUND_MAX + 1), 0);
            for token in tokens() {
                count += 1;
                if let Some(found) = look(token) {
                    longest.push(found);
                    if longest.len() > FOUND_MAX {
                        longest.pop();
                    }
                }
            }
            self.pass_at = Some(now + PASS_REST * count);
            self.found = longest.into_sorted_vec();
            self.found.reverse();
            if self.found.is_empty() {
                return None;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[test]
    fn the_longest_idle_goes_first_and_heads_last() {
        let start = Instant::now();
        let now = start + ms(10_000);
        let idle = |since| Some((Waits::Request { is_first: false }, start + ms(since)));
        let first = |since| Some((Waits::Request { is_first: true }, start + ms(since)));
        let head = |since| Some((Waits::Head, start + ms(since)));
        let all = [
            idle(9000),  // 0: goes third
            None,        // busy
            idle(9950),  // answered just now
            first(9500), // has time still
            head(100),   // 4: goes fourth
            idle(8000),  // 5: goes first
            first(8500), // 6: goes second
            head(8500),  // its head has time still
        ];
        let mut evictions = Evictions::default();
        let mut order = Vec::new();
        while let Some(token) =
            evictions.next_of(|token| all[token].filter(|_| !order.contains(&token)), || 0..all.len(), now)
        {
            order.push(token);
        }
        assert_eq!(order, [5, 6, 0, 4]);
    }

    #[test]
    fn what_was_found_is_looked_at_again_and_passes_are_rare() {
        let start = Instant::now();
        let now = start + ms(10_000);
        let passes = std::cell::Cell::new(0);
        let tokens = || {
            passes.set(passes.get() + 1);
            0..1000
        };
        let since = |token: Token| start + ms(token as u64);
        let mut evictions = Evictions::default();
        let all = |token| Some((Waits::Request { is_first: false }, since(token)));
        assert_eq!(evictions.next_of(all, tokens, now), Some(0));
        // 1 has been active since.
        let later = |token| all(token).filter(|_| token != 1);
        assert_eq!(evictions.next_of(later, tokens, now), Some(2));
        (3..FOUND_MAX).for_each(|token| assert_eq!(evictions.next_of(all, tokens, now), Some(token)));
        assert_eq!(passes.get(), 1);
        assert_eq!(evictions.next_of(all, tokens, now), None, "it has its rest");
        assert_eq!(evictions.next_of(all, tokens, now + ms(1)), Some(0));
        assert_eq!(passes.get(), 2);
    }
}
