//! Lets an exchange, a WebSocket peer or a task wait for something other than a time: what it waits for wakes it.

use super::Background;
use crate::run_queue::Token;
use crate::watches::Watches;
use mio::Registry;
use std::cell::RefCell;
use std::rc::Rc;

/// Wakes one exchange, WebSocket peer or task: it is called in a turn to come, which ends
/// [`Pull::Wait`](super::Pull::Wait) and, before its time, [`Pull::NotBefore`](super::Pull::NotBefore). Once its connection is
/// closed, or the task has ended, waking has no effect.
/// What happens elsewhere, in another thread or process, wakes by a descriptor: [`Cx::watch`](super::Cx::watch).
///
/// It stays in its worker, and may be kept wherever the app likes, such as in a queue of those that wait for the same thing.
#[derive(Debug, Clone)]
pub struct Waker {
    connection: ConnectionId,
    woken: Woken,
}

/// A connection or a task, by its place in the worker's table and by when it came there: places are used again.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct ConnectionId {
    pub token: Token,
    pub serial: u32,
    /// Of a connection whose protocol answers several requests at a time: which of them is meant. 0: the connection.
    pub stream: u32,
}

impl ConnectionId {
    /// Of the connection or task as a whole.
    pub fn new(token: Token, serial: u32) -> ConnectionId {
        ConnectionId { token, serial, stream: 0 }
    }

    /// One stream of it.
    pub fn of_stream(self, stream: u32) -> ConnectionId {
        ConnectionId { stream, ..self }
    }

    /// Its connection or task.
    pub fn whole(self) -> ConnectionId {
        self.of_stream(0)
    }
}

/// What wakes the connections and tasks of one worker, and where new tasks come from.
pub(crate) struct Wakeups {
    pub woken: Woken,
    pub watches: Watches,
    pub background: Background,
}

impl Wakeups {
    /// `registry`: of the worker's poll.
    pub fn new(registry: Registry) -> Wakeups {
        Wakeups { woken: Woken::default(), watches: Watches::new(registry), background: Background::default() }
    }
}

/// The connections and tasks of one worker that were woken in this turn.
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

    /// Whether it wakes this connection, of the only worker in question.
    pub(crate) fn is_of(&self, connection: ConnectionId) -> bool {
        self.connection == connection
    }

    /// Asks for a turn; returns at once. Further calls before that turn change nothing.
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
