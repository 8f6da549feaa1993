//! Frames from the client (RFC 9113, 6), in the state of the connection and its streams.

use super::budget::{RAPID, TINY_UPDATE, Waste};
use super::error::{Code, Scope, Violation};
use super::frame::{Data, Frame, FrameHeader, HEADER_BYTES, Headers, PREFACE, StreamId};
use super::frame_writer as write;
use super::head;
use super::hpack::DecodeError;
use super::incoming;
use super::last_head::{Coded, LastHead};
use super::priority::Priority;
use super::settings::id;
use super::state::{Drain, Http2, OpenBlock, STREAMS_MAX, Stage, WINDOW, Wire};
use super::stream::Part;
use crate::dispatch::Outcome;
use crate::http1::REQUESTS_PER_TURN;
use crate::net::ReadBuffer;
use crate::protocol::Closing;

/// While this much waits for apps that do not take it, the connection's window is not opened.
const WAITING_BYTES_MAX: usize = WINDOW as usize / 2;

type Handled = Result<(), Violation>;

impl Http2 {
    /// Handles the frames that are complete; returns whether there are more of them, for which the time is up.
    pub(super) fn receive(&mut self, input: &mut ReadBuffer, wire: &mut Wire<'_>) -> bool {
        if self.stage == Stage::Preface && !self.greet(input, wire) {
            return false;
        }
        let mut begun = 0;
        while !matches!(self.stage, Stage::Ended(_)) {
            let bytes = input.unconsumed();
            let header = match FrameHeader::parse(bytes) {
                Ok(Some(header)) => header,
                Ok(None) => break,
                Err(violation) => {
                    self.fail(violation.code, violation.why, wire);
                    break;
                }
            };
            let Some(payload) = bytes.get(HEADER_BYTES..HEADER_BYTES + header.length) else { break };
            // A client that does not read what its frames cause is not read from.
            let is_full = wire.output.len() > wire.cx.limits().write_high_watermark_bytes;
            if is_full || begun >= REQUESTS_PER_TURN || begun > 0 && wire.cx.is_time_up() {
                return true;
            }
            let last = self.last;
            if let Err(violation) = self.on_frame(header, payload, wire) {
                self.on_violation(header.stream, violation, wire);
            }
            begun += usize::from(self.last > last);
            input.consume(HEADER_BYTES + header.length);
            // A header block has one deadline for all of its frames.
            if self.block.is_none() {
                self.part_since = None;
            }
        }
        let is_part = self.block.is_some() || !input.is_empty();
        self.part_since = if is_part { self.part_since.or(Some(wire.cx.now())) } else { None };
        false
    }

    /// The client's preface, which is answered by ours: SETTINGS, and more of the connection's window.
    fn greet(&mut self, input: &mut ReadBuffer, wire: &mut Wire<'_>) -> bool {
        let bytes = input.unconsumed();
        let length = bytes.len().min(PREFACE.len());
        if bytes[..length] != PREFACE[..length] {
            self.fail(Code::Protocol, "the preface is wrong", wire);
            return false;
        }
        if length < PREFACE.len() {
            if wire.input_ended {
                self.stage = Stage::Ended(Closing::Flushed);
            }
            return false;
        }
        input.consume(length);
        wire.scratch.connections += 1;
        self.number = wire.scratch.connections;
        self.introduce(wire);
        self.stage = Stage::Settings;
        true
    }

    /// Our preface.
    pub(super) fn introduce(&mut self, wire: &mut Wire<'_>) {
        let settings = [
            (id::MAX_CONCURRENT_STREAMS, STREAMS_MAX as u32),
            (id::INITIAL_WINDOW_SIZE, incoming::WINDOW),
            (id::MAX_HEADER_LIST_SIZE, head::bounds(wire.cx.limits()).bytes_max as u32),
            (id::ENABLE_CONNECT_PROTOCOL, 1),
            (id::NO_RFC7540_PRIORITIES, 1),
        ];
        let more = self.receive_window.enlarge(WINDOW);
        wire.output.append_with(|out| {
            write::settings(&settings, out);
            if let Some(more) = more {
                write::window_update(0, more, out);
            }
        });
        self.settings_sent = Some(wire.cx.now());
    }

