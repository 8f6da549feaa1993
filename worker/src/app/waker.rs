//! Lets an exchange wait for something other than a time: what it waits for wakes it.

use crate::run_queue::Token;
use std::cell::RefCell;
use std::rc::Rc;

/// Wakes one connection's exchange or WebSocket peer: it is called in a turn to come, although the time that it returned
/// ([`Pull::NotBefore`](super::Pull::NotBefore)) has not come. Once its connection is closed, waking has no effect.
///
/// It stays in its worker, and may be kept wherever the app likes, such as in a queue of those that wait for the same thing.
#[derive(Debug, Clone)]
pub struct Waker {
    connection: ConnectionId,
    woken: Woken,
}

/// A connection, by its place in the worker's table and by when it came there: places are used again.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct ConnectionId {
    pub token: Token,
    pub serial: u32,
}

/// The connections of one worker that were woken in this turn.
#[derive(Debug, Clone, Default)]
pub(crate) struct Woken(Rc<RefCell<Vec<ConnectionId>>>);

impl Waker {
    pub(crate) fn new(connection: ConnectionId, woken: Option<&Woken>) -> Waker {
        Waker { connection, woken: woken.cloned().unwrap_or_default() }
    }

    /// Wakes nothing: a place holder, and for tests.
    pub fn none() -> Waker {
        Waker::new(ConnectionId::default(), None)
    }

    pub fn wake(&self) {
        let mut woken = self.woken.0.borrow_mut();
        if woken.last() != Some(&self.connection) {
            woken.push(self.connection);
        }
    }
}

impl Woken {
    pub fn push(&self, connection: ConnectionId) {
        self.0.borrow_mut().push(connection);
    }

    pub fn pop(&self) -> Option<ConnectionId> {
        self.0.borrow_mut().pop()
    }
}
