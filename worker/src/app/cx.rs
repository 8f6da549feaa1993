//! The context of a call: the time of this turn, the limits, the connection's addresses.

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
    /// The number of the server's workers.
    pub workers: usize,
    /// 1, and one more for each reload of the server.
    pub generation: u64,
    /// `--buffer-size`: roughly the most of a request body that is pushed at once.
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
    /// The worker's in-flight table; `None` outside of a worker.
    pub(crate) in_flight_table: Option<&'a InFlightTable>,
    /// `None` outside of a worker, where there are no turns.
    pub(crate) clock: Option<&'a TurnClock>,
}

impl Cx<'_> {
    /// The monotonic time of this turn of the loop: no clock is read. For [`super::Pull::NotBefore`].
    pub fn now(&self) -> Instant {
        self.now
    }

    /// The wall clock's time, to the second, as in the response's `Date`. No clock is read.
    pub fn date(&self) -> SystemTime {
        self.date.wall()
    }

    /// The server is draining: responses that begin now close their connections.
    pub fn is_draining(&self) -> bool {
        self.draining
    }

    /// The server was told to stop and keeps serving for `--drain-delay`, so that load balancers stop routing here:
    /// health checks fail from now on. Always false without such a delay.
    pub fn is_lame_duck(&self) -> bool {
        self.lame_duck
    }

    pub fn worker(&self) -> WorkerInfo {
        self.worker
    }

    /// Between two units of work of one connection: whether it has used its time and has to continue in its next turn.
    pub(crate) fn is_time_up(&self) -> bool {
        self.clock.is_some_and(TurnClock::is_time_up)
    }

    /// Both addresses, read from the kernel only on demand; `None` outside of a connection.
    pub fn addresses(&self) -> Option<Addresses> {
        self.socket.map(Socket::addresses)
    }

    /// The client's address, read from the kernel; `None` on a Unix socket.
    pub fn peer_address(&self) -> Option<SocketAddr> {
        self.socket?.peer_address()
    }

    /// The address that the client connected to, read from the kernel; `None` on a Unix socket.
    pub fn local_address(&self) -> Option<SocketAddr> {
        self.socket?.local_address()
    }
}
