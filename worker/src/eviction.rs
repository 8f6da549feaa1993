//! At capacity: which connections are closed to admit new ones. First the idle ones, the longest idle first; if there
//! is none, those whose head is slow to arrive.
//!
//! Idle connections are not kept in order, as every request would have to update it. They are searched for when room is
//! needed: one pass over all finds the [`FOUND_MAX`] that have waited longest, and each is checked again before it is
//! closed. The interval between passes bounds what they cost.

use crate::connection::Connection;
use crate::run_queue::Token;
use slab::Slab;
use std::collections::BinaryHeap;
use std::time::{Duration, Instant};

/// The number of connections that one pass finds.
const FOUND_MAX: usize = 64;
/// The next pass is at the earliest this long after the last, times the number of its connections: twenty times what it
/// takes.
const PASS_REST: Duration = Duration::from_nanos(400);
/// A client that was answered more recently than this is probably about to send its next request, and is not evicted.
const IDLE_MIN: Duration = Duration::from_millis(100);
/// A new client that has sent nothing yet is not evicted for this long.
const FRESH_MIN: Duration = Duration::from_secs(1);
/// A client that has sent a part of a head is not evicted for this long: what remains of `--header-timeout` under
/// pressure.
const HEAD_MIN: Duration = Duration::from_secs(2);

/// What a connection that may be evicted waits for, in the order of eviction.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Waits {
    /// The next request, or the first.
    Request { is_first: bool },
    /// The rest of a head.
    Head,
}

#[derive(Debug, Default)]
pub struct Evictions {
    /// The connection that has waited longest is last.
    found: Vec<Found>,
    /// The earliest time of the next pass.
    pass_at: Option<Instant>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Found {
    is_head: bool,
    since: Instant,
    token: Token,
}

impl Evictions {
    /// The connection to be evicted next.
    pub fn next(&mut self, connections: &Slab<Connection>, now: Instant) -> Option<Token> {
        self.next_of(|token| connections.get(token)?.waits_since(), || connections.iter().map(|(token, _)| token), now)
    }

    /// `waits_since`: what a connection waits for, and since when; `None`: it may not be evicted.
    fn next_of<Tokens: Iterator<Item = Token>>(
        &mut self,
        waits_since: impl Fn(Token) -> Option<(Waits, Instant)>,
        tokens: impl Fn() -> Tokens,
        now: Instant,
    ) -> Option<Token> {
        let check = |token: Token| {
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
                if check(found.token) == Some(found) {
                    return Some(found.token);
                }
            }
            if self.pass_at.is_some_and(|at| now < at) {
                return None;
            }
            let (mut longest, mut count) = (BinaryHeap::with_capacity(FOUND_MAX + 1), 0);
            for token in tokens() {
                count += 1;
                if let Some(found) = check(token) {
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
    fn what_was_found_is_checked_again_and_passes_are_rare() {
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
        assert_eq!(evictions.next_of(all, tokens, now), None, "not before the next pass");
        assert_eq!(evictions.next_of(all, tokens, now + ms(1)), Some(0));
        assert_eq!(passes.get(), 2);
    }
}
