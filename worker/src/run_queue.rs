//! The queue of connections that have something to do: each is in it once, and the one that has waited longest is
//! first.
//!
//! A turn ends when its time is used up, so that some connections may be left for the next one. They wait in a queue,
//! with those that had their turn and can go on. Connections that have just become ready are *fresh* and have half of
//! each turn to themselves, as the sparse flows of FQ-CoDel (RFC 8290, 4.2): one short request among a hundred long
//! ones is answered after one of them, not after all. A connection is fresh again once all that waited at its last turn
//! have had theirs; so a client that sends its next request at once joins the queue and starves no other. A new
//! connection comes before the other fresh ones: it may have arrived together with a burst whose connections had their
//! turns before.

use std::collections::VecDeque;

/// The index of a connection in the worker's table; also its token in the poll.
pub type Token = usize;

/// The number of a turn. It wraps around: numbers are compared within half of their range.
pub type TurnNumber = u32;

/// How much of a turn's time has been used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Spent {
    Little,
    /// The half for those that waited.
    Half,
    All,
}

#[derive(Default)]
pub struct RunQueue {
    /// Each with the turn after which it was queued.
    waiting: VecDeque<(TurnNumber, Token)>,
    new: VecDeque<Token>,
    fresh: VecDeque<Token>,
    /// Connections that have had their turn and can go on.
    again: Vec<Token>,
    /// The current turn, or the last.
    turn: TurnNumber,
    /// The current turn has served one that waited, and one that is fresh.
    has_served_waiting: bool,
    has_served_fresh: bool,
}

impl RunQueue {
    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty() && self.new.is_empty() && self.fresh.is_empty()
    }

    /// Queues a connection that has not had a turn yet, or is evicted for one. Here and below the caller makes sure
    /// that a token is queued once (`Connection::schedule`).
    pub fn push_new(&mut self, token: Token) {
        self.new.push_back(token);
    }

    /// Queues a connection that has become ready and had its last turn `then`.
    pub fn push(&mut self, token: Token, then: TurnNumber) {
        match self.waiting.front() {
            Some(&(since, _)) if since.wrapping_sub(then) as i32 <= 0 => self.waiting.push_back((self.turn, token)),
            _ => self.fresh.push_back(token),
        }
    }

    /// Queues a connection that has its turn and can go on.
    pub fn push_again(&mut self, token: Token) {
        self.again.push(token);
    }

    pub fn begin_turn(&mut self) -> TurnNumber {
        self.turn = self.turn.wrapping_add(1);
        (self.has_served_waiting, self.has_served_fresh) = (false, false);
        self.turn
    }

    /// The next connection, if `spent` of the turn has been used. One that waited and one that is fresh are served in
    /// any case.
    pub fn next(&mut self, spent: Spent) -> Option<Token> {
        if (spent == Spent::Little || !self.has_served_waiting)
            && let Some((_, token)) = self.waiting.pop_front()
        {
            self.has_served_waiting = true;
            return Some(token);
        }
        if (spent != Spent::All || !self.has_served_fresh)
            && let Some(token) = self.new.pop_front().or_else(|| self.fresh.pop_front())
        {
            self.has_served_fresh = true;
            return Some(token);
        }
        let waiting = (spent != Spent::All).then(|| self.waiting.pop_front()).flatten();
        waiting.map(|(_, token)| token)
    }

    /// The connections that are left, and then those that can go on, wait for the next turn.
    pub fn end_turn(&mut self) {
        let turn = self.turn;
        let left = self.new.drain(..).chain(self.fresh.drain(..)).chain(self.again.drain(..));
        self.waiting.extend(left.map(|token| (turn, token)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Spent::{All, Half, Little};

    /// Runs one turn, with `spent` used before each connection; returns the connections served.
    fn turn(queue: &mut RunQueue, spent: &[Spent], again: &[Token]) -> Vec<Token> {
        queue.begin_turn();
        let mut had = Vec::new();
        for &spent in spent {
            had.extend(queue.next(spent));
        }
        again.iter().for_each(|&token| queue.push_again(token));
        queue.end_turn();
        had
    }

    #[test]
    fn all_are_served_in_order_while_there_is_time() {
        let mut queue = RunQueue::default();
        assert!(queue.is_empty());
        [4, 2, 7].into_iter().for_each(|token| queue.push_new(token));
        assert_eq!(turn(&mut queue, &[Little; 9], &[2]), [4, 2, 7]);
        queue.push(4, queue.turn);
        assert_eq!(turn(&mut queue, &[Little; 9], &[]), [2, 4], "the one that can go on was queued first");
        assert!(queue.is_empty());
    }

    #[test]
    fn one_waiting_and_one_fresh_connection_are_served_however_long_it_takes() {
        let mut queue = RunQueue::default();
        (0..4).for_each(|token| queue.push_new(token));
        assert_eq!(turn(&mut queue, &[Little, All, All], &[]), [0], "none waited");
        (10..13).for_each(|token| queue.push_new(token));
        assert_eq!(turn(&mut queue, &[Little, All, All], &[1, 10]), [1, 10]);
        queue.push_new(20);
        assert_eq!(turn(&mut queue, &[Little, Half, Half, All], &[]), [2, 20, 3], "time that is left is theirs");
        assert_eq!(turn(&mut queue, &[Little, Little, Little, Half, Half], &[]), [11, 12, 1, 10]);
        assert!(queue.is_empty());
    }

    #[test]
    fn a_new_connection_is_not_delayed_by_a_burst() {
        let mut queue = RunQueue::default();
        (0..100).for_each(|token| queue.push(token, 0));
        queue.push_new(100);
        assert_eq!(turn(&mut queue, &[Little, Little, All], &[]), [100, 0]);
    }

    #[test]
    fn a_client_that_asks_at_once_joins_the_queue() {
        let mut queue = RunQueue { turn: TurnNumber::MAX - 1, ..RunQueue::default() }; // it wraps around
        (0..3).for_each(|token| queue.push_new(token));
        assert_eq!(turn(&mut queue, &[Little, All], &[]), [0]);
        let first = queue.turn;
        queue.push(0, first);
        queue.push(9, first.wrapping_sub(5)); // it was quiet
        assert_eq!(turn(&mut queue, &[Little, All, All], &[]), [1, 9]);
        queue.push(9, queue.turn);
        assert_eq!(turn(&mut queue, &[Little, All, All], &[]), [2]);
        assert_eq!(turn(&mut queue, &[Little, All, All], &[]), [0]);
        queue.push(1, first.wrapping_add(1));
        assert_eq!(turn(&mut queue, &[Little, All, All], &[]), [9], "1 waits: 9 came before it had its turn");
    }
}
