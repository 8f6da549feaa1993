//! The calls of the peer: for output, with a message, and at the end.

use super::WebSocket;
use crate::app::{AppError, Cx, MessageOut, Peer, Pull};
use crate::net::WriteQueue;
use std::borrow::Cow;
use std::time::Duration;
use tine_common::log::indented;
use tine_common::telemetry::Count;
use tungstenite::protocol::frame::coding::CloseCode;

/// How long the peer may take to finish after the end.
const FINISH_WAIT: Duration = Duration::from_secs(5);

impl WebSocket {
    /// Asks the peer for output, if it may have some; true if it should be asked again at once.
    pub(super) fn pull(&mut self, output: &mut WriteQueue, cx: &Cx<'_>) -> bool {
        if self.is_closing() || self.pull_at.is_none_or(|at| cx.now() < at) {
            return false;
        }
        if self.waits_for_send && !output.is_empty() {
            return false;
        }
        let before = output.len();
        let mut pulled = Pull::Idle;
        self.call_peer(output, cx, |peer, out, cx| peer.pull(out, cx).map(|answer| pulled = answer));
        self.waits_for_send = pulled == Pull::Sent;
        self.pull_at = match pulled {
            Pull::More | Pull::Sent => Some(cx.now()),
            Pull::NotBefore(at) => Some(at),
            Pull::Idle | Pull::Wait => None,
            Pull::End => {
                self.close(CloseCode::Normal.into(), "", output, cx);
                None
            }
        };
        // A peer that returns More and writes nothing is asked again in the next turn.
        pulled == Pull::More && output.len() > before
    }

    /// Calls the peer; a close that it asks for, or its error, begins the close handshake.
    pub(super) fn call_peer(
        &mut self,
        output: &mut WriteQueue,
        cx: &Cx<'_>,
        call: impl FnOnce(&mut dyn Peer, &mut MessageOut<'_>, &Cx<'_>) -> Result<(), AppError>,
    ) {
        let mut close = None;
        let mut out = MessageOut { queue: output, close: &mut close, cx };
        if let Err(error) = call(&mut *self.peer, &mut out, cx) {
            self.failed(&error, cx);
            close = Some((CloseCode::Error.into(), Cow::Borrowed("")));
        }
        if let Some((code, reason)) = close {
            self.close(code, &reason, output, cx);
        }
    }

    /// It has ended, by the client or by us: the peer is told so, once.
    pub(super) fn tell(&mut self, code: u16, reason: &str, cx: &Cx<'_>) {
        if self.peer.closed(code, reason) {
            self.finishes_until = Some(cx.now() + FINISH_WAIT);
            self.pull_at = Some(cx.now());
        }
    }

    /// Whether the peer, which knows of the end, has something left to do.
    pub(super) fn finish(&mut self, output: &mut WriteQueue, cx: &Cx<'_>) -> bool {
        let Some(until) = self.finishes_until else { return false };
        let mut is_over = cx.now() >= until;
        if self.pull_at.is_some_and(|at| cx.now() >= at) {
            // A close that was asked for: nothing can be sent.
            let mut close = Some((CloseCode::Normal.into(), Cow::Borrowed("")));
            let pulled = self.peer.pull(&mut MessageOut { queue: output, close: &mut close, cx }, cx);
            self.pull_at = match pulled {
                Ok(Pull::NotBefore(at)) => Some(at),
                Ok(Pull::More | Pull::Sent) => Some(cx.now()),
                Ok(Pull::Idle | Pull::Wait) => None,
                Ok(Pull::End) => {
                    is_over = true;
                    None
                }
                Err(error) => {
                    self.failed(&error, cx);
                    is_over = true;
                    None
                }
            };
        }
        if is_over {
            self.finishes_until = None;
        }
        !is_over
    }

    fn failed(&self, error: &AppError, cx: &Cx<'_>) {
        cx.count(Count::AppErrors);
        log::error!("{}: the app failed on its WebSocket: {}", self.request, indented(&error.to_string()));
    }
}
