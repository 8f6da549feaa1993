//! The sockets of a worker's apps. Lua holds places in this table, the table owns the descriptors: a socket is closed with
//! the request that has opened it, or when Lua has collected what refers to it, unless it was left in a pool.
//!
//! Nothing here calls Lua, which may collect a socket at any time, and closes it in this table.

use super::connection::{Connection, Read, why};
use super::input::{Found, Input, Wanted};
use super::pool::Pools;
use super::session::Peer;
use super::trust::Configs;
use super::waits::{Target, Wait};
use nix::errno::Errno;
use slab::Slab;
use socket2::{Domain, SockAddr, Socket, Type};
use std::borrow::Cow;
use std::cell::RefCell;
use std::collections::HashMap;
use std::io;
use std::net::{Shutdown, SocketAddr};
use std::path::Path;
use std::rc::Rc;
use std::time::{Duration, Instant};
use tine_worker::app::{Cx, Interest, Watch};

/// What one call moves at most; then other requests have their turn.
const TURN_BYTES_MAX: usize = 1 << 20;
const READ_BYTES: usize = 64 << 10;

pub const CLOSED: &str = "closed";
const HANDSHAKING: &str = "the TLS handshake is not over";
const BUSY: &str = "the socket is busy: another request waits for it";

/// The number of a request's coroutine.
pub type Request = i64;

/// Clones share the table.
#[derive(Clone, Default)]
pub struct Sockets(Rc<RefCell<Table>>);

#[derive(Default)]
struct Table {
    open: Slab<Open>,
    /// Of the last that was opened.
    generation: u64,
    /// What each request has opened.
    owned: HashMap<Request, Vec<Key>>,
    waits: HashMap<Request, Wait>,
    pools: Pools,
    configs: Configs,
    scratch: Vec<u8>,
}

/// A place in the table, and when what is meant came there: places are used again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Key {
    place: usize,
    generation: u64,
}

struct Open {
    connection: Connection,
    generation: u64,
    owner: Option<Request>,
    /// The request that waits for it.
    waiting: Option<Request>,
    input: Input,
    /// Something was sent or received since it was opened or taken from a pool.
    is_used: bool,
    /// A call has failed or timed out: what comes next may belong to it.
    is_dubious: bool,
}

/// What a call came to that may have to wait.
pub enum Done<T> {
    It(T),
    /// It would block: when the socket is ready, try again.
    Blocked,
    /// Try again after a turn of the others.
    Later,
    Failed(Cow<'static, str>),
}

impl Sockets {
    /// Begins to connect to an IP address; false: it is not connected yet.
    pub fn open_tcp(&self, address: SocketAddr, owner: Option<Request>) -> io::Result<(Key, bool)> {
        let socket = Socket::new(Domain::for_address(address), Type::STREAM.nonblocking().cloexec(), None)?;
        // As nginx does: what is sent at once is not to wait for an acknowledgement.
        socket.set_tcp_nodelay(true)?;
        self.open(socket, &address.into(), owner)
    }

    /// The same, to a Unix socket. The kind of the error is WouldBlock if its backlog is full.
    pub fn open_unix(&self, path: &Path, owner: Option<Request>) -> io::Result<(Key, bool)> {
        let socket = Socket::new(Domain::UNIX, Type::STREAM.nonblocking().cloexec(), None)?;
        self.open(socket, &SockAddr::unix(path)?, owner)
    }

    fn open(&self, socket: Socket, to: &SockAddr, owner: Option<Request>) -> io::Result<(Key, bool)> {
        let is_connected = match socket.connect(to) {
            Ok(()) => true,
            Err(error) if error.raw_os_error() == Some(Errno::EINPROGRESS as i32) => false,
            // The kernel goes on.
            Err(error) if error.kind() == io::ErrorKind::Interrupted => false,
            Err(error) => return Err(error),
        };
        Ok((self.insert(Connection::new(socket), owner), is_connected))
    }

