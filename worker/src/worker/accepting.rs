//! The step of a turn that accepts new connections: they are admitted, or refused with a response.

use super::Worker;
use crate::accept::{Spoken, is_over};
use crate::admission::{EXHAUSTED_PAUSE, REFUSED_OPEN_MAX, Refusal};
use crate::app::{Caller, ConnectionId};
use crate::connection::Connection;
use crate::net::Socket;
use crate::run_queue::Token;
use std::io;
use std::net::SocketAddr;
use std::time::{Duration, Instant};
use tine_common::address_counts::Entry;
use tine_common::metric::Metric;
use tine_common::scoreboard::LoadSnapshot;
use tine_common::sys::socket::{Accepted, accept, is_of_descriptors};
use tine_common::telemetry::Count;
use tine_common::units::counted;

/// Connections accepted from one listener in one turn.
const ACCEPT_BUDGET: usize = 64;
/// Connections evicted in one turn beyond those that are closed with lingering.
const CUT_SHORT_MAX: usize = 16;
/// After a connection was evicted for its descriptor, accepting resumes this soon.
const EVICTION_PAUSE: Duration = Duration::from_millis(1);

impl Worker {
    pub(super) fn accept(&mut self, now: Instant) {
        if self.listeners.wants_owners_update(now) {
            self.update_owners(now);
        }
        if self.listeners.is_handoff_over(now) {
            self.end_handoff(now);
        }
        if std::mem::take(&mut self.is_woken) {
            self.on_woken(now);
        }
        if self.ready_listeners.is_empty() {
            return;
        }
        let held = self.admitted();
        let mut snapshot = self.load_snapshot_first(now);
        let mut ready = std::mem::take(&mut self.ready_listeners);
        ready.retain(|&index| {
            // A draining worker accepts all: a handoff would not be over before the listeners close.
            let is_handed_off = self.drain.is_none() && self.listeners.hand_off(index, held as u64, &snapshot, now);
            !is_handed_off && self.accept_from(index, &mut snapshot, now)
        });
        self.ready_listeners = ready;
    }

    /// The other workers' load, as far as it has to be known before a connection is admitted.
    fn load_snapshot_first(&self, now: Instant) -> LoadSnapshot {
        if self.listeners.wants_snapshot_first(self.admitted()) || self.admission.has_server_max() {
            self.scoreboard.load_snapshot(now, self.slot_number)
        } else {
            LoadSnapshot::NONE
        }
    }

    /// True if connections may still be pending and no event will report them.
    fn accept_from(&mut self, index: usize, snapshot: &mut LoadSnapshot, now: Instant) -> bool {
        let (mut taken, mut share_of_burst) = (0, None);
        while taken < ACCEPT_BUDGET && self.accept_one(index, snapshot, now) {
            taken += 1;
            let mine = self.admitted() as u64;
            if self.listeners.is_enough(index, mine, snapshot)
                && mine >= *share_of_burst.get_or_insert_with(|| self.listeners.share_of_burst(snapshot))
            {
                break;
            }
        }
        if snapshot.accepting > 1 {
            self.listeners.on_taken(index, taken, now);
        }
        taken == ACCEPT_BUDGET && self.listeners.is_own(index)
    }

    /// False if none is pending, or accepting had to stop.
    fn accept_one(&mut self, index: usize, snapshot: &mut LoadSnapshot, now: Instant) -> bool {
        let Some(listener) = self.listeners.get(index) else { return false };
        let (accepted, client) = accept(listener);
        match accepted {
            Accepted::Connection(fd) => {
                self.listeners.on_accepted();
                let socket = Socket::new(fd, self.listeners.is_tcp(index), client);
                self.admit(socket, self.listeners.spoken(index), snapshot, now);
                return true;
            }
            Accepted::WouldBlock => {}
            Accepted::Aborted(_) if !self.listeners.on_aborted() => return true,
            Accepted::Aborted(e) | Accepted::Failed(e) => self.listeners.on_accept_failed(&e, now),
            Accepted::Exhausted(e) => self.on_exhausted(index, &e, now),
            // The master is gone, and another of its workers has emptied the queues and shut them down.
            Accepted::Lost(_) if self.is_orphaned => {
                self.drain.iter_mut().for_each(|drain| drain.accept_grace_until = now)
            }
            Accepted::Lost(e) => self.listeners.lose(e),
        }
        false
    }

