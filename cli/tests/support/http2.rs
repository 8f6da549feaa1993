//! A client of HTTP/2 (RFC 9113) that sends exactly what a test asks for, well-formed or not, and reads the server's frames
//! one by one.
//!
//! Header blocks are encoded without any table, so that a block's bytes do not depend on what was sent before; the server's
//! are decoded in the order of their arrival, as its table demands.
//!
//! Methods without `try_` fail the test when the server does not do its part.

use super::{Client, Server};
use std::io;
use std::net::SocketAddr;
use tine_worker::hpack::{Block, Bounds, Decoder};

pub const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

pub const DATA: u8 = 0;
pub const HEADERS: u8 = 1;
pub const PRIORITY: u8 = 2;
pub const RST_STREAM: u8 = 3;
pub const SETTINGS: u8 = 4;
pub const PUSH_PROMISE: u8 = 5;
pub const PING: u8 = 6;
pub const GOAWAY: u8 = 7;
pub const WINDOW_UPDATE: u8 = 8;
pub const CONTINUATION: u8 = 9;

pub const ACK: u8 = 1;
pub const END_STREAM: u8 = 1;
pub const END_HEADERS: u8 = 4;
pub const PADDED: u8 = 8;
pub const WITH_PRIORITY: u8 = 0x20;

/// The codes of RST_STREAM and GOAWAY (RFC 9113, 7).
pub mod code {
    pub const NO_ERROR: u32 = 0;
    pub const PROTOCOL_ERROR: u32 = 1;
    pub const FLOW_CONTROL_ERROR: u32 = 3;
    pub const STREAM_CLOSED: u32 = 5;
    pub const FRAME_SIZE_ERROR: u32 = 6;
    pub const REFUSED_STREAM: u32 = 7;
    pub const CANCEL: u32 = 8;
    pub const COMPRESSION_ERROR: u32 = 9;
    pub const ENHANCE_YOUR_CALM: u32 = 11;
}

/// The identifiers of settings (RFC 9113, 6.5.2).
pub mod setting {
    pub const HEADER_TABLE_SIZE: u16 = 1;
    pub const ENABLE_PUSH: u16 = 2;
    pub const MAX_CONCURRENT_STREAMS: u16 = 3;
    pub const INITIAL_WINDOW_SIZE: u16 = 4;
    pub const MAX_FRAME_SIZE: u16 = 5;
}

/// A frame to send, or one of the server's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
    pub kind: u8,
    pub flags: u8,
    pub stream: u32,
    pub payload: Vec<u8>,
}

impl Frame {
    pub fn new(kind: u8, flags: u8, stream: u32, payload: impl Into<Vec<u8>>) -> Frame {
        Frame { kind, flags, stream, payload: payload.into() }
    }

    /// With END_HEADERS.
    pub fn headers(stream: u32, ends_stream: bool, block: impl Into<Vec<u8>>) -> Frame {
        Frame::new(HEADERS, END_HEADERS | u8::from(ends_stream), stream, block)
    }

    pub fn data(stream: u32, ends_stream: bool, bytes: impl Into<Vec<u8>>) -> Frame {
        Frame::new(DATA, u8::from(ends_stream), stream, bytes)
    }

    pub fn continuation(stream: u32, ends_headers: bool, fragment: impl Into<Vec<u8>>) -> Frame {
        Frame::new(CONTINUATION, if ends_headers { END_HEADERS } else { 0 }, stream, fragment)
    }

    /// Of RFC 7540.
    pub fn priority(stream: u32, depends_on: u32) -> Frame {
        Frame::new(PRIORITY, 0, stream, priority_fields(depends_on))
    }

    pub fn rst_stream(stream: u32, code: u32) -> Frame {
        Frame::new(RST_STREAM, 0, stream, code.to_be_bytes())
    }

    pub fn settings(settings: &[(u16, u32)]) -> Frame {
        let one = |&(id, value): &(u16, u32)| [&id.to_be_bytes()[..], &value.to_be_bytes()].concat();
        Frame::new(SETTINGS, 0, 0, settings.iter().flat_map(one).collect::<Vec<u8>>())
    }

    pub fn settings_ack() -> Frame {
        Frame::new(SETTINGS, ACK, 0, [])
    }

    pub fn ping(octets: [u8; 8]) -> Frame {
        Frame::new(PING, 0, 0, octets)
    }

    pub fn goaway(last_stream: u32, code: u32) -> Frame {
        Frame::new(GOAWAY, 0, 0, [last_stream.to_be_bytes(), code.to_be_bytes()].concat())
    }

