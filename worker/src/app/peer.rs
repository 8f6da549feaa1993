//! WebSocket as an application sees it: whole messages in, whole messages out.
//!
//! The server handles frames, masks, pings, the close handshake, limits and timeouts. Back-pressure works as for an
//! exchange: the peer is called for a message or for output only while little of its earlier output is queued.

use super::{AppError, Cx, Pull};
use crate::net::WriteQueue;
use bytes::Bytes;
use std::borrow::Cow;
use tine_common::telemetry::Count;
use tungstenite::protocol::frame::FrameHeader;
use tungstenite::protocol::frame::coding::{Data, OpCode};

pub use tungstenite::Utf8Bytes;

/// One WebSocket connection being served. Dropped when it ends, however it ends: Drop is the clean-up.
///
/// ```
/// # extern crate tine_worker as tine;
/// use tine::app::{Answer, App, AppError, Cx, Message, MessageOut, Peer};
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
/// struct Echoes;
///
/// impl App for Echoes {
///     fn call(&mut self, _: &Request<'_>, _: &Cx<'_>) -> Answer {
///         Answer::upgrade(Echo)
///     }
/// }
/// ```
pub trait Peer {
    /// A whole message has arrived. Called only while queued output is at or below the low watermark, so a client that
    /// does not read is not read from.
    fn message(&mut self, message: Message, out: &mut MessageOut<'_>, cx: &Cx<'_>) -> Result<(), AppError>;

    /// Whether it takes a message now. While it does not, one message is read ahead, so that pings are answered and a close
    /// is seen, and nothing more is taken from the client.
    fn wants_message(&self) -> bool {
        true
    }

    /// Asks for output, before the first message and after each; also at the time of an earlier [`Pull::NotBefore`], and
    /// when it is woken. [`Pull::Idle`], [`Pull::Wait`]: nothing before the next message or wake-up. [`Pull::End`] closes with 1000. The default has no output of
    /// its own.
    fn pull(&mut self, out: &mut MessageOut<'_>, cx: &Cx<'_>) -> Result<Pull, AppError> {
        let _ = (out, cx); // for peers that send messages unprompted
        Ok(Pull::Idle)
    }

    /// The WebSocket ends with this code and reason: the client's, or the server's; 1005 if the client has given none, 1006
    /// if it has left without a close (RFC 6455, 7.1.5). Also after a close of its own. Not called when the connection is lost
    /// or cut.
    ///
    /// Returns whether the peer has something left to do. Then it is pulled, for at most five seconds, until it returns [`Pull::End`], and is dropped only after that; what it sends is refused.
    fn closed(&mut self, code: u16, reason: &str) -> bool {
        let _ = (code, reason); // for peers that have an end
        false
    }
}

/// One message, of any number of frames (RFC 6455, 5.6).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Message {
    /// A text message.
    Text(Utf8Bytes),
    /// A binary message.
    Binary(Bytes),
}

impl Message {
    /// A text message of anything that is text.
    pub fn text(text: impl Into<Utf8Bytes>) -> Self {
        Message::Text(text.into())
    }

    /// A binary message of anything that is bytes.
    pub fn binary(bytes: impl Into<Bytes>) -> Self {
        Message::Binary(bytes.into())
    }

    /// The payload.
    pub fn as_bytes(&self) -> &[u8] {
        match self {
            Message::Text(text) => text.as_bytes(),
            Message::Binary(bytes) => bytes,
        }
    }
}

/// The output of a [`Peer`].
pub struct MessageOut<'a> {
    pub(crate) queue: &'a mut WriteQueue,
    /// The close that the peer asked for.
    pub(crate) close: &'a mut Option<(u16, Cow<'static, str>)>,
    pub(crate) cx: &'a Cx<'a>,
}

impl MessageOut<'_> {
    /// Bytes that fit below the high watermark.
    pub fn room(&self) -> usize {
        self.cx.limits().write_high_watermark_bytes.saturating_sub(self.queue.len())
    }

    /// Whether less than the high watermark is queued, so that a message is accepted.
    pub fn has_room(&self) -> bool {
        self.room() > 0
    }

    /// Queues a message as one frame; a large payload is not copied. Fails without room, and after
    /// [`MessageOut::close`].
    pub fn send(&mut self, message: Message) -> Result<(), AppError> {
        if self.close.is_some() {
            return Err(AppError::new("a message cannot follow the close"));
        }
        if !self.has_room() {
            return Err(AppError::new("the app sent a message without room; check MessageOut::has_room first"));
        }
        let (data, payload) = match message {
            Message::Text(text) => (Data::Text, Bytes::from(text)),
            Message::Binary(bytes) => (Data::Binary, bytes),
        };
        let header = FrameHeader { opcode: OpCode::Data(data), ..FrameHeader::default() };
        let written = self.queue.append_with(|out| header.format(payload.len() as u64, out));
        debug_assert!(written.is_ok(), "writing to memory does not fail");
        self.queue.append_shared(payload);
        self.cx.count(Count::MessagesSent);
        Ok(())
    }

    /// Begins the close handshake after what is queued: `code` as in RFC 6455, 7.4 (1000 to 1003, 1007 to 1014, 3000 to
    /// 4999), `reason` of at most 123 bytes. Afterwards nothing is sent and the peer is not called.
    pub fn close(&mut self, code: u16, reason: impl Into<Cow<'static, str>>) -> Result<(), AppError> {
        let reason = reason.into();
        if !matches!(code, 1000..=1003 | 1007..=1014 | 3000..=4999) {
            return Err(AppError::new(format!("{code} is not a valid close code")));
        }
        if reason.len() > 123 {
            return Err(AppError::new(format!(
                "the reason of a close has at most 123 bytes; this one has {}",
                reason.len()
            )));
        }
        self.close.get_or_insert((code, reason));
        Ok(())
    }
}
