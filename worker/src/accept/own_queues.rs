//! A worker's own queues: handing connections off to less-loaded workers, and orphaned queues.
//!
//! A waker usually wakes one worker. It wakes several if there are more workers than queues, or while a successor takes
//! over; a worker that is woken without need finds no pending connection.

use super::{AcceptState, Listeners, OWNERS_EVERY, Owner, Queue};
use std::os::fd::{AsFd, BorrowedFd};
use std::time::Instant;
use tine_common::scoreboard::LoadSnapshot;
use tine_common::sys::socket::{have_waiting, waiting};

impl Listeners {
    /// This worker's own queues.
    pub fn own(&self) -> impl Iterator<Item = usize> + '_ {
        (0..self.all.len()).filter(|&index| self.is_own(index))
    }

    pub(super) fn own_wakers(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        self.all.iter().filter(|entry| entry.owner == Owner::This).filter_map(|entry| match &entry.listener.queue {
            Queue::Own { waker, .. } => Some(waker.as_fd()),
            Queue::Shared => None,
        })
    }

    /// Leaves pending connections in this worker's queue to the least-loaded worker and wakes it, if that worker holds
    /// far fewer than `mine`. False: they are to be accepted here.
    pub fn hand_off(&mut self, index: usize, mine: u64, snapshot: &LoadSnapshot, now: Instant) -> bool {
        let is_due = self.is_own(index) && snapshot.accepting > 1 && is_far_over(mine, snapshot.least);
        if !is_due || !self.is_balancing || !self.handoffs.may_begin(now) {
            return false;
        }
        let waiting: u64 = self.own().map(|index| waiting(self.all[index].listener.fd.as_fd())).sum();
        if waiting == 0 || !self.wake(index, snapshot.least_worker) {
            return false;
        }
        self.handoffs.begin(waiting == 1, now);
        true
    }

    /// Whether a handoff has timed out: what is still pending is to be accepted here.
    pub fn is_handoff_over(&self, now: Instant) -> bool {
        self.handoffs.is_over(now)
    }

    /// `was_left`: connections were still pending.
    pub fn end_handoff(&mut self, was_left: bool, now: Instant) {
        self.handoffs.end(was_left, now);
    }

    /// Wakes the worker of index `worker`, by the waker of its queue of the same address as this listener.
    pub fn wake(&mut self, index: usize, worker: usize) -> bool {
        let Queue::Own { place, .. } = &self.all[index].listener.queue else { return false };
        let owned = self.all.get(index - place.index + worker % place.count);
        match owned.map(|entry| &entry.listener.queue) {
            // A waker is never read, and its counter lasts for centuries: a write fails only if the descriptor is lost.
            Some(Queue::Own { waker, .. }) => waker.wake().map_err(|e| self.faults.lose(e)).is_ok(),
            _ => false,
        }
    }

    /// Wakes the owners of all other queues: this worker no longer accepts.
    pub fn wake_all_owners(&mut self) {
        for index in 0..self.all.len() {
            let entry = &self.all[index];
            if let (&Queue::Own { place, .. }, false) = (&entry.listener.queue, entry.owner == Owner::This) {
                self.wake(index, place.index);
            }
        }
    }

    /// The queues that are not shared and have pending connections.
    pub fn with_pending(&self) -> Vec<usize> {
        let own = |&index: &usize| matches!(self.all[index].listener.queue, Queue::Own { .. });
        let own: Vec<usize> = (0..self.all.len()).filter(own).collect();
        let waiting = have_waiting(own.iter().map(|&index| self.all[index].listener.fd.as_fd()));
        own.into_iter().zip(waiting).filter_map(|(index, is_pending)| is_pending.then_some(index)).collect()
    }

    /// Whether [`Listeners::update_owners`] is due. No timer is set for it.
    pub fn wants_owners_update(&self, now: Instant) -> bool {
        now >= self.owners_at && self.all.iter().any(|entry| matches!(entry.listener.queue, Queue::Own { .. }))
    }

    /// Adds orphaned queues to the poll and removes those that have an owner again. `owners`: the indices of all
    /// workers that can accept.
    pub fn update_owners(&mut self, owners: &[usize], now: Instant) {
        self.owners_at = now + OWNERS_EVERY;
        let mut has_owner = Vec::new();
        for entry in &mut self.all {
            let Queue::Own { place, .. } = &entry.listener.queue else { continue };
            if place.is_of(self.worker) {
                continue;
            }
            // Most addresses have the same number of queues.
            if has_owner.len() != place.count {
                has_owner = vec![false; place.count];
                owners.iter().for_each(|worker| has_owner[worker % place.count] = true);
            }
            entry.owner = if has_owner[place.index] { Owner::Other } else { Owner::Orphaned };
        }
        self.shares = self.is_balancing && self.all.iter().any(|entry| entry.owner.is_shared());
        if !self.shares && matches!(self.state, AcceptState::Throttled { .. }) {
            self.state = AcceptState::All;
        }
        self.settle(now);
    }
}