    /// Re-reads which queues have an owner, and checks this worker's own for connections that were left there.
    fn update_owners(&mut self, now: Instant) {
        self.listeners.update_owners(&self.scoreboard.owners(now), now);
        // Another worker, believing this one hung, may have been woken for connections that it did not accept.
        self.ready_listeners.extend(self.listeners.own());
    }

    /// Accepts the connections that were handed off and are still pending.
    fn end_handoff(&mut self, now: Instant) {
        let mut snapshot = self.load_snapshot_first(now);
        let before = self.metrics[Metric::Accepted];
        let mine: Vec<usize> = self.listeners.own().collect();
        for index in mine {
            if self.accept_from(index, &mut snapshot, now) {
                self.ready_listeners.push(index);
            }
        }
        self.listeners.end_handoff(self.metrics[Metric::Accepted] > before, now);
    }

    /// Another worker has handed off connections, or its queue is orphaned: accepts until this worker has its share,
    /// and leaves the rest to the next worker.
    fn on_woken(&mut self, now: Instant) {
        self.update_owners(now);
        if self.listeners.is_paused() {
            return;
        }
        let mut budget = ACCEPT_BUDGET;
        for index in self.listeners.with_pending() {
            loop {
                let mut snapshot = self.scoreboard.load_snapshot(now, self.slot_number);
                if is_over(self.admitted() as u64, snapshot.least) {
                    // If it fails, the owner accepts the connection after a while.
                    let _ = self.listeners.wake(index, snapshot.least_worker);
                    return;
                }
                if budget == 0 || !self.accept_one(index, &mut snapshot, now) {
                    break;
                }
                budget -= 1;
            }
        }
    }

    fn admit(&mut self, socket: Socket, spoken: Spoken, snapshot: &mut LoadSnapshot, now: Instant) {
        self.metrics[Metric::Accepted] += 1;
        self.seat.count(Count::Accepted, 1);
        if spoken.is_proxied && !self.may_announce(&socket, now) {
            return;
        }
        // Before an eviction: no connection is evicted for a client that has its share.
        let Ok(entry) = self.count_peer(&socket, spoken, now) else {
            return self.refuse(socket, spoken, Count::RefusedAddress, now);
        };
        if !self.admission.admits(self.admitted(), snapshot.total) && self.evict_one(true, now) {
            snapshot.total = snapshot.total.saturating_sub(1);
        }
        if self.admission.admits(self.admitted(), snapshot.total) {
            snapshot.total += 1;
            self.counts.changed = true;
            let Some(connection) = self.begin(socket, spoken, None, now) else { return };
            let token = self.insert(connection);
            if let Some((per_address, entry)) = self.per_address.as_mut().zip(entry) {
                per_address.keep(token, entry);
            }
            self.slot.set(Metric::Connections, self.admitted() as u64);
            return;
        }
        if let Some((per_address, entry)) = self.per_address.as_ref().zip(entry) {
            per_address.give_back(entry);
        }
        let (mine, total) = (self.admitted(), snapshot.total);
        let mine = counted(mine as u64, "connection");
        self.admission.on_refused(format_args!("at capacity with {mine} here and {total} in all"), now);
        self.refuse(socket, spoken, Count::RefusedCapacity, now);
    }

