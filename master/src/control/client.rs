//! One connection to the control socket: bytes in, requests out; answers in, bytes out.
//!
//! Invariants: one request at a time is handed out, and the next only after the previous answer was sent. So neither the
//! input (one line) nor the output (one answer and some progress) grows with what a client sends or does not read.

use super::protocol::{ANSWER_BYTES_MAX, Answer, Line, REQUEST_BYTES_MAX};
use crate::command::Command;
use mio::net::UnixStream;
use std::io::{self, Read, Write};
use std::time::{Duration, Instant};

/// Progress lines are dropped while this much output is unsent.
const PROGRESS_BYTES_MAX: usize = 64 << 10;
/// A client that reads nothing of an answer for this long is dropped.
pub const STALL: Duration = Duration::from_secs(10);

pub struct ControlClient {
    pub stream: UnixStream,
    input: Vec<u8>,
    unsent: Vec<u8>,
    sent: usize,
    /// One of its requests is being answered.
    pub is_waiting: bool,
    /// The client has closed its sending side.
    input_ended: bool,
    /// Nothing more is read from it; it is dropped once all output is sent.
    is_leaving: bool,
    /// Since when the client has read nothing of the output.
    stalled_since: Option<Instant>,
    /// The last activity, as a count of events.
    pub last_active: u64,
}

/// The result of [`ControlClient::advance`].
#[derive(Debug, PartialEq, Eq)]
pub enum Step {
    Nothing,
    Request(Command),
    /// The connection can be closed.
    Over,
}

impl ControlClient {
    pub fn new(stream: UnixStream) -> Self {
        ControlClient {
            stream,
            input: Vec::new(),
            unsent: Vec::new(),
            sent: 0,
            is_waiting: false,
            input_ended: false,
            is_leaving: false,
            stalled_since: None,
            last_active: 0,
        }
    }

    /// Sends pending output, then takes the next request. To be called after each event and each answer.
    pub fn advance(&mut self) -> Step {
        loop {
            match self.flush() {
                Ok(true) => {}
                Ok(false) => return Step::Nothing,
                Err(_) => return Step::Over, // the client has gone
            }
            if self.is_waiting {
                return Step::Nothing;
            }
            if self.is_leaving {
                return Step::Over;
            }
            match self.next_line() {
                Ok(Some(line)) if line.trim_ascii().is_empty() => {}
                Ok(Some(line)) => match Command::parse(&line) {
                    Ok(request) => {
                        self.is_waiting = true;
                        return Step::Request(request);
                    }
                    Err(error) => self.answer(Err(error)),
                },
                Ok(None) if self.input.len() >= REQUEST_BYTES_MAX => {
                    self.answer(Err(format!("a request is one line of at most {REQUEST_BYTES_MAX} bytes")));
                    self.is_leaving = true;
                }
                Ok(None) if self.input_ended => return Step::Over,
                Ok(None) => return Step::Nothing,
                Err(_) => return Step::Over, // as above
            }
        }
    }

    /// Queues a progress line of the current request; dropped while [`PROGRESS_BYTES_MAX`] are unsent.
    pub fn report_progress(&mut self, text: &str) {
        if self.is_waiting && self.unsent.len() < PROGRESS_BYTES_MAX {
            self.unsent.extend_from_slice(Line::progress(text).text().as_bytes());
        }
    }

    /// Ends the request that is being answered.
    pub fn answer(&mut self, outcome: Result<Answer, String>) {
        let mut text = Line::end(outcome).text();
        if text.len() > ANSWER_BYTES_MAX {
            text = Line::end(Err(format!("the answer is longer than {ANSWER_BYTES_MAX} bytes"))).text();
        }
        self.unsent.extend_from_slice(text.as_bytes());
        self.is_waiting = false;
    }

    pub fn has_unsent(&self) -> bool {
        !self.unsent.is_empty()
    }

    /// When it is dropped for not reading, counted from the first turn that found output unsent.
    pub fn deadline(&self) -> Option<Instant> {
        self.stalled_since.map(|since| since + STALL)
    }

    pub fn note_stall(&mut self, now: Instant) {
        if self.has_unsent() {
            self.stalled_since.get_or_insert(now);
        }
    }

    /// `false`: the socket's buffer is full.
    fn flush(&mut self) -> io::Result<bool> {
        while self.sent < self.unsent.len() {
            match self.stream.write(&self.unsent[self.sent..]) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(count) => {
                    self.sent += count;
                    self.stalled_since = None;
                }
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => {
                    self.unsent.drain(..self.sent);
                    self.sent = 0;
                    return Ok(false);
                }
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(e),
            }
        }
        // An answer may have been long: an idle client keeps no memory.
        self.unsent = Vec::new();
        self.sent = 0;
        Ok(true)
    }

    /// The next line without its line feed, if it is complete.
    fn next_line(&mut self) -> io::Result<Option<Vec<u8>>> {
        loop {
            if let Some(end) = self.input.iter().position(|&byte| byte == b'\n') {
                let mut line: Vec<u8> = self.input.drain(..=end).collect();
                line.pop();
                return Ok(Some(line));
            }
            let room = REQUEST_BYTES_MAX - self.input.len();
            if room == 0 || self.input_ended {
                return Ok(None);
            }
            let mut bytes = [0; REQUEST_BYTES_MAX];
            match self.stream.read(&mut bytes[..room]) {
                Ok(0) => self.input_ended = true,
                Ok(count) => self.input.extend_from_slice(&bytes[..count]),
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => return Ok(None),
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(e),
            }
        }
    }
}
