//! The context of a call: the time of this turn, the limits, the connection's addresses.

use super::tls::Tls;
use super::{Background, Caller, ConnectionId, Interest, Waker, Wakeups, Watch};
use crate::caller::Proxies;
use crate::http::{DateLine, Request};
use crate::net::tls::Session;
use crate::net::{Addresses, Socket};
use crate::protocol::IdleEnd;
use crate::request_log::RequestLog;
use crate::throttle::Throttle;
use crate::tls::Acceptor;
use crate::turn_clock::TurnClock;
use crate::watches::Wakes;
use std::io;
use std::net::SocketAddr;
use std::os::fd::AsRawFd;
use std::rc::Rc;
use std::time::{Instant, SystemTime};
use tine_common::config::Limits;
use tine_common::election::Election;
use tine_common::in_flight_table::InFlightTable;
use tine_common::shared::Dictionaries;
use tine_common::sys::descriptor::{self, OtherEnd};
use tine_common::telemetry::app::AppMetrics;
use tine_common::telemetry::{Count, Seat};
use tine_common::used_files::FileReports;

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
    /// Where its application declares metrics.
    pub metrics: AppMetrics,
    /// What its application shares with those of other workers.
    pub dictionaries: Dictionaries,
    /// Which worker of the whole server does what is to be done once.
    pub election: Election,
    /// `--root-path`: where the application is mounted, such as `/shop`; empty: at the root.
    pub root_path: &'static str,
    /// Where its application reports the files that it uses, for `--reload`.
    pub file_reports: FileReports,
}

impl WorkerInfo {
    /// The only worker, which shares nothing with others.
    pub fn alone(buffer_bytes: usize) -> WorkerInfo {
        WorkerInfo {
            index: 0,
            workers: 1,
            generation: 1,
            buffer_bytes,
            metrics: AppMetrics::none(),
            dictionaries: Dictionaries::NONE,
            election: Election::NONE,
            root_path: "",
            file_reports: FileReports::NONE,
        }
    }
}

/// What all calls of one turn share.
pub(crate) struct TurnCx<'a> {
    /// The monotonic time at which the turn began.
    pub now: Instant,
    pub date: &'a DateLine,
    pub limits: &'a Limits,
    pub worker: WorkerInfo,
    pub is_lame_duck: bool,
    /// Where this worker's requests are entered; `None` outside of a worker.
    pub in_flight_table: Option<&'a InFlightTable>,
    /// `None` outside of a worker, where nothing else waits for its turn.
    pub clock: Option<&'a TurnClock>,
    /// `None` outside of a worker, where waking has no effect and nothing can be watched.
    pub wakeups: Option<&'a Wakeups>,
    /// `None` outside of a worker, where nothing is limited.
    pub throttle: Option<&'a Throttle>,
    /// Where this worker counts.
    pub seat: Seat,
    /// `None`: nothing is logged of requests, and they have no IDs.
    pub request_log: Option<&'a RequestLog>,
    /// `None`: there is no listener of TLS.
    pub tls: Option<&'a Acceptor>,
    /// `None`: no connection has a caller.
    pub proxies: Option<&'a Proxies>,
}

impl TurnCx<'_> {
    /// Between two units of work of one connection: whether it has used its time.
    pub fn is_time_up(&self) -> bool {
        self.clock.is_some_and(TurnClock::is_time_up)
    }

    /// The time of the last reading of the clock in this turn.
    pub fn latest(&self) -> Instant {
        self.clock.map_or(self.now, TurnClock::latest)
    }

    /// The time now, not that of the turn: reads the clock.
    pub fn read_clock(&self) -> Instant {
        self.clock.map_or(self.now, TurnClock::now)
    }
}

impl<'a> TurnCx<'a> {
    /// Of the only worker, outside of a worker.
    pub fn alone(now: Instant, limits: &'a Limits, date: &'a DateLine, clock: Option<&'a TurnClock>) -> Self {
        let worker = WorkerInfo::alone(256 << 10);
        TurnCx {
            now,
            date,
            limits,
            worker,
            is_lame_duck: false,
            in_flight_table: None,
            clock,
            wakeups: None,
            throttle: None,
            seat: Seat::NONE,
            request_log: None,
            tls: None,
            proxies: None,
        }
    }
}