    /// A connection that was left under this key, and how often it was taken.
    pub fn take_pooled(&self, key: &str, owner: Option<Request>) -> Option<(Key, u32)> {
        let mut connection = self.0.borrow_mut().pools.take(key)?;
        connection.reused = connection.reused.saturating_add(1);
        let reused = connection.reused;
        Some((self.insert(connection, owner), reused))
    }

    fn insert(&self, connection: Connection, owner: Option<Request>) -> Key {
        let mut table = self.0.borrow_mut();
        table.generation += 1;
        let generation = table.generation;
        let (waiting, is_used, is_dubious) = (None, false, false);
        let input = Input::default();
        let place = table.open.insert(Open { connection, generation, owner, waiting, input, is_used, is_dubious });
        let key = Key { place, generation };
        if let Some(owner) = owner {
            table.owned.entry(owner).or_default().push(key);
        }
        key
    }

    pub fn close(&self, key: Key) {
        // Dropped after the table is free again.
        let removed = self.0.borrow_mut().remove(key);
        drop(removed);
    }

    /// Leaves it in the pool of this key, or closes it and says why not.
    pub fn keep(&self, key: Key, pool: &str, keep: Option<Duration>, key_max: usize) -> Result<(), &'static str> {
        let mut table = self.0.borrow_mut();
        let Some(mut open) = table.remove(key) else { return Err(CLOSED) };
        if open.is_dubious || !open.input.is_empty() || !open.connection.is_quiet() {
            return Err("connection in dubious state");
        }
        if let Some(watch) = &open.connection.watch {
            watch.set_waker(tine_worker::app::Waker::none());
            // An error: of epoll_ctl, for a direction that it watches already.
            let _ = watch.wait_for(Interest::Read);
        }
        table.pools.put(pool, open.connection, keep, key_max);
        Ok(())
    }

    pub fn each_second(&self, now: Instant) {
        self.0.borrow_mut().pools.close_old(now);
    }

    /// A request is over: closes what it has opened, and what it still waits for.
    pub fn end_of(&self, request: Request) {
        let mut table = self.0.borrow_mut();
        if !table.waits.is_empty()
            && let Some(Target::Socket(key)) = table.waits.remove(&request).map(Wait::into_target)
            && table.get(key).is_some_and(|open| open.waiting == Some(request))
        {
            // It was abandoned while it waited: what comes next is its answer, whichever request has opened it.
            table.remove(key);
        }
        if table.owned.is_empty() {
            return;
        }
        for key in table.owned.remove(&request).unwrap_or_default() {
            table.remove(key);
        }
    }

    /// Calls this with the socket; `None`: it is closed.
    pub fn with<T>(&self, key: Key, f: impl FnOnce(&Socket) -> T) -> Option<T> {
        self.0.borrow_mut().get(key).map(|open| f(&open.connection.socket))
    }

    /// Whether the connection is made.
    pub fn connected(&self, key: Key) -> Done<()> {
        let connected = self.with(key, |socket| match socket.take_error() {
            Ok(None) if socket.peer_addr().is_err() => Done::Blocked,
            Ok(None) => Done::It(()),
            Ok(Some(error)) | Err(error) => Done::Failed(why(&error)),
        });
        connected.unwrap_or(Done::Failed(CLOSED.into()))
    }

    /// Sends what the socket takes now; the number of these bytes comes with each outcome. Under TLS, some of them may be sealed and not
    /// sent when it is `Blocked`, also all: to be called again, with what is left.
    pub fn send(&self, key: Key, bytes: &[u8]) -> (usize, Done<()>) {
        let mut table = self.0.borrow_mut();
        let Some(open) = table.get(key) else { return (0, Done::Failed(CLOSED.into())) };
        if open.connection.is_handshaking() {
            return (0, Done::Failed(HANDSHAKING.into()));
        }
        open.is_used = true;
        open.connection.is_incomplete = true;
        let mut sent = 0;
        while sent < bytes.len() || open.connection.has_unsent() {
            if sent >= TURN_BYTES_MAX {
                return (sent, Done::Later);
            }
            let end = bytes.len().min(sent + TURN_BYTES_MAX);
            match open.connection.write(&bytes[sent..end]) {
                Ok(count) => sent += count,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return (sent, Done::Blocked),
                Err(error) => {
                    open.is_dubious = true;
                    return (sent, Done::Failed(why(&error)));
                }
            }
        }
        open.connection.is_incomplete = false;
        (sent, Done::It(()))
    }

