//! A connection of HTTP/2 without a socket, for the tests of the state machine: it uses [`Http2`] as `Connection` does, and plays
//! the client: it sends frames, takes what the server sends at a given rate, lets time pass. What came is told as text, a line a
//! frame.

use super::frame::{Frame, FrameHeader, HEADER_BYTES, PREFACE, flag, kind};
use super::hpack::{Block, Bounds, Decoder};
use super::state::Http2;
use crate::app::{App, ConnectionCx, Cx, TurnCx};
use crate::dispatch::Recorder;
use crate::http::DateLine;
use crate::net::{ReadBuffer, WriteQueue};
use crate::protocol::{IdleEnd, Io, Next, Passed, Scratch};
use crate::turn_clock::TurnClock;
use std::time::{Duration, Instant};
use tine_common::config::Limits;

/// A connection that does not come to rest within this many steps never does.
const STEPS_MAX: usize = 10_000;
const INPUT_BYTES: usize = 64 << 10;

pub struct Client<A: App> {
    pub http2: Http2,
    pub app: A,
    pub limits: Limits,
    pub now: Instant,
    pub idle_end: Option<IdleEnd>,
    /// The most bytes that are taken after a step.
    pub takes_bytes: usize,
    pub output: WriteQueue,
    pub recorder: Recorder,
    pub ended: bool,
    pub clock: Option<TurnClock>,
    scratch: Scratch,
    received: u64,
    sent: u64,
    input: ReadBuffer,
    unread: Vec<u8>,
    taken: Vec<u8>,
    date: DateLine,
    decoder: Decoder,
}

impl<A: App> Client<A> {
    /// The connection has begun on both sides, and what the server sent for that is not told.
    pub fn new(app: A) -> Self {
        let mut client = Client::silent(app);
        client.send(&[&PREFACE[..], &settings(&[]), &frame(kind::SETTINGS, flag::ACK, 0, b"")].concat());
        assert_eq!(client.told(), "SETTINGS\nWINDOW_UPDATE 0 983041\nSETTINGS ACK\n");
        client
    }

    /// Nothing is sent yet.
    pub fn silent(app: A) -> Self {
        let now = Instant::now();
        Client {
            http2: Http2::new(now),
            app,
            limits: Limits::default(),
            now,
            idle_end: None,
            takes_bytes: usize::MAX,
            output: WriteQueue::new(now),
            recorder: Recorder::default(),
            ended: false,
            clock: None,
            scratch: Scratch::default(),
            received: 0,
            sent: 0,
            input: ReadBuffer::with_capacity(INPUT_BYTES),
            unread: Vec::new(),
            taken: Vec::new(),
            date: DateLine::new(now),
            decoder: Decoder::new(),
        }
    }

    /// Sends the bytes and runs the server until it waits or closes.
    pub fn send(&mut self, bytes: &[u8]) -> Next {
        self.send_only(bytes);
        self.run()
    }

    /// Sends the bytes, and runs nothing.
    pub fn send_only(&mut self, bytes: &[u8]) {
        self.unread.extend_from_slice(bytes);
    }

    pub fn later(&mut self, time: Duration) -> Next {
        self.now += time;
        self.run()
    }

    pub fn run(&mut self) -> Next {
        for _ in 0..STEPS_MAX {
            let next = self.step();
            let wants_more = !self.unread.is_empty() && self.wants_input();
            match next {
                Next::Again | Next::Sent if self.takes_bytes == 0 => return next,
                Next::Again | Next::Sent => {}
                Next::Wait if wants_more || (!self.output.is_empty() && self.takes_bytes > 0) => {}
                next => return next,
            }
        }
        panic!("the connection never comes to rest");
    }

    pub fn step(&mut self) -> Next {
        let turn = TurnCx::alone(self.now, &self.limits, &self.date, self.clock.as_ref());
        let cx = self.cx(&turn);
        if self.http2.wants_input(self.output.len(), &cx) {
            let count = self.unread.len().min(INPUT_BYTES - self.input.len());
            self.input.feed(&self.unread[..count]);
            self.unread.drain(..count);
            self.received += count as u64;
        }
        let input_ended = self.ended && self.unread.is_empty();
        let passed = Passed { received: self.received, sent: self.sent };
        let (input, output, recorder) = (&mut self.input, &mut self.output, &mut self.recorder);
        let scratch = &mut self.scratch;
        let mut io = Io { input, output, recorder, scratch, passed, input_ended, hung_up: self.ended };
        let next = self.http2.advance(&mut io, &mut self.app, &cx);
        self.take();
        if next == Next::Wait {
            let turn = TurnCx::alone(self.now, &self.limits, &self.date, None);
            let deadline = self.http2.deadline(self.output.len(), &self.cx(&turn));
            let deadline = deadline.or((!self.output.is_empty()).then_some(self.now));
            assert!(deadline.is_some_and(|at| at >= self.now), "it waits without a deadline, or for one in the past");
        }
        next
    }

    fn wants_input(&self) -> bool {
        let turn = TurnCx::alone(self.now, &self.limits, &self.date, None);
        self.http2.wants_input(self.output.len(), &self.cx(&turn))
    }

    fn cx<'a>(&self, turn: &'a TurnCx<'a>) -> Cx<'a> {
        Cx { turn, connection: ConnectionCx { idle_end: self.idle_end, ..ConnectionCx::default() } }
    }

    pub fn drain(&mut self, stay: Duration) -> Next {
        self.idle_end = Some(IdleEnd { began: self.now, stay });
        self.run()
    }

    fn take(&mut self) {
        let queued = self.output.contents();
        let (now, rest) = queued.split_at(queued.len().min(self.takes_bytes));
        self.taken.extend_from_slice(now);
        self.sent += now.len() as u64;
        self.output.clear();
        self.output.append(rest);
    }

