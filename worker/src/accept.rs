//! The listeners of a worker, and when they are in its poll: the balance between workers.
//!
//! A shared listener is in every worker's epoll with EPOLLEXCLUSIVE, so that one connection wakes one worker. That alone
//! gives all connections to few workers: the one that waits longest in the list is woken again and again. So a worker
//! that holds clearly more connections than the least loaded one takes the listener out *before* it sleeps; declining
//! after a wake-up would strand the connection, since nobody else was woken for it. The least loaded worker that answers
//! is always in, so somebody is.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd, RawFd};
use std::time::{Duration, Instant};
use tine_common::scoreboard::Survey;
use tine_common::sys::epoll::{Wake, add_listener, remove_listener};
use tine_common::sys::socket::{has_waiting, stop_new_connections, waiting};

/// A worker that stands back looks again after this long, then after twice as long, …
const LOOK_MIN: Duration = Duration::from_millis(1);
/// … and at the latest after this.
const LOOK_MAX: Duration = Duration::from_millis(64);
/// Who is seen waiting is left to the others for this long: on a loaded machine a woken worker needs milliseconds to run.
/// With 1 ms, 9 of 40 rounds of a hundred connections to 16 workers on 2 busy CPUs were uneven; with 8 ms, 1.
const PATIENCE: Duration = Duration::from_millis(8);

/// A listening socket as the master hands it to a worker.
pub struct Listener {
    pub fd: OwnedFd,
    /// Other workers accept from the same queue.
    pub shared: bool,
    pub is_tcp: bool,
    /// Somebody else's, who goes on with the socket when this server has ended.
    pub is_lent: bool,
}

pub struct Listeners {
    epoll: RawFd,
    /// The token of the first; the others follow.
    first_token: usize,
    all: Vec<Entry>,
    stance: Stance,
    /// There are other workers to balance with.
    balanced: bool,
}

struct Entry {
    listener: Listener,
    in_poll: bool,
    /// This worker accepts from it no more.
    is_left: bool,
}

/// Which listeners are in the poll.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stance {
    /// All.
    In,
    /// All but the shared ones: others have fewer connections.
    StandingBack { look_at: Instant, interval: Duration, somebody_waited: bool },
    /// None: descriptors ran out.
    Paused { until: Instant },
}

impl Listeners {
    pub fn new(epoll: RawFd, first_token: usize, listeners: Vec<Listener>, workers: usize) -> io::Result<Self> {
        let balanced = workers > 1 && listeners.iter().any(|listener| listener.shared);
        let all = listeners.into_iter().map(|listener| Entry { listener, in_poll: false, is_left: false }).collect();
        let mut listeners = Listeners { epoll, first_token, all, stance: Stance::In, balanced };
        listeners.apply()?;
        Ok(listeners)
    }

