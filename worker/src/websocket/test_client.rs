//! The other end of a WebSocket for the tests: frames in bytes, and a connection without a socket.

use super::WebSocket;
use crate::app::{AppError, ConnectionCx, Cx, Message, MessageOut, Peer, TurnCx};
use crate::dispatch::{Record, Recorder};
use crate::http::DateLine;
use crate::net::{ReadBuffer, WriteQueue};
use crate::protocol::IdleEnd;
use crate::protocol::Next::{self, Again};
use crate::protocol::{Io, Passed, Scratch};
use crate::turn_clock::TurnClock;
use std::time::{Duration, Instant};
use tine_common::config::Limits;
use tine_common::method::Method;
use tine_common::request_name::RequestName;

pub const SECOND: Duration = Duration::from_secs(1);

pub const TEXT: u8 = 0x81;
pub const BINARY: u8 = 0x82;
pub const CLOSE: u8 = 0x88;
pub const PING: u8 = 0x89;
pub const PONG: u8 = 0x8a;

/// What a client sends: masked.
pub fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let mask = [0x1f, 0xa2, 0x33, 0x04];
    let mut bytes = head(first, payload.len(), 0x80);
    bytes.extend_from_slice(&mask);
    bytes.extend(payload.iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask));
    bytes
}

/// What the server sends: not masked.
pub fn said(first: u8, payload: &[u8]) -> Vec<u8> {
    [head(first, payload.len(), 0), payload.to_vec()].concat()
}

pub fn head(first: u8, length: usize, mask_bit: u8) -> Vec<u8> {
    match length {
        0..126 => vec![first, mask_bit | length as u8],
        126..65536 => [&[first, mask_bit | 126][..], &(length as u16).to_be_bytes()].concat(),
        _ => [&[first, mask_bit | 127][..], &(length as u64).to_be_bytes()].concat(),
    }
}

pub fn closed(code: u16, reason: &str) -> Vec<u8> {
    said(CLOSE, &[&code.to_be_bytes(), reason.as_bytes()].concat())
}

/// A connection without a socket: takes the output, as long as it reads.
pub struct Client {
    pub websocket: WebSocket,
    pub limits: Limits,
    pub now: Instant,
    pub idle_end: Option<IdleEnd>,
    /// `None`: its time is never up.
    pub clock: Option<TurnClock>,
    pub input: ReadBuffer,
    pub output: WriteQueue,
    pub recorder: Recorder,
    scratch: Scratch,
    pub input_ended: bool,
    pub reads: bool,
    pub got: Vec<u8>,
}

impl Client {
    pub fn new(peer: impl Peer + 'static) -> Self {
        let (now, limits) = (Instant::now(), Limits { ws_message_bytes_max: 100_000, ..Limits::default() });
        let mut handshake = Record::new(Method::Get, None, 0, now);
        Client {
            websocket: WebSocket::new(Box::new(peer), RequestName::new(b"GET", b"/"), &mut handshake, &limits, now),
            limits,
            now,
            idle_end: None,
            clock: None,
            input: ReadBuffer::with_capacity(1 << 20),
            output: WriteQueue::new(now),
            recorder: Recorder::default(),
            scratch: Scratch::default(),
            input_ended: false,
            reads: true,
            got: Vec::new(),
        }
    }

    pub fn send(&mut self, bytes: &[u8]) -> Next {
        self.input.feed(bytes);
        self.run()
    }

    pub fn later(&mut self, time: Duration) -> Next {
        self.now += time;
        self.run()
    }

    pub fn run(&mut self) -> Next {
        for _ in 0..1000 {
            let next = self.step();
            if !matches!(next, Again | Next::Sent) || !self.reads {
                return next;
            }
        }
        panic!("it never comes to rest");
    }

    /// One call of advance.
    pub fn step(&mut self) -> Next {
        let date = DateLine::new(self.now);
        let turn = TurnCx::alone(self.now, &self.limits, &date, self.clock.as_ref());
        let cx = Cx { turn: &turn, connection: ConnectionCx { idle_end: self.idle_end, ..ConnectionCx::default() } };
        let (input_ended, hung_up) = (self.input_ended, self.input_ended);
        // More than any test sends.
        let passed = Passed { received: 1 << 40, sent: self.got.len() as u64 };
        let (input, output, recorder) = (&mut self.input, &mut self.output, &mut self.recorder);
        let scratch = &mut self.scratch;
        let mut io = Io { input, output, recorder, scratch, passed, input_ended, hung_up };
        let next = self.websocket.advance(&mut io, &cx);
        if self.reads {
            self.got.extend(self.output.contents());
            self.output.clear();
        }
        next
    }

    /// The server begins to stop.
    pub fn drain(&mut self, stay: Duration) {
        self.idle_end = Some(IdleEnd { began: self.now, stay });
    }

    pub fn deadline(&self) -> Option<Duration> {
        let date = DateLine::new(self.now);
        let turn = TurnCx::alone(self.now, &self.limits, &date, None);
        let cx = Cx { turn: &turn, connection: ConnectionCx { idle_end: self.idle_end, ..ConnectionCx::default() } };
        let deadline = self.websocket.deadline(self.output.len(), &cx);
        deadline.map(|at| at.saturating_duration_since(self.now))
    }
}

pub struct Echo;

impl Peer for Echo {
    fn message(&mut self, message: Message, out: &mut MessageOut<'_>, _: &Cx<'_>) -> Result<(), AppError> {
        match message.as_bytes() {
            b"fail" => Err(AppError::new("as the test wants it")),
            b"bye" => out.close(4000, "bye"),
            b"wrong code" => out.close(1005, ""),
            b"after close" => {
                out.close(1000, "")?;
                out.send(message)
            }
            _ => out.send(message),
        }
    }
}
