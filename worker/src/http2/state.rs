//! One connection of HTTP/2 as a state machine: its streams, and what they share.
//!
//! ```text
//!   (switched to) --> Preface --> Settings: the client's first frame --> Open --- violation, abuse, a wait ends --> Ended
//!                                                                        |  ^
//!                     a stream:  HEADERS --> (Waiting) --> Exchange --> Sending --> (Discarding) --> gone
//! ```
//!
//! [`Http2::advance`] reads the frames that have arrived (receive.rs), which begin requests (request.rs) and bring bytes of their
//! bodies; calls the exchanges for which something has come (drive.rs); and moves what they have written into frames of the
//! connection's output, as far as the client's windows and the watermarks allow (send.rs). What is waited for is in deadlines.rs.
//!
//! All streams share the watermarks. A stream whose window is closed is not counted, so that it stops no other: an exchange is not
//! called for more than its client's window takes. Such streams together have bounds of their own ([`Paused`]): above the first a
//! stream of which nothing waits still goes on, by a little at a time, so that a response that is not read delays no other.

use super::budget::Budget;
use super::error::Code;
use super::frame::PREFACE;
use super::frame_writer as write;
use super::hpack::{Block, Decoder, Encoder};
use super::last_head::{LastHead, Table};
use super::outgoing::Outgoing;
use super::priority::Priority;
use super::raw::Acks;
use super::send::Rank;
use super::settings::Settings;
use super::stream::{Part, Stream};
use super::windows::{INITIAL_WINDOW, ReceiveWindow, SendWindow};
use super::writer::Blocks;
use crate::app::{App, Cx};
use crate::dispatch::{Outcome, Record, Recorder};
use crate::eviction::Waits;
use crate::net::{ReadBuffer, WriteQueue};
use crate::protocol::{Closing, Io, Next, Passed};
use std::collections::VecDeque;
use std::time::Instant;

/// Streams that a client may have open: SETTINGS_MAX_CONCURRENT_STREAMS.
pub const STREAMS_MAX: usize = 128;
/// What a client may send on all streams before apps take it. The window is opened as bytes come, but for those that wait for apps
/// which do not take them.
pub const WINDOW: u32 = 1 << 20;
/// In streams whose windows are closed, more than this many high watermarks are much.
const MUCH_PAUSED_MARKS: usize = 4;
/// And more than one for each stream that there may be are too much: applications have written chunks that are larger.
const PAUSED_MARKS_MAX: usize = STREAMS_MAX;
/// Streams that were reset last, of which frames may still come.
const RESET_MAX: usize = STREAMS_MAX;
/// The most input that is buffered: some frames.
pub const INPUT_BYTES_MAX: usize = 64 << 10;

/// What waits in streams whose windows are closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Paused {
    Little,
    /// Streams of which something waits are not called.
    Much,
    /// None is called.
    TooMuch,
}

impl Paused {
    fn of(bytes: usize, cx: &Cx<'_>) -> Paused {
        let mark = cx.limits().write_high_watermark_bytes;
        if bytes > PAUSED_MARKS_MAX * mark {
            Paused::TooMuch
        } else if bytes > MUCH_PAUSED_MARKS * mark {
            Paused::Much
        } else {
            Paused::Little
        }
    }

    pub(super) fn holds(self, stream: &Outgoing) -> bool {
        match self {
            Paused::Little => false,
            Paused::Much => !stream.queue.is_empty(),
            Paused::TooMuch => true,
        }
    }
}

