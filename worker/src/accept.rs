//! The listeners of a worker and when they are in its poll: the balance between workers.
//!
//! A shared listener is in every worker's epoll with EPOLLEXCLUSIVE, so that one connection wakes one worker. That
//! alone gives all connections to a few workers: the kernel wakes the first worker in its list again and again. So a
//! worker moves to the end of the list now and then, and a worker that holds clearly more connections than the
//! least-loaded one takes the listener out of its poll *before* it sleeps (accept throttling). Declining after a
//! wake-up would strand the connection, since no other worker was woken for it. The least-loaded worker that responds
//! never throttles, so at least one worker always accepts.
//!
//! A worker's own queue is in that worker's epoll only, as long as its owner can accept. Without such an owner the
//! queue is orphaned, and all workers accept from it as from a shared one ([`Owner::Orphaned`]). Here a worker can
//! decline, because it knows which worker to wake: an owner that holds far more than the least-loaded worker leaves the
//! connection in the queue and wakes that worker ([`Handoffs`]). Each connection is an edge (EPOLLET): a connection
//! that was left does not wake the owner again, so every accept loop runs until the queue is empty.
//!
//! A listener that could not be added to or removed from the poll for lack of memory is tried again ([`Faults`]), so
//! that a worker never stops accepting for good.

mod faults;
mod handoffs;
mod own_queues;
mod queue;

use crate::timers::earlier;
pub use queue::{Listener, Place, Queue, Spoken};

use faults::Faults;
use handoffs::Handoffs;
use socket2::SockRef;
use std::io;
use std::net::Shutdown;
use std::os::fd::{AsFd, BorrowedFd, RawFd};
use std::time::{Duration, Instant};
use tine_common::scoreboard::LoadSnapshot;
use tine_common::sys::epoll::{self, Wake};
use tine_common::sys::socket::{have_waiting, stop_new_connections, waiting};

/// A throttled worker checks the load again after this long, then after twice as long each time.
const LOOK_MIN: Duration = Duration::from_millis(1);
/// The longest interval between two load checks of a throttled worker.
const LOOK_MAX: Duration = Duration::from_millis(64);
/// A pending connection is left to other workers for this long: on a loaded machine a woken worker needs milliseconds
/// to run. With 1 ms, 9 of 40 rounds of a hundred connections to 16 workers on 2 busy CPUs were uneven; with 8 ms, 1.
const PATIENCE: Duration = Duration::from_millis(8);
/// After accepting this many connections from a shared queue, a worker re-adds the listener, by two system calls, so
/// that it moves to the end of the kernel's wake list. Without that, the first worker in the list got ten times its
/// share of short connections; 4 instead of 16 spreads them no more evenly.
const TAKEN_MAX: usize = 16;
/// Up to this many listeners are queried one by one for their queue length; of more, only those that one poll(2)
/// reports.
const ASKED_EACH: usize = 4;
/// How often a worker re-reads queue ownership. A sleeping worker does so only when it wakes for its heartbeat.
const OWNERS_EVERY: Duration = Duration::from_millis(500);

pub struct Listeners {
    epoll: RawFd,
    tokens: Tokens,
    worker: usize,
    all: Vec<Entry>,
    state: AcceptState,
    /// The workers balance the number of their connections.
    is_balancing: bool,
    /// Balancing is on, and there are queues that several workers accept from.
    shares: bool,
    handoffs: Handoffs,
    faults: Faults,
    owners_at: Instant,
}

/// The poll's tokens for listeners and wakers.
#[derive(Debug, Clone, Copy)]
pub struct Tokens {
    /// The token of the first listener; the others follow.
    pub first_listener: usize,
    /// The token of all wakers of this worker.
    pub waker: usize,
}

struct Entry {
    listener: Listener,
    owner: Owner,
    in_poll: bool,
    /// Connections accepted from it since it was added to the poll.
    taken: usize,
    /// This worker no longer accepts from it.
    is_left: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Owner {
    /// All workers.
    Shared,
    /// This worker.
    This,
    /// Another worker, which can accept.
    Other,
    /// Its owner hangs, ends or does not exist: all workers accept from it.
    Orphaned,
}

impl Entry {
    /// This worker must stop new handshakes itself, and no other process will keep using the socket.
    fn is_to_be_stopped(&self) -> bool {
        self.listener.is_tcp && !self.listener.is_lent && self.owner != Owner::Other
    }
}

impl Owner {
    fn is_shared(self) -> bool {
        matches!(self, Owner::Shared | Owner::Orphaned)
    }
}

/// Which listeners are in the poll.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum AcceptState {
    /// All.
    All,
    /// All except the shared ones: other workers have fewer connections.
    Throttled { look_at: Instant, interval: Duration, had_pending: bool },
    /// None: descriptors ran out.
    Paused { until: Instant },
}

