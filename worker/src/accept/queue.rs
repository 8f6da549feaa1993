//! A listening socket as the master hands it to a worker: whose queue it is, and the waker of who owns it.
//!
//! An *own* queue belongs to the workers of certain slots. How many such queues an address has is decided when it is bound;
//! workers may later be more or fewer, and some may hang. So every worker has all queues, and looks after those without
//! an owner, too.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use tine_common::sys::queue_waker::QueueWaker;

pub struct Listener {
    pub fd: OwnedFd,
    pub queue: Queue,
    pub is_tcp: bool,
    /// Somebody else's, who goes on with the socket when this server has ended.
    pub is_lent: bool,
}

impl Listener {
    /// Its own, and that of its waker.
    pub fn descriptors(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        let waker = match &self.queue {
            Queue::Own { waker, .. } => Some(waker.as_fd()),
            Queue::Shared => None,
        };
        std::iter::once(self.fd.as_fd()).chain(waker)
    }
}

/// Owner a listener's queue is.
pub enum Queue {
    /// One for all workers.
    Shared,
    /// One of several of an address, which follow each other in the worker's list. The waker wakes its owner, so that he
    /// looks at the queues of others.
    Own { place: Place, waker: QueueWaker },
}

/// Which of the queues of an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    pub index: usize,
    pub count: usize,
}

impl Place {
    /// Whether a worker of this index owns the queue.
    pub fn is_of(self, worker: usize) -> bool {
        worker % self.count == self.index
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_queue_is_of_the_slots_that_are_its_place_modulo_their_number() {
        let place = Place { index: 1, count: 4 };
        let slots: Vec<usize> = (0..10).filter(|&worker| place.is_of(worker)).collect();
        assert_eq!(slots, [1, 5, 9]);
        assert!(Place { index: 0, count: 1 }.is_of(7), "the only queue is everybody's");
    }
}
