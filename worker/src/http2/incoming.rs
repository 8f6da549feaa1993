//! The half of a stream that the client sends: the bytes of the request's body that no exchange has taken yet, and the
//! window that it has for more.

use super::error::{Code, Scope, Violation};
use super::frame::Data;
use super::windows::ReceiveWindow;

/// A stream's window: SETTINGS_INITIAL_WINDOW_SIZE. A client may have sent this much before the app takes any.
pub const WINDOW: u32 = 256 << 10;

const WRONG_LENGTH: Violation = Violation::of_stream(Code::Protocol, "the body has not the length of Content-Length");

#[derive(Debug)]
pub struct Incoming {
    bytes: Vec<u8>,
    taken: usize,
    /// END_STREAM has come.
    pub has_ended: bool,
    window: ReceiveWindow,
    /// What has come of the body, and what is declared of it.
    received: u64,
    declared: Option<u64>,
    /// The request has no body: what comes is for a WebSocket.
    is_tunnel: bool,
    /// The bytes of all its frames so far, their headers included.
    pub frame_bytes: u64,
}

impl Incoming {
    /// After the head of a request, whose frames had this many bytes.
    pub fn new(has_ended: bool, frame_bytes: u64) -> Incoming {
        let window = ReceiveWindow::new(WINDOW);
        Incoming {
            bytes: Vec::new(),
            taken: 0,
            has_ended,
            window,
            received: 0,
            declared: None,
            is_tunnel: false,
            frame_bytes,
        }
    }

    /// The body has this length, by Content-Length.
    pub fn declare(&mut self, length: u64) {
        self.declared = Some(length);
    }

    /// The request asks for a WebSocket.
    pub fn begin_tunnel(&mut self) {
        self.is_tunnel = true;
    }

    pub fn is_tunnel(&self) -> bool {
        self.is_tunnel
    }

    /// The body is not used: its length is not checked. A client that has got its response may end the body early.
    pub fn ignore(&mut self) {
        self.declared = None;
    }

    pub fn on_data(&mut self, data: Data<'_>) -> Result<(), Violation> {
        self.window.receive(data.counted, Scope::Stream)?;
        // Padding is taken at once.
        self.window.take(data.counted - data.body.len() as u32);
        self.received += data.body.len() as u64;
        if self.declared.is_some_and(|declared| self.received > declared) {
            return Err(WRONG_LENGTH);
        }
        if self.taken > 0 && self.taken >= self.bytes.len() - self.taken {
            self.bytes.drain(..self.taken);
            self.taken = 0;
        }
        self.bytes.extend_from_slice(data.body);
        if data.ends_stream { self.end() } else { Ok(()) }
    }

    /// END_STREAM.
    pub fn end(&mut self) -> Result<(), Violation> {
        self.has_ended = true;
        if self.declared.is_some_and(|declared| self.received != declared) { Err(WRONG_LENGTH) } else { Ok(()) }
    }

    /// The data that was not taken.
    pub fn data(&self) -> &[u8] {
        &self.bytes[self.taken..]
    }

    /// The first bytes of the data are taken.
    pub fn consume(&mut self, count: usize) {
        self.taken += count;
        self.window.take(count as u32);
        if self.taken == self.bytes.len() {
            // Most streams never need it again.
            (self.bytes, self.taken) = (Vec::new(), 0);
        }
    }

    /// By how much the window is to be opened, once it is worth a frame.
    pub fn update(&mut self) -> Option<u32> {
        if self.has_ended { None } else { self.window.update() }
    }
}
