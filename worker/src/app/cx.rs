//! What surrounds a call: the time of this turn, the limits, the connection's addresses.

use crate::http::DateLine;
use crate::net::{Addresses, Socket};
use crate::turn_clock::TurnClock;
use std::net::SocketAddr;
use std::time::{Instant, SystemTime};
use tine_common::config::Limits;
use tine_common::in_flight_table::InFlightTable;

/// Which worker this is.
#[derive(Debug, Clone, Copy)]
pub struct WorkerInfo {
    /// From 0.
    pub index: usize,
    /// How many workers the server has.
    pub workers: usize,
    /// 1, and one more for each reload of the server.
    pub generation: u64,
    /// `--buffer-size`: about as much of a request's body as is offered at once.
    pub buffer_bytes: usize,
}

#[derive(Clone, Copy)]
pub struct Cx<'a> {
    pub(crate) now: Instant,
    pub(crate) draining: bool,
    pub(crate) lame_duck: bool,
    pub(crate) limits: &'a Limits,
    pub(crate) date: &'a DateLine,
    pub(crate) socket: Option<&'a Socket>,
    pub(crate) worker: WorkerInfo,
    /// Where the requests of this worker are noted; `None` outside of one.
    pub(crate) in_flight_table: Option<&'a InFlightTable>,
    /// `None` outside of a worker: nobody else has a turn.
    pub(crate) clock: Option<&'a TurnClock>,
}

impl Cx<'_> {
    /// The monotonic time of this turn of the loop: no clock is read. For [`super::Pull::NotBefore`].
    pub fn now(&self) -> Instant {
        self.now
    }

    /// The wall clock's time, to the second: what the response's `Date` will say. No clock is read.
    pub fn date(&self) -> SystemTime {
        self.date.wall()
    }

    /// The server is shutting down: responses that begin now close their connections.
    pub fn is_draining(&self) -> bool {
        self.draining
    }

    /// The server was told to stop and goes on for `--drain-delay` first, so that who balances the load sends nobody here any
    /// more: what is asked for its health says no from now on. False for as long as there is no such delay.
    pub fn is_lame_duck(&self) -> bool {
        self.lame_duck
    }

    pub fn worker(&self) -> WorkerInfo {
        self.worker
    }

    /// Asked between two units of work of one connection: it has had its time, and goes on in its next turn.
    pub(crate) fn is_time_up(&self) -> bool {
        self.clock.is_some_and(TurnClock::is_time_up)
    }

    /// Both addresses, for whoever does not know yet whether he will want them; `None` outside of a connection.
    pub fn addresses(&self) -> Option<Addresses> {
        self.socket.map(Socket::addresses)
    }

    /// The client's address, asked from the kernel; `None` on a Unix socket.
    pub fn peer_address(&self) -> Option<SocketAddr> {
        self.socket?.peer_address()
    }

    /// The address that the client connected to, asked from the kernel; `None` on a Unix socket.
    pub fn local_address(&self) -> Option<SocketAddr> {
        self.socket?.local_address()
    }
}
