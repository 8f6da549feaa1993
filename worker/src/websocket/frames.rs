//! Passes the client's frames to the context, long ones as fragments.
//!
//! The context allocates the whole length of a frame when its header has arrived, and keeps that memory for the
//! following frames: 16 MiB for fourteen bytes, as long as the client stays connected. So a long frame is passed on as
//! fragments of its message (RFC 6455, 5.4), whose memory grows with the bytes that have arrived and is freed with the
//! message. An error that the header alone reveals is reported at once, not after the payload.
//!
//! Only headers are parsed. The context checks masks, UTF-8 and the order of frames.

use crate::net::ReadBuffer;
use std::io::ErrorKind;

/// The most payload that the context gets in one frame. A multiple of four, so that each fragment begins with the
/// mask's first byte.
pub const FRAGMENT_BYTES: usize = 16 << 10;
/// The longest header (RFC 6455, 5.2): two bytes, a length of eight, the mask.
const HEADER_BYTES_MAX: usize = 14;
/// The payload of a control frame (RFC 6455, 5.5).
const CONTROL_BYTES_MAX: u64 = 125;
const FIN: u8 = 0x80;
const OPCODE: u8 = 0x0f;
const CONTROL: u8 = 0x08;
const CONTINUATION: u8 = 0;
const MASKED: u8 = 0x80;

pub struct Frames {
    message_bytes_max: u64,
    /// The bytes of the message that is arriving, by the headers so far.
    message_bytes: u64,
    /// Its last frame is still to come.
    is_in_message: bool,
    /// The longest payload of one frame that was passed on since the last [`Frames::has_passed`].
    longest: usize,
    /// The header that is arriving, then the one that is passed on.
    header: [u8; HEADER_BYTES_MAX],
    stage: Stage,
}

enum Stage {
    /// `arrived` bytes of a header have arrived.
    Header {
        arrived: usize,
    },
    Fragment(Fragment),
    /// Nothing more is passed on, because of this error.
    Refused(ErrorKind),
}

/// The header of a client's frame.
#[derive(Clone, Copy)]
struct Header {
    first: u8,
    is_masked: bool,
    /// The length of the payload.
    length: u64,
    /// The length of the header itself.
    bytes: usize,
}

/// What is passed on as one frame: the header, from `given` to `header_bytes`, then the payload that is left.
#[derive(Clone, Copy)]
struct Fragment {
    given: usize,
    header_bytes: usize,
    payload_left: usize,
    /// The bytes of the client's frame after this fragment.
    frame_left: u64,
    /// The client's frame is the last of its message.
    is_final: bool,
}

impl Frames {
    pub fn new(message_bytes_max: usize) -> Self {
        Frames {
            message_bytes_max: message_bytes_max as u64,
            message_bytes: 0,
            is_in_message: false,
            longest: 0,
            header: [0; HEADER_BYTES_MAX],
            stage: Stage::Header { arrived: 0 },
        }
    }

    /// Fills `room` from `input`, which is empty afterwards unless the room is full or the budget used; returns how
    /// many bytes it filled. `budget`: the number of client frames that may begin. An error is returned after all bytes
    /// before it were taken: `FileTooLarge` for a message above the limit, `InvalidData` for a protocol violation.
    pub fn read(&mut self, input: &mut ReadBuffer, room: &mut [u8], budget: &mut usize) -> Result<usize, ErrorKind> {
        let mut filled = 0;
        while filled < room.len() {
            match &mut self.stage {
                Stage::Refused(error) if filled == 0 => return Err(*error),
                Stage::Refused(_) => break,
                Stage::Header { arrived } => {
                    if *arrived == 0 {
                        let count = self.whole_frames(input.unconsumed(), room.len() - filled, budget);
                        filled += move_into(&mut room[filled..], input, count);
                    }
                    if *budget == 0 || !self.take_header(input) {
                        break;
                    }
                    *budget -= 1;
                    self.stage = self.begin();
                }
                Stage::Fragment(fragment) => {
                    let header = &self.header[fragment.given..fragment.header_bytes];
                    let count = header.len().min(room.len() - filled);
                    room[filled..filled + count].copy_from_slice(&header[..count]);
                    fragment.given += count;
                    filled += count;
                    let count = move_into(&mut room[filled..], input, fragment.payload_left);
                    fragment.payload_left -= count;
                    filled += count;
                    if fragment.given == fragment.header_bytes && fragment.payload_left == 0 {
                        self.stage = match *fragment {
                            Fragment { frame_left: 0, .. } => Stage::Header { arrived: 0 },
                            fragment => self.next_fragment(fragment),
                        };
                    } else if input.is_empty() {
                        break;
                    }
                }
            }
        }
        Ok(filled)
    }

    /// Whether all that has arrived was passed on, and was complete messages.
    pub fn is_between_messages(&self) -> bool {
        !self.is_in_message && matches!(self.stage, Stage::Header { arrived: 0 })
    }

    /// Whether a part of a message has arrived.
    pub fn is_in_message(&self) -> bool {
        !self.is_between_messages()
    }

    /// Whether a frame of more than `bytes` was passed on since the last call.
    pub fn has_passed(&mut self, bytes: usize) -> bool {
        std::mem::take(&mut self.longest) > bytes
    }