    /// Whether the peer is one of those that may speak the PROXY protocol; if not, it is counted, and the connection is closed.
    fn may_announce(&self, socket: &Socket, now: Instant) -> bool {
        let Some(proxies) = &self.proxies else { return true };
        let may = proxies.may_announce(socket.client());
        if !may {
            self.seat.count(Count::HeaderUntrusted, 1);
            proxies.on_unannounced(socket.client(), socket.local(), "it is not from one of --trusted-proxies", now);
        }
        may
    }

    /// Counts the connection for its client's address, unless that is not known yet, or is a proxy's, whose clients are many.
    fn count_peer(&mut self, socket: &Socket, spoken: Spoken, now: Instant) -> Result<Option<Entry>, ()> {
        let proxies = self.proxies.as_ref();
        let is_clients = !spoken.is_proxied && proxies.is_none_or(|proxies| !proxies.trusts(socket.client()));
        self.count_address(socket.client().filter(|_| is_clients), now)
    }

    /// Proxies have announced connections in this turn: each is counted for the address of its client, or refused.
    #[inline]
    pub(super) fn count_announced(&mut self, now: Instant) {
        while let Some(token) = self.counts.announced.pop() {
            self.count_one_announced(token, now);
        }
    }

    fn count_one_announced(&mut self, token: Token, now: Instant) {
        let connection = &self.connections[token];
        let client = connection.caller().filter(|caller| !caller.is_proxy()).and_then(Caller::client);
        if connection.is_refused() {
            return;
        }
        match (self.count_address(client, now), &mut self.per_address) {
            (Ok(Some(entry)), Some(per_address)) => per_address.keep(token, entry),
            (Ok(_), _) => {}
            (Err(()), _) => {
                self.metrics[Metric::Refused] += 1;
                self.seat.count(Count::RefusedAddress, 1);
                let has_time = self.counts.refused_open < REFUSED_OPEN_MAX;
                let refusal = has_time.then(|| Refusal::unread(client, &self.date, self.request_log.as_deref(), now));
                let connection = &mut self.connections[token];
                connection.refuse(refusal, now);
                self.buffers.recorder.buffered(0, connection.queued_bytes());
                self.counts.refused_open += 1;
                self.counts.changed = true;
            }
        }
    }

    /// A connection in its first phase. `None`: no session can be begun for it, which is logged.
    fn begin(&self, socket: Socket, spoken: Spoken, refusal: Option<Refusal>, now: Instant) -> Option<Connection> {
        if self.proxies.is_none() {
            return self.begin_spoken(socket, spoken.is_tls, refusal, now);
        }
        let peer = socket.client();
        let connection = self.begin_spoken(socket, spoken.is_tls, refusal, now)?;
        let caller = || self.proxies.as_ref()?.of_connection(peer, spoken.is_tls);
        Some(match spoken.is_proxied {
            true => connection.after_header(now),
            false => connection.called_by(caller()),
        })
    }

    /// The same, but for what proxies say.
    fn begin_spoken(&self, socket: Socket, is_tls: bool, refusal: Option<Refusal>, now: Instant) -> Option<Connection> {
        let Some(tls) = self.tls.as_ref().filter(|_| is_tls) else { return Some(Connection::new(socket, now)) };
        let has_http2 = self.config.limits.has_http2 && refusal.is_none();
        match tls.begin(has_http2, now) {
            Ok(session) => Some(Connection::over_tls(socket, session, refusal, now)),
            Err(e) => {
                log::error!("a TLS session cannot be begun: {e}");
                None
            }
        }
    }

    /// Counts the connection for its client's address, if that is limited. An error: the address has reached its limit.
    fn count_address(&mut self, client: Option<SocketAddr>, now: Instant) -> Result<Option<Entry>, ()> {
        let Some((per_address, address)) = self.per_address.as_ref().zip(client.map(|client| client.ip())) else {
            return Ok(None);
        };
        let entry = per_address.enter(address);
        if entry.is_none() {
            self.admission.on_address_refused(address, per_address.most(), now);
        }
        entry.map(Some).ok_or(())
    }