    /// Receives what is wanted, and whether its pattern was found. With a failure, `rest` is what there is of it.
    pub fn receive(&self, key: Key, wanted: Wanted<'_>, bytes_max: usize, rest: &mut Vec<u8>) -> Done<(Vec<u8>, bool)> {
        let table = &mut *self.0.borrow_mut();
        let scratch = &mut table.scratch;
        let Some(open) = get(&mut table.open, key) else { return Done::Failed(CLOSED.into()) };
        if open.connection.is_handshaking() {
            return Done::Failed(HANDSHAKING.into());
        }
        open.is_used = true;
        scratch.resize(READ_BYTES, 0);
        let mut received = 0;
        let failure = loop {
            match open.input.take(wanted, bytes_max) {
                Found::Part { bytes, is_end } => return Done::It((bytes, is_end)),
                Found::TooLong => break Cow::Borrowed("too long"),
                Found::Missing if received >= TURN_BYTES_MAX => return Done::Later,
                Found::Missing => {}
            }
            match open.connection.read(scratch, &mut open.input) {
                Ok(Read::End) if wanted == Wanted::All && !open.input.is_empty() => {
                    return Done::It((open.input.take_rest(wanted), true));
                }
                // All the others ask for what is missing, whatever the end is.
                Ok(Read::Truncated) if wanted == Wanted::All => break Cow::Borrowed("truncated"),
                Ok(Read::End | Read::Truncated) => break Cow::Borrowed(CLOSED),
                Ok(Read::Bytes(count)) => received += count,
                Ok(Read::NotYet) => return Done::Blocked,
                Err(why) => break why,
            }
        };
        open.is_dubious = true;
        *rest = open.input.take_rest(wanted);
        Done::Failed(failure)
    }

