//! The interface that an application sees, and nothing else.
//!
//! The app is asked, it never asks: [`Exchange::push`] offers it request-body bytes, [`Exchange::pull`] asks it for
//! response bytes, and only while little of its earlier output waits. Back-pressure is the shape of the interface.

mod cx;
mod out;
mod peer;
mod raw;

pub use crate::net::Addresses;
pub use cx::{Cx, WorkerInfo};
pub(crate) use out::BodyWriter;
pub use out::Out;
pub use peer::{Message, MessageOut, Peer, Utf8Bytes};
pub use raw::{ConnectionEnd, RawAccess, RawOut};

use crate::http::{Request, Response};
use std::fmt;
use std::time::Instant;

/// An application. Built in each worker after the fork; never shared between workers, never sent between threads.
pub trait App {
    /// Answers a request whose head has arrived. Called once a request; must not block.
    fn call(&mut self, request: &Request<'_>, cx: &Cx<'_>) -> Answer;

    /// Asked once a turn: why this worker should end, once what is in flight is finished, so that a fresh one takes its
    /// place; `None`: it should not.
    fn retires(&self) -> Option<&'static str> {
        None
    }
}

/// How a request is answered.
pub enum Answer {
    /// All known now: queued at once, nothing boxed. A request body is read and dropped.
    Response(Response),
    /// Answered over time, or only once the body was read.
    Exchange(Box<dyn Exchange>),
    /// The connection becomes a WebSocket, if the request is a right handshake; else the client is told what is wrong with
    /// it (400, 405, 426) and the peer is dropped.
    Upgrade(Upgrade),
}

/// What a connection becomes.
pub struct Upgrade {
    pub(crate) peer: Box<dyn Peer>,
    pub(crate) subprotocol: Option<String>,
}

impl Upgrade {
    /// Without a subprotocol: a client that offers some may go on without, or leave (RFC 6455, 4.1).
    pub fn new(peer: impl Peer + 'static) -> Upgrade {
        Upgrade { peer: Box::new(peer), subprotocol: None }
    }

    /// Chooses a subprotocol: one of [`Request::subprotocols`], in the same letters; another one is answered with 500.
    pub fn subprotocol(mut self, name: impl Into<String>) -> Upgrade {
        self.subprotocol = Some(name.into());
        self
    }
}

impl Answer {
    pub fn exchange(exchange: impl Exchange + 'static) -> Answer {
        Answer::Exchange(Box::new(exchange))
    }

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

/// One request being answered over time. Dropped when it ends, errs, times out or the client leaves: Drop is the clean-up.
pub trait Exchange {
    /// Offers request-body bytes; returns how many were taken, from the front. What is left is offered again, and until
    /// it is taken the client is not read from. `end`: nothing follows these bytes; also said for an empty body, so
    /// that every exchange whose body arrives whole hears it, before its next [`Exchange::pull`].
    ///
    /// The default takes and drops everything.
    fn push(&mut self, body: &[u8], end: bool, cx: &Cx<'_>) -> Result<usize, AppError> {
        let _ = (end, cx); // what a body-blind exchange has no use for
        Ok(body.len())
    }

    /// Whether it waits for bytes of the body now. While it does not, the client owes none: it is not told to continue
    /// (100), and is not late.
    fn wants_body(&self) -> bool {
        true
    }

    /// Asks for output: first [`Out::head`], then [`Out::write`] and its like, for as long as [`Out::has_room`].
    /// Called only while no more than the low watermark of earlier output waits.
    fn pull(&mut self, out: &mut Out<'_>, cx: &Cx<'_>) -> Result<Pull, AppError>;
}

/// What an exchange says after a pull.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pull {
    /// There is more: ask again when there is room.
    More,
    /// There is more, but to make it may take long: ask again once all that was written is handed to the kernel.
    Sent,
    /// Ask again at this time; or before it, when a push was taken or when the server begins to stop.
    NotBefore(Instant),
    /// Nothing to say before more of the request body was pushed, which [`Exchange::wants_body`] must then want. An exchange that left bytes of the last push is offered
    /// them again at once; to leave them for later it says [`Pull::NotBefore`].
    Idle,
    /// The response is complete.
    End,
}

/// The application failed. Before the head was written the client gets a 500; after it the connection is cut, so that
/// the client sees the response as incomplete. The text goes to the log, not to the client.
#[derive(Debug)]
pub struct AppError {
    text: String,
    is_clients: bool,
}

impl AppError {
    pub fn new(text: impl fmt::Display) -> Self {
        AppError { text: text.to_string(), is_clients: false }
    }

    /// The request is to blame and not the application: no error of the log.
    pub fn of_client(text: impl fmt::Display) -> Self {
        AppError { text: text.to_string(), is_clients: true }
    }

    pub(crate) fn is_clients(&self) -> bool {
        self.is_clients
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