    /// Answers with a 503 that has a `Retry-After`.
    fn refuse(&mut self, socket: Socket, spoken: Spoken, why: Count, now: Instant) {
        self.metrics[Metric::Refused] += 1;
        self.seat.count(why, 1);
        let (input, log) = (&mut self.buffers.input, self.request_log.as_deref());
        if spoken.is_tls {
            // It can be told only in its session, which is begun for some of them.
            if self.counts.refused_open < REFUSED_OPEN_MAX {
                let refusal = Refusal::unread(socket.client(), &self.date, log, now);
                if let Some(connection) = self.begin(socket, spoken, Some(refusal), now) {
                    self.counts.refused_open += 1;
                    self.insert(connection);
                }
            }
            return;
        }
        let refusal = Refusal::of(&socket, spoken.is_proxied, &self.date, input, log, now);
        if self.counts.refused_open < REFUSED_OPEN_MAX {
            self.counts.refused_open += 1;
            self.insert(Connection::refused(socket, refusal, now));
        } else {
            refusal.send_and_close(&socket, &mut self.buffers.recorder, now);
        }
    }

    /// Evicts a connection that only waits for its client; false if there is none. `has_time`: the client may close its
    /// side first, unless too many do.
    fn evict_one(&mut self, has_time: bool, now: Instant) -> bool {
        let has_time = has_time && self.counts.refused_open < REFUSED_OPEN_MAX;
        if self.counts.refused_open >= REFUSED_OPEN_MAX + CUT_SHORT_MAX {
            return false;
        }
        let Some(token) = self.evictions.next(&self.connections, now) else { return false };
        let (mine, connection) = (self.admitted(), &mut self.connections[token]);
        connection.evict(has_time);
        if connection.schedule() {
            self.run_queue.push_new(token);
        }
        self.counts.refused_open += 1;
        self.counts.changed = true;
        self.seat.count(Count::Evicted, 1);
        self.admission.on_evicted(mine, now);
        true
    }

    fn insert(&mut self, mut connection: Connection) -> Token {
        connection.schedule();
        // One that is refused has its answer.
        self.buffers.recorder.buffered(0, connection.queued_bytes());
        self.serial = self.serial.wrapping_add(1);
        let token = self.connections.vacant_key();
        connection.id = ConnectionId::new(token, self.serial);
        self.connections.insert(connection);
        self.run_queue.push_new(token);
        token
    }

    /// EMFILE, ENFILE or no memory: pending connections get a response by the spare descriptor, and accepting pauses.
    fn on_exhausted(&mut self, index: usize, error: &io::Error, now: Instant) {
        if is_of_descriptors(error) && self.evict_one(false, now) {
            // It is closed in this turn.
            return self.listeners.pause(now + EVICTION_PAUSE, now);
        }
        self.admission.on_refused(format_args!("accept: {error}"), now);
        for _ in 0..ACCEPT_BUDGET {
            let Some(listener) = self.listeners.get(index) else { return };
            let (is_tcp, date) = (self.listeners.is_tcp(index), &self.date);
            let (buffers, log) = (&mut self.buffers, self.request_log.as_deref());
            let spoken = self.listeners.spoken(index);
            let answer = |fd| {
                // A client of TLS could not read it.
                if spoken.is_tls {
                    return drop(fd);
                }
                let socket = Socket::new(fd, is_tcp, None);
                let refusal = Refusal::of(&socket, spoken.is_proxied, date, &mut buffers.input, log, now);
                refusal.send_and_close(&socket, &mut buffers.recorder, now);
            };
            if !self.admission.use_spare(listener, answer) {
                break;
            }
            self.metrics[Metric::Accepted] += 1;
            self.seat.count(Count::Accepted, 1);
            self.metrics[Metric::Refused] += 1;
            self.seat.count(Count::RefusedDescriptors, 1);
        }
        self.listeners.pause(now + EXHAUSTED_PAUSE, now);
    }
}