impl Listeners {
    pub fn new(
        epoll: RawFd,
        tokens: Tokens,
        listeners: Vec<Listener>,
        worker: usize,
        is_balancing: bool,
        now: Instant,
    ) -> io::Result<Self> {
        let entry = |listener: Listener| {
            let owner = match &listener.queue {
                Queue::Shared => Owner::Shared,
                Queue::Own { place, .. } if place.is_of(worker) => Owner::This,
                // The other workers are given the time to boot, as this one was.
                Queue::Own { .. } => Owner::Other,
            };
            Entry { listener, owner, in_poll: false, taken: 0, is_left: false }
        };
        let all: Vec<Entry> = listeners.into_iter().map(entry).collect();
        let shares = is_balancing && all.iter().any(|entry| entry.owner.is_shared());
        let (state, handoffs, faults) = (AcceptState::All, Handoffs::default(), Faults::default());
        let owners_at = now + OWNERS_EVERY;
        let mut listeners =
            Listeners { epoll, tokens, worker, all, state, is_balancing, shares, handoffs, faults, owners_at };
        // A worker that cannot listen at all is not ready.
        listeners.apply()?;
        for waker in listeners.own_wakers() {
            epoll::add(epoll, waker, tokens.waker, Wake::AllEachTime)?;
        }
        Ok(listeners)
    }