    pub fn get(&self, index: usize) -> Option<BorrowedFd<'_>> {
        self.all.get(index).filter(|entry| !entry.is_left).map(|entry| entry.listener.fd.as_fd())
    }

    pub fn is_tcp(&self, index: usize) -> bool {
        self.all[index].listener.is_tcp
    }

    pub fn len(&self) -> usize {
        self.all.len()
    }

    pub fn is_closed(&self) -> bool {
        self.all.is_empty()
    }

    pub fn is_balanced(&self) -> bool {
        self.balanced
    }

    /// Whether one more connection from this listener would be more than this worker's share.
    pub fn is_enough(&self, index: usize, mine: u64, survey: &Survey) -> bool {
        self.balanced && self.all[index].listener.shared && is_over(mine, survey.least)
    }

    /// What each worker holds once all who wait are let in, where they are a crowd: more than there are workers. Nobody
    /// needs to leave connections to others before he has that many. Else 0.
    pub fn share_of_crowd(&self, survey: &Survey) -> u64 {
        let shared = self.all.iter().filter(|entry| entry.listener.shared && entry.listener.is_tcp);
        let crowd: u64 = shared.map(|entry| waiting(entry.listener.fd.as_fd())).sum();
        if crowd > survey.accepting { (survey.total + crowd) / survey.accepting.max(1) } else { 0 }
    }

    /// When [`Listeners::adjust`] must be called at the latest.
    pub fn deadline(&self) -> Option<Instant> {
        match self.stance {
            _ if self.is_closed() => None,
            Stance::In => None,
            Stance::StandingBack { look_at, .. } => Some(look_at),
            Stance::Paused { until } => Some(until),
        }
    }

    /// Whether a look at the others is due: this worker's count changed, or some time has passed.
    pub fn wants_survey(&self, count_changed: bool, now: Instant) -> bool {
        match self.stance {
            _ if self.is_closed() || !self.balanced => false,
            Stance::In => count_changed,
            Stance::StandingBack { look_at, .. } => count_changed || now >= look_at,
            Stance::Paused { until } => now >= until,
        }
    }

    /// Decides, before the worker sleeps, which listeners may wake it.
    pub fn adjust(&mut self, mine: u64, survey: Option<&Survey>, now: Instant) -> io::Result<()> {
        if matches!(self.stance, Stance::Paused { until } if now < until) || self.is_closed() {
            return Ok(());
        }
        let over = self.balanced
            && survey.is_some_and(|survey| is_over(mine, survey.least) && mine >= self.share_of_crowd(survey));
        self.stance = match (over, self.stance) {
            (false, Stance::StandingBack { .. }) if survey.is_none() => return Ok(()),
            (false, _) => Stance::In,
            (true, Stance::StandingBack { look_at, .. }) if now < look_at => return Ok(()),
            (true, Stance::StandingBack { interval, somebody_waited, .. }) => {
                // Somebody who waited at the last look and waits still: those who should take it do not.
                let waits =
                    self.all.iter().any(|entry| entry.listener.shared && has_waiting(entry.listener.fd.as_fd()));
                if waits && somebody_waited {
                    Stance::In
                } else {
                    let interval = if waits { PATIENCE } else { (interval * 2).min(LOOK_MAX) };
                    Stance::StandingBack { look_at: now + interval, interval, somebody_waited: waits }
                }
            }
            (true, _) => Stance::StandingBack { look_at: now + LOOK_MIN, interval: LOOK_MIN, somebody_waited: false },
        };
        self.apply()
    }

    /// Takes all listeners out of the poll until then.
    pub fn pause(&mut self, until: Instant) -> io::Result<()> {
        self.stance = Stance::Paused { until };
        self.apply()
    }

    /// Leaves the listeners that are lent: whoever is in their queues waits for the next start.
    pub fn leave_lent(&mut self) -> io::Result<()> {
        for entry in self.all.iter_mut().filter(|entry| entry.listener.is_lent) {
            entry.is_left = true;
        }
        self.apply()?;
        if self.all.iter().all(|entry| entry.is_left) {
            self.close();
        }
        Ok(())
    }

    /// No new connection may begin on the TCP listeners; for all processes that share them.
    pub fn stop_new_connections(&self) {
        for entry in self.all.iter().filter(|entry| entry.listener.is_tcp && !entry.listener.is_lent) {
            if let Err(e) = stop_new_connections(entry.listener.fd.as_fd()) {
                log::warn!("connections that begin during the drain may be reset: {e}");
            }
        }
    }

    pub fn close(&mut self) {
        // Out of the poll first: other processes hold the same sockets, so that closing alone leaves them in the set.
        for entry in self.all.drain(..).filter(|entry| entry.in_poll) {
            if let Err(e) = remove_listener(self.epoll, entry.listener.fd.as_fd()) {
                log::warn!("{e}");
            }
        }
    }

    fn apply(&mut self) -> io::Result<()> {
        for (index, entry) in self.all.iter_mut().enumerate() {
            let wanted = match self.stance {
                _ if entry.is_left => false,
                Stance::In => true,
                Stance::StandingBack { .. } => !entry.listener.shared,
                Stance::Paused { .. } => false,
            };
            let fd = entry.listener.fd.as_fd();
            match (wanted, entry.in_poll) {
                (true, false) => {
                    let wake = if entry.listener.shared { Wake::One } else { Wake::All };
                    add_listener(self.epoll, fd, self.first_token + index, wake)?;
                }
                (false, true) => remove_listener(self.epoll, fd)?,
                _ => {}
            }
            entry.in_poll = wanted;
        }
        Ok(())
    }
}

/// More than one and a sixteenth of its load above the least loaded worker; anything, while somebody has nothing.
fn is_over(mine: u64, least: u64) -> bool {
    mine > least.saturating_add(least.min(1)).saturating_add(least / 16)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::fd::AsRawFd;

    #[test]
    fn a_crowd_is_shared_out() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("bind");
        let address = listener.local_addr().expect("an address");
        let poll = mio::Poll::new().expect("a poll");
        let listener = Listener { fd: listener.into(), shared: true, is_tcp: true, is_lent: false };
        let listeners = Listeners::new(poll.as_raw_fd(), 0, vec![listener], 4).expect("in the poll");
        let survey = Survey { least: 1, total: 10, accepting: 4 };
        let mut crowd = Vec::new();
        for (wait, share) in [(0, 0), (4, 0), (5, 3), (6, 4), (30, 10)] {
            crowd.resize_with(wait, || std::net::TcpStream::connect(address).expect("connect"));
            assert_eq!(listeners.share_of_crowd(&survey), share, "{wait} wait");
        }
        assert_eq!(listeners.share_of_crowd(&Survey { accepting: 0, ..survey }), 40, "nobody answers, but we are here");
    }

    #[test]
    fn who_is_over() {
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