    fn on_frame(&mut self, header: FrameHeader, payload: &[u8], wire: &mut Wire<'_>) -> Handled {
        let frame = Frame::parse(header, payload);
        if self.stage == Stage::Settings && !matches!(frame, Ok(Frame::Settings(_))) {
            return Err(Violation::of_connection(Code::Protocol, "the first frame is not SETTINGS"));
        }
        if let Some(block) = &self.block
            && !(matches!(frame, Ok(Frame::Continuation { .. })) && header.stream == block.stream)
        {
            return Err(Violation::of_connection(Code::Protocol, "another frame stands within a header block"));
        }
        let id = header.stream;
        match frame? {
            Frame::Data(data) => self.on_data(id, data, wire),
            Frame::Headers(headers) => self.on_headers(id, headers, wire),
            Frame::Priority => self.charge(Waste::Priority, wire),
            Frame::RstStream(_) => self.on_reset(id, wire),
            Frame::Settings(payload) => self.on_settings(payload, wire),
            Frame::SettingsAck => {
                self.settings_sent = None;
                self.charge(Waste::Ignored, wire)
            }
            Frame::Ping(octets) => {
                if !self.withheld.pings {
                    wire.output.append_with(|out| write::ping_ack(octets, out));
                }
                self.charge(Waste::Ping, wire)
            }
            Frame::WindowUpdate(increment) => self.on_window(id, increment, wire),
            Frame::Continuation { fragment, ends_headers } => self.on_continuation(fragment, ends_headers, wire),
            Frame::PriorityUpdate { stream, field } => {
                self.charge(Waste::Priority, wire)?;
                self.on_priority_update(stream, Priority::parse(field))
            }
            Frame::PingAck(_) | Frame::Goaway { .. } | Frame::Unknown => self.charge(Waste::Ignored, wire),
        }
    }

    pub(super) fn charge(&mut self, waste: Waste, wire: &Wire<'_>) -> Handled {
        const SPENT: Violation = Violation::of_connection(Code::EnhanceYourCalm, "too much that is of no use");
        self.budget.charge(waste, wire.cx.now()).map_err(|_| SPENT)
    }

    fn on_violation(&mut self, id: StreamId, violation: Violation, wire: &mut Wire<'_>) {
        let Violation { code, scope, why } = violation;
        // Nothing is sent on a stream that has not begun.
        if scope == Scope::Connection || self.is_idle(id) {
            return self.fail(code, why, wire);
        }
        match self.place_of(id) {
            Some(at) => self.reset(at, code, Outcome::ClientLeft, wire),
            None => self.put_reset(id, code, wire),
        }
        let waste = match code {
            // A client that does not know of the limit cannot keep to it.
            Code::RefusedStream if self.settings_sent.is_some() => Waste::Ignored,
            _ => Waste::ForcedReset,
        };
        if let Err(Violation { code, why, .. }) = self.charge(waste, wire) {
            self.fail(code, why, wire);
        }
    }

    fn on_data(&mut self, id: StreamId, data: Data<'_>, wire: &mut Wire<'_>) -> Handled {
        if self.is_idle(id) {
            return Err(IDLE);
        }
        self.receive_window.receive(data.counted, Scope::Connection)?;
        self.receive_window.take(data.counted);
        if data.body.is_empty() && !data.ends_stream {
            self.charge(Waste::EmptyData, wire)?;
        }
        let Some(at) = self.place_of(id) else {
            // Of one that was reset, it was on its way.
            return if self.reset.contains(&id) { Ok(()) } else { Err(CLOSED) };
        };
        let incoming = &mut self.streams[at].incoming;
        if incoming.has_ended {
            return Err(Violation { scope: Scope::Stream, ..CLOSED });
        }
        incoming.frame_bytes += HEADER_BYTES as u64 + u64::from(data.counted);
        incoming.on_data(data)?;
        self.on_body(at, wire);
        Ok(())
    }

    /// More of a request's body has come, or its end.
    fn on_body(&mut self, at: usize, wire: &mut Wire<'_>) {
        match &mut self.streams[at].part {
            Part::Exchange(active) => active.is_due = true,
            Part::WebSocket(open) => open.is_due = true,
            Part::Discarding(_) | Part::Sending => self.discard(at, wire),
            Part::Waiting(_) => {}
        }
    }