    pub fn get(&self, index: usize) -> Option<BorrowedFd<'_>> {
        self.all.get(index).filter(|entry| !entry.is_left).map(|entry| entry.listener.fd.as_fd())
    }

    pub fn is_tcp(&self, index: usize) -> bool {
        self.all[index].listener.is_tcp
    }

    pub fn spoken(&self, index: usize) -> Spoken {
        self.all[index].listener.spoken
    }

    pub fn is_own(&self, index: usize) -> bool {
        self.all.get(index).is_some_and(|entry| entry.owner == Owner::This)
    }

    pub fn len(&self) -> usize {
        self.all.len()
    }

    pub fn is_closed(&self) -> bool {
        self.all.is_empty()
    }

    pub fn is_paused(&self) -> bool {
        matches!(self.state, AcceptState::Paused { .. })
    }

    /// Whether a worker that holds `mine` has to read the others' load before it accepts.
    pub fn wants_snapshot_first(&self, mine: usize) -> bool {
        self.shares || (mine > 0 && self.is_balancing)
    }

    /// Whether one more connection from this listener would be more than this worker's share.
    pub fn is_enough(&self, index: usize, mine: u64, snapshot: &LoadSnapshot) -> bool {
        self.shares && self.all[index].owner.is_shared() && snapshot.accepting > 1 && is_over(mine, snapshot.least)
    }

    /// `count` connections were accepted from this listener.
    pub fn on_taken(&mut self, index: usize, count: usize, now: Instant) {
        let Some(entry) = self.all.get_mut(index) else { return };
        entry.taken += count;
        if entry.taken < TAKEN_MAX || !entry.in_poll || !entry.owner.is_shared() || !self.shares {
            return;
        }
        entry.taken = 0;
        // A connection that arrives in between is reported when the listener is added.
        let (fd, token) = (entry.listener.fd.as_fd(), self.tokens.first_listener + index);
        let moved = epoll::remove(self.epoll, fd).and_then(|()| {
            entry.in_poll = false;
            epoll::add(self.epoll, fd, token, Wake::One)
        });
        match moved {
            Ok(()) => entry.in_poll = true,
            Err(failed) => self.faults.on_poll_failed(failed, now),
        }
    }

    /// The first descriptor that this worker has lost; reported once.
    pub fn take_lost(&mut self) -> Option<io::Error> {
        self.faults.take_lost()
    }

    /// A connection was accepted.
    pub fn on_accepted(&mut self) {
        self.faults.on_accepted();
    }

    /// A pending connection was aborted. True: so were those before it, and accepting should pause.
    pub fn on_aborted(&mut self) -> bool {
        self.faults.on_aborted()
    }

    /// accept(2) failed for a reason that may persist: pauses, longer each time.
    pub fn on_accept_failed(&mut self, error: &io::Error, now: Instant) {
        let until = now + self.faults.on_accept_failed(error, now);
        self.pause(until, now);
    }

    /// The descriptor no longer refers to the listener.
    pub fn lose(&mut self, error: io::Error) {
        self.faults.lose(error);
    }

    /// In a backlog burst, that is, with more pending connections than workers: the number of connections that each
    /// worker holds once all are accepted. No worker needs to leave connections to others before it has that many.
    /// Otherwise 0.
    pub fn share_of_burst(&self, snapshot: &LoadSnapshot) -> u64 {
        let shared = self.shared().filter(|entry| entry.listener.is_tcp).map(|entry| entry.listener.fd.as_fd());
        let burst: u64 = if shared.clone().nth(ASKED_EACH).is_none() {
            shared.map(waiting).sum()
        } else {
            let waits = have_waiting(shared.clone());
            shared.zip(waits).filter(|&(_, waits)| waits).map(|(fd, _)| waiting(fd)).sum()
        };
        if burst > snapshot.accepting { (snapshot.total + burst) / snapshot.accepting.max(1) } else { 0 }
    }

    fn shared(&self) -> impl Iterator<Item = &Entry> + Clone {
        self.all.iter().filter(|entry| entry.owner.is_shared())
    }

    /// When [`Listeners::adjust`] must be called at the latest, or a handoff ends.
    pub fn deadline(&self) -> Option<Instant> {
        let state = match self.state {
            _ if self.is_closed() => return None,
            AcceptState::All => None,
            AcceptState::Throttled { look_at, .. } => Some(look_at),
            AcceptState::Paused { until } => Some(until),
        };
        earlier(earlier(state, self.handoffs.deadline()), self.faults.retry_at())
    }

    /// Whether a load snapshot is due: this worker's count changed, or some time has passed.
    pub fn wants_snapshot(&self, count_changed: bool, now: Instant) -> bool {
        match self.state {
            _ if self.is_closed() || !self.shares => false,
            AcceptState::All => count_changed,
            AcceptState::Throttled { look_at, .. } => count_changed || now >= look_at,
            AcceptState::Paused { until } => now >= until,
        }
    }

    /// Decides, before the worker sleeps, which listeners may wake it.
    pub fn adjust(&mut self, mine: u64, snapshot: Option<&LoadSnapshot>, now: Instant) {
        self.state = self.next_state(mine, snapshot, now);
        self.settle(now);
    }

    fn next_state(&self, mine: u64, snapshot: Option<&LoadSnapshot>, now: Instant) -> AcceptState {
        if matches!(self.state, AcceptState::Paused { until } if now < until) || self.is_closed() {
            return self.state;
        }
        let over = self.shares
            && snapshot.is_some_and(|snapshot| is_over(mine, snapshot.least) && mine >= self.share_of_burst(snapshot));
        match (over, self.state) {
            (false, AcceptState::Throttled { .. }) if snapshot.is_none() => self.state,
            (false, _) => AcceptState::All,
            (true, AcceptState::Throttled { look_at, .. }) if now < look_at => self.state,
            (true, AcceptState::Throttled { interval, had_pending, .. }) => {
                // Connections were pending at the last check and still are: the workers that should accept them do not.
                let waits = have_waiting(self.shared().map(|entry| entry.listener.fd.as_fd())).contains(&true);
                if waits && had_pending {
                    AcceptState::All
                } else {
                    let interval = if waits { PATIENCE } else { (interval * 2).min(LOOK_MAX) };
                    AcceptState::Throttled { look_at: now + interval, interval, had_pending: waits }
                }
            }
            (true, _) => AcceptState::Throttled { look_at: now + LOOK_MIN, interval: LOOK_MIN, had_pending: false },
        }
    }

    /// Takes all listeners out of the poll until `until`.
    pub fn pause(&mut self, until: Instant, now: Instant) {
        self.state = AcceptState::Paused { until };
        self.handoffs.end(true, until); // re-adding the listeners reports what is still pending
        self.settle(now);
    }

    /// Leaves the lent listeners: connections in their queues wait for the next start.
    pub fn leave_lent(&mut self, now: Instant) {
        for entry in self.all.iter_mut().filter(|entry| entry.listener.is_lent) {
            entry.is_left = true;
        }
        self.settle(now);
        if self.all.iter().all(|entry| entry.is_left) {
            self.close();
        }
    }

    /// Stops new handshakes on the TCP listeners for which no other worker does so, in all processes that have them.
    pub fn stop_new_connections(&self) {
        for entry in self.all.iter().filter(|entry| entry.is_to_be_stopped()) {
            if let Err(e) = stop_new_connections(entry.listener.fd.as_fd()) {
                log::warn!(
                    "new connections could not be stopped; those that arrive during the drain may be reset: {e}"
                );
            }
        }
    }

    /// Shuts the sockets down, so that no process listens on them any more.
    pub fn shut_down(&self) {
        for entry in self.all.iter().filter(|entry| !entry.listener.is_lent) {
            // It fails if another worker was first.
            let _ = SockRef::from(&entry.listener.fd).shutdown(Shutdown::Both);
        }
    }

    pub fn close(&mut self) {
        // Out of the poll first: other processes hold the same sockets, so that closing alone leaves them in the set.
        let polled = self.all.iter().filter(|entry| entry.in_poll).map(|entry| entry.listener.fd.as_fd());
        for fd in polled.chain(self.own_wakers()) {
            if let Err(failed) = epoll::remove(self.epoll, fd) {
                log::warn!("{}", failed.error);
            }
        }
        self.all.clear();
    }

    /// Adds and removes listeners as wanted, now or, if that fails for a while, later.
    fn settle(&mut self, now: Instant) {
        match self.apply() {
            Ok(()) => self.faults.on_settled(),
            Err(failed) => self.faults.on_poll_failed(failed, now),
        }
    }

    /// Adds and removes listeners as wanted. A failure does not keep the others from being moved; the last error is
    /// returned.
    fn apply(&mut self) -> Result<(), epoll::Failed> {
        let mut all = Ok(());
        for (index, entry) in self.all.iter_mut().enumerate() {
            let (wanted, wake) = match (self.state, entry.owner) {
                _ if entry.is_left => (false, Wake::One),
                (AcceptState::Paused { .. }, _) | (_, Owner::Other) => (false, Wake::One),
                (_, Owner::This) => (true, Wake::OneEachTime),
                (AcceptState::All, _) => (true, Wake::One),
                (AcceptState::Throttled { .. }, _) => (false, Wake::One),
            };
            let fd = entry.listener.fd.as_fd();
            let moved = match (wanted, entry.in_poll) {
                (true, false) => {
                    entry.taken = 0;
                    epoll::add(self.epoll, fd, self.tokens.first_listener + index, wake)
                }
                (false, true) => epoll::remove(self.epoll, fd),
                _ => continue,
            };
            match moved {
                Ok(()) => entry.in_poll = wanted,
                Err(failed) => all = Err(failed),
            }
        }
        all
    }
}

