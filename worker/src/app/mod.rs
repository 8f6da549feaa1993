//! The interface of an application, and nothing else.
//!
//! The server always calls the app: [`Exchange::push`] passes it request-body bytes, [`Exchange::pull`] asks it for
//! response bytes, and only while little of its earlier output is queued. So back-pressure is part of the interface.

mod cx;
mod out;
mod peer;
mod raw;
mod raw_stream;
mod task;
mod tls;
mod upgrade;
mod waker;
mod watch;

pub use crate::caller::Caller;
pub use crate::net::Addresses;
pub use tine_common::sys::descriptor::OtherEnd;

/// Metrics of applications, exact over all workers.
pub mod metrics {
    pub use tine_common::telemetry::app::{AppMetrics, Counter, Gauge, Histogram, MetricError, Over, SECONDS};
}

/// One worker of the whole server, for what is to be done once.
pub mod election {
    pub use tine_common::election::{Candidate, Election};
}

/// Dictionaries that the workers share.
pub mod shared {
    pub use tine_common::shared::{
        Cursor, Dictionaries, Dictionary, DictionaryError, Item, Messages, Refused, Store, Value,
    };
}

/// What an application tells of the files that it uses, for `--reload`.
pub mod used_files {
    pub use tine_common::used_files::{FileReports, Stamp, Use};
}

pub use crate::http2::Acks;
pub(crate) use cx::{ConnectionCx, TurnCx};
pub use cx::{Cx, WorkerInfo};
pub use out::Out;
pub use peer::{Message, MessageOut, Peer, Utf8Bytes};
pub use raw::{ConnectionEnd, RawAccess, RawOut};
pub use raw_stream::{RawFrame, RawStream, StreamEnd};
pub use task::{Background, Rest, Task};
pub use tls::{ClientCertificate, Tls};
pub use upgrade::{Handshake, NotHandshake, Upgrade};
pub use waker::Waker;
pub(crate) use waker::{ConnectionId, Wakeups, Woken};
pub use watch::{Interest, Ready, Watch};

use crate::http::{Request, Response};
use std::fmt;
use std::time::Instant;

/// An application. Built in each worker after the fork; never shared between workers, never sent between threads.
///
/// ```
/// # extern crate tine_worker as tine;
/// use tine::app::{Answer, App, Cx};
/// use tine::http::{Request, Response, StatusCode};
/// use tine::testing::Client;
///
/// /// State that needs no lock: the worker has one thread.
/// struct Counter {
///     requests: u64,
/// }
///
/// impl App for Counter {
///     fn call(&mut self, _: &Request<'_>, _: &Cx<'_>) -> Answer {
///         self.requests += 1;
///         Response::text(StatusCode::OK, format!("{}\n", self.requests)).into()
///     }
/// }
///
/// let mut client = Client::new(Counter { requests: 0 });
/// client.get("/");
/// assert_eq!(client.get("/").text(), "2\n");
/// ```
pub trait App {
    /// Answers a request whose head has arrived. Called once per request; must not block.
    fn call(&mut self, request: &Request<'_>, cx: &Cx<'_>) -> Answer;

    /// Called once, before the worker accepts connections; may block, as building the application may. Its error ends the
    /// worker's boot. Tasks that were spawned by [`Cx::background`] begin with the first turn.
    fn start(&mut self, cx: &Cx<'_>) -> Result<(), AppError> {
        let _ = cx; // for those that have something to do
        Ok(())
    }

    /// Called once, when the worker leaves, its last connection is closed and no task holds it; must not block. Then the worker
    /// exits, after the tasks that this spawns. All of them have until the graceful timeout, or half a second if that has
    /// passed. A worker that is killed does not call it.
    fn stop(&mut self, cx: &Cx<'_>) {
        let _ = cx; // for those that have something to do
    }

    /// Called about once a second, between requests; must not block.
    fn each_second(&mut self, now: Instant) {
        let _ = now; // for those that have something to do
    }

    /// Called once a turn: the reason why this worker should drain and be replaced by a new one; `None`: it should not.
    fn retires(&self) -> Option<&'static str> {
        None
    }
}

/// How a request is answered.
pub enum Answer {
    /// A complete response: queued at once, without boxing. A request body is read and dropped.
    Response(Response),
    /// A response over time, or one that depends on the request body.
    Exchange(Box<dyn Exchange>),
    /// The connection becomes a WebSocket if the request is a valid handshake; otherwise the client gets an error (400,
    /// 405, 426) and the peer is dropped.
    Upgrade(Upgrade),
}

impl Answer {
    /// A response over time.
    pub fn exchange(exchange: impl Exchange + 'static) -> Answer {
        Answer::Exchange(Box::new(exchange))
    }

    /// A WebSocket, if the request is a handshake.
    pub fn upgrade(peer: impl Peer + 'static) -> Answer {
        Answer::Upgrade(Upgrade::new(peer))
    }
}

impl From<Upgrade> for Answer {
    fn from(upgrade: Upgrade) -> Self {
        Answer::Upgrade(upgrade)
    }
}