/// What belongs to the connection that has its turn.
#[derive(Clone, Copy, Default)]
pub(crate) struct ConnectionCx<'a> {
    pub socket: Option<&'a Socket>,
    /// `None`: it is plain.
    pub session: Option<&'a Session>,
    /// Of the connection, or of the request that is called for; `None`: the client is the other end of the socket.
    pub caller: Option<&'a Rc<Caller>>,
    /// The worker drains, and how long this connection may stay idle then.
    pub idle_end: Option<IdleEnd>,
    pub id: ConnectionId,
}

/// What surrounds a call: the turn, and the connection.
///
/// ```
/// # extern crate tine_worker as tine;
/// use std::time::{Duration, Instant};
/// use tine::app::{AppError, Cx, Exchange, Out, Pull};
/// use tine::http::{Head, StatusCode};
///
/// /// An event each second, until the server drains.
/// struct Clock(Instant);
///
/// impl Exchange for Clock {
///     fn pull(&mut self, out: &mut Out<'_>, cx: &Cx<'_>) -> Result<Pull, AppError> {
///         if !out.has_head() {
///             out.head(Head::new(StatusCode::OK).content_type("text/event-stream"))?;
///         }
///         if cx.is_draining() {
///             return Ok(Pull::End);
///         }
///         if cx.now() >= self.0 {
///             out.write(b"data: tick\n\n")?;
///             self.0 = cx.now() + Duration::from_secs(1);
///         }
///         Ok(Pull::NotBefore(self.0))
///     }
/// }
/// ```
#[derive(Clone, Copy)]
pub struct Cx<'a> {
    pub(crate) turn: &'a TurnCx<'a>,
    pub(crate) connection: ConnectionCx<'a>,
}

impl<'a> Cx<'a> {
    /// The monotonic time of this turn of the loop: no clock is read. For [`super::Pull::NotBefore`].
    pub fn now(&self) -> Instant {
        self.turn.now
    }

    /// The wall clock's time, to the second, as in the response's `Date`. No clock is read.
    pub fn date(&self) -> SystemTime {
        self.turn.date.wall()
    }

    /// The worker is draining: responses that begin now close their connections.
    pub fn is_draining(&self) -> bool {
        self.connection.idle_end.is_some()
    }

    /// The server was told to stop and keeps serving for `--drain-delay`, so that load balancers stop routing here:
    /// health checks fail from now on. Always false without such a delay.
    pub fn is_lame_duck(&self) -> bool {
        self.turn.is_lame_duck
    }

    /// The worker that this call is made in.
    pub fn worker(&self) -> WorkerInfo {
        self.turn.worker
    }

    /// Where the application declares metrics. It keeps the handles: making one takes longer than changing it.
    pub fn metrics(&self) -> AppMetrics {
        self.turn.worker.metrics
    }

    /// Where the application spawns work of no request. Outside of a worker, what is spawned there is never called.
    pub fn background(&self) -> Background {
        self.turn.wakeups.map(|wakeups| wakeups.background.clone()).unwrap_or_default()
    }

    /// For whatever the exchange, the WebSocket peer or the task waits for.
    pub fn waker(&self) -> Waker {
        Waker::new(self.connection.id, self.turn.wakeups.map(|wakeups| &wakeups.woken))
    }

    /// Watches a descriptor for the exchange, the WebSocket peer or the task, which it wakes, until the [`Watch`] is dropped. The
    /// descriptor should be nonblocking; regular files cannot be watched.
    ///
    /// An error names the descriptor. Its kinds: `AlreadyExists`, if it is watched; `PermissionDenied`, of a regular file;
    /// others as in epoll_ctl(2).
    pub fn watch(&self, descriptor: &impl AsRawFd, interest: Interest) -> io::Result<Watch> {
        match self.turn.wakeups {
            Some(wakeups) => wakeups.watches.add(descriptor.as_raw_fd(), interest, Wakes::One(self.waker())),
            None => Err(io::Error::new(io::ErrorKind::Unsupported, "descriptors are watched only in a worker")),
        }
    }

    /// As [`Cx::watch`], for all exchanges of an application that wait for the same descriptor: each report calls `wake`, within
    /// the worker's loop, which wakes those concerned and does nothing else.
    pub fn watch_for_all(
        &self,
        descriptor: &impl AsRawFd,
        interest: Interest,
        wake: Rc<dyn Fn()>,
    ) -> io::Result<Watch> {
        match self.turn.wakeups {
            Some(wakeups) => wakeups.watches.add(descriptor.as_raw_fd(), interest, Wakes::Some(wake)),
            None => Err(io::Error::new(io::ErrorKind::Unsupported, "descriptors are watched only in a worker")),
        }
    }

