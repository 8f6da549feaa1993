//! How a request becomes a WebSocket: by an answer at once, or by an exchange that decides later.

use super::{AppError, Out, Peer};
use crate::http::{Head, Request};
use crate::websocket;

pub use crate::websocket::NotHandshake;

/// The protocol that a connection switches to.
pub struct Upgrade {
    pub(crate) peer: Box<dyn Peer>,
    pub(crate) subprotocol: Option<String>,
    /// Its fields are added to the handshake's answer.
    pub(crate) head: Option<Head>,
}

impl Upgrade {
    /// Without a subprotocol: a client that offers some may continue without, or close the connection (RFC 6455, 4.1).
    pub fn new(peer: impl Peer + 'static) -> Upgrade {
        Upgrade { peer: Box::new(peer), subprotocol: None, head: None }
    }

    /// Chooses a subprotocol: one of [`Request::subprotocols`], in the same case; any other one results in a 500.
    pub fn subprotocol(mut self, name: impl Into<String>) -> Upgrade {
        self.subprotocol = Some(name.into());
        self
    }

    /// With the fields of this head, whose status is 101: a Set-Cookie, for example. Those of the handshake are the server's.
    pub fn head(mut self, head: Head) -> Upgrade {
        self.head = Some(head);
        self
    }
}

/// A valid handshake, kept by an exchange that becomes a WebSocket later ([`Out::upgrade`]).
///
/// ```
/// # extern crate tine_worker as tine;
/// use tine::app::{Answer, App, AppError, Cx, Exchange, Handshake, Message, MessageOut, Out, Peer, Pull, Upgrade};
/// use tine::http::Request;
///
/// struct Echo;
///
/// impl Peer for Echo {
///     fn message(&mut self, message: Message, out: &mut MessageOut<'_>, _: &Cx<'_>) -> Result<(), AppError> {
///         out.send(message)
///     }
/// }
///
/// struct Later(Handshake);
///
/// impl Exchange for Later {
///     fn pull(&mut self, out: &mut Out<'_>, _: &Cx<'_>) -> Result<Pull, AppError> {
///         // After a look into a database, for example.
///         out.upgrade(&self.0, Upgrade::new(Echo))?;
///         Ok(Pull::End)
///     }
/// }
///
/// struct Echoes;
///
/// impl App for Echoes {
///     fn call(&mut self, request: &Request<'_>, _: &Cx<'_>) -> Answer {
///         match Handshake::of(request) {
///             Ok(handshake) => Answer::exchange(Later(handshake)),
///             Err(refusal) => refusal.response().into(),
///         }
///     }
/// }
/// ```
pub struct Handshake {
    /// As [`websocket::check`] returns it.
    lines: String,
    /// The subprotocols that the client offers.
    offered: Vec<String>,
}

impl Handshake {
    /// The error has the response to what is not a valid handshake: 400, 405 or 426. Where none is asked for, it costs a look at the
    /// method and the names of the fields.
    pub fn of(request: &Request<'_>) -> Result<Handshake, NotHandshake> {
        let lines = websocket::check(request)?;
        Ok(Handshake { lines, offered: request.subprotocols().map(String::from).collect() })
    }

    /// Checks how the app accepts it. An error: the client did not offer the subprotocol and would have to fail the connection
    /// (RFC 6455, 4.1), or a field is the server's.
    pub(crate) fn accept(&self, upgrade: &Upgrade) -> Result<(), AppError> {
        if let Some(head) = &upgrade.head {
            head.check_switching().map_err(AppError::new)?;
        }
        match &upgrade.subprotocol {
            Some(chosen) if !self.offered.contains(chosen) => {
                Err(AppError::new(format!("the client did not offer the subprotocol {chosen:?}")))
            }
            _ => Ok(()),
        }
    }

    /// As [`websocket::check`] returns it.
    pub(crate) fn lines(&self) -> &str {
        &self.lines
    }
}

impl Out<'_> {
    /// Makes a WebSocket of the connection, or of the stream in HTTP/2, in place of a response. The exchange is over with it: it returns
    /// [`Pull::End`](super::Pull::End) and is dropped.
    pub fn upgrade(&mut self, handshake: &Handshake, upgrade: Upgrade) -> Result<(), AppError> {
        if self.has_head() {
            return Err(AppError::new("the response already has a head"));
        }
        handshake.accept(&upgrade)?;
        self.sink.switch(handshake, upgrade);
        Ok(())
    }
}
