//! A WebSocket's peer whose calls know the client.

use super::Caller;
use crate::app::{AppError, Cx, Message, MessageOut, Peer, Pull};
use std::rc::Rc;

struct Called {
    peer: Box<dyn Peer>,
    caller: Rc<Caller>,
}

/// The peer of the request that `cx` is of, for as long as it lives.
pub fn called(peer: Box<dyn Peer>, cx: &Cx<'_>) -> Box<dyn Peer> {
    match cx.caller() {
        None => peer,
        Some(caller) => Box::new(Called { peer, caller: Rc::clone(caller) }),
    }
}

impl Peer for Called {
    fn message(&mut self, message: Message, out: &mut MessageOut<'_>, cx: &Cx<'_>) -> Result<(), AppError> {
        self.peer.message(message, out, &cx.called_by(&self.caller))
    }

    fn wants_message(&self) -> bool {
        self.peer.wants_message()
    }

    fn pull(&mut self, out: &mut MessageOut<'_>, cx: &Cx<'_>) -> Result<Pull, AppError> {
        self.peer.pull(out, &cx.called_by(&self.caller))
    }

    fn closed(&mut self, code: u16, reason: &str) -> bool {
        self.peer.closed(code, reason)
    }
}