/// Whether `mine` exceeds the connections of the least-loaded worker by more than one plus a sixteenth of them; if it
/// has none, whether `mine` is not zero.
pub fn is_over(mine: u64, least: u64) -> bool {
    mine > least.saturating_add(least.min(1)).saturating_add(least / 16)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::{SocketAddr, TcpListener, TcpStream};
    use std::os::fd::AsRawFd;

    pub const WAKER: usize = 100;

    pub fn tcp_listener(queue: Queue) -> (Listener, SocketAddr) {
        let listener = TcpListener::bind("127.0.0.1:0").expect("bind");
        listener.set_nonblocking(true).expect("nonblocking");
        let address = listener.local_addr().expect("an address");
        (Listener { fd: listener.into(), queue, is_tcp: true, spoken: Spoken::default(), is_lent: false }, address)
    }

    pub fn in_poll_of(poll: &mio::Poll, listeners: Vec<Listener>, worker: usize) -> Listeners {
        let tokens = Tokens { first_listener: 0, waker: WAKER };
        Listeners::new(poll.as_raw_fd(), tokens, listeners, worker, true, Instant::now()).expect("in the poll")
    }

    const SNAPSHOT: LoadSnapshot = LoadSnapshot { least: 1, least_worker: 0, total: 10, accepting: 4 };

    #[test]
    fn a_burst_is_shared_out() {
        for others in [0, 2 * ASKED_EACH] {
            a_burst_is_shared_out_beside(others);
        }
    }

    /// Beside this many listeners with an empty queue.
    fn a_burst_is_shared_out_beside(others: usize) {
        let poll = mio::Poll::new().expect("a poll");
        let (listener, address) = tcp_listener(Queue::Shared);
        let others = (0..others).map(|_| tcp_listener(Queue::Shared).0);
        let listeners = in_poll_of(&poll, others.chain([listener]).collect(), 0);
        let mut burst = Vec::new();
        for (wait, share) in [(0, 0), (4, 0), (5, 3), (6, 4), (30, 10)] {
            burst.resize_with(wait, || TcpStream::connect(address).expect("connect"));
            assert_eq!(listeners.share_of_burst(&SNAPSHOT), share, "{wait} wait");
        }
        assert_eq!(
            listeners.share_of_burst(&LoadSnapshot { accepting: 0, ..SNAPSHOT }),
            40,
            "no worker is seen accepting, but this one is"
        );
    }

    #[test]
    fn the_limit_grows_with_the_least_load() {
        for (mine, least, over) in [
            (0, 0, false),
            (1, 0, true),
            (2, 1, false),
            (3, 1, true),
            (17, 16, false),
            (18, 16, false),
            (19, 16, true),
            (5, u64::MAX, false),
        ] {
            assert_eq!(is_over(mine, least), over, "{mine} beside {least}");
        }
    }
}
