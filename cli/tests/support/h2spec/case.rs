//! A case: its id, what is sent, and what must come.

use crate::support::http2::{
    ACK, DATA, END_STREAM, Frame, GOAWAY, HEADERS, Http2, PING, PREFACE, RST_STREAM, SETTINGS, block, request, setting,
};
use std::io;
use std::net::SocketAddr;

/// Paths of the server that is tested.
#[derive(Clone, Copy)]
pub struct Paths {
    /// GET is answered with at least five bytes.
    pub get: &'static str,
    /// POST is answered once its body has arrived.
    pub post: &'static str,
}

pub struct Case {
    /// h2spec's name for it: its group, its section, and its place there.
    pub id: String,
    steps: Vec<Step>,
    expected: Expected,
}

pub enum Step {
    /// The preface, SETTINGS and the acknowledgement of the server's.
    Handshake,
    /// In one write.
    Send(Vec<Frame>),
    Bytes(Vec<u8>),
    /// Waits until the server has ended its side of this stream.
    AwaitEnd(u32),
    /// Waits for this number of acknowledgements.
    AwaitAcks(usize),
    /// Waits for DATA.
    AwaitData,
    /// Opens as many streams as the server allows, and one more.
    ExceedStreams,
}

pub enum Expected {
    /// Of a response on this stream.
    Headers(u32),
    /// DATA of this length; the first that comes.
    Data(usize),
    AnyData,
    /// SETTINGS before anything else.
    Settings,
    Ack,
    /// The first PING with ACK has these octets.
    PingAck([u8; 8]),
    PingAckOrEnd([u8; 8]),
    /// RST_STREAM or GOAWAY, with one of these codes.
    StreamError(&'static [u32]),
    /// GOAWAY with one of these codes.
    ConnectionError(&'static [u32]),
    /// Whatever is sent before.
    End,
}

pub const OCTETS: [u8; 8] = *b"h2spec-1";

impl Case {
    /// After a handshake.
    pub fn new(id: impl Into<String>, frames: impl Into<Vec<Frame>>, expected: Expected) -> Case {
        Case::of(id, vec![Step::Handshake, Step::Send(frames.into())], expected)
    }

    pub fn of(id: impl Into<String>, steps: Vec<Step>, expected: Expected) -> Case {
        Case { id: id.into(), steps, expected }
    }

    /// Runs it on a connection of its own; the error says what was wrong.
    pub fn run(&self, address: SocketAddr) -> Result<(), String> {
        let mut talk = Talk { http2: Http2::silent(address).map_err(|e| e.to_string())?, streams_max: 0 };
        for step in &self.steps {
            talk.take(step).map_err(|e| format!("the connection fails too early: {e}"))?;
        }
        talk.expect(&self.expected)
    }
}

struct Talk {
    http2: Http2,
    /// SETTINGS_MAX_CONCURRENT_STREAMS of the server.
    streams_max: u32,
}

impl Talk {
    fn take(&mut self, step: &Step) -> io::Result<()> {
        match step {
            Step::Handshake => {
                self.http2.try_send_bytes(&[PREFACE, &Frame::settings(&[]).bytes()].concat())?;
                let settings = self.await_frame(|frame| frame.kind == SETTINGS && !frame.has(ACK))?;
                let streams = settings.as_settings().find(|&(id, _)| id == setting::MAX_CONCURRENT_STREAMS);
                self.streams_max = streams.map_or(100, |(_, value)| value);
                self.http2.try_send(&[Frame::settings_ack()])?;
                self.await_frame(|frame| frame.kind == SETTINGS && frame.has(ACK)).map(drop)
            }
            // An error may come before all is sent, and is what is expected then.
            Step::Send(frames) => {
                let _ = self.http2.try_send(frames);
                Ok(())
            }
            Step::Bytes(bytes) => {
                let _ = self.http2.try_send_bytes(bytes);
                Ok(())
            }
            Step::AwaitEnd(stream) => {
                self.await_frame(|frame| frame.stream == *stream && frame.ends_stream()).map(drop)
            }
            Step::AwaitAcks(count) => {
                (0..*count).try_for_each(|_| self.await_frame(|f| f.kind == SETTINGS && f.has(ACK)).map(drop))
            }
            Step::AwaitData => self.await_frame(|frame| frame.kind == DATA).map(drop),
            Step::ExceedStreams => {
                let block = block(&request("GET", "/"));
                let open = |at: u32| Frame::headers(2 * at + 1, true, &*block);
                let _ = self.http2.try_send(&(0..=self.streams_max).map(open).collect::<Vec<_>>());
                Ok(())
            }
        }
    }

    fn await_frame(&mut self, is_wanted: impl Fn(&Frame) -> bool) -> io::Result<Frame> {
        loop {
            match self.http2.frame()? {
                Some(frame) if is_wanted(&frame) => return Ok(frame),
                Some(frame) if frame.kind == GOAWAY => return Err(io::Error::other(format!("{frame:?}"))),
                Some(_) => {}
                None => return Err(io::Error::other("the connection ends")),
            }
        }
    }

    fn expect(&mut self, expected: &Expected) -> Result<(), String> {
        loop {
            // A server that has sent GOAWAY may reset the connection, as not all that we sent was read.
            let frame = match self.http2.frame() {
                Ok(frame) => frame,
                Err(e) if e.kind() == io::ErrorKind::ConnectionReset => None,
                // What ends in the middle of a frame is none: a refusal in HTTP/1.
                Err(e) if e.kind() == io::ErrorKind::UnexpectedEof => None,
                Err(e) => return Err(format!("it does not come: {e}")),
            };
            let Some(frame) = frame else {
                let may_end = matches!(expected, Expected::End | Expected::PingAckOrEnd(_));
                return if may_end { Ok(()) } else { Err("the connection ends".to_string()) };
            };
            if let Some(verdict) = judge(expected, &frame) {
                return verdict;
            }
        }
    }
}

/// What a frame says about the case; `None`: nothing.
fn judge(expected: &Expected, frame: &Frame) -> Option<Result<(), String>> {
    let is_error = matches!(frame.kind, RST_STREAM | GOAWAY);
    let wrong = || Some(Err(format!("{frame:?} came")));
    let verdict = |is_right: bool| if is_right { Some(Ok(())) } else { wrong() };
    let code = frame.code().unwrap_or(u32::MAX);
    match *expected {
        Expected::StreamError(codes) if is_error => verdict(codes.contains(&code)),
        Expected::ConnectionError(codes) if frame.kind == GOAWAY => verdict(codes.contains(&code)),
        Expected::StreamError(_) | Expected::ConnectionError(_) | Expected::End => None,
        Expected::Settings => verdict(frame.kind == SETTINGS && !frame.has(ACK)),
        Expected::PingAckOrEnd(_) if frame.kind == GOAWAY => None,
        _ if is_error => wrong(),
        Expected::Headers(stream) if frame.kind == HEADERS => verdict(frame.stream == stream),
        Expected::Data(length) if frame.kind == DATA => {
            verdict(frame.payload.len() == length && frame.flags & END_STREAM == 0)
        }
        Expected::AnyData if frame.kind == DATA => verdict(true),
        Expected::Ack if frame.kind == SETTINGS => verdict(frame.has(ACK)),
        Expected::PingAck(octets) | Expected::PingAckOrEnd(octets) if frame.kind == PING => {
            verdict(frame.has(ACK) && frame.payload == octets)
        }
        _ => None,
    }
}
