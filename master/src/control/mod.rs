//! The control socket: a Unix socket on the master's loop, over which `tine ctl` and `tine top` control the server.
//!
//! It parses and frames, and decides nothing: the master takes the requests and reports progress and outcome when they are
//! known. Nothing here blocks. There are at most [`CLIENTS_MAX`] clients with one request at a time each; requests and
//! answers are bounded. A client that does not read is dropped after [`client::STALL`]. The file has mode 0600, and a client
//! must run as the master's user or as root (SO_PEERCRED).
//!
//! A turn of the master: [`Control::on_event`] for its events, then [`Control::turn`] once, whose requests are carried out
//! by [`Control::report_progress`] and [`Control::answer`], at once or many turns later. The poll sleeps no longer than to
//! [`Control::deadline`].

mod client;
mod place;
mod protocol;
mod socket_file;
mod talk;
#[cfg(test)]
mod tests;

pub use place::{Found, NotFound, Wanted, find, make_directory_for, open};
pub use protocol::{Answer, Line};
pub use socket_file::{Claim, identity};
pub use talk::{Last, Talk, TalkError};

use crate::command::Command;
use client::{ControlClient, Step};
use mio::event::Event;
use mio::net::{UnixListener, UnixStream};
use mio::{Interest, Registry, Token};
use nix::sys::socket::{getsockopt, sockopt::PeerCredentials};
use nix::unistd::geteuid;
use socket_file::SocketFile;
use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::time::{Duration, Instant};

/// Clients connected at the same time.
pub const CLIENTS_MAX: usize = 16;
/// Descriptors of a control socket: the listener, a clone of the registry, the clients, and one more to refuse on.
pub const DESCRIPTORS: usize = CLIENTS_MAX + 3;
/// Clients accepted in one turn.
const ACCEPT_BUDGET: usize = 16;
/// How long accepting pauses when no descriptor is left.
const ACCEPT_REST: Duration = Duration::from_secs(1);

/// Identifies a connected client. Never reused, so that an answer to a client that has gone reaches no other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ClientId(usize);

pub struct Control {
    file: SocketFile,
    listener: UnixListener,
    /// Set by [`Control::register`].
    registry: Option<Registry>,
    token_base: usize,
    clients: BTreeMap<ClientId, ControlClient>,
    /// Ids count from 1: the token base itself is the listener's token.
    last_id: usize,
    events_seen: u64,
    requests: Vec<(ClientId, Command)>,
    /// When to accept again: a connection may be pending for which no further event will arrive.
    accept_at: Option<Instant>,
}

impl Control {
    /// Listens at the path. The error is one line with a hint.
    pub fn open(path: &Path, claim: Claim) -> Result<Control, String> {
        let (file, listener) = SocketFile::listen(path, claim)?;
        Ok(Control {
            file,
            listener: UnixListener::from_std(listener),
            registry: None,
            token_base: 0,
            clients: BTreeMap::new(),
            last_id: 0,
            events_seen: 0,
            requests: Vec::new(),
            accept_at: None,
        })
    }

    /// Takes all tokens from `token_base` on: a new one for each client.
    pub fn register(&mut self, registry: &Registry, token_base: usize) -> io::Result<()> {
        let registry = registry.try_clone()?;
        self.token_base = token_base;
        registry.register(&mut self.listener, Token(token_base), Interest::READABLE)?;
        self.registry = Some(registry);
        Ok(())
    }

    pub fn path(&self) -> &Path {
        self.file.path()
    }

    /// Whether the path still leads here. It does not after a new master has taken it over in an upgrade, or after the file
    /// was removed.
    pub fn is_reachable(&self) -> bool {
        self.file.is_ours()
    }

    /// After a failed upgrade: listens at the path again if it leads to another process or to none. Connected clients stay.
    pub fn reclaim(&mut self) -> Result<(), String> {
        if self.is_reachable() {
            return Ok(());
        }
        let (file, listener) = SocketFile::listen(self.file.path(), Claim::TakeOver)?;
        let mut listener = UnixListener::from_std(listener);
        if let Some(registry) = &self.registry {
            let registered = registry.register(&mut listener, Token(self.token_base), Interest::READABLE);
            registered.map_err(|e| format!("the control socket cannot be watched: {e}"))?;
        }
        (self.file, self.listener) = (file, listener);
        Ok(())
    }

    /// Removes the file, if it is still ours. Clients stay connected until the process ends.
    pub fn remove(&self) {
        self.file.remove();
    }

    pub fn on_event(&mut self, event: &Event, now: Instant) {
        if event.token().0 == self.token_base {
            self.accept(now);
            return;
        }
        let id = ClientId(event.token().0.wrapping_sub(self.token_base));
        // Both directions are closed, so no answer can be read. A half-close is what a pipe into nc leaves.
        if event.is_write_closed() || event.is_error() {
            self.clients.remove(&id);
        }
        self.advance(id);
    }

