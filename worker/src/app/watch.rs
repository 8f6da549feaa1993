//! Lets an exchange or a WebSocket peer wait for a descriptor: a socket of a database, a pipe, a timer.

use super::Waker;
use crate::watches::Watches;
use std::fmt;
use std::io;

/// One descriptor in the worker's poll, from [`Cx::watch`](super::Cx::watch) until this is dropped.
///
/// The kernel reports when a direction *becomes* ready, and each report wakes the exchange (or peer). So the rule is: read
/// (or write) until the call would block, then wait, by [`Pull::Wait`](super::Pull::Wait) or, with a timeout, by
/// [`Pull::NotBefore`](super::Pull::NotBefore):
///
/// ```
/// # extern crate tine_worker as tine;
/// use std::io::{ErrorKind, Read};
/// use std::os::unix::net::UnixStream;
/// use tine::app::{Answer, App, AppError, Cx, Exchange, Interest, Out, Pull, Watch};
/// use tine::http::{Head, Request, StatusCode};
///
/// /// Answers with all that comes from a peer.
/// struct Relay {
///     peer: UnixStream,
///     // Held for its Drop.
///     _watch: Watch,
/// }
///
/// impl Exchange for Relay {
///     fn pull(&mut self, out: &mut Out<'_>, _: &Cx<'_>) -> Result<Pull, AppError> {
///         if !out.has_head() {
///             out.head(Head::new(StatusCode::OK))?;
///         }
///         let mut bytes = [0; 4096];
///         match self.peer.read(&mut bytes) {
///             Ok(0) => Ok(Pull::End),
///             Ok(count) => out.write(&bytes[..count]).map(|()| Pull::More),
///             Err(e) if e.kind() == ErrorKind::WouldBlock => Ok(Pull::Wait),
///             Err(e) => Err(AppError::new(e)),
///         }
///     }
/// }
///
/// struct Relays;
///
/// impl App for Relays {
///     fn call(&mut self, _: &Request<'_>, cx: &Cx<'_>) -> Answer {
///         let (peer, other) = UnixStream::pair().expect("two sockets");
///         std::thread::spawn(move || std::io::Write::write_all(&mut &other, b"from a thread"));
///         peer.set_nonblocking(true).expect("a socket");
///         let watch = cx.watch(&peer, Interest::Read).expect("room in the poll");
///         Answer::exchange(Relay { peer, _watch: watch })
///     }
/// }
///
/// assert_eq!(tine::testing::Client::new(Relays).get("/").text(), "from a thread");
/// ```
///
/// What holds, and what does not:
/// - A descriptor that is ready when it is first watched is reported, in the worker's next poll.
/// - Bytes that were left unread are not reported again before more arrive. An exchange that stops reading for lack of
///   room returns [`Pull::More`](super::Pull::More); one that cannot tell whether anything is left, since a library reads
///   for it, calls [`Watch::rearm`] before it waits.
/// - A report is a hint: the call may block nevertheless, so the descriptor should be nonblocking. Other things wake the
///   exchange as well: the end of its timeout, a push, a drain, another watch, a [`Waker`].
/// - The other side's close and errors are reported in both directions: the next call returns them.
/// - Each descriptor has one watch at a time, for both directions; an exchange may have any number of watches, as many as
///   the process may have descriptors.
///
/// It stays in its worker, and belongs beside the descriptor: in the exchange, so that both are dropped when the exchange
/// ends, fails or its client leaves; or with a pooled connection, where it costs no system call to let it wake the next
/// exchange ([`Watch::set_waker`]). Whichever is dropped first, nothing is reported after that: closing the descriptor
/// first is harmless, also if its number is used again while the watch lasts.
pub struct Watch {
    watches: Watches,
    place: usize,
}

/// The directions that are waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Interest {
    /// When there is something to read, or the other end has closed.
    Read,
    /// When a write would not block.
    Write,
    /// For either.
    ReadWrite,
}

/// The directions in which the next call probably does not block.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Ready {
    /// A read would not block.
    pub readable: bool,
    /// A write would not block.
    pub writable: bool,
}

impl Watch {
    pub(crate) fn new(watches: Watches, place: usize) -> Watch {
        Watch { watches, place }
    }

    /// What was reported, in each direction since it was last waited for. An exchange with several watches learns from it
    /// which of them has woken it.
    pub fn ready(&self) -> Ready {
        self.watches.ready(self.place)
    }

    /// A call in these directions would have blocked: forgets that they were ready, and from now on wakes for them and for
    /// no other. It does not wait itself. It takes a system call only for a direction that is waited for the first time.
    ///
    /// An exchange that always waits for the same directions need not call it.
    pub fn wait_for(&self, interest: Interest) -> io::Result<()> {
        self.watches.wait_for(self.place, interest, false)
    }

    /// As [`Watch::wait_for`], but by one system call the kernel is asked to report the state that it is in now: for an
    /// app that has not tried, or does not know whether anything is left.
    pub fn rearm(&self, interest: Interest) -> io::Result<()> {
        self.watches.wait_for(self.place, interest, true)
    }

    /// From now on it wakes what this waker wakes: another exchange, or nothing ([`Waker::none`]). What was reported
    /// before stays in [`Watch::ready`].
    pub fn set_waker(&self, waker: Waker) {
        self.watches.set_waker(self.place, waker);
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.watches.remove(self.place);
    }
}

impl fmt::Debug for Watch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Watch").field("ready", &self.ready()).finish_non_exhaustive()
    }
}

impl Interest {
    fn reads(self) -> bool {
        self != Interest::Write
    }

    fn writes(self) -> bool {
        self != Interest::Read
    }

    pub(crate) fn and(self, other: Interest) -> Interest {
        if self == other { self } else { Interest::ReadWrite }
    }
}

impl From<Interest> for mio::Interest {
    fn from(interest: Interest) -> mio::Interest {
        match interest {
            Interest::Read => mio::Interest::READABLE,
            Interest::Write => mio::Interest::WRITABLE,
            Interest::ReadWrite => mio::Interest::READABLE | mio::Interest::WRITABLE,
        }
    }
}

impl Ready {
    /// Whether one of these directions is ready.
    pub(crate) fn allows(self, interest: Interest) -> bool {
        self.readable && interest.reads() || self.writable && interest.writes()
    }

    pub(crate) fn forget(&mut self, interest: Interest) {
        self.readable &= !interest.reads();
        self.writable &= !interest.writes();
    }
}
