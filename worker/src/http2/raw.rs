//! Raw access ([`crate::app::RawStream`]): what an application writes to the connection of its stream beside the rules.
//!
//! It is put among the header blocks of the call, so that a response without it pays nothing. What it changes of the connection
//! apart from its output is kept as [`Effects`] until the call is over.

use super::frame::{FrameHeader, kind};
use super::frame_writer as write;
use super::hpack::Encoder;
use super::state::{Drain, Http2, Stage, Wire};
use super::windows::{INITIAL_WINDOW, ReceiveWindow};
use super::writer::{After, BlockKind, Sink, Writer};
use crate::app::{AppError, RawFrame, StreamEnd};
use crate::dispatch::{Cut, Outcome};
use crate::http1::BodyFraming;
use crate::protocol::Closing;

/// What the server acknowledges to its client.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Acks {
    pub settings: bool,
    pub pings: bool,
}

/// What the raw output of one call changes of its connection.
#[derive(Default)]
pub struct Effects {
    /// Sent as raw DATA: the client counts them, too.
    data_bytes: usize,
    /// The last stream that it names, by default the last that has begun; and its code.
    goaway: Option<(Option<u32>, u32)>,
    withheld: Acks,
}

impl Sink<'_> {
    /// Begins or continues a raw response.
    pub fn begin_raw(&mut self) -> Result<(), AppError> {
        let raw = Writer { framing: BodyFraming::Chunked, after: After::Raw(StreamEnd::Whole) };
        match self.outgoing.writer.get_or_insert(raw).after {
            After::Raw(_) => Ok(()),
            After::Goes | After::Closes => Err(AppError::new("raw frames cannot follow a framed head")),
        }
    }

    /// As [`crate::app::RawStream::head`].
    pub fn raw_head(&mut self, fields: &[(&[u8], &[u8])], fragment_bytes_max: usize) {
        let id = self.cx.stream_id();
        self.raw_block(|encoder, out| {
            let start = write::begin_headers(out);
            encoder.begin(out);
            for (name, value) in fields {
                encoder.literal(name, value, out);
            }
            write::end_headers(start, false, id, fragment_bytes_max, out);
        });
    }

    /// As [`crate::app::RawStream::frame`].
    pub fn raw_frame(&mut self, frame: RawFrame<'_>) {
        let RawFrame { kind, flags, stream, payload } = frame;
        if kind == kind::DATA {
            // Of another stream, only the connection's window counts it.
            self.blocks.effects.data_bytes += payload.len();
            self.outgoing.window.overspend(if stream == self.cx.stream_id() { payload.len() } else { 0 });
        }
        self.raw_block(|_, out| {
            write::frame(FrameHeader { length: payload.len(), kind, flags, stream }, out);
            out.extend_from_slice(payload);
        });
    }

    /// As [`crate::app::RawStream::bytes`].
    pub fn raw_bytes(&mut self, bytes: &[u8]) {
        self.raw_block(|_, out| out.extend_from_slice(bytes));
    }

    /// As [`crate::app::RawStream::goaway`].
    pub fn raw_goaway(&mut self, last: Option<u32>, code: u32) {
        self.blocks.effects.goaway = Some((last, code));
        self.raw_block(|_, _| {});
    }

    /// As [`crate::app::RawStream::withhold`].
    pub fn raw_withhold(&mut self, acks: Acks) {
        self.blocks.effects.withheld = acks;
        self.raw_block(|_, _| {});
    }

    /// As [`crate::app::RawStream::end`].
    pub fn raw_end(&mut self, end: StreamEnd) {
        if let Some(writer) = &mut self.outgoing.writer {
            writer.after = After::Raw(end);
        }
    }

    /// Bytes of this call.
    pub fn raw_written(&self) -> usize {
        self.blocks.bytes.len()
    }

    fn raw_block(&mut self, write: impl FnOnce(&mut Encoder, &mut Vec<u8>)) {
        write(self.encoder, &mut self.blocks.bytes);
        self.blocks.ends.push((self.blocks.bytes.len(), BlockKind::Raw));
    }
}

impl Http2 {
    /// Raw output of a call is written.
    pub(super) fn on_raw(&mut self, wire: &mut Wire<'_>) {
        let Effects { data_bytes, goaway, withheld } = std::mem::take(&mut wire.scratch.blocks.effects);
        self.send_window.overspend(data_bytes);
        self.withheld.settings |= withheld.settings;
        self.withheld.pings |= withheld.pings;
        if let Some((last, code)) = goaway {
            let served = self.last_served();
            wire.output.append_with(|out| write::goaway(last.unwrap_or(served), code, "", out));
            self.drain = Drain::Last(served);
        }
    }

    /// A raw response has ended.
    pub(super) fn end_raw(&mut self, at: usize, end: StreamEnd, wire: &mut Wire<'_>) {
        let code = match end {
            StreamEnd::Whole => return, // by END_STREAM, once its body is sent
            StreamEnd::Reset(code) => Some(code),
            StreamEnd::Abandoned | StreamEnd::ConnectionClosed | StreamEnd::ConnectionReset => None,
        };
        let mut stream = self.remove(at, wire.cx);
        if let Some(code) = code {
            wire.output.append_with(|out| write::rst_stream(stream.id, code, out));
        }
        self.note_reset(stream.id);
        stream.end_record(Outcome::Answered, wire.written(), wire.recorder);
        match end {
            StreamEnd::ConnectionClosed => self.cut(Closing::Lingering, wire),
            StreamEnd::ConnectionReset => self.cut(Closing::ResetTaken, wire),
            _ => {}
        }
    }

    /// Ends the connection without a further frame, with what waits in its other streams.
    fn cut(&mut self, closing: Closing, wire: &mut Wire<'_>) {
        self.end(wire.written(), Outcome::Cut(Cut::App), wire.recorder);
        // Nothing is left that would send a frame in this turn.
        self.receive_window = ReceiveWindow::new(INITIAL_WINDOW);
        self.drain = Drain::Last(self.last_served());
        self.stage = Stage::Ended(closing);
    }
}