impl From<Response> for Answer {
    fn from(response: Response) -> Self {
        Answer::Response(response)
    }
}

/// One request being answered over time. Dropped when it ends, fails, times out or the client leaves: Drop is the
/// clean-up.
///
/// ```
/// # extern crate tine_worker as tine;
/// use tine::app::{Answer, App, AppError, Cx, Exchange, Out, Pull};
/// use tine::http::{Head, Request, StatusCode};
/// use tine::testing::Client;
///
/// /// Sums the bytes of a request body of any length, without keeping it.
/// struct Sum {
///     sum: u64,
///     is_complete: bool,
/// }
///
/// impl Exchange for Sum {
///     fn push(&mut self, body: &[u8], end: bool, _: &Cx<'_>) -> Result<usize, AppError> {
///         self.sum += body.iter().map(|&byte| u64::from(byte)).sum::<u64>();
///         self.is_complete = end;
///         Ok(body.len())
///     }
///
///     fn pull(&mut self, out: &mut Out<'_>, _: &Cx<'_>) -> Result<Pull, AppError> {
///         if !self.is_complete {
///             return Ok(Pull::Idle);
///         }
///         out.head(Head::new(StatusCode::OK).content_type("text/plain"))?;
///         out.write(self.sum.to_string().as_bytes())?;
///         Ok(Pull::End)
///     }
/// }
///
/// struct Sums;
///
/// impl App for Sums {
///     fn call(&mut self, _: &Request<'_>, _: &Cx<'_>) -> Answer {
///         Answer::exchange(Sum { sum: 0, is_complete: false })
///     }
/// }
///
/// assert_eq!(Client::new(Sums).post("/", &[1, 2, 3]).text(), "6");
/// ```
pub trait Exchange {
    /// Passes request-body bytes; returns how many were taken, from the front. The rest is passed again, and until it
    /// is taken nothing is read from the client. `end`: nothing follows these bytes; also set for an empty body, so
    /// that every exchange whose body arrives completely sees it, before its next [`Exchange::pull`].
    ///
    /// The default takes and drops all bytes.
    fn push(&mut self, body: &[u8], end: bool, cx: &Cx<'_>) -> Result<usize, AppError> {
        let _ = (end, cx); // unused by an exchange that ignores the body
        Ok(body.len())
    }

    /// Whether it waits for bytes of the body now. While it does not, the client gets no 100 (Continue), and the body
    /// timeouts do not run.
    fn wants_body(&self) -> bool {
        true
    }

    /// When it gives its response up although output waits that the client does not take; asked only while some does. The
    /// stream then ends with CANCEL. Over HTTP/1 the connection is cut, but not before the client reads again. By default only
    /// `--write-timeout` ends that wait.
    fn gives_up_at(&self) -> Option<Instant> {
        None
    }

    /// Asks for output: first [`Out::head`], then [`Out::write`] and the like, as long as [`Out::has_room`]. Called
    /// only while queued output is at or below the low watermark.
    fn pull(&mut self, out: &mut Out<'_>, cx: &Cx<'_>) -> Result<Pull, AppError>;
}

/// What an exchange returns from a pull.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pull {
    /// There is more: pull again when there is room.
    More,
    /// There is more, but producing it may take long: pull again once all that was written is passed to the kernel.
    Sent,
    /// Pull again at this time, or earlier when it is woken (by a [`Watch`] or a [`Waker`]), when a push was taken or when
    /// the server begins to drain.
    NotBefore(Instant),
    /// As [`Pull::NotBefore`], without a time: what the exchange waits for wakes it.
    Wait,
    /// Nothing to write before more of the request body is pushed; [`Exchange::wants_body`] must then be true. If the
    /// exchange left bytes of the last push, they are passed again at once; to leave them for later it returns
    /// [`Pull::NotBefore`].
    Idle,
    /// The response is complete.
    End,
}

/// The application failed. Before the head is written the client gets a 500; afterwards the connection is cut, so that
/// the client sees that the response is incomplete. The text is logged and not sent to the client.
#[derive(Debug)]
pub struct AppError {
    text: String,
    is_clients: bool,
}

impl AppError {
    /// With this text for the log; the client does not get it.
    pub fn new(text: impl fmt::Display) -> Self {
        AppError { text: text.to_string(), is_clients: false }
    }

    /// The request is at fault, not the application: logged at level debug.
    pub fn of_client(text: impl fmt::Display) -> Self {
        AppError { text: text.to_string(), is_clients: true }
    }

    pub(crate) fn is_clients(&self) -> bool {
        self.is_clients
    }
}

impl From<metrics::MetricError> for AppError {
    fn from(error: metrics::MetricError) -> Self {
        AppError::new(error)
    }
}

impl fmt::Display for AppError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl std::error::Error for AppError {}

/// Builds the application of one worker, in that worker, after the fork. Its error ends the worker's boot.
pub type AppFactory = Box<dyn Fn(&WorkerInfo) -> Result<Box<dyn App>, AppError>>;