    /// Begins a TLS session, of which the handshake follows; also if one is there that will do. False: this connection is another
    /// one's, from a pool.
    pub fn begin_tls(&self, key: Key, peer: Peer) -> Result<bool, Cow<'static, str>> {
        let table = &mut *self.0.borrow_mut();
        let Some(open) = get(&mut table.open, key) else { return Err(CLOSED.into()) };
        if open.connection.peer().is_some_and(|other| other.is_as_good_as(&peer)) {
            return Ok(true);
        } else if open.connection.reused > 0 && !open.is_used && !open.connection.has_begun_in_cleartext() {
            return Ok(false);
        } else if open.connection.peer().is_some() {
            return Err("there is TLS already, with another name or verification".into());
        } else if !open.input.is_empty() {
            // An attacker on the way could have put them there, to be taken for the peer's.
            return Err("bytes precede the TLS handshake".into());
        }
        open.connection.begin_tls(table.configs.of(&peer.trust)?, peer, open.is_used).map(|()| true)
    }

    /// `Ok`: it waits for this.
    pub fn shake_hands(&self, key: Key) -> Result<Interest, Done<()>> {
        let table = &mut *self.0.borrow_mut();
        let Some(open) = get(&mut table.open, key) else { return Err(Done::Failed(CLOSED.into())) };
        table.scratch.resize(READ_BYTES, 0);
        match open.connection.shake_hands(&mut table.scratch, &mut open.input) {
            Ok(Some(interest)) => Ok(interest),
            Ok(None) => Err(Done::It(())),
            Err(why) => {
                open.is_dubious = true;
                Err(Done::Failed(why))
            }
        }
    }

    /// Ends one or both directions.
    pub fn shut_down(&self, key: Key, how: Shutdown) -> Option<io::Result<()>> {
        let mut table = self.0.borrow_mut();
        let open = table.get(key)?;
        if how != Shutdown::Read {
            open.connection.finish();
        }
        Some(open.connection.socket.shutdown(how))
    }

    /// A call has timed out: what a receive of this kind has got so far.
    pub fn give_up(&self, key: Key, wanted: Option<Wanted<'_>>) -> Vec<u8> {
        let mut table = self.0.borrow_mut();
        let Some(open) = table.get(key) else { return Vec::new() };
        open.is_dubious = true;
        wanted.map(|wanted| open.input.take_rest(wanted)).unwrap_or_default()
    }

    /// What this request waits for next.
    pub fn ask(&self, request: Request, wait: Wait) {
        let before = self.0.borrow_mut().waits.insert(request, wait);
        drop(before);
    }

    /// Begins what was asked for.
    pub fn begin_wait(&self, request: Request, cx: &Cx<'_>) {
        let Some(mut wait) = self.0.borrow_mut().waits.remove(&request) else { return };
        wait.begin(request, self, cx);
        self.0.borrow_mut().waits.insert(request, wait);
    }

    /// `Some`: it waits, until this time if there is one; `None`: its wait is over.
    pub fn waits_until(&self, request: Request, now: Instant) -> Option<Option<Instant>> {
        let table = &mut *self.0.borrow_mut();
        let wait = table.waits.get(&request)?;
        let of_socket =
            |key| get(&mut table.open, key).and_then(|open| open.connection.watch.as_ref().map(Watch::ready));
        wait.is_pending(now, of_socket).then_some(wait.until())
    }

    /// The outcome of a request's wait, which is over.
    pub fn end_wait(&self, request: Request) -> Result<tine_worker::app::Ready, Cow<'static, str>> {
        let table = &mut *self.0.borrow_mut();
        let Some(wait) = table.waits.remove(&request) else { return Err("it was not begun".into()) };
        let of_socket = |key| {
            let open = get(&mut table.open, key)?;
            if open.waiting == Some(request) {
                open.waiting = None;
            }
            open.connection.watch.as_ref().map(Watch::ready)
        };
        wait.outcome(of_socket)
    }

    /// Lets a socket wake this request.
    pub(super) fn watch(
        &self,
        key: Key,
        interest: Interest,
        request: Request,
        cx: &Cx<'_>,
    ) -> Result<(), Cow<'static, str>> {
        let mut table = self.0.borrow_mut();
        let open = table.get(key).ok_or(CLOSED)?;
        if open.waiting.is_some_and(|other| other != request) {
            return Err(BUSY.into());
        }
        match &open.connection.watch {
            Some(watch) => {
                watch.set_waker(cx.waker());
                watch.wait_for(interest).map_err(|error| error.to_string())?;
            }
            None => {
                let watch = cx.watch(&open.connection.socket, interest).map_err(|error| error.to_string())?;
                open.connection.watch = Some(watch);
            }
        }
        open.waiting = Some(request);
        Ok(())
    }
}

impl Table {
    fn get(&mut self, key: Key) -> Option<&mut Open> {
        get(&mut self.open, key)
    }

    fn remove(&mut self, key: Key) -> Option<Open> {
        self.get(key)?;
        let open = self.open.remove(key.place);
        if let Some(owner) = open.owner
            && let Some(keys) = self.owned.get_mut(&owner)
        {
            keys.retain(|&other| other != key);
            if keys.is_empty() {
                self.owned.remove(&owner);
            }
        }
        Some(open)
    }
}

fn get(open: &mut Slab<Open>, key: Key) -> Option<&mut Open> {
    open.get_mut(key.place).filter(|open| open.generation == key.generation)
}