    fn on_headers(&mut self, id: StreamId, headers: Headers<'_>, wire: &mut Wire<'_>) -> Handled {
        if id.is_multiple_of(2) {
            return Err(Violation::of_connection(Code::Protocol, "a client's stream has an even number"));
        }
        if id <= self.last && self.place_of(id).is_none() && !self.reset.contains(&id) {
            return Err(CLOSED);
        }
        let Headers { fragment, ends_stream, ends_headers, depends_on_itself } = headers;
        let open = OpenBlock { stream: id, ends_stream, bytes: Vec::new(), frames: 1, depends_on_itself };
        if ends_headers {
            return self.on_block(&open, fragment, wire);
        }
        self.block = Some(Box::new(OpenBlock { bytes: fragment.to_vec(), ..open }));
        Ok(())
    }

    fn on_continuation(&mut self, fragment: &[u8], ends_headers: bool, wire: &mut Wire<'_>) -> Handled {
        const NO_BLOCK: Violation = Violation::of_connection(Code::Protocol, "CONTINUATION continues nothing");
        const TOO_LONG: Violation = Violation::of_connection(Code::EnhanceYourCalm, "a header block is too long");
        let mut open = self.block.take().ok_or(NO_BLOCK)?;
        open.frames += 1;
        self.charge(Waste::Continuation, wire)?;
        // What it stands for is longer.
        if open.bytes.len() + fragment.len() > head::bounds(wire.cx.limits()).bytes_max {
            return Err(TOO_LONG);
        }
        open.bytes.extend_from_slice(fragment);
        if !ends_headers {
            self.block = Some(open);
            return Ok(());
        }
        let bytes = std::mem::take(&mut open.bytes);
        self.on_block(&open, &bytes, wire)
    }

    /// A header block is complete: it begins a stream, or has its trailers.
    fn on_block(&mut self, open: &OpenBlock, block: &[u8], wire: &mut Wire<'_>) -> Handled {
        let table = self.table();
        let is_of = |last: &LastHead| last.is_of(block, table, open.ends_stream);
        let is_last = open.stream > self.last && wire.scratch.last_head.as_deref().is_some_and(is_of);
        if !is_last {
            let bounds = head::bounds(wire.cx.limits());
            self.decoder.decode(block, bounds, &mut wire.scratch.block).map_err(|error| match error {
                DecodeError::Malformed => Violation::of_connection(Code::Compression, "a header block is malformed"),
                DecodeError::Bomb => Violation::of_connection(Code::EnhanceYourCalm, "a header block is a bomb"),
            })?;
        }
        let (id, frame_bytes) = (open.stream, (block.len() + HEADER_BYTES * open.frames) as u64);
        if let Some(at) = self.place_of(id) {
            return self.on_trailers(at, open.ends_stream, frame_bytes, wire);
        }
        if id <= self.last {
            return self.charge(Waste::Ignored, wire); // of a stream that was reset
        }
        self.last = id;
        if open.depends_on_itself {
            return Err(Violation::of_stream(Code::Protocol, "a stream depends on itself"));
        }
        match self.drain {
            // The client knows that these are not served, and may send them elsewhere.
            Drain::Last(last) if id > last => {
                self.note_reset(id);
                Ok(())
            }
            _ if self.streams.len() >= STREAMS_MAX => {
                Err(Violation::of_stream(Code::RefusedStream, "there are too many streams"))
            }
            _ => {
                let coded =
                    Coded { bytes: block, table: Some(table).filter(|&before| before == self.table()), is_last };
                self.on_request(id, open.ends_stream, frame_bytes, coded, wire)
            }
        }
    }

    fn on_trailers(&mut self, at: usize, ends: bool, frame_bytes: u64, wire: &mut Wire<'_>) -> Handled {
        let incoming = &mut self.streams[at].incoming;
        if incoming.has_ended {
            return Err(Violation { scope: Scope::Stream, ..CLOSED });
        }
        if incoming.is_tunnel() {
            return Err(Violation::of_stream(Code::Protocol, "a tunnel has no trailers")); // RFC 9113, 8.5
        }
        incoming.frame_bytes += frame_bytes;
        // They are dropped, as any recipient may do (RFC 9110, 6.5.1).
        if !ends || head::check_trailers(&wire.scratch.block).is_err() {
            return Err(Violation::of_stream(Code::Protocol, "the trailers are malformed"));
        }
        incoming.end()?;
        self.on_body(at, wire);
        Ok(())
    }

