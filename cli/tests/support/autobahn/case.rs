//! A case: its id, what is sent and waited for, what must come back, and which side ends the connection. With the
//! vocabulary of the tables.

use crate::support::websocket::{BINARY, CONTINUATION, Frame, PING, PONG, TEXT};
use std::time::Duration;

pub struct Case {
    pub id: String,
    pub(super) steps: Vec<Step>,
    /// What comes back, in this order and nothing else.
    pub(super) expected: Vec<Event>,
    /// What may come back instead: NON-STRICT.
    pub(super) tolerated: Option<Vec<Event>>,
    pub(super) end: End,
}

pub(super) enum Step {
    Send(Vec<Frame>, Writes),
    /// Bytes as they are, in one write.
    Raw(Vec<u8>),
    /// Waits this long and takes what arrives.
    Pause(Duration),
    /// As `Pause`; if the connection is then still open, that is an event.
    Quiet(&'static str, Duration),
    /// Waits for this number of events.
    Await(usize),
}

#[derive(Clone, Copy)]
pub enum Writes {
    /// All frames in one write.
    Joined,
    /// Each frame in one write.
    FrameWise,
    /// This many bytes in each write.
    Chops(usize),
}

#[derive(Clone, PartialEq, Eq)]
pub enum Event {
    /// A message or a control frame, by its opcode.
    Came(u8, Vec<u8>),
    Quiet(&'static str),
}

pub(super) enum End {
    /// We send Close, in a step or, if none does, with 1000 once everything expected has arrived. The server answers
    /// with one of these codes or none.
    ByUs { codes: Vec<u16>, is_clean: bool },
    /// The server fails the connection with one of these codes.
    ByServer { codes: Vec<u16> },
    /// RFC 6455 leaves it open.
    Informational,
}

impl Case {
    pub fn new(id: impl Into<String>) -> Case {
        let end = End::ByUs { codes: vec![1000], is_clean: true };
        Case { id: id.into(), steps: Vec::new(), expected: Vec::new(), tolerated: None, end }
    }

    pub fn send(mut self, writes: Writes, frames: impl IntoIterator<Item = Frame>) -> Case {
        self.steps.push(Step::Send(frames.into_iter().collect(), writes));
        self
    }

    pub fn send_raw(mut self, bytes: impl Into<Vec<u8>>) -> Case {
        self.steps.push(Step::Raw(bytes.into()));
        self
    }

    pub fn pause(mut self, time: Duration) -> Case {
        self.steps.push(Step::Pause(time));
        self
    }

    pub fn quiet(mut self, name: &'static str, time: Duration) -> Case {
        self.steps.push(Step::Quiet(name, time));
        self
    }

    pub fn wait_events(mut self, count: usize) -> Case {
        self.steps.push(Step::Await(count));
        self
    }

    pub fn expect(mut self, events: impl IntoIterator<Item = Event>) -> Case {
        self.expected.extend(events);
        self
    }

    pub fn or_not_strictly(mut self, events: impl IntoIterator<Item = Event>) -> Case {
        self.tolerated = Some(events.into_iter().collect());
        self
    }

    /// The server may answer our Close with these codes, or without one.
    pub fn answered_with(mut self, codes: &[u16]) -> Case {
        self.end = End::ByUs { codes: codes.into(), is_clean: true };
        self
    }

    /// As [`Case::answered_with`]; it may also just close the connection.
    pub fn answered_or_dropped(mut self, codes: &[u16]) -> Case {
        self.end = End::ByUs { codes: codes.into(), is_clean: false };
        self
    }

    pub fn failed_with(mut self, codes: &[u16]) -> Case {
        self.end = End::ByServer { codes: codes.into() };
        self
    }

    pub fn informational(mut self) -> Case {
        self.end = End::Informational;
        self
    }

    /// Whether a step sends Close, so that we need not.
    pub(super) fn sends_close(&self) -> bool {
        self.steps.iter().any(|step| matches!(step, Step::Send(frames, _) if frames.iter().any(Frame::is_close)))
    }
}

pub fn text(payload: impl Into<Vec<u8>>) -> Frame {
    Frame::new(true, 0, TEXT, payload)
}

pub fn binary(payload: impl Into<Vec<u8>>) -> Frame {
    Frame::new(true, 0, BINARY, payload)
}

pub fn ping(payload: impl Into<Vec<u8>>) -> Frame {
    Frame::new(true, 0, PING, payload)
}

pub fn pong(payload: impl Into<Vec<u8>>) -> Frame {
    Frame::new(true, 0, PONG, payload)
}

/// A message's first fragment.
pub fn begin(opcode: u8, payload: impl Into<Vec<u8>>) -> Frame {
    Frame::new(false, 0, opcode, payload)
}

pub fn middle(payload: impl Into<Vec<u8>>) -> Frame {
    Frame::new(false, 0, CONTINUATION, payload)
}

/// A message's last fragment.
pub fn last(payload: impl Into<Vec<u8>>) -> Frame {
    Frame::new(true, 0, CONTINUATION, payload)
}

/// A message in fragments of `size` bytes. If its length is a multiple of that, the last one is empty, as with
/// Autobahn's `sendMessage`; a message that fits in one fragment is not fragmented.
pub fn fragments(opcode: u8, payload: &[u8], size: usize) -> Vec<Frame> {
    if payload.len() <= size {
        return vec![Frame::new(true, 0, opcode, payload)];
    }
    let mut frames: Vec<Frame> = payload.chunks(size).map(middle).collect();
    frames[0].opcode = opcode;
    if payload.len().is_multiple_of(size) {
        frames.push(last(b""));
    } else if let Some(frame) = frames.last_mut() {
        frame.fin = true;
    }
    frames
}

/// The event that these frames come back as: messages and pongs.
pub fn came(frame: Frame) -> Event {
    Event::Came(frame.opcode, frame.payload)
}
