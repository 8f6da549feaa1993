//! One connection while its case runs: sends what the case requires, takes what arrives, and keeps what a verdict
//! needs.

use super::case::{Case, End, Event, Step, Writes};
use crate::support::websocket::{CLOSE, Frame, PING, PONG, WebSocket};
use crate::support::{Client, Server};
use std::io;
use std::time::{Duration, Instant};

/// The echo endpoint that all cases use.
const PATH: &str = "/ws";

/// The pause between two writes that the server should read separately.
const BETWEEN_WRITES: Duration = Duration::from_micros(20);

/// What was seen of one case.
pub(super) struct Seen {
    pub events: Vec<Event>,
    /// Our Close was sent before the server's arrived.
    pub closed_first_by_us: bool,
    /// The server's.
    pub close: Option<Frame>,
    pub ended: Ended,
}

pub(super) enum Ended {
    InOrder,
    Reset(io::Error),
    /// Nothing arrived for too long, or something that a server must not send.
    ByUs(io::Error),
}

impl Seen {
    /// The code in the server's Close, if it sent one and that has a code.
    pub fn close_code(&self) -> Option<u16> {
        self.close.as_ref()?.close_code()
    }
}

pub(super) struct Talk {
    socket: WebSocket,
    events: Vec<Event>,
    has_sent_close: bool,
    closed_first_by_us: bool,
    close: Option<Frame>,
    /// Whether the server accepts nothing more: it has closed the connection.
    is_refused: bool,
    ended: Option<Ended>,
}

impl Talk {
    pub fn begin(server: &Server) -> io::Result<Talk> {
        let socket = WebSocket::over(Client::try_connect(server.address())?, PATH)?;
        let (has_sent_close, closed_first_by_us, is_refused) = (false, false, false);
        let (events, close, ended) = (Vec::new(), None, None);
        Ok(Talk { socket, events, has_sent_close, closed_first_by_us, close, is_refused, ended })
    }

    pub fn run(mut self, case: &Case) -> Seen {
        for step in &case.steps {
            // After the server's Close, no process reads what is left to send.
            if self.is_over() {
                break;
            }
            self.take_step(step);
        }
        if matches!(case.end, End::ByUs { .. }) && !case.sends_close() {
            self.take_events(case.expected.len());
            if !self.is_over() {
                self.send(&[Frame::close(1000, b"")], Writes::Joined);
            }
        }
        loop {
            if let Some(ended) = self.ended {
                let Talk { events, closed_first_by_us, close, .. } = self;
                return Seen { events, closed_first_by_us, close, ended };
            }
            self.take();
        }
    }

    fn take_step(&mut self, step: &Step) {
        match step {
            Step::Send(frames, writes) => self.send(frames, *writes),
            Step::Raw(bytes) => self.write(bytes),
            Step::Pause(time) => self.take_for(*time),
            Step::Quiet(name, time) => {
                self.take_for(*time);
                if !self.is_over() {
                    self.events.push(Event::Quiet(name));
                }
            }
            Step::Await(count) => self.take_events(*count),
        }
    }

    /// The server has sent Close, or closed the connection.
    fn is_over(&self) -> bool {
        self.close.is_some() || self.ended.is_some()
    }

    fn send(&mut self, frames: &[Frame], writes: Writes) {
        let masked: Vec<Vec<u8>> = frames.iter().map(|frame| self.socket.masked(frame)).collect();
        if frames.iter().any(Frame::is_close) && !self.has_sent_close {
            self.has_sent_close = true;
            self.closed_first_by_us = self.close.is_none();
        }
        match writes {
            Writes::Joined => self.write(&masked.concat()),
            Writes::FrameWise => masked.iter().for_each(|frame| self.write_apart(frame)),
            Writes::Chops(size) => masked.iter().flat_map(|f| f.chunks(size)).for_each(|chop| self.write_apart(chop)),
        }
    }

    fn write_apart(&mut self, bytes: &[u8]) {
        self.write(bytes);
        std::thread::sleep(BETWEEN_WRITES);
    }

    /// A refused write is not a verdict: what the server sent before it is still to be read.
    fn write(&mut self, bytes: &[u8]) {
        self.is_refused = self.is_refused || self.socket.client.try_send(bytes).is_err();
    }

    /// Takes until this number of events have arrived or the connection is over.
    fn take_events(&mut self, count: usize) {
        while self.events.len() < count && !self.is_over() {
            self.take();
        }
    }

    /// Takes what arrives within this time.
    fn take_for(&mut self, time: Duration) {
        let end = Instant::now() + time;
        while !self.is_over() {
            let left = end.saturating_duration_since(Instant::now());
            match self.socket.client.is_readable_within(left.max(Duration::from_millis(1))) {
                Ok(true) => self.take(),
                Ok(false) if left.is_zero() => return,
                Ok(false) => {}
                Err(e) => self.ended = Some(Ended::Reset(e)),
            }
        }
    }

    /// Takes the next frame, and answers a ping and a Close.
    fn take(&mut self) {
        match self.socket.try_next_message() {
            Ok(None) => self.ended = Some(Ended::InOrder),
            Ok(Some(frame)) if frame.opcode == CLOSE => {
                self.close = Some(frame);
                if !self.has_sent_close {
                    self.send(&[Frame::close(1000, b"")], Writes::Joined);
                }
            }
            Ok(Some(frame)) => {
                if frame.opcode == PING {
                    self.send(&[Frame::new(true, 0, PONG, frame.payload.clone())], Writes::Joined);
                }
                self.events.push(Event::Came(frame.opcode, frame.payload));
            }
            Err(e) if matches!(e.kind(), io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe) => {
                self.ended = Some(Ended::Reset(e));
            }
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => {
                self.ended = Some(Ended::ByUs(io::Error::other("nothing more arrived")));
            }
            Err(e) => self.ended = Some(Ended::ByUs(e)),
        }
    }
}