    /// Between two units of work of an exchange or a task: whether its time in this turn is used up, so that it should let others
    /// have theirs.
    pub fn is_time_up(&self) -> bool {
        self.turn.is_time_up()
    }

    /// Something has happened that is counted.
    pub(crate) fn count(&self, count: Count) {
        self.turn.seat.count(count, 1);
    }

    /// Both ends of the connection; each is `None` on a Unix socket, and outside of a connection.
    pub fn addresses(&self) -> Addresses {
        match self.connection.caller {
            None => self.connection.socket.map_or(Addresses::default(), Socket::addresses),
            Some(_) => Addresses { client: self.peer_address(), local: self.local_address() },
        }
    }

    /// The client's address, behind a trusted proxy as that says it, with port 0 if it is not known; `None` on a Unix socket.
    pub fn peer_address(&self) -> Option<SocketAddr> {
        match self.connection.caller {
            None => self.connection.socket?.client(),
            Some(caller) => caller.client(),
        }
    }

    /// The address that the client connected to; `None` on a Unix socket. Read from the kernel once a connection.
    pub fn local_address(&self) -> Option<SocketAddr> {
        let announced = self.connection.caller.and_then(|caller| caller.local());
        announced.or_else(|| self.connection.socket?.local())
    }

    /// What proxies say of the client; `None`: it is the other end of the connection.
    pub fn caller(&self) -> Option<&'a Rc<Caller>> {
        self.connection.caller
    }

    /// The host that the client asked for, perhaps with a port: as a trusted proxy says it, or else that of the request.
    pub fn host_of(&self, request: &Request<'a>) -> &'a str {
        self.connection.caller.and_then(|caller| caller.host()).unwrap_or_else(|| request.host())
    }

    /// The TLS session of the client; `None`: its connection is plain.
    pub fn tls(&self) -> Option<&'a Rc<Tls>> {
        match self.connection.session {
            Some(session) => Some(session.facts()),
            None => self.connection.caller?.tls(),
        }
    }

    /// The connection is one of TLS.
    pub(crate) fn is_tls(&self) -> bool {
        self.connection.session.is_some()
    }

    /// The client's scheme is https.
    pub(crate) fn is_https(&self) -> bool {
        match self.connection.caller {
            None => self.is_tls(),
            Some(caller) => caller.is_https(),
        }
    }

    /// What the fields of the request say of its client, if that is more than is known of the connection.
    #[inline(always)]
    pub(crate) fn caller_of(&self, request: &Request<'_>) -> Option<Rc<Caller>> {
        let connection = self.connection.caller?;
        self.turn.proxies?.of_request(request.headers(), connection)
    }

    /// The same for this caller.
    pub(crate) fn called_by<'b>(&self, caller: &'b Rc<Caller>) -> Cx<'b>
    where
        'a: 'b,
    {
        Cx { turn: self.turn, connection: ConnectionCx { caller: Some(caller), ..self.connection } }
    }

    /// Whether a certificate has the name of the host of a request over TLS.
    pub(crate) fn covers(&self, host: &str) -> bool {
        self.turn.tls.is_none_or(|tls| tls.covers(host))
    }

    /// Whether the client is still there, as far as its kernel has said by now. A system call: for work that goes on for
    /// long within one call. Between calls the server notices by itself, and drops the exchange.
    pub fn client(&self) -> OtherEnd {
        self.connection.socket.map_or(OtherEnd::Open, |socket| descriptor::other_end(socket.fd()))
    }

    /// The same for one stream of the connection.
    pub(crate) fn of_stream(&self, stream: u32) -> Cx<'a> {
        Cx { connection: ConnectionCx { id: self.connection.id.of_stream(stream), ..self.connection }, ..*self }
    }

    /// Which stream of the connection the call is of.
    pub(crate) fn stream_id(&self) -> u32 {
        self.connection.id.stream
    }

    pub(crate) fn limits(&self) -> &'a Limits {
        self.turn.limits
    }

    /// The lines of each response that do not depend on it.
    pub(crate) fn date_line(&self) -> &'a DateLine {
        self.turn.date
    }

    pub(crate) fn in_flight_table(&self) -> Option<&'a InFlightTable> {
        self.turn.in_flight_table
    }

    pub(crate) fn request_log(&self) -> Option<&'a RequestLog> {
        self.turn.request_log
    }

    /// How long the connection may stay idle, once the worker drains.
    pub(crate) fn idle_end(&self) -> Option<IdleEnd> {
        self.connection.idle_end
    }
}
