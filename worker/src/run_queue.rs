//! The connections that have their turn next: each once, in the order they were queued.

use std::mem;

/// The index of a connection in [`crate::worker::Worker`]'s table; also its token in the poll.
pub type Token = usize;

#[derive(Default)]
pub struct RunQueue {
    next: Vec<Token>,
    /// The allocation of the last turn, reused.
    spare: Vec<Token>,
}

impl RunQueue {
    pub fn is_empty(&self) -> bool {
        self.next.is_empty()
    }

    /// The caller sees to it that a token is queued once (`Connection::schedule`).
    pub fn push(&mut self, token: Token) {
        self.next.push(token);
    }

    /// All that are queued now; what is pushed meanwhile has the next turn. Given back by [`RunQueue::end_turn`].
    pub fn begin_turn(&mut self) -> Vec<Token> {
        mem::replace(&mut self.next, mem::take(&mut self.spare))
    }

    pub fn end_turn(&mut self, mut turn: Vec<Token>) {
        turn.clear();
        self.spare = turn;
    }
}