pub struct Http2 {
    pub(super) stage: Stage,
    /// Among the connections of the worker, from 1; 0 before the preface.
    pub(super) number: u64,
    pub(super) decoder: Decoder,
    pub(super) encoder: Encoder,
    pub(super) client: Settings,
    /// The client's window for all streams, and ours.
    pub(super) send_window: SendWindow,
    pub(super) receive_window: ReceiveWindow,
    /// In the order of their ids.
    #[allow(clippy::vec_box)] // they are long, and one is removed from the middle
    pub(super) streams: Vec<Box<Stream>>,
    /// Bytes in the queues of all streams, and those of them whose windows are closed.
    pub(super) queued_bytes: usize,
    pub(super) paused_bytes: usize,
    /// The last stream that the client has begun.
    pub(super) last: u32,
    pub(super) block: Option<Box<OpenBlock>>,
    pub(super) reset: VecDeque<u32>,
    pub(super) budget: Budget,
    /// The client has not acknowledged our SETTINGS, which were sent by then.
    pub(super) settings_sent: Option<Instant>,
    /// The beginning of a frame, or of a header block, has come by then.
    pub(super) part_since: Option<Instant>,
    /// When the last stream ended, or the connection began.
    pub(super) idle_since: Instant,
    pub(super) drain: Drain,
    /// Of a stream that has not begun: PRIORITY_UPDATE may come before its head.
    pub(super) early_priority: Option<(u32, Priority)>,
    /// Where the next round of streams begins: after this one.
    pub(super) turn: u32,
    /// After this one was called the time of the turn was up: the next turn calls those after it first.
    pub(super) called_last: u32,
    pub(super) place: u32,
    pub(super) ends_at_next_wait: bool,
    pub(super) is_probed: bool,
    /// What an application with raw access does not have acknowledged.
    pub(super) withheld: Acks,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stage {
    Preface,
    Settings,
    Open,
    Ended(Closing),
}

/// A header block whose end has not come.
pub(super) struct OpenBlock {
    pub stream: u32,
    pub ends_stream: bool,
    pub bytes: Vec<u8>,
    pub frames: usize,
    pub depends_on_itself: bool,
}

/// How far the end of the connection is announced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Drain {
    No,
    /// That it ends (GOAWAY with the highest id), at this time: requests that were under way by then are served.
    Announced(Instant),
    /// Which request is the last.
    Last(u32),
}

/// What the connections of a worker share.
#[derive(Default)]
pub struct Scratch {
    pub(super) block: Block,
    pub(super) blocks: Blocks,
    /// `None`: while it is in use.
    pub(super) last_head: Option<Box<LastHead>>,
    /// Connections so far.
    pub(super) connections: u64,
    /// Streams by their ranks.
    pub(super) order: Vec<(Rank, u32)>,
    /// Where WebSockets read what has come for them; made for the first.
    pub(super) websocket_input: Option<ReadBuffer>,
}

/// The connection's side of a call, apart from its input.
pub(super) struct Wire<'a> {
    pub output: &'a mut WriteQueue,
    pub recorder: &'a mut Recorder,
    pub scratch: &'a mut Scratch,
    pub passed: Passed,
    pub input_ended: bool,
    pub hung_up: bool,
    pub app: &'a mut dyn App,
    pub cx: &'a Cx<'a>,
}

impl Wire<'_> {
    /// The position in the connection's output up to which it is written.
    pub fn written(&self) -> u64 {
        self.passed.written(self.output.len())
    }
}

/// Whether these bytes, at the start of a connection, are of HTTP/2 and no request of HTTP/1: the first line of the preface.
pub fn is_preface(bytes: &[u8]) -> bool {
    bytes.starts_with(&PREFACE[..16])
}

impl Http2 {
    pub fn new(now: Instant) -> Http2 {
        Http2 {
            stage: Stage::Preface,
            number: 0,
            decoder: Decoder::new(),
            encoder: Encoder::new(),
            client: Settings::default(),
            send_window: SendWindow::new(INITIAL_WINDOW),
            receive_window: ReceiveWindow::new(INITIAL_WINDOW),
            streams: Vec::new(),
            queued_bytes: 0,
            paused_bytes: 0,
            last: 0,
            block: None,
            reset: VecDeque::new(),
            budget: Budget::new(now),
            settings_sent: None,
            part_since: Some(now),
            idle_since: now,
            drain: Drain::No,
            early_priority: None,
            turn: 0,
            called_last: 0,
            place: 0,
            ends_at_next_wait: false,
            is_probed: false,
            withheld: Acks::default(),
        }
    }

    /// What a header block refers to now.
    pub(super) fn table(&self) -> Table {
        Table { connection: self.number, changes: self.decoder.changes() }
    }

