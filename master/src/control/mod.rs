//! The control socket: a Unix socket on the master's loop, over which `tine ctl` and `tine top` ask and order.
//!
//! It parses and frames, and decides nothing: the master takes the requests, and says progress and outcome when it likes.
//! Nothing here blocks. There are at most [`CALLERS_MAX`] callers, one request of each at a time, each request bounded, each
//! answer too; who does not read is dropped after [`caller::STALL`]. The file has mode 0600, and who connects must have the
//! master's user or root's (SO_PEERCRED).
//!
//! A turn of the master: [`Control::on_event`] for its events, then [`Control::turn`] once, whose requests are carried out
//! by [`Control::say`] and [`Control::answer`], at once or many turns later. The poll sleeps no longer than to
//! [`Control::deadline`].

mod args;
mod caller;
mod place;
mod protocol;
mod socket_file;
mod talk;
#[cfg(test)]
mod tests;

pub use args::{ControlArgs, WhereArgs};
pub use place::{Found, NotFound, Wanted, find, make_directory_for, open};
pub use protocol::{Answer, Line, Request};
pub use socket_file::{Claim, identity};
pub use talk::{Last, Talk, TalkError};

use caller::{Caller, Step};
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

/// Callers at one time.
pub const CALLERS_MAX: usize = 16;
/// Descriptors that a control socket takes: the listener, a share of the poll, the callers, one more to refuse.
pub const DESCRIPTORS: usize = CALLERS_MAX + 3;
/// Callers accepted in one turn.
const ACCEPT_BUDGET: usize = 16;
/// How long accepting rests where there is no descriptor left.
const ACCEPT_REST: Duration = Duration::from_secs(1);

/// Who is connected. Never used twice, so that an answer to somebody who has gone reaches nobody.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CallerId(usize);

pub struct Control {
    file: SocketFile,
    listener: UnixListener,
    /// Set by [`Control::register`].
    registry: Option<Registry>,
    token_base: usize,
    callers: BTreeMap<CallerId, Caller>,
    /// Ids count from 1: the token base itself is the listener's token.
    last_id: usize,
    events_seen: u64,
    requests: Vec<(CallerId, Request)>,
    /// Somebody may wait to be accepted of whom no event will tell again.
    accept_at: Option<Instant>,
}

impl Control {
    /// Listens at the path; the error is one line that says why not and what would do.
    pub fn open(path: &Path, claim: Claim) -> Result<Control, String> {
        let (file, listener) = SocketFile::listen(path, claim)?;
        Ok(Control {
            file,
            listener: UnixListener::from_std(listener),
            registry: None,
            token_base: 0,
            callers: BTreeMap::new(),
            last_id: 0,
            events_seen: 0,
            requests: Vec::new(),
            accept_at: None,
        })
    }

    /// All tokens from `token_base` on are its own: a new one for each caller.
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

    /// Whether the path still leads here: not, once an upgrade's new master has taken it over, or somebody has tidied up.
    pub fn is_reachable(&self) -> bool {
        self.file.is_ours()
    }

    /// Listens at the path anew, where it leads to somebody else or to nobody: after an upgrade that came to nothing. Callers
    /// who are there stay.
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

    /// Removes the file, if it is still ours. Who is connected stays so until the process ends.
    pub fn remove(&self) {
        self.file.remove();
    }

    pub fn on_event(&mut self, event: &Event, now: Instant) {
        if event.token().0 == self.token_base {
            self.accept(now);
            return;
        }
        let id = CallerId(event.token().0.wrapping_sub(self.token_base));
        // Both directions are closed: nobody is there to read an answer. Half a close is what a pipe into nc leaves.
        if event.is_write_closed() || event.is_error() {
            self.callers.remove(&id);
        }
        self.advance(id);
    }