    pub fn window_update(stream: u32, increment: u32) -> Frame {
        Frame::new(WINDOW_UPDATE, 0, stream, increment.to_be_bytes())
    }

    /// With these flags, too.
    pub fn with_flags(mut self, flags: u8) -> Frame {
        self.flags |= flags;
        self
    }

    pub fn has(&self, flag: u8) -> bool {
        self.flags & flag != 0
    }

    /// Ends its stream.
    pub fn ends_stream(&self) -> bool {
        matches!(self.kind, DATA | HEADERS) && self.has(END_STREAM)
    }

    /// The code of RST_STREAM or GOAWAY.
    pub fn code(&self) -> Option<u32> {
        let at = match self.kind {
            RST_STREAM => 0,
            GOAWAY => 4,
            _ => return None,
        };
        Some(u32::from_be_bytes(*self.payload[at..].first_chunk()?))
    }

    /// The settings of SETTINGS.
    pub fn as_settings(&self) -> impl Iterator<Item = (u16, u32)> {
        self.payload
            .as_chunks::<6>()
            .0
            .iter()
            .map(|&[i0, i1, v0, v1, v2, v3]| (u16::from_be_bytes([i0, i1]), u32::from_be_bytes([v0, v1, v2, v3])))
    }

    pub fn bytes(&self) -> Vec<u8> {
        let length = (self.payload.len() as u32).to_be_bytes();
        [&length[1..], &[self.kind, self.flags], &self.stream.to_be_bytes(), &self.payload].concat()
    }
}

/// A dependency and a weight, as PRIORITY and HEADERS have them (RFC 7540, 6.2).
pub fn priority_fields(depends_on: u32) -> Vec<u8> {
    [&depends_on.to_be_bytes()[..], &[15]].concat()
}

/// A header block of literals that enter no table.
pub fn block(fields: &[(&str, &str)]) -> Vec<u8> {
    let mut out = Vec::new();
    for (name, value) in fields {
        out.push(0);
        for string in [name, value] {
            // The length (RFC 7541, 5.1): seven bits, then as many groups of seven as are needed.
            match string.len() {
                short @ ..127 => out.push(short as u8),
                long => {
                    out.push(127);
                    let mut left = long - 127;
                    while left >= 128 {
                        out.push(left as u8 | 0x80);
                        left >>= 7;
                    }
                    out.push(left as u8);
                }
            }
            out.extend_from_slice(string.as_bytes());
        }
    }
    out
}

/// The pseudo-fields of a request.
pub fn request<'a>(method: &'a str, path: &'a str) -> Vec<(&'a str, &'a str)> {
    vec![(":method", method), (":scheme", "http"), (":path", path), (":authority", "localhost")]
}

/// The fields that ask for a WebSocket (RFC 8441, 5).
pub fn handshake(path: &str) -> Vec<(&str, &str)> {
    let websocket = [(":protocol", "websocket"), ("sec-websocket-version", "13")];
    [&request("CONNECT", path)[..], &websocket].concat()
}

/// What has come of a response.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Answer {
    /// The final one.
    pub status: u16,
    pub fields: Vec<(String, String)>,
    pub body: Vec<u8>,
    pub trailers: Vec<(String, String)>,
    /// Interim responses that came before.
    pub interim: Vec<u16>,
    /// The code, if the stream was reset; else it has ended.
    pub reset: Option<u32>,
}