    /// The exchange of this stream is called although its time has not come.
    pub fn wake(&mut self, id: u32) {
        match self.stream(id).map(|stream| &mut stream.part) {
            Some(Part::Exchange(active)) => {
                active.driver.wake();
                active.is_due = true;
            }
            Some(Part::WebSocket(open)) => {
                open.websocket.wake();
                open.is_due = true;
            }
            _ => {}
        }
    }

    /// Requests that are being answered.
    pub fn in_flight(&self) -> u16 {
        self.streams.iter().filter(|stream| stream.is_in_flight()).count() as u16
    }

    /// Whether a drain waits for it.
    pub fn is_busy(&self, has_input: bool) -> bool {
        !matches!(self.stage, Stage::Ended(_)) && (has_input || !self.streams.is_empty())
    }

    /// What it waits for, and since when, if it may be evicted.
    pub fn waits_since(&self) -> Option<(Waits, Instant)> {
        match self.streams.is_empty() && !self.ends_at_next_wait {
            true if self.part_since.is_some() => Some((Waits::Head, self.idle_since)),
            true => Some((Waits::Request { is_first: self.last == 0 }, self.idle_since)),
            false => None,
        }
    }

    /// Ends the current wait as if its deadline had passed.
    pub fn end_at_next_wait(&mut self) {
        self.ends_at_next_wait = true;
    }

    /// As [`crate::protocol::Protocol::awaiting_first_byte`].
    pub fn awaiting_first_byte(&mut self, sent_bytes: u64) -> Option<&mut Record> {
        let mut begun = self.streams.iter_mut().filter(|stream| stream.outgoing.writer.is_some());
        begun.find_map(|stream| stream.record.as_mut().filter(|record| record.awaits_first_byte(sent_bytes)))
    }

    /// As [`crate::protocol::Protocol::end`].
    pub fn end(&mut self, written: u64, outcome: Outcome, recorder: &mut Recorder) {
        self.queued_bytes = 0;
        for mut stream in self.streams.drain(..) {
            stream.end_record(outcome, written, recorder);
        }
    }

    /// Whether bytes from the client would be used now. A window may come for what waits in a stream, so that only the output of
    /// the connection counts; it is full only while the client does not read.
    pub fn wants_input(&self, queued_bytes: usize, cx: &Cx<'_>) -> bool {
        !matches!(self.stage, Stage::Ended(_)) && queued_bytes <= cx.limits().write_high_watermark_bytes
    }

    /// Advances as far as the bytes, the windows, the room for output and the time allow.
    pub fn advance(&mut self, io: &mut Io<'_>, app: &mut dyn App, cx: &Cx<'_>) -> Next {
        let Io { input, output, recorder, scratch, passed, input_ended, hung_up } = io;
        let scratch = &mut scratch.http2;
        let mut wire =
            Wire { output, recorder, scratch, passed: *passed, input_ended: *input_ended, hung_up: *hung_up, app, cx };
        let has_more = self.receive(input, &mut wire);
        if !matches!(self.stage, Stage::Ended(_)) {
            self.drive_all(&mut wire);
            self.send(&mut wire);
            self.end_streams(&mut wire);
            self.open_windows(&mut wire);
            self.end_waits(has_more, &mut wire);
        }
        if let Stage::Ended(closing) = self.stage {
            input.clear();
            return Next::Close(closing);
        }
        if has_more { Next::Again } else { self.next(&wire) }
    }

    /// The connection ends with this error.
    pub(super) fn fail(&mut self, code: Code, why: &str, wire: &mut Wire<'_>) {
        if matches!(self.stage, Stage::Ended(_)) {
            return;
        }
        self.put_goaway(self.last_served(), code, why, wire);
        let outcome = match code {
            Code::NoError => Outcome::Cut(crate::dispatch::Cut::Shutdown),
            _ => Outcome::ClientLeft,
        };
        let written = wire.written();
        self.end(written, outcome, wire.recorder);
        self.stage = Stage::Ended(Closing::Lingering);
    }

    /// Tells the client that the connection ends: after our SETTINGS (RFC 9113, 3.4).
    pub(super) fn put_goaway(&mut self, last: u32, code: Code, why: &str, wire: &mut Wire<'_>) {
        if self.stage == Stage::Preface {
            self.introduce(wire);
        }
        wire.output.append_with(|out| write::goaway(last, code as u32, why, out));
    }