    /// What is to be carried out now, at most one request of each caller; each is answered exactly once. Also drops who has
    /// stalled.
    pub fn turn(&mut self, now: Instant) -> Vec<(CallerId, Request)> {
        if self.accept_at.is_some_and(|at| at <= now) {
            self.accept(now);
        }
        self.callers.retain(|_, caller| {
            caller.note_stall(now);
            caller.deadline().is_none_or(|at| at > now)
        });
        let requests = std::mem::take(&mut self.requests);
        requests.into_iter().filter(|(id, _)| self.callers.contains_key(id)).collect()
    }

    /// When [`Control::turn`] is due without an event.
    pub fn deadline(&self, now: Instant) -> Option<Instant> {
        let ready = (!self.requests.is_empty()).then_some(now);
        let stalled = self.callers.values().filter_map(Caller::deadline).min();
        [ready, stalled, self.accept_at].into_iter().flatten().min()
    }

    /// Whether the caller is still connected. Who keeps one for later asks before it keeps on.
    pub fn is_there(&self, id: CallerId) -> bool {
        self.callers.contains_key(&id)
    }

    /// Tells a caller who waits how far its request is.
    pub fn say(&mut self, id: CallerId, text: &str) {
        if let Some(caller) = self.callers.get_mut(&id) {
            caller.say(text);
        }
        self.advance(id);
    }

    /// Tells a caller who waits how its request ended.
    pub fn answer(&mut self, id: CallerId, outcome: Result<Answer, String>) {
        if let Some(caller) = self.callers.get_mut(&id) {
            debug_assert!(caller.is_waiting, "a request is answered once");
            caller.answer(outcome);
        }
        self.advance(id);
    }

    fn advance(&mut self, id: CallerId) {
        let Some(caller) = self.callers.get_mut(&id) else { return };
        self.events_seen += 1;
        caller.last_active = self.events_seen;
        match caller.advance() {
            Step::Nothing => {}
            Step::Request(request) => self.requests.push((id, request)),
            // Dropping the stream closes it, which takes it out of the poll.
            Step::Over => drop(self.callers.remove(&id)),
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
                    log::debug!("the control socket accepts nobody at the moment: {e}");
                    self.accept_at = Some(now + ACCEPT_REST);
                    return;
                }
            }
        }
    }

    fn admit(&mut self, stream: UnixStream) {
        let mut caller = Caller::new(stream);
        if let Err(line) = may_call(&caller.stream).and_then(|()| self.make_room()) {
            caller.answer(Err(line));
            caller.advance(); // as far as the socket takes it; then it is closed
            return;
        }
        self.last_id += 1;
        let id = CallerId(self.last_id);
        let registry = self.registry.as_ref().expect("nobody is accepted before the control socket is registered");
        let token = Token(self.token_base + id.0);
        if let Err(e) = registry.register(&mut caller.stream, token, Interest::READABLE | Interest::WRITABLE) {
            log::debug!("a caller of the control socket cannot be watched: {e}");
            return;
        }
        self.callers.insert(id, caller);
        self.advance(id); // its request may be there already
    }

    /// Where the table is full, drops the caller who has been idle the longest; who waits for an answer stays.
    fn make_room(&mut self) -> Result<(), String> {
        if self.callers.len() < CALLERS_MAX {
            return Ok(());
        }
        let idle = self.callers.iter().filter(|(_, caller)| !caller.is_waiting && !caller.has_unsent());
        match idle.min_by_key(|(_, caller)| caller.last_active).map(|(&id, _)| id) {
            Some(id) => {
                self.callers.remove(&id);
                Ok(())
            }
            None => Err(format!("{CALLERS_MAX} callers are being answered; try again")),
        }
    }
}

/// Whether the other end belongs to the master's user or to root.
fn may_call(stream: &UnixStream) -> Result<(), String> {
    let peer = getsockopt(stream, PeerCredentials).map_err(|e| format!("SO_PEERCRED: {e}"))?;
    match peer.uid() {
        0 => Ok(()),
        uid if uid == geteuid().as_raw() => Ok(()),
        uid => Err(format!("user {uid} may not control this server; its own user may, and root")),
    }
}