    /// What has come since the last [`Client::told`], with what was still to be sent.
    pub fn take_all(&mut self) -> &[u8] {
        self.takes_bytes = usize::MAX;
        self.take();
        &self.taken
    }

    /// What has come since the last call, a line a frame: DATA of a stream that follows its DATA is one with it. Without the
    /// fields Server and Date.
    pub fn told(&mut self) -> String {
        let mut told = String::new();
        let mut rest = &self.taken[..];
        let mut data: Option<(u32, Vec<u8>, bool)> = None;
        while let Ok(Some(header)) = FrameHeader::parse(rest) {
            let Some(payload) = rest[HEADER_BYTES..].get(..header.length) else { break };
            rest = &rest[HEADER_BYTES + header.length..];
            let id = header.stream;
            let parsed = Frame::parse(header, payload).expect("the server's frames are valid");
            if let Frame::Data(more) = parsed {
                match &mut data {
                    Some((of, bytes, ends)) if *of == id => {
                        bytes.extend_from_slice(more.body);
                        *ends |= more.ends_stream;
                    }
                    _ => {
                        tell_data(&mut told, data.take());
                        data = Some((id, more.body.to_vec(), more.ends_stream));
                    }
                }
                continue;
            }
            tell_data(&mut told, data.take());
            told += &match parsed {
                Frame::Headers(headers) => {
                    assert!(headers.ends_headers, "no test has a longer head");
                    let end = if headers.ends_stream { " end" } else { "" };
                    format!("HEADERS {id}{end}{}\n", fields(&mut self.decoder, headers.fragment))
                }
                Frame::RstStream(code) => format!("RST_STREAM {id} {code}\n"),
                Frame::Settings(_) => "SETTINGS\n".to_string(),
                Frame::SettingsAck => "SETTINGS ACK\n".to_string(),
                Frame::Ping(_) => "PING\n".to_string(),
                Frame::PingAck(octets) => format!("PING ACK {}\n", String::from_utf8_lossy(&octets)),
                Frame::Goaway { last_stream, code } => format!("GOAWAY {last_stream} {code}\n"),
                Frame::WindowUpdate(by) => format!("WINDOW_UPDATE {id} {by}\n"),
                other => format!("{other:?}\n"),
            };
        }
        tell_data(&mut told, data.take());
        let rest = rest.len();
        self.taken.drain(..self.taken.len() - rest);
        told
    }
}

fn tell_data(told: &mut String, data: Option<(u32, Vec<u8>, bool)>) {
    if let Some((id, bytes, ends)) = data {
        let end = if ends { " end" } else { "" };
        *told += &match bytes.len() {
            ..100 => format!("DATA {id}{end} {}\n", String::from_utf8_lossy(&bytes)),
            length => format!("DATA {id}{end} of {length}\n"),
        };
    }
}

pub fn fields(decoder: &mut Decoder, fragment: &[u8]) -> String {
    let mut block = Block::default();
    decoder.decode(fragment, Bounds { bytes_max: 1 << 20, fields_max: 1000 }, &mut block).expect("a valid block");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let shown = block.iter().filter(|(name, _)| !matches!(*name, b"server" | b"date"));
    shown.map(|(name, value)| format!(" {}={}", text(name), text(value))).collect()
}

pub fn frame(kind: u8, flags: u8, id: u32, payload: &[u8]) -> Vec<u8> {
    let mut bytes = (payload.len() as u32).to_be_bytes()[1..].to_vec();
    bytes.extend_from_slice(&[kind, flags]);
    bytes.extend_from_slice(&id.to_be_bytes());
    bytes.extend_from_slice(payload);
    bytes
}

pub fn settings(all: &[(u16, u32)]) -> Vec<u8> {
    let one = |&(id, value): &(u16, u32)| [&id.to_be_bytes()[..], &value.to_be_bytes()].concat();
    frame(kind::SETTINGS, 0, 0, &all.iter().flat_map(one).collect::<Vec<u8>>())
}

pub fn window(id: u32, by: u32) -> Vec<u8> {
    frame(kind::WINDOW_UPDATE, 0, id, &by.to_be_bytes())
}

pub fn data(id: u32, bytes: &[u8], ends: bool) -> Vec<u8> {
    frame(kind::DATA, if ends { flag::END_STREAM } else { 0 }, id, bytes)
}

pub fn rst(id: u32, code: u32) -> Vec<u8> {
    frame(kind::RST_STREAM, 0, id, &code.to_be_bytes())
}

/// A block that uses no table, so that frames can be sent in any order.
pub fn block(fields: &[(&str, &str)]) -> Vec<u8> {
    let mut out = Vec::new();
    for (name, value) in fields {
        out.push(0);
        for text in [name, value] {
            assert!(text.len() < 127);
            out.push(text.len() as u8);
            out.extend_from_slice(text.as_bytes());
        }
    }
    out
}

pub fn headers(id: u32, ends: bool, fields: &[(&str, &str)]) -> Vec<u8> {
    frame(kind::HEADERS, flag::END_HEADERS | if ends { flag::END_STREAM } else { 0 }, id, &block(fields))
}

/// A request, with more fields than it needs.
pub fn request(id: u32, ends: bool, method: &str, path: &str, more: &[(&str, &str)]) -> Vec<u8> {
    let mut fields = vec![(":method", method), (":scheme", "http"), (":authority", "a"), (":path", path)];
    fields.extend_from_slice(more);
    headers(id, ends, &fields)
}

pub fn get(id: u32, path: &str) -> Vec<u8> {
    request(id, true, "GET", path, &[])
}