/// Whether `mine` exceeds `least` by more than one plus an eighth of it: waking a worker for a connection costs more
/// than throttling. As with [`is_over`](super::is_over), a worker that is not over holds at most two more than the
/// least-loaded one while that one holds few.
fn is_far_over(mine: u64, least: u64) -> bool {
    mine > least.saturating_add(least.min(1)).saturating_add(least / 8)
}

#[cfg(test)]
mod tests {
    use super::super::tests::{WAKER, in_poll_of, tcp_listener};
    use super::super::{Listener, Place, Spoken};
    use super::*;
    use std::net::{SocketAddr, TcpStream};
    use std::time::Duration;
    use tine_common::sys::queue_waker::QueueWaker;

    /// Three queues of one address, as each of `count` workers has them; the sockets are the same.
    fn three_queues(count: usize) -> (Vec<Vec<Listener>>, Vec<SocketAddr>) {
        let mut all: Vec<Vec<Listener>> = (0..count).map(|_| Vec::new()).collect();
        let mut addresses = Vec::new();
        for index in 0..3 {
            let waker = QueueWaker::new().expect("a waker");
            let (listener, address) = tcp_listener(Queue::Shared);
            addresses.push(address);
            for one in &mut all {
                let fd = listener.fd.try_clone().expect("a descriptor");
                let waker = waker.try_clone().expect("a descriptor");
                one.push(Listener {
                    fd,
                    queue: Queue::Own { place: Place { index, count: 3 }, waker },
                    is_tcp: true,
                    spoken: Spoken::default(),
                    is_lent: false,
                });
            }
        }
        (all, addresses)
    }

    fn tokens(poll: &mut mio::Poll) -> Vec<usize> {
        let mut events = mio::Events::with_capacity(8);
        poll.poll(&mut events, Some(Duration::ZERO)).expect("a poll");
        events.iter().map(|event| event.token().0).collect()
    }

    #[test]
    fn all_workers_accept_from_an_orphaned_queue() {
        let mut poll = mio::Poll::new().expect("a poll");
        let (mut all, addresses) = three_queues(1);
        let mut listeners = in_poll_of(&poll, all.remove(0), 1);
        assert_eq!(listeners.own().collect::<Vec<_>>(), [1]);
        let _waiting: Vec<TcpStream> = addresses.iter().map(|at| TcpStream::connect(at).expect("connect")).collect();
        assert_eq!(tokens(&mut poll), [1], "its own alone");
        assert_eq!(tokens(&mut poll), [], "once each time");
        let now = Instant::now();
        listeners.update_owners(&[0, 1], now);
        assert_eq!(tokens(&mut poll), [2], "worker 2 is not there");
        assert!(!listeners.wants_owners_update(now) && listeners.wants_owners_update(now + OWNERS_EVERY));
        listeners.update_owners(&[5, 4], now);
        assert_eq!(tokens(&mut poll), [0], "worker 5 owns it beside worker 2, and there is no worker 0");
        listeners.close();
        assert_eq!(tokens(&mut poll), [], "no listener is left in the poll");
    }

    #[test]
    fn a_worker_that_is_far_over_wakes_the_least_loaded() {
        let mut polls = [(); 2].map(|()| mio::Poll::new().expect("a poll"));
        let (mut all, addresses) = three_queues(2);
        let mut zero = in_poll_of(&polls[0], all.remove(0), 0);
        let mut four = in_poll_of(&polls[1], all.remove(0), 4);
        let (now, snapshot) = (Instant::now(), LoadSnapshot { least: 1, least_worker: 4, total: 9, accepting: 2 });
        assert!(!zero.hand_off(0, 3, &snapshot, now), "nothing is pending");
        let _waiting = TcpStream::connect(addresses[0]).expect("connect");
        assert!(!zero.hand_off(0, 2, &snapshot, now), "not far over");
        assert!(!zero.hand_off(0, 3, &LoadSnapshot { accepting: 1, ..snapshot }, now), "alone");
        assert!(zero.hand_off(0, 3, &snapshot, now));
        assert_eq!(tokens(&mut polls[1]), [WAKER]);
        assert_eq!(four.with_pending(), [0]);
        let end = zero.deadline().expect("a deadline");
        assert!(zero.is_handoff_over(end) && !zero.hand_off(0, 3, &snapshot, end), "the handoff has timed out");
        four.close();
        zero.wake_all_owners();
        assert_eq!(tokens(&mut polls[1]), [], "a worker that has closed is not woken");
    }

    #[test]
    fn the_limit_for_handoffs_is_higher() {
        for (mine, least, over) in [
            (0, 0, false),
            (1, 0, true),
            (2, 1, false),
            (3, 1, true),
            (19, 16, false),
            (20, 16, true),
            (5, u64::MAX, false),
        ] {
            assert_eq!(is_far_over(mine, least), over, "{mine} beside {least}");
        }
    }
}
