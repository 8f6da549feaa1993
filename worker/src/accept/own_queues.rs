//! Queues that are a worker's own: connections are offered to who has fewer, and a queue without an owner is everybody's.
//!
//! Each waker is one worker's in the usual case, of several where there are more workers than queues or a successor takes
//! over; who is rung without need looks and finds nobody.

use super::{AcceptState, Listeners, OWNERS_EVERY, Owner, Queue};
use std::os::fd::{AsFd, BorrowedFd};
use std::time::Instant;
use tine_common::scoreboard::LoadSnapshot;
use tine_common::sys::socket::{have_waiting, waiting};

impl Listeners {
    /// This worker's own queues.
    pub fn mine(&self) -> impl Iterator<Item = usize> + '_ {
        (0..self.all.len()).filter(|&index| self.is_own(index))
    }

    pub(super) fn own_wakers(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        self.all.iter().filter(|entry| entry.owner == Owner::This).filter_map(|entry| match &entry.listener.queue {
            Queue::Own { waker, .. } => Some(waker.as_fd()),
            Queue::Shared => None,
        })
    }

    /// Leaves who waits in this worker's own queue to who has least, if that is far less than `mine`, and wakes him.
    /// False: they are to be accepted here.
    pub fn hand_off(&mut self, index: usize, mine: u64, snapshot: &LoadSnapshot, now: Instant) -> bool {
        let is_due = self.is_own(index) && snapshot.accepting > 1 && is_far_over(mine, snapshot.least);
        if !is_due || !self.is_balancing || !self.handoffs.may_begin(now) {
            return false;
        }
        let waiting: u64 = self.mine().map(|index| waiting(self.all[index].listener.fd.as_fd())).sum();
        if waiting == 0 || !self.wake(index, snapshot.least_worker) {
            return false;
        }
        self.handoffs.begin(waiting == 1, now);
        true
    }

    /// Those who were offered had their time: who waits still is to be accepted here.
    pub fn is_handoff_over(&self, now: Instant) -> bool {
        self.handoffs.is_over(now)
    }

    /// `was_left`: somebody waited still.
    pub fn end_handoff(&mut self, was_left: bool, now: Instant) {
        self.handoffs.end(was_left, now);
    }

    /// Wakes the worker of this index, by the waker of its queue of the same address as this listener.
    pub fn wake(&mut self, index: usize, worker: usize) -> bool {
        let Queue::Own { place, .. } = &self.all[index].listener.queue else { return false };
        let owned = self.all.get(index - place.index + worker % place.count);
        match owned.map(|entry| &entry.listener.queue) {
            // Nobody reads a waker, and its count has room for centuries: who cannot ring it has it no more.
            Some(Queue::Own { waker, .. }) => waker.wake().map_err(|e| self.faults.lose(e)).is_ok(),
            _ => false,
        }
    }

    /// Wakes all others: this worker is not there to accept any more.
    pub fn wake_all_owners(&mut self) {
        for index in 0..self.all.len() {
            let entry = &self.all[index];
            if let (&Queue::Own { place, .. }, false) = (&entry.listener.queue, entry.owner == Owner::This) {
                self.wake(index, place.index);
            }
        }
    }

    /// The queues that are not shared and have somebody waiting.
    pub fn with_somebody(&self) -> Vec<usize> {
        let own = |&index: &usize| matches!(self.all[index].listener.queue, Queue::Own { .. });
        let own: Vec<usize> = (0..self.all.len()).filter(own).collect();
        let waiting = have_waiting(own.iter().map(|&index| self.all[index].listener.fd.as_fd()));
        own.into_iter().zip(waiting).filter_map(|(index, somebody)| somebody.then_some(index)).collect()
    }

    /// Whether [`Listeners::look_at_owners`] is due. Nobody wakes for it.
    pub fn wants_owners(&self, now: Instant) -> bool {
        now >= self.owners_at && self.all.iter().any(|entry| matches!(entry.listener.queue, Queue::Own { .. }))
    }

    /// Takes queues without an owner into the poll, and those that have one again out of it. `owners`: the slots of
    /// all workers that are there to accept.
    pub fn look_at_owners(&mut self, owners: &[usize], now: Instant) {
        self.owners_at = now + OWNERS_EVERY;
        let mut has_owner = Vec::new();
        for entry in &mut self.all {
            let Queue::Own { place, .. } = &entry.listener.queue else { continue };
            if place.is_of(self.worker) {
                continue;
            }
            // Addresses mostly have as many queues each.
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

/// More than one and an eighth: to wake somebody for a connection is dearer than to stand back. As in [`is_over`](super::is_over), who is
/// not over gets at most two more than the least loaded, while that one holds few.
fn is_far_over(mine: u64, least: u64) -> bool {
    mine > least.saturating_add(least.min(1)).saturating_add(least / 8)
}

#[cfg(test)]
mod tests {
    use super::super::tests::{WAKER, in_poll_of, tcp_listener};
    use super::super::{Listener, Place};
    use super::*;
    use std::net::{SocketAddr, TcpStream};
    use std::time::Duration;
    use tine_common::sys::queue_waker::QueueWaker;

    /// Three queues of an address, as the worker of a slot has them; the descriptors of several workers are the same.
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
    fn a_queue_without_an_owner_is_everybodys() {
        let mut poll = mio::Poll::new().expect("a poll");
        let (mut all, addresses) = three_queues(1);
        let mut listeners = in_poll_of(&poll, all.remove(0), 1);
        assert_eq!(listeners.mine().collect::<Vec<_>>(), [1]);
        let _waiting: Vec<TcpStream> = addresses.iter().map(|at| TcpStream::connect(at).expect("connect")).collect();
        assert_eq!(tokens(&mut poll), [1], "the own one alone");
        assert_eq!(tokens(&mut poll), [], "once each time");
        let now = Instant::now();
        listeners.look_at_owners(&[0, 1], now);
        assert_eq!(tokens(&mut poll), [2], "slot 2 is not there");
        assert!(!listeners.wants_owners(now) && listeners.wants_owners(now + OWNERS_EVERY));
        listeners.look_at_owners(&[5, 4], now);
        assert_eq!(tokens(&mut poll), [0], "slot 5 owns it beside slot 2, and nobody is in slot 0");
        listeners.close();
        assert_eq!(tokens(&mut poll), [], "nothing is left behind");
    }

    #[test]
    fn who_is_far_over_rings_for_who_has_least() {
        let mut polls = [(); 2].map(|()| mio::Poll::new().expect("a poll"));
        let (mut all, addresses) = three_queues(2);
        let mut zero = in_poll_of(&polls[0], all.remove(0), 0);
        let mut four = in_poll_of(&polls[1], all.remove(0), 4);
        let (now, snapshot) = (Instant::now(), LoadSnapshot { least: 1, least_worker: 4, total: 9, accepting: 2 });
        assert!(!zero.hand_off(0, 3, &snapshot, now), "nobody waits");
        let _waiting = TcpStream::connect(addresses[0]).expect("connect");
        assert!(!zero.hand_off(0, 2, &snapshot, now), "not far over");
        assert!(!zero.hand_off(0, 3, &LoadSnapshot { accepting: 1, ..snapshot }, now), "alone");
        assert!(zero.hand_off(0, 3, &snapshot, now));
        assert_eq!(tokens(&mut polls[1]), [WAKER]);
        assert_eq!(four.with_somebody(), [0]);
        let end = zero.deadline().expect("a deadline");
        assert!(zero.is_handoff_over(end) && !zero.hand_off(0, 3, &snapshot, end), "he had his time");
        four.close();
        zero.wake_all_owners();
        assert_eq!(tokens(&mut polls[1]), [], "who has closed hears no waker");
    }

    #[test]
    fn who_is_far_over() {
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
