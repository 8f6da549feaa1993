//! A WebSocket client (RFC 6455) that sends exactly what a test asks for, well-formed or not, and accepts from the
//! server only what a server may send: unmasked frames of known opcodes, their lengths in the shortest form, no
//! reserved bits, no frame after a Close.
//!
//! Methods without `try_` fail the test when the server does not do its part.

use super::{Client, Server};
use sha1::{Digest, Sha1};
use std::io;

pub const CONTINUATION: u8 = 0;
pub const TEXT: u8 = 1;
pub const BINARY: u8 = 2;
pub const CLOSE: u8 = 8;
pub const PING: u8 = 9;
pub const PONG: u8 = 10;

/// The longest frame and the longest message that a test expects.
const PAYLOAD_BYTES_MAX: usize = 16 << 20;
/// The payload of a control frame (RFC 6455 section 5.5).
const CONTROL_BYTES_MAX: usize = 125;

/// The masks are the same in each run, so that a failure can be reproduced.
const MASK_SEED: u64 = 6455;

/// A frame to send, or one of the server's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
    pub fin: bool,
    /// The three reserved bits as one number: 4 is RSV1.
    pub rsv: u8,
    pub opcode: u8,
    pub payload: Vec<u8>,
}

impl Frame {
    pub fn new(fin: bool, rsv: u8, opcode: u8, payload: impl Into<Vec<u8>>) -> Frame {
        Frame { fin, rsv, opcode, payload: payload.into() }
    }

    /// A Close with this code and reason, whether or not RFC 6455 allows them.
    pub fn close(code: u16, reason: &[u8]) -> Frame {
        Frame::new(true, 0, CLOSE, [&code.to_be_bytes(), reason].concat())
    }

    /// The code of a Close; `None` if it has none.
    pub fn close_code(&self) -> Option<u16> {
        Some(u16::from_be_bytes(*self.payload.first_chunk()?))
    }

    /// Begins a closing handshake.
    pub fn is_close(&self) -> bool {
        self.opcode == CLOSE && self.rsv == 0
    }

    /// Encoded as a client sends it.
    pub fn masked(&self, mask: [u8; 4]) -> Vec<u8> {
        let mut bytes = vec![u8::from(self.fin) << 7 | self.rsv << 4 | self.opcode];
        match self.payload.len() {
            length @ 0..=125 => bytes.push(0x80 | length as u8),
            length @ 126..=0xffff => {
                bytes.push(0x80 | 126);
                bytes.extend((length as u16).to_be_bytes());
            }
            length => {
                bytes.push(0x80 | 127);
                bytes.extend((length as u64).to_be_bytes());
            }
        }
        bytes.extend(mask);
        let begin = bytes.len();
        bytes.extend_from_slice(&self.payload);
        // Eight bytes at a time: a debug build masks tens of megabytes in these tests.
        let wide = u64::from_ne_bytes([mask, mask].concat().try_into().expect("eight bytes"));
        let mut words = bytes[begin..].chunks_exact_mut(8);
        for word in &mut words {
            let masked = u64::from_ne_bytes(word.try_into().expect("eight bytes")) ^ wide;
            word.copy_from_slice(&masked.to_ne_bytes());
        }
        for (at, byte) in words.into_remainder().iter_mut().enumerate() {
            *byte ^= mask[at % 4];
        }
        bytes
    }
}

/// A client's end of a WebSocket connection.
pub struct WebSocket {
    pub client: Client,
    masks: fastrand::Rng,
    /// The fragments of a message that is not complete.
    partial: Option<Frame>,
    server_has_closed: bool,
}

impl WebSocket {
    #[track_caller]
    pub fn connect(server: &Server, path: &str) -> WebSocket {
        WebSocket::over(server.connect(), path).unwrap_or_else(|e| panic!("no WebSocket at {path}: {e}"))
    }

    /// The opening handshake over an existing connection.
    pub fn over(mut client: Client, path: &str) -> io::Result<WebSocket> {
        let mut nonce = [0; 16];
        fastrand::fill(&mut nonce);
        let key = data_encoding::BASE64.encode(&nonce);
        client.try_send(handshake(path, &key))?;
        let response = client.try_response("GET")?;
        let has = |name: &str, value: &str| response.header(name).is_some_and(|is| is.eq_ignore_ascii_case(value));
        let is_agreed = response.status == 101
            && has("upgrade", "websocket")
            && has("connection", "upgrade")
            && response.header("sec-websocket-accept") == Some(&accept_key(&key))
            && response.header("sec-websocket-extensions").is_none()
            && response.header("sec-websocket-protocol").is_none();
        if !is_agreed {
            return Err(io::Error::other(format!("not the handshake that answers the key {key}: {response:?}")));
        }
        let masks = fastrand::Rng::with_seed(MASK_SEED);
        Ok(WebSocket { client, masks, partial: None, server_has_closed: false })
    }

    #[track_caller]
    pub fn send_frame(&mut self, fin: bool, rsv: u8, opcode: u8, payload: impl Into<Vec<u8>>) {
        let bytes = self.masked(&Frame::new(fin, rsv, opcode, payload));
        self.send_raw(bytes);
    }

    #[track_caller]
    pub fn send_raw(&mut self, bytes: impl AsRef<[u8]>) {
        self.client.send(bytes);
    }

    /// A frame's bytes, under this connection's next mask.
    pub fn masked(&mut self, frame: &Frame) -> Vec<u8> {
        frame.masked(self.masks.u32(..).to_ne_bytes())
    }

