//! A listening socket as the master passes it to a worker, with the owner of its queue and that owner's waker.
//!
//! An *own* queue belongs to the workers of certain indices. The number of an address's own queues is decided when it
//! is bound; later there may be more or fewer workers, and some may hang. So every worker has all queues and also
//! accepts from orphaned ones.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use tine_common::sys::queue_waker::QueueWaker;

pub struct Listener {
    pub fd: OwnedFd,
    pub queue: Queue,
    pub is_tcp: bool,
    /// What its connections begin with.
    pub spoken: Spoken,
    /// Another process's, which keeps using the socket after this server has ended.
    pub is_lent: bool,
}

/// What the connections of a listener begin with.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Spoken {
    /// A TLS handshake.
    pub is_tls: bool,
    /// A header of the PROXY protocol, before all else.
    pub is_proxied: bool,
}

impl Listener {
    /// The socket's descriptor and its waker's.
    pub fn descriptors(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        let waker = match &self.queue {
            Queue::Own { waker, .. } => Some(waker.as_fd()),
            Queue::Shared => None,
        };
        std::iter::once(self.fd.as_fd()).chain(waker)
    }
}

/// A listener's queue.
pub enum Queue {
    /// One for all workers.
    Shared,
    /// One of several queues of an address, which are adjacent in the worker's list. The waker wakes its owner, which
    /// then checks the queues of other workers.
    Own { place: Place, waker: QueueWaker },
}

/// The position among the queues of an address.
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
    fn a_queue_belongs_to_the_workers_whose_index_is_its_place_modulo_the_count() {
        let place = Place { index: 1, count: 4 };
        let workers: Vec<usize> = (0..10).filter(|&worker| place.is_of(worker)).collect();
        assert_eq!(workers, [1, 5, 9]);
        assert!(Place { index: 0, count: 1 }.is_of(7), "the only queue belongs to all");
    }
}