    /// The requests to carry out now, at most one of each client; each is answered exactly once. Also drops clients that have
    /// stalled.
    pub fn turn(&mut self, now: Instant) -> Vec<(ClientId, Command)> {
        if self.accept_at.is_some_and(|at| at <= now) {
            self.accept(now);
        }
        self.clients.retain(|_, client| {
            client.note_stall(now);
            client.deadline().is_none_or(|at| at > now)
        });
        let requests = std::mem::take(&mut self.requests);
        requests.into_iter().filter(|(id, _)| self.clients.contains_key(id)).collect()
    }

    /// When [`Control::turn`] is due even without an event.
    pub fn deadline(&self, now: Instant) -> Option<Instant> {
        let ready = (!self.requests.is_empty()).then_some(now);
        let stalled = self.clients.values().filter_map(ControlClient::deadline).min();
        [ready, stalled, self.accept_at].into_iter().flatten().min()
    }

    /// Whether the client is still connected.
    pub fn is_there(&self, id: ClientId) -> bool {
        self.clients.contains_key(&id)
    }

    /// Reports the progress of a request to the client that waits for it.
    pub fn report_progress(&mut self, id: ClientId, text: &str) {
        if let Some(client) = self.clients.get_mut(&id) {
            client.report_progress(text);
        }
        self.advance(id);
    }

    /// Reports the outcome of a request to the client that waits for it.
    pub fn answer(&mut self, id: ClientId, outcome: Result<Answer, String>) {
        if let Some(client) = self.clients.get_mut(&id) {
            debug_assert!(client.is_waiting, "a request is answered once");
            client.answer(outcome);
        }
        self.advance(id);
    }

    fn advance(&mut self, id: ClientId) {
        let Some(client) = self.clients.get_mut(&id) else { return };
        self.events_seen += 1;
        client.last_active = self.events_seen;
        match client.advance() {
            Step::Nothing => {}
            Step::Request(request) => self.requests.push((id, request)),
            // Dropping the stream closes it, which takes it out of the poll.
            Step::Over => drop(self.clients.remove(&id)),
        }
    }

    fn accept(&mut self, now: Instant) {
        self.accept_at = Some(now);
        for _ in 0..ACCEPT_BUDGET {
            match self.listener.accept() {
                Ok((stream, _)) => self.admit(stream),
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => {
                    self.accept_at = None;
                    return;
                }
                Err(e) if matches!(e.kind(), io::ErrorKind::Interrupted | io::ErrorKind::ConnectionAborted) => {}
                Err(e) => {
                    log::debug!("the control socket accepts no connections at the moment: {e}");
                    self.accept_at = Some(now + ACCEPT_REST);
                    return;
                }
            }
        }
    }

    fn admit(&mut self, stream: UnixStream) {
        let mut client = ControlClient::new(stream);
        if let Err(line) = authorize(&client.stream).and_then(|()| self.make_room()) {
            client.answer(Err(line));
            client.advance(); // sends as much as the socket takes; then it is closed
            return;
        }
        self.last_id += 1;
        let id = ClientId(self.last_id);
        let registry = self.registry.as_ref().expect("no client is accepted before the control socket is registered");
        let token = Token(self.token_base + id.0);
        if let Err(e) = registry.register(&mut client.stream, token, Interest::READABLE | Interest::WRITABLE) {
            log::debug!("a client of the control socket cannot be watched: {e}");
            return;
        }
        self.clients.insert(id, client);
        self.advance(id); // its request may be there already
    }

    /// If the table is full, drops the client that has been idle the longest; one that waits for an answer stays.
    fn make_room(&mut self) -> Result<(), String> {
        if self.clients.len() < CLIENTS_MAX {
            return Ok(());
        }
        let idle = self.clients.iter().filter(|(_, client)| !client.is_waiting && !client.has_unsent());
        match idle.min_by_key(|(_, client)| client.last_active).map(|(&id, _)| id) {
            Some(id) => {
                self.clients.remove(&id);
                Ok(())
            }
            None => Err(format!("all {CLIENTS_MAX} control connections are waiting for answers; try again")),
        }
    }
}

/// Allows a client that runs as the master's user or as root.
fn authorize(stream: &UnixStream) -> Result<(), String> {
    let peer = getsockopt(stream, PeerCredentials).map_err(|e| format!("SO_PEERCRED: {e}"))?;
    match peer.uid() {
        0 => Ok(()),
        uid if uid == geteuid().as_raw() => Ok(()),
        uid => Err(format!("user {uid} may not control this server; its own user may, and root")),
    }
}
