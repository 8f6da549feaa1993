//! Idle connections of a worker that requests have left for later ones, by a key. Bounded, and none longer than it was
//! left for; one whose peer has closed it, or has sent what was not asked for, is never handed out.

use super::connection::Connection;
use std::collections::{HashMap, VecDeque};
use std::time::{Duration, Instant};

/// Of all keys together. Beyond it the one that was left first is closed.
const CONNECTIONS_MAX: usize = 1000;

#[derive(Default)]
pub struct Pools {
    /// Those of a key, the one that was left last at the end.
    by_key: HashMap<String, VecDeque<Idle>>,
    count: usize,
}

struct Idle {
    connection: Connection,
    since: Instant,
    until: Option<Instant>,
}

impl Pools {
    /// Leaves a connection; of its key at most this many are kept, the latest ones.
    pub fn put(&mut self, key: &str, connection: Connection, keep: Option<Duration>, key_max: usize) {
        let now = Instant::now();
        let idle = Idle { connection, since: now, until: keep.and_then(|keep| now.checked_add(keep)) };
        let of_key = self.by_key.entry(key.to_string()).or_default();
        of_key.push_back(idle);
        self.count += 1;
        while of_key.len() > key_max.max(1) {
            of_key.pop_front();
            self.count -= 1;
        }
        if self.count > CONNECTIONS_MAX {
            self.close_oldest();
        }
    }

    /// The connection of this key that was left last and can still be used.
    pub fn take(&mut self, key: &str) -> Option<Connection> {
        let of_key = self.by_key.get_mut(key)?;
        let now = Instant::now();
        let mut taken = None;
        while let Some(mut idle) = of_key.pop_back() {
            self.count -= 1;
            if idle.until.is_none_or(|until| now < until) && idle.connection.is_quiet() {
                taken = Some(idle.connection);
                break;
            }
        }
        if of_key.is_empty() {
            self.by_key.remove(key);
        }
        taken
    }

    /// Closes those whose time is over, and those that their peers have closed.
    pub fn close_old(&mut self, now: Instant) {
        if self.count == 0 {
            return;
        }
        for of_key in self.by_key.values_mut() {
            of_key.retain_mut(|idle| {
                idle.until.is_none_or(|until| now < until)
                    && (!idle.connection.may_have_news() || idle.connection.is_quiet())
            });
        }
        self.by_key.retain(|_, of_key| !of_key.is_empty());
        self.count = self.by_key.values().map(VecDeque::len).sum();
    }

    fn close_oldest(&mut self) {
        let oldest = |of_key: &VecDeque<Idle>| of_key.front().map(|idle| idle.since);
        let Some((key, of_key)) = self.by_key.iter_mut().min_by_key(|(_, of_key)| oldest(of_key)) else { return };
        of_key.pop_front();
        self.count -= 1;
        if of_key.is_empty() {
            let key = key.clone();
            self.by_key.remove(&key);
        }
    }
}
