//! A fault as data: bytes without framing, piece by piece, and how the connection ends after them.
//!
//! The request's body is read and dropped first (`after_body`).

use crate::testbed::after_body;
use std::borrow::Cow;
use std::collections::VecDeque;
use std::time::{Duration, Instant};
use tine_worker::app::{Answer, AppError, ConnectionEnd, Cx, Exchange, Out, Pull, RawAccess, RawOut};

/// `A-Z0-9` over and over, as `/bin` sends it.
pub static PATTERN: [u8; 36 << 10] = {
    let alphabet = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789";
    let mut bytes = [0; 36 << 10];
    let mut at = 0;
    while at < bytes.len() {
        bytes[at] = alphabet[at % alphabet.len()];
        at += 1;
    }
    bytes
};

/// What is sent, in order.
#[derive(Debug)]
pub struct Script {
    pieces: VecDeque<Piece>,
    end: ConnectionEnd,
}

#[derive(Debug)]
enum Piece {
    Text(Cow<'static, str>),
    /// `length` bytes of a block, repeated.
    Cycle {
        block: &'static [u8],
        sent: u64,
        length: u64,
    },
    /// One byte at a time.
    Slowly {
        text: Cow<'static, str>,
        sent: usize,
        every: Duration,
        next: Option<Instant>,
    },
}

impl Script {
    /// An empty script: the connection is closed without a byte.
    pub fn new() -> Self {
        Script { pieces: VecDeque::new(), end: ConnectionEnd::Closed }
    }

    /// The head of a response with this Content-Length, whatever body follows.
    pub fn declaring(length: u64) -> Self {
        let head = "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: ";
        Script::new().text(format!("{head}{length}\r\n\r\n"))
    }

    pub fn text(self, text: impl Into<Cow<'static, str>>) -> Self {
        self.piece(Piece::Text(text.into()))
    }

    /// `length` bytes of [`PATTERN`].
    pub fn pattern(self, length: u64) -> Self {
        self.cycle(&PATTERN, length)
    }

    /// `length` bytes of `block`, repeated.
    pub fn cycle(self, block: &'static [u8], length: u64) -> Self {
        debug_assert!(!block.is_empty(), "an empty block cannot be repeated");
        self.piece(Piece::Cycle { block, sent: 0, length })
    }

    pub fn slowly(self, text: impl Into<Cow<'static, str>>, every: Duration) -> Self {
        self.piece(Piece::Slowly { text: text.into(), sent: 0, every, next: None })
    }

    pub fn then(mut self, end: ConnectionEnd) -> Self {
        self.end = end;
        self
    }

    fn piece(mut self, piece: Piece) -> Self {
        self.pieces.push_back(piece);
        self
    }

    pub fn play(self, raw_access: RawAccess) -> Answer {
        after_body::answer(Player { script: self, raw_access })
    }
}

struct Player {
    script: Script,
    raw_access: RawAccess,
}

impl Exchange for Player {
    fn pull(&mut self, out: &mut Out<'_>, cx: &Cx<'_>) -> Result<Pull, AppError> {
        let mut raw = out.raw(self.raw_access)?;
        while let Some(piece) = self.script.pieces.front_mut() {
            if let Some(pull) = piece.write(&mut raw, cx)? {
                return Ok(pull);
            }
            self.script.pieces.pop_front();
        }
        raw.end(self.script.end);
        Ok(Pull::End)
    }
}

impl Piece {
    /// Writes as much as there is room and time for; `None` once all of it is written.
    fn write(&mut self, raw: &mut RawOut<'_>, cx: &Cx<'_>) -> Result<Option<Pull>, AppError> {
        match self {
            Piece::Text(text) => {
                if raw.room() == 0 {
                    return Ok(Some(Pull::More));
                }
                raw.write(text.as_bytes())?;
            }
            Piece::Cycle { block, sent, length } => {
                while sent < length {
                    let rest = &block[(*sent % block.len() as u64) as usize..];
                    let part = (*length - *sent).min(rest.len().min(raw.room()) as u64) as usize;
                    if part == 0 {
                        return Ok(Some(Pull::More));
                    }
                    raw.write(&rest[..part])?;
                    *sent += part as u64;
                }
            }
            Piece::Slowly { text, sent, every, next } => {
                while let Some(byte) = text.as_bytes().get(*sent..=*sent) {
                    // A stopping server pulls early.
                    if let Some(next) = next.filter(|&next| cx.now() < next) {
                        return Ok(Some(Pull::NotBefore(next)));
                    }
                    if raw.room() == 0 {
                        return Ok(Some(Pull::More));
                    }
                    raw.write(byte)?;
                    *sent += 1;
                    *next = Some(cx.now() + *every);
                }
            }
        }
        Ok(None)
    }
}