    /// The last stream that is served: a GOAWAY names none above that of the one before (RFC 9113, 6.8).
    pub(super) fn last_served(&self) -> u32 {
        match self.drain {
            Drain::Last(last) => last,
            Drain::No | Drain::Announced(_) => self.last,
        }
    }

    /// Counts anew what the client's windows hold up.
    pub(super) fn count_paused(&mut self) {
        let window = self.send_window;
        let paused =
            self.streams.iter().map(|stream| &stream.outgoing).filter(|outgoing| outgoing.open_window(window) == 0);
        self.paused_bytes = paused.map(|outgoing| outgoing.queue.len()).sum();
    }

    /// Whether too much waits in all streams for a request to begin: applications also answer with whole responses, whose bodies are
    /// queued.
    pub(super) fn is_too_full(&self, cx: &Cx<'_>) -> bool {
        Paused::of(self.queued_bytes, cx) == Paused::TooMuch
    }

    /// Whether too much waits for the exchange of this stream to be called for more; `output_bytes`: in the connection's output.
    pub(super) fn is_full(&self, stream: &Outgoing, output_bytes: usize, cx: &Cx<'_>) -> bool {
        let going = self.queued_bytes - self.paused_bytes.min(self.queued_bytes) + output_bytes;
        going > cx.limits().write_low_watermark_bytes || self.holds(stream, cx)
    }

    /// Whether a stream is not called until its client has taken what waits of it.
    pub(super) fn holds(&self, stream: &Outgoing, cx: &Cx<'_>) -> bool {
        self.paused(cx).holds(stream)
    }

    pub(super) fn paused(&self, cx: &Cx<'_>) -> Paused {
        Paused::of(self.paused_bytes, cx)
    }

    /// Whether a client's stream with this id has not begun. Those of a server have even ids, and never do.
    pub(super) fn is_idle(&self, id: u32) -> bool {
        id > self.last || id.is_multiple_of(2)
    }

    pub(super) fn place_of(&self, id: u32) -> Option<usize> {
        // Mostly it is one of the last.
        self.streams.iter().rposition(|stream| stream.id == id)
    }

    pub(super) fn stream(&mut self, id: u32) -> Option<&mut Stream> {
        let at = self.place_of(id)?;
        Some(&mut self.streams[at])
    }

    /// Removes a stream, whatever was to be sent of it.
    pub(super) fn remove(&mut self, at: usize, cx: &Cx<'_>) -> Box<Stream> {
        let stream = self.streams.remove(at);
        self.queued_bytes -= stream.outgoing.queue.len();
        if self.streams.is_empty() {
            self.idle_since = cx.now();
            // Most connections have few at most of the time.
            self.streams.shrink_to(4);
        }
        stream
    }

    /// Ends a stream of which nothing else is known any more.
    pub(super) fn put_reset(&mut self, id: u32, code: Code, wire: &mut Wire<'_>) {
        wire.output.append_with(|out| write::rst_stream(id, code as u32, out));
        self.note_reset(id);
    }

    /// Frames of this stream may still come, and are ignored.
    pub(super) fn note_reset(&mut self, id: u32) {
        if self.reset.len() == RESET_MAX {
            self.reset.pop_front();
        }
        self.reset.push_back(id);
    }

    /// Ends a stream with RST_STREAM: its response, if one has begun, cannot be completed.
    pub(super) fn reset(&mut self, at: usize, code: Code, outcome: Outcome, wire: &mut Wire<'_>) {
        let mut stream = self.remove(at, wire.cx);
        self.put_reset(stream.id, code, wire);
        stream.end_record(outcome, wire.written(), wire.recorder);
    }
}

impl Stream {
    /// Its response is written, complete or not, up to this position of the connection's output.
    pub(super) fn end_record(&mut self, outcome: Outcome, written: u64, recorder: &mut Recorder) {
        let Some(mut record) = self.record.take() else { return };
        record.outcome = outcome;
        record.request_bytes = self.incoming.frame_bytes;
        record.written_among_others(written, self.outgoing.frame_bytes);
        recorder.complete(record);
    }
}
