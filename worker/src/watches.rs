//! The descriptors that the app watches: which connection each of them wakes, and what the kernel has reported of it.
//!
//! They are in the worker's own poll, beside its clients' sockets. Numbers of descriptors are used again, so:
//! - An event's token has the place of its watch in the table and the watch's serial number. An event of a watch that is
//!   gone matches none: it may still come, since epoll keeps a descriptor until the last copy of it is closed, and a child
//!   of the app may have one.
//! - The app may close a descriptor before it drops the watch. Its number may then be a client's socket, which dropping
//!   the watch must not remove from the poll. A number is added to the poll only if its file is not there yet; so whenever
//!   one is added, the watch that had it before is *outdated*, and makes no system call any more.

use crate::app::{ConnectionId, Interest, Ready, Waker, Watch};
use mio::Registry;
use mio::event::Event;
use mio::unix::SourceFd;
use slab::Slab;
use std::cell::RefCell;
use std::collections::HashMap;
use std::io;
use std::os::fd::RawFd;
use std::rc::Rc;

/// The first token of watches; the last comes before those of listeners. Below its place in the table a token has 30 bits
/// of the serial number.
pub const FIRST_TOKEN: usize = 1 << 62;
const PLACE_BITS: u32 = 32;
const SERIAL_MASK: u32 = (1 << 30) - 1;

/// The watches of one worker; clones share the table.
#[derive(Clone)]
pub(crate) struct Watches(Rc<RefCell<Table>>);

struct Table {
    registry: Registry,
    entries: Slab<Entry>,
    /// The place of the latest watch of each descriptor.
    by_fd: HashMap<RawFd, usize>,
    /// Of the last watch.
    serial: u32,
}

struct Entry {
    fd: RawFd,
    serial: u32,
    /// The directions in which the poll reports it: all that were ever asked for.
    registered: Interest,
    /// The directions that wake the connection.
    wakes_on: Interest,
    ready: Ready,
    wakes: Wakes,
    /// Its descriptor was closed, and the number is in the poll for another file.
    is_outdated: bool,
}

/// What a report of a watch wakes.
pub(crate) enum Wakes {
    One(Waker),
    /// Those that this function wakes, by wakers of its own.
    Some(Rc<dyn Fn()>),
}

impl Watches {
    pub fn new(registry: Registry) -> Watches {
        let table = Table { registry, entries: Slab::new(), by_fd: HashMap::new(), serial: 0 };
        Watches(Rc::new(RefCell::new(table)))
    }

    pub fn add(&self, fd: RawFd, interest: Interest, wakes: Wakes) -> io::Result<Watch> {
        let mut table = self.0.borrow_mut();
        let serial = table.serial.wrapping_add(1) & SERIAL_MASK;
        let place = table.entries.vacant_key();
        debug_assert!(place < 1 << PLACE_BITS, "each watch has a descriptor");
        let token = mio::Token(token(place, serial));
        table.registry.register(&mut SourceFd(&fd), token, interest.into()).map_err(|e| failed("ADD", fd, &e))?;
        table.serial = serial;
        table.outdate(fd);
        table.by_fd.insert(fd, place);
        let ready = Ready::default();
        let (registered, wakes_on) = (interest, interest);
        table.entries.insert(Entry { fd, serial, registered, wakes_on, ready, wakes, is_outdated: false });
        Ok(Watch::new(self.clone(), place))
    }

    pub fn remove(&self, place: usize) {
        let mut table = self.0.borrow_mut();
        let entry = table.entries.remove(place);
        if entry.is_outdated {
            return;
        }
        table.by_fd.remove(&entry.fd);
        // An error: the app has closed the descriptor, which has removed it, too.
        let _ = table.registry.deregister(&mut SourceFd(&entry.fd));
    }

    /// A client's socket of this number was added to the poll.
    pub fn on_registered(&self, fd: RawFd) {
        let mut table = self.0.borrow_mut();
        if !table.by_fd.is_empty() {
            table.outdate(fd);
        }
    }

    /// Records an event and wakes the connection that waits for it.
    pub fn on_event(&self, event: &Event) {
        let (token, failed) = (event.token().0, event.is_error());
        self.on_ready(
            token,
            Ready {
                readable: event.is_readable() || event.is_read_closed() || failed,
                writable: event.is_writable() || event.is_write_closed() || failed,
            },
        );
    }

    fn on_ready(&self, token: usize, reported: Ready) {
        let mut table = self.0.borrow_mut();
        let (place, serial) = watch_of(token);
        let Some(entry) = table.entries.get_mut(place).filter(|entry| entry.serial == serial) else { return };
        entry.ready.readable |= reported.readable;
        entry.ready.writable |= reported.writable;
        if reported.allows(entry.wakes_on) {
            match &entry.wakes {
                Wakes::One(waker) => waker.wake(),
                Wakes::Some(wake) => wake(),
            }
        }
    }

    pub fn ready(&self, place: usize) -> Ready {
        self.0.borrow().entries[place].ready
    }

    /// From now on it wakes for `interest`, in which nothing is ready as far as the app knows. `is_unsure`: the app does
    /// not know, and the kernel reports it again.
    pub fn wait_for(&self, place: usize, interest: Interest, is_unsure: bool) -> io::Result<()> {
        let table = &mut *self.0.borrow_mut();
        let entry = &mut table.entries[place];
        let fd = entry.fd;
        if entry.is_outdated {
            let text = format!("descriptor {fd} was closed, and its number belongs to another file now");
            return Err(io::Error::new(io::ErrorKind::NotFound, text));
        }
        entry.ready.forget(interest);
        entry.wakes_on = interest;
        let registered = entry.registered.and(interest);
        if is_unsure || registered != entry.registered {
            let token = mio::Token(token(place, entry.serial));
            let done = table.registry.reregister(&mut SourceFd(&fd), token, registered.into());
            done.map_err(|e| self::failed("MOD", fd, &e))?;
            entry.registered = registered;
        }
        Ok(())
    }

    pub fn set_waker(&self, place: usize, waker: Waker) {
        self.0.borrow_mut().entries[place].wakes = Wakes::One(waker);
    }

    /// Whether a watch may wake this connection.
    pub fn may_wake(&self, connection: ConnectionId) -> bool {
        self.0
            .borrow()
            .entries
            .iter()
            .any(|(_, entry)| matches!(&entry.wakes, Wakes::One(waker) if waker.is_of(connection)))
    }
}

impl Table {
    /// A file of this number has been added to the poll: what was watched under it before is closed.
    fn outdate(&mut self, fd: RawFd) {
        if let Some(place) = self.by_fd.remove(&fd) {
            self.entries[place].is_outdated = true;
        }
    }
}

fn token(place: usize, serial: u32) -> usize {
    FIRST_TOKEN | (serial as usize) << PLACE_BITS | place
}

/// The place and the serial number in a token.
fn watch_of(token: usize) -> (usize, u32) {
    (token & ((1 << PLACE_BITS) - 1), (token >> PLACE_BITS) as u32 & SERIAL_MASK)
}

fn failed(call: &str, fd: RawFd, error: &io::Error) -> io::Error {
    let why = match error.kind() {
        io::ErrorKind::AlreadyExists => "it is watched already".to_string(),
        io::ErrorKind::PermissionDenied => "a file of this kind is always ready, and cannot be watched".to_string(),
        _ => error.to_string(),
    };
    io::Error::new(error.kind(), format!("epoll_ctl {call} of descriptor {fd}: {why}"))
}

#[cfg(test)]
#[path = "watches_tests.rs"]
mod tests;