    /// The length of the frames at the front that can be passed on as they are, in one copy: short, valid and complete.
    fn whole_frames(&mut self, bytes: &[u8], room: usize, budget: &mut usize) -> usize {
        let bytes = &bytes[..bytes.len().min(room)];
        let mut whole = 0;
        while *budget > 0 {
            let Some(header) = Header::parse(&bytes[whole..]) else { break };
            let end = whole as u64 + header.bytes as u64 + header.length.min(u64::from(u32::MAX));
            if header.length > FRAGMENT_BYTES as u64 || end > bytes.len() as u64 || self.check(header).is_err() {
                break;
            }
            whole = end as usize;
            *budget -= 1;
        }
        whole
    }

    /// Moves header bytes out of the input; true once the header is complete.
    fn take_header(&mut self, input: &mut ReadBuffer) -> bool {
        let Stage::Header { arrived } = &mut self.stage else { return true };
        loop {
            let whole = Header::bytes(&self.header[..*arrived]);
            if *arrived == whole {
                return true;
            }
            let count = move_into(&mut self.header[*arrived..whole], input, whole);
            if count == 0 {
                return false;
            }
            *arrived += count;
        }
    }

    /// The header is complete: returns what is passed on in its place.
    fn begin(&mut self) -> Stage {
        let Some(header) = Header::parse(&self.header) else { return Stage::Header { arrived: 0 } };
        if let Err(error) = self.check(header) {
            return Stage::Refused(error);
        }
        let is_final = header.first & FIN != 0;
        if header.length <= FRAGMENT_BYTES as u64 {
            let (header_bytes, payload_left) = (header.bytes, header.length as usize);
            return Stage::Fragment(Fragment { given: 0, header_bytes, payload_left, frame_left: 0, is_final });
        }
        let mask = self.mask(header.bytes);
        self.fragment(header.first & !FIN, FRAGMENT_BYTES, mask, header.length - FRAGMENT_BYTES as u64, is_final)
    }

    /// Checks a frame's header, and counts the bytes of its message.
    fn check(&mut self, header: Header) -> Result<(), ErrorKind> {
        let is_control = header.first & CONTROL != 0;
        if !header.is_masked || is_control && header.length > CONTROL_BYTES_MAX {
            return Err(ErrorKind::InvalidData);
        }
        if !is_control {
            let before = if header.first & OPCODE == CONTINUATION { self.message_bytes } else { 0 };
            let message_bytes = before.saturating_add(header.length);
            if message_bytes > self.message_bytes_max {
                return Err(ErrorKind::FileTooLarge);
            }
            self.message_bytes = message_bytes;
            self.is_in_message = header.first & FIN == 0;
        }
        self.longest = self.longest.max(header.length.min(FRAGMENT_BYTES as u64) as usize);
        Ok(())
    }

    /// The next fragment of the client's frame.
    fn next_fragment(&mut self, before: Fragment) -> Stage {
        let length = before.frame_left.min(FRAGMENT_BYTES as u64);
        let frame_left = before.frame_left - length;
        let fin = if before.is_final && frame_left == 0 { FIN } else { 0 };
        let mask = self.mask(before.header_bytes);
        self.fragment(CONTINUATION | fin, length as usize, mask, frame_left, before.is_final)
    }

    /// Writes a fragment's header. `payload` is at most [`FRAGMENT_BYTES`] and so fits two bytes.
    fn fragment(&mut self, first: u8, payload: usize, mask: [u8; 4], frame_left: u64, is_final: bool) -> Stage {
        let length = (payload as u16).to_be_bytes();
        self.header[..4].copy_from_slice(&[first, MASKED | 126, length[0], length[1]]);
        self.header[4..8].copy_from_slice(&mask);
        Stage::Fragment(Fragment { given: 0, header_bytes: 8, payload_left: payload, frame_left, is_final })
    }

    /// The payload's mask: the end of the header.
    fn mask(&self, header_bytes: usize) -> [u8; 4] {
        [4, 3, 2, 1].map(|from_end| self.header[header_bytes - from_end])
    }
}

impl Header {
    /// `None` while it is incomplete.
    fn parse(bytes: &[u8]) -> Option<Header> {
        let &[first, second, ..] = bytes else { return None };
        let whole = Header::bytes(bytes);
        if bytes.len() < whole {
            return None;
        }
        let is_masked = second & MASKED != 0;
        let longer = &bytes[2..whole - if is_masked { 4 } else { 0 }];
        let length = match longer {
            [] => u64::from(second & !MASKED),
            _ => longer.iter().fold(0, |sum, &byte| sum << 8 | u64::from(byte)),
        };
        Some(Header { first, is_masked, length, bytes: whole })
    }

    /// The length of the header, as far as its first bytes tell.
    fn bytes(begin: &[u8]) -> usize {
        let &[_, second, ..] = begin else { return 2 };
        let longer = match second & !MASKED {
            126 => 2,
            127 => 8,
            _ => 0,
        };
        2 + longer + if second & MASKED == 0 { 0 } else { 4 }
    }
}

/// Moves as many bytes as are there and fit, at most `most`.
fn move_into(room: &mut [u8], input: &mut ReadBuffer, most: usize) -> usize {
    let bytes = input.unconsumed();
    let count = room.len().min(bytes.len()).min(most);
    room[..count].copy_from_slice(&bytes[..count]);
    input.consume(count);
    count
}