    fn on_priority_update(&mut self, id: StreamId, priority: Priority) -> Handled {
        if id.is_multiple_of(2) {
            return Err(Violation::of_connection(Code::Protocol, "the priority is that of a stream of the server")); // RFC 9218, 7.1
        }
        if id > self.last {
            self.early_priority = Some((id, priority));
        } else if let Some(stream) = self.stream(id) {
            stream.priority = priority;
        }
        Ok(())
    }

    fn on_reset(&mut self, id: StreamId, wire: &mut Wire<'_>) -> Handled {
        if self.is_idle(id) {
            return Err(IDLE);
        }
        let Some(at) = self.place_of(id) else { return self.charge(Waste::Ignored, wire) };
        let mut stream = self.remove(at, wire.cx);
        let is_rapid = stream.record.as_ref().is_some_and(|record| wire.cx.now() < record.began + RAPID);
        stream.end_record(Outcome::ClientLeft, wire.written(), wire.recorder);
        if is_rapid { self.charge(Waste::RapidReset, wire) } else { Ok(()) }
    }

    fn on_settings(&mut self, payload: &[u8], wire: &mut Wire<'_>) -> Handled {
        if self.stage == Stage::Settings {
            self.stage = Stage::Open;
        } else {
            self.charge(Waste::Settings, wire)?;
        }
        let before = self.client.initial_window;
        self.client.apply(payload, &mut self.encoder)?;
        for stream in &mut self.streams {
            stream.outgoing.window.change_initial(before, self.client.initial_window)?;
        }
        if !self.withheld.settings {
            wire.output.append_with(write::settings_ack);
        }
        Ok(())
    }

    fn on_window(&mut self, id: StreamId, increment: u32, wire: &mut Wire<'_>) -> Handled {
        if id > 0 && self.is_idle(id) {
            return Err(IDLE);
        }
        if increment < TINY_UPDATE {
            self.charge(Waste::TinyWindowUpdate, wire)?;
        }
        match id {
            0 => self.send_window.widen(increment, Scope::Connection),
            id => match self.stream(id) {
                Some(stream) => stream.outgoing.window.widen(increment, Scope::Stream),
                None => self.charge(Waste::Ignored, wire),
            },
        }
    }

    /// Drops what has come of a body that no exchange takes. The stream ends with it, or if it is too long.
    pub(super) fn discard(&mut self, at: usize, wire: &mut Wire<'_>) {
        let stream = &mut self.streams[at];
        let bytes = stream.incoming.data().len();
        stream.incoming.consume(bytes);
        let Part::Discarding(discarding) = &mut stream.part else { return };
        let has_ended = stream.incoming.has_ended;
        if !has_ended && bytes as u64 <= discarding.bytes_left {
            discarding.bytes_left -= bytes as u64;
            return;
        }
        let stream = self.remove(at, wire.cx);
        if !has_ended {
            self.put_reset(stream.id, Code::NoError, wire);
        }
    }

    /// Gives the client back what has come, unless much of it waits for apps that do not take it.
    pub(super) fn open_windows(&mut self, wire: &mut Wire<'_>) {
        let mut waiting = 0;
        for stream in &mut self.streams {
            waiting += stream.incoming.data().len();
            if let Some(by) = stream.incoming.update() {
                let id = stream.id;
                wire.output.append_with(|out| write::window_update(id, by, out));
            }
        }
        if waiting > WAITING_BYTES_MAX {
            return;
        }
        let was_used_up = self.receive_window.is_used_up();
        let Some(by) = self.receive_window.update() else { return };
        wire.output.append_with(|out| write::window_update(0, by, out));
        if was_used_up {
            // From now on the client is waited for.
            for stream in &mut self.streams {
                if let Part::Exchange(active) = &mut stream.part {
                    active.is_due = true;
                }
            }
        }
    }
}

const IDLE: Violation = Violation::of_connection(Code::Protocol, "a frame is of a stream that has not begun");
const CLOSED: Violation = Violation::of_connection(Code::StreamClosed, "a frame is of a stream that has ended");