impl Answer {
    /// The value of the first field of this name.
    pub fn field(&self, name: &str) -> Option<&str> {
        self.fields.iter().find(|(field, _)| field == name).map(|(_, value)| &**value)
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

/// A client's end of one connection.
pub struct Http2 {
    pub client: Client,
    decoder: Decoder,
}

impl Http2 {
    /// Sends the preface with these settings, and acknowledges the server's.
    #[track_caller]
    pub fn connect_with(server: &Server, settings: &[(u16, u32)]) -> Http2 {
        Http2::try_connect(server.address(), settings).expect("the server speaks HTTP/2")
    }

    #[track_caller]
    pub fn connect(server: &Server) -> Http2 {
        Http2::connect_with(server, &[])
    }

    pub fn try_connect(address: SocketAddr, settings: &[(u16, u32)]) -> io::Result<Http2> {
        let mut http2 = Http2::silent(address)?;
        http2.try_send_bytes(&[PREFACE, &Frame::settings(settings).bytes()].concat())?;
        match http2.frame()? {
            Some(frame) if frame.kind == SETTINGS && !frame.has(ACK) => {}
            other => return Err(io::Error::other(format!("the server does not begin with SETTINGS: {other:?}"))),
        }
        http2.try_send(&[Frame::settings_ack()])?;
        Ok(http2)
    }

    /// Nothing is sent yet.
    pub fn silent(address: SocketAddr) -> io::Result<Http2> {
        Ok(Http2 { client: Client::try_connect(address)?, decoder: Decoder::new() })
    }

    #[track_caller]
    pub fn send(&mut self, frames: &[Frame]) {
        self.try_send(frames).expect("the server takes the frames");
    }

    /// All frames in one write.
    pub fn try_send(&mut self, frames: &[Frame]) -> io::Result<()> {
        self.try_send_bytes(&frames.iter().flat_map(Frame::bytes).collect::<Vec<u8>>())
    }

    pub fn try_send_bytes(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.client.try_send(bytes)
    }

    /// The next frame; `None` at the end of the connection.
    pub fn frame(&mut self) -> io::Result<Option<Frame>> {
        if self.client.at_end()? {
            return Ok(None);
        }
        let header = self.client.take(9)?;
        let &[l0, l1, l2, kind, flags, s0, s1, s2, s3] = header.as_slice() else { unreachable!("nine were taken") };
        let payload = self.client.take(u32::from_be_bytes([0, l0, l1, l2]) as usize)?;
        Ok(Some(Frame { kind, flags, stream: u32::from_be_bytes([s0, s1, s2, s3]), payload }))
    }

    /// The next frame of this kind; the others are dropped, after their blocks were decoded.
    #[track_caller]
    pub fn frame_of(&mut self, kind: u8) -> Frame {
        loop {
            let frame = self.frame().expect("the server answers").expect("the server keeps the connection");
            if frame.kind == kind {
                return frame;
            }
            if frame.kind == HEADERS {
                self.fields(&frame.payload);
            }
        }
    }

    /// The fields of a whole block. Each block has to be decoded once, in the order of arrival.
    #[track_caller]
    pub fn fields(&mut self, block: &[u8]) -> Vec<(String, String)> {
        let mut fields = Block::default();
        let bounds = Bounds { bytes_max: 1 << 20, fields_max: 10_000 };
        self.decoder.decode(block, bounds, &mut fields).expect("a block of the server's can be decoded");
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        fields.iter().map(|(name, value)| (text(name), text(value))).collect()
    }

    /// Sends a request without a body, and waits for its answer.
    #[track_caller]
    pub fn get(&mut self, stream: u32, path: &str) -> Answer {
        self.send(&[Frame::headers(stream, true, block(&request("GET", path)))]);
        self.answer(stream)
    }

    /// The answer on this stream, to its end. What comes for other streams is dropped; windows are given back.
    #[track_caller]
    pub fn answer(&mut self, stream: u32) -> Answer {
        let mut answer = Answer::default();
        loop {
            let frame = self.frame().expect("the server answers").expect("the server keeps the connection");
            match frame.kind {
                HEADERS => {
                    assert!(frame.has(END_HEADERS), "no test expects a block of several frames");
                    let fields = self.fields(&frame.payload);
                    if frame.stream == stream {
                        answer.add(fields);
                    }
                }
                DATA if !frame.payload.is_empty() => {
                    let length = frame.payload.len() as u32;
                    let mut updates = vec![Frame::window_update(0, length)];
                    if !frame.ends_stream() {
                        updates.push(Frame::window_update(frame.stream, length));
                    }
                    self.send(&updates);
                    if frame.stream == stream {
                        answer.body.extend_from_slice(&frame.payload);
                    }
                }
                SETTINGS if !frame.has(ACK) => self.send(&[Frame::settings_ack()]),
                PING if !frame.has(ACK) => self.send(&[Frame::new(PING, ACK, 0, frame.payload.clone())]),
                GOAWAY => panic!("GOAWAY {:?}: {}", frame.code(), String::from_utf8_lossy(&frame.payload)),
                _ => {}
            }
            if frame.stream == stream && (frame.ends_stream() || frame.kind == RST_STREAM) {
                answer.reset = frame.code();
                return answer;
            }
        }
    }
}

impl Answer {
    /// The fields of one block.
    fn add(&mut self, mut fields: Vec<(String, String)>) {
        if self.status != 0 {
            self.trailers = fields;
            return;
        }
        let (name, status) = fields.remove(0);
        assert_eq!(name, ":status");
        match status.parse().expect("a status") {
            interim @ 100..200 => self.interim.push(interim),
            status => (self.status, self.fields) = (status, fields),
        }
    }
}