    /// The server's next frame; `None` when it has closed cleanly.
    #[track_caller]
    pub fn next_frame(&mut self) -> Option<Frame> {
        self.try_next_frame().unwrap_or_else(|e| panic!("no frame: {e}"))
    }

    /// The server's next message or control frame, fragments joined.
    #[track_caller]
    pub fn next_message(&mut self) -> Option<Frame> {
        self.try_next_message().unwrap_or_else(|e| panic!("no message: {e}"))
    }

    /// Our Close, the server's, a clean end; returns the code of the server's. Messages before it are dropped.
    #[track_caller]
    pub fn close(&mut self, code: u16) -> Option<u16> {
        let bytes = self.masked(&Frame::close(code, b""));
        self.send_raw(bytes);
        let said = self.wait_close();
        self.expect_end();
        said.close_code()
    }

    /// The server's Close, our answer to it, a clean end; returns the Close. Messages before it are dropped.
    #[track_caller]
    pub fn expect_close(&mut self) -> Frame {
        let said = self.wait_close();
        let answer = self.masked(&said);
        // The server need not wait for it.
        let _ = self.client.try_send(answer);
        self.expect_end();
        said
    }

    #[track_caller]
    fn wait_close(&mut self) -> Frame {
        loop {
            let frame = self.next_frame().expect("the server sends Close before it closes the connection");
            if frame.opcode == CLOSE {
                return frame;
            }
        }
    }

    /// The server closes the connection cleanly and sends nothing more.
    #[track_caller]
    pub fn expect_end(&mut self) {
        let more = self.next_frame();
        assert!(more.is_none(), "nothing follows, but {more:?} did");
    }

    pub fn try_next_message(&mut self) -> io::Result<Option<Frame>> {
        loop {
            let Some(frame) = self.try_next_frame()? else { return Ok(None) };
            if frame.opcode >= CLOSE {
                return Ok(Some(frame));
            }
            let message = match (self.partial.take(), frame.opcode) {
                (None, TEXT | BINARY) => frame,
                (Some(mut begun), CONTINUATION) => {
                    begun.fin = frame.fin;
                    begun.payload.extend(frame.payload);
                    begun
                }
                (None, _) => return Err(broken("a continuation of nothing")),
                (Some(_), _) => return Err(broken("a message within another")),
            };
            if message.payload.len() > PAYLOAD_BYTES_MAX {
                return Err(broken("a longer message than was ever sent"));
            }
            if message.fin {
                let is_text = message.opcode != TEXT || str::from_utf8(&message.payload).is_ok();
                return if is_text { Ok(Some(message)) } else { Err(broken("a text that is not UTF-8")) };
            }
            self.partial = Some(message);
        }
    }

    pub fn try_next_frame(&mut self) -> io::Result<Option<Frame>> {
        let first = match self.client.take(1) {
            Ok(byte) => byte[0],
            // End of file at the first byte: no frame has begun.
            Err(e) if e.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
            Err(e) => return Err(e),
        };
        let (fin, rsv, opcode) = (first & 0x80 != 0, first >> 4 & 7, first & 15);
        let second = self.client.take(1)?[0];
        let length = match second & 0x7f {
            126 => self.long_length(2, 126)?,
            127 => self.long_length(8, 0x1_0000)?,
            short => usize::from(short),
        };
        let what = match opcode {
            _ if self.server_has_closed => Some("a frame after Close"),
            _ if second & 0x80 != 0 => Some("a masked frame"),
            _ if rsv != 0 => Some("reserved bits"),
            3..=7 | 11.. => Some("a reserved opcode"),
            CLOSE | PING | PONG if !fin => Some("a fragmented control frame"),
            CLOSE | PING | PONG if length > CONTROL_BYTES_MAX => Some("a long control frame"),
            CLOSE if length == 1 => Some("half a close code"),
            _ if length > PAYLOAD_BYTES_MAX => Some("a longer frame than was ever sent"),
            _ => None,
        };
        if let Some(what) = what {
            return Err(broken(&format!("{what} (opcode {opcode}, {length} bytes)")));
        }
        let payload = self.client.take(length)?;
        if opcode == CLOSE && str::from_utf8(payload.get(2..).unwrap_or_default()).is_err() {
            return Err(broken("a reason to close that is not UTF-8"));
        }
        self.server_has_closed = opcode == CLOSE;
        Ok(Some(Frame { fin, rsv, opcode, payload }))
    }

    /// A length of this many bytes; `least` is the smallest value that needs them.
    fn long_length(&mut self, bytes: usize, least: usize) -> io::Result<usize> {
        let big_endian = self.client.take(bytes)?;
        let length = big_endian.iter().fold(0_u64, |sum, byte| sum << 8 | u64::from(*byte));
        match usize::try_from(length) {
            Ok(length) if length >= least => Ok(length),
            _ => Err(broken(&format!("length {length} in {bytes} bytes"))),
        }
    }
}

/// A well-formed opening handshake.
pub fn handshake(path: &str, key: &str) -> String {
    format!(
        "GET {path} HTTP/1.1\r\nHost: t\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n\r\n"
    )
}

/// The `Sec-WebSocket-Accept` for this key (RFC 6455 section 4.2.2).
pub fn accept_key(key: &str) -> String {
    let digest = Sha1::digest(format!("{key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11"));
    data_encoding::BASE64.encode(&digest)
}

fn broken(what: &str) -> io::Error {
    io::Error::other(format!("the server sent {what}"))
}
