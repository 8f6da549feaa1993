//! The half of a stream that the client sends: the bytes of the request's body that no exchange has taken yet, and the
//! window that it has for more.

use super::error::{Code, Scope, Violation};
use super::frame::Data;
use super::windows::ReceiveWindow;

/// A stream's window: SETTINGS_INITIAL_WINDOW_SIZE. A client may have sent this much before the app takes any.
pub const WINDOW: u32 = 256 << 10;

const WRONG_LENGTH: Violation = Violation::of_stream(Code::Protocol, "the body has not the length of Content-Length");

/// Of a body: no length is known.
const UNDECLARED: u64 = u64::MAX;

#[derive(Debug)]
pub struct Incoming {
    bytes: Vec<u8>,
    /// How many of them: no more than the window.
    taken: u32,
    /// END_STREAM has come.
    pub has_ended: bool,
    window: ReceiveWindow,
    /// What is left of the body that is declared, or [`UNDECLARED`].
    left: u64,
    /// The request has no body: what comes is for a WebSocket.
    is_tunnel: bool,
    /// The bytes of all its frames so far, their headers included.
    pub frame_bytes: u64,
}

impl Incoming {
    /// After the head of a request, whose frames had this many bytes.
    pub fn new(has_ended: bool, frame_bytes: u64) -> Incoming {
        let window = ReceiveWindow::new(WINDOW);
        Incoming { bytes: Vec::new(), taken: 0, has_ended, window, left: UNDECLARED, is_tunnel: false, frame_bytes }
    }

    /// The body has this length, by Content-Length.
    pub fn declare(&mut self, length: u64) {
        self.left = length.min(UNDECLARED - 1);
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
        self.left = UNDECLARED;
    }

    pub fn on_data(&mut self, data: Data<'_>) -> Result<(), Violation> {
        self.window.receive(data.counted, Scope::Stream)?;
        // Padding is taken at once.
        self.window.take(data.counted - data.body.len() as u32);
        if self.left != UNDECLARED {
            self.left = self.left.checked_sub(data.body.len() as u64).ok_or(WRONG_LENGTH)?;
        }
        let taken = self.taken as usize;
        if taken > 0 && taken >= self.bytes.len() - taken {
            self.bytes.drain(..taken);
            self.taken = 0;
        }
        self.bytes.extend_from_slice(data.body);
        if data.ends_stream { self.end() } else { Ok(()) }
    }

    /// END_STREAM.
    pub fn end(&mut self) -> Result<(), Violation> {
        self.has_ended = true;
        if matches!(self.left, 0 | UNDECLARED) { Ok(()) } else { Err(WRONG_LENGTH) }
    }

    /// The data that was not taken.
    pub fn data(&self) -> &[u8] {
        &self.bytes[self.taken as usize..]
    }

    /// The first bytes of the data are taken.
    pub fn consume(&mut self, count: usize) {
        self.taken += count as u32;
        self.window.take(count as u32);
        if self.taken as usize == self.bytes.len() {
            // Most streams never need it again.
            (self.bytes, self.taken) = (Vec::new(), 0);
        }
    }

    /// By how much the window is to be opened, once it is worth a frame.
    pub fn update(&mut self) -> Option<u32> {
        if self.has_ended { None } else { self.window.update() }
    }
}
