//! Parses frames (RFC 9113, 4 and 6): the header of nine octets, and each type's payload by its own rules. What depends on
//! the state of a stream or of the connection is not checked here.
//!
//! ```text
//! let Some(header) = FrameHeader::parse(bytes)? else { more bytes are needed };
//! let payload = ...;                                    // header.length bytes, once all have arrived
//! match Frame::parse(header, payload)? { ... }
//! ```

use super::error::{Code, Violation};

/// The length of a frame's header.
pub const HEADER_BYTES: usize = 9;
/// The longest payload accepted: SETTINGS_MAX_FRAME_SIZE as long as no other value is announced (RFC 9113, 6.5.2).
pub const PAYLOAD_BYTES_MAX: usize = 16_384;
/// What a client begins with (RFC 9113, 3.4).
pub const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// A stream's number; 0 is the connection.
pub type StreamId = u32;

/// The largest number of a stream, and the largest size of a window.
pub const MAX_31_BITS: u32 = 0x7fff_ffff;

/// The types of frames (RFC 9113, 6; RFC 9218, 7.1).
pub mod kind {
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
    pub const PRIORITY_UPDATE: u8 = 16;
}

/// The flags of frames (RFC 9113, 6).
pub mod flag {
    pub const ACK: u8 = 0x1;
    pub const END_STREAM: u8 = 0x1;
    pub const END_HEADERS: u8 = 0x4;
    pub const PADDED: u8 = 0x8;
    pub const PRIORITY: u8 = 0x20;
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FrameHeader {
    /// Of the payload.
    pub length: usize,
    pub kind: u8,
    pub flags: u8,
    pub stream: StreamId,
}

/// A frame whose payload is valid.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Frame<'a> {
    Data(Data<'a>),
    Headers(Headers<'a>),
    /// RFC 7540's priority, which is not used.
    Priority,
    /// With the client's code.
    RstStream(u32),
    /// A whole number of settings: see [`Settings::apply`](super::settings::Settings::apply).
    Settings(&'a [u8]),
    SettingsAck,
    Ping([u8; 8]),
    PingAck([u8; 8]),
    Goaway {
        last_stream: StreamId,
        code: u32,
    },
    /// The increment, which is not 0.
    WindowUpdate(u32),
    Continuation {
        fragment: &'a [u8],
        ends_headers: bool,
    },
    PriorityUpdate {
        stream: StreamId,
        field: &'a [u8],
    },
    /// Of an unknown type: it is ignored (RFC 9113, 4.1).
    Unknown,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Data<'a> {
    pub body: &'a [u8],
    pub ends_stream: bool,
    /// The whole payload, padding included, which is what windows count (RFC 9113, 6.9.1).
    pub counted: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Headers<'a> {
    pub fragment: &'a [u8],
    pub ends_stream: bool,
    pub ends_headers: bool,
    /// Its priority says that the stream depends on itself: an error of the stream (RFC 7540, 5.3.1), to be reported only once
    /// the fragment has been decoded, as it may change the table.
    pub depends_on_itself: bool,
}

impl FrameHeader {
    /// `Ok(None)`: more bytes are needed. The longest payload is checked as soon as the header has arrived.
    pub fn parse(bytes: &[u8]) -> Result<Option<FrameHeader>, Violation> {
        let Some(&[l0, l1, l2, kind, flags, s0, s1, s2, s3]) = bytes.first_chunk::<HEADER_BYTES>() else {
            return Ok(None);
        };
        let length = u32::from_be_bytes([0, l0, l1, l2]) as usize;
        if length > PAYLOAD_BYTES_MAX {
            return Err(Violation::of_connection(Code::FrameSize, "a frame is longer than SETTINGS_MAX_FRAME_SIZE"));
        }
        // The first bit has no meaning (RFC 9113, 4.1).
        let stream = u32::from_be_bytes([s0, s1, s2, s3]) & MAX_31_BITS;
        Ok(Some(FrameHeader { length, kind, flags, stream }))
    }

    fn has(self, flag: u8) -> bool {
        self.flags & flag != 0
    }
}

impl<'a> Frame<'a> {
    /// `payload` has the length that the header says.
    pub fn parse(header: FrameHeader, payload: &'a [u8]) -> Result<Frame<'a>, Violation> {
        debug_assert_eq!(header.length, payload.len());
        check_stream(header)?;
        match header.kind {
            kind::DATA => Ok(Frame::Data(Data {
                body: without_padding(header, payload)?,
                ends_stream: header.has(flag::END_STREAM),
                counted: payload.len() as u32,
            })),
            kind::HEADERS => headers(header, payload).map(Frame::Headers),
            kind::PRIORITY => priority(header, payload),
            kind::RST_STREAM => Ok(Frame::RstStream(u32::from_be_bytes(*exactly(payload)?))),
            kind::SETTINGS => settings(header, payload),
            kind::PUSH_PROMISE => Err(Violation::of_connection(Code::Protocol, "a client cannot push")),
            kind::PING if header.has(flag::ACK) => Ok(Frame::PingAck(*exactly(payload)?)),
            kind::PING => Ok(Frame::Ping(*exactly(payload)?)),
            kind::GOAWAY => {
                let (last_stream, rest) = number(payload)?;
                let (code, _) = number(rest)?;
                Ok(Frame::Goaway { last_stream: last_stream & MAX_31_BITS, code })
            }
            kind::WINDOW_UPDATE => window_update(header, payload),
            kind::CONTINUATION => {
                Ok(Frame::Continuation { fragment: payload, ends_headers: header.has(flag::END_HEADERS) })
            }
            kind::PRIORITY_UPDATE => {
                let (stream, field) = number(payload)?;
                match stream & MAX_31_BITS {
                    0 => Err(Violation::of_connection(Code::Protocol, "PRIORITY_UPDATE is for stream 0")),
                    stream => Ok(Frame::PriorityUpdate { stream, field }),
                }
            }
            _ => Ok(Frame::Unknown),
        }
    }
}

const BAD_SIZE: Violation = Violation::of_connection(Code::FrameSize, "a frame has the wrong length for its type");

/// Which types are of a stream and which are of the connection.
fn check_stream(header: FrameHeader) -> Result<(), Violation> {
    match (header.kind, header.stream) {
        (kind::SETTINGS | kind::PING | kind::GOAWAY | kind::PRIORITY_UPDATE, 1..) => {
            Err(Violation::of_connection(Code::Protocol, "a frame of the connection names a stream"))
        }
        (kind::DATA | kind::HEADERS | kind::PRIORITY | kind::RST_STREAM | kind::CONTINUATION, 0) => {
            Err(Violation::of_connection(Code::Protocol, "a frame of a stream names none"))
        }
        _ => Ok(()),
    }
}

/// The payload between the length of the padding and the padding (RFC 9113, 6.1). That it is zeros need not be checked.
fn without_padding(header: FrameHeader, payload: &[u8]) -> Result<&[u8], Violation> {
    if !header.has(flag::PADDED) {
        return Ok(payload);
    }
    let (&padding, rest) = payload.split_first().ok_or(BAD_SIZE)?;
    let length = rest.len().checked_sub(padding.into());
    let length = length.ok_or(Violation::of_connection(Code::Protocol, "the padding is longer than its frame"))?;
    Ok(&rest[..length])
}

fn headers(header: FrameHeader, payload: &[u8]) -> Result<Headers<'_>, Violation> {
    let mut fragment = without_padding(header, payload)?;
    let mut depends_on_itself = false;
    if header.has(flag::PRIORITY) {
        let (dependency, rest) = number(fragment)?;
        (_, fragment) = rest.split_first().ok_or(BAD_SIZE)?;
        depends_on_itself = dependency & MAX_31_BITS == header.stream;
    }
    Ok(Headers {
        fragment,
        ends_stream: header.has(flag::END_STREAM),
        ends_headers: header.has(flag::END_HEADERS),
        depends_on_itself,
    })
}

fn priority(header: FrameHeader, payload: &[u8]) -> Result<Frame<'static>, Violation> {
    match payload.first_chunk::<4>() {
        // An error of the stream, unlike the other wrong lengths (RFC 9113, 6.3).
        _ if payload.len() != 5 => {
            Err(Violation::of_stream(Code::FrameSize, "a PRIORITY frame does not have five octets"))
        }
        Some(&dependency) if u32::from_be_bytes(dependency) & MAX_31_BITS == header.stream => {
            Err(Violation::of_stream(Code::Protocol, "a stream depends on itself"))
        }
        _ => Ok(Frame::Priority),
    }
}

fn settings(header: FrameHeader, payload: &[u8]) -> Result<Frame<'_>, Violation> {
    match (header.has(flag::ACK), payload.len()) {
        (true, 0) => Ok(Frame::SettingsAck),
        (false, length) if length % super::settings::SETTING_BYTES == 0 => Ok(Frame::Settings(payload)),
        _ => Err(BAD_SIZE),
    }
}

fn window_update(header: FrameHeader, payload: &[u8]) -> Result<Frame<'static>, Violation> {
    const WHY: &str = "a WINDOW_UPDATE adds nothing";
    match u32::from_be_bytes(*exactly(payload)?) & MAX_31_BITS {
        0 if header.stream == 0 => Err(Violation::of_connection(Code::Protocol, WHY)),
        0 => Err(Violation::of_stream(Code::Protocol, WHY)),
        increment => Ok(Frame::WindowUpdate(increment)),
    }
}

fn exactly<const LENGTH: usize>(payload: &[u8]) -> Result<&[u8; LENGTH], Violation> {
    payload.try_into().map_err(|_| BAD_SIZE)
}

/// Four octets, and what follows them.
fn number(payload: &[u8]) -> Result<(u32, &[u8]), Violation> {
    let (number, rest) = payload.split_first_chunk().ok_or(BAD_SIZE)?;
    Ok((u32::from_be_bytes(*number), rest))
}

#[cfg(test)]
#[path = "frame_tests.rs"]
mod tests;
