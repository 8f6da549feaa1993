//! Calls the exchanges for which something has come, and writes the heads of their responses.

use super::encode;
use super::error::Code;
use super::frame::{HEADER_BYTES, PAYLOAD_BYTES_MAX};
use super::frame_writer as write;
use super::outgoing::{Follows, Outgoing};
use super::request::Begins;
use super::state::{Http2, Paused, Wire};
use super::stream::{Active, Discarding, OnStream, Part, Stream};
use super::writer::{After, BlockKind, ROOM_BYTES_MIN};
use crate::dispatch::{self, Cut, InFlightEntry, Outcome};
use crate::exchange::{Driven, Failed};
use crate::http::StatusCode;
use crate::http1::{DISCARD_BYTES_MAX, app_failed, error_response};
use crate::protocol::Next;
use tine_common::telemetry::Count;

/// What an exchange may write at a time, however many streams there are.
const SHARE_BYTES_MIN: usize = 4 << 10;

impl Http2 {
    /// Each exchange that can go on, once, in the order in which they are sent: what is left of the watermarks goes to the first.
    pub(super) fn drive_all(&mut self, wire: &mut Wire<'_>) {
        self.count_paused();
        let mut order = std::mem::take(&mut wire.scratch.order);
        order.extend(self.streams.iter().map(|stream| (self.rank(stream), stream.id)));
        if order.len() > 1 {
            order.sort_unstable();
        }
        if let Some(at) = order.iter().position(|&(_, id)| id == self.called_last) {
            order.rotate_left(at + 1);
        }
        self.called_last = 0;
        for &(_, id) in &order {
            // A call may end its stream.
            let Some(at) = self.place_of(id) else { continue };
            if matches!(self.streams[at].part, Part::Waiting(_)) {
                self.look_at_waiting(at, wire);
            }
            let Some(at) = self.place_of(id) else { continue };
            let is_ready = match &self.streams[at].part {
                Part::Exchange(active) => active.is_ready(wire),
                Part::WebSocket(_) => self.is_websocket_ready(at, wire),
                _ => false,
            };
            if is_ready {
                match self.streams[at].part {
                    Part::WebSocket(_) => self.drive_websocket(at, wire),
                    _ => self.drive(at, wire),
                }
                if wire.cx.is_time_up() {
                    self.called_last = id;
                    break; // the others are called in the next turn
                }
            }
        }
        order.clear();
        wire.scratch.order = order;
    }

    fn drive(&mut self, at: usize, wire: &mut Wire<'_>) {
        let streams = self.streams.len();
        let paused = self.paused(wire.cx);
        let stream = &mut *self.streams[at];
        let Part::Exchange(mut active) = std::mem::replace(&mut stream.part, Part::Sending) else { return };
        let cx = &wire.cx.of_stream(stream.id);
        InFlightEntry::turn_to(active.entry.as_ref(), cx);
        active.is_due = false;
        let before = stream.outgoing.queue.len();
        let is_paused = stream.outgoing.open_window(self.send_window) == 0;
        let others = self.queued_bytes - before;
        let paused_others = self.paused_bytes.saturating_sub(if is_paused { before } else { 0 });
        let queued_elsewhere = others.saturating_sub(paused_others) + wire.output.len();
        let mut on_stream = OnStream {
            incoming: &mut stream.incoming,
            outgoing: &mut stream.outgoing,
            record: stream.record.as_mut().expect("an exchange's request has a record"),
            owes_continue: &mut active.owes_continue,
            limit_fields: active.limit_fields.as_deref(),
            is_head: stream.is_head,
            blocks: &mut wire.scratch.blocks,
            encoder: &mut self.encoder,
            queued_elsewhere,
            share_bytes: match paused {
                Paused::Little => (wire.cx.limits().write_high_watermark_bytes / streams).max(SHARE_BYTES_MIN),
                Paused::Much | Paused::TooMuch => ROOM_BYTES_MIN,
            },
            paused,
            connection_window: self.send_window,
            input_withheld: self.receive_window.is_used_up(),
            input_ended: wire.input_ended,
            sent_bytes: wire.passed.sent,
        };
        let driven = active.driver.drive(&mut on_stream, cx);
        self.queued_bytes = self.queued_bytes - before + stream.outgoing.queue.len();
        InFlightEntry::turn_away(cx);
        match driven {
            Ok(Driven::Waits(next)) => {
                active.next = next;
                stream.part = Part::Exchange(active);
                if write_heads(stream, wire) {
                    self.on_raw(wire);
                }
            }
            Ok(Driven::Ended) => {
                let after = stream.outgoing.writer.map(|writer| writer.after);
                let switched = stream.outgoing.take_switched();
                stream.outgoing.is_complete = switched.is_none();
                if write_heads(stream, wire) {
                    self.on_raw(wire);
                }
                if let Some(peer) = switched {
                    let Active { driver, permit, .. } = *active;
                    return self.on_switched(at, peer, driver.request().clone(), permit, wire);
                }
                drop(active);
                // What it has left is not read any more, and keeps nothing of the connection's window.
                self.discard(at, wire);
                match after {
                    Some(After::Goes) | None => {}
                    Some(After::Closes) => self.announce_last(wire),
                    Some(After::Raw(end)) => self.end_raw(at, end, wire),
                }
            }
            Err(failed) => self.on_failed(at, *active, failed, wire),
        }
    }

    fn on_failed(&mut self, at: usize, active: Active, failed: Failed, wire: &mut Wire<'_>) {
        match &failed {
            Failed::App(error) => dispatch::on_app_error(active.driver.request(), error, wire.cx),
            Failed::Client(error) if error.status == StatusCode::REQUEST_TIMEOUT => wire.cx.count(Count::TimeoutBody),
            Failed::Client(_) | Failed::ClientLeft | Failed::GaveUp => {}
        }
        let has_head = self.streams[at].outgoing.writer.is_some();
        // Also a head that is not in the output yet is not sent any more: but the client's table knows of no block that is
        // dropped, so it is written.
        if write_heads(&mut self.streams[at], wire) {
            self.on_raw(wire);
        }
        match failed {
            Failed::ClientLeft => self.reset(at, Code::Cancel, Outcome::ClientLeft, wire),
            Failed::GaveUp => self.reset(at, Code::Cancel, Outcome::Cut(Cut::App), wire),
            Failed::App(_) if has_head => self.reset(at, Code::Internal, Outcome::Cut(Cut::App), wire),
            Failed::Client(_) if has_head => self.reset(at, Code::Cancel, Outcome::Cut(Cut::Request), wire),
            Failed::App(_) => self.respond_late(at, app_failed(), Outcome::Answered, wire),
            Failed::Client(error) => self.respond_late(at, error_response(error), Outcome::Refused, wire),
        }
    }

    /// The server's own response, in place of the exchange's.
    fn respond_late(&mut self, at: usize, response: crate::http::Response, outcome: Outcome, wire: &mut Wire<'_>) {
        let stream = self.remove(at, wire.cx);
        let Stream { id, priority, is_head, incoming, record: Some(mut record), outgoing, .. } = *stream else {
            return;
        };
        record.outcome = outcome;
        let (began, window) = (record.began, outgoing.window);
        let begins = Begins { id, began, incoming, window, is_head, priority };
        wire.recorder.complete(record);
        self.respond(response, begins, outgoing.frame_bytes, outcome == Outcome::Refused, wire);
    }

    /// The end of a response is in the output.
    pub(super) fn end_response(&mut self, at: usize, wire: &mut Wire<'_>) {
        let written = wire.written();
        let stream = &mut *self.streams[at];
        let outcome = stream.record.as_ref().map_or(Outcome::Answered, |record| record.outcome);
        stream.end_record(outcome, written, wire.recorder);
        self.budget.on_answered();
        if stream.incoming.has_ended {
            self.remove(at, wire.cx);
            return;
        }
        stream.incoming.ignore();
        let until = wire.cx.now() + wire.cx.limits().linger_timeout;
        stream.part = Part::Discarding(Box::new(Discarding { bytes_left: DISCARD_BYTES_MAX, until }));
        self.discard(at, wire);
    }
}

impl Active {
    /// Whether it is worth a call.
    fn is_ready(&self, wire: &Wire<'_>) -> bool {
        let has_come = |at| wire.cx.now() >= at;
        // A client that has ended its side sends no more of the body.
        let has_left = wire.input_ended && self.driver.wants_body();
        self.is_due || has_left || self.next != Next::Wait || self.driver.deadline(wire.cx).is_some_and(has_come)
    }
}

/// Puts the header blocks of a stream into frames. The response's own ends the stream if nothing follows it. Returns whether there
/// are raw blocks among them.
pub(super) fn write_heads(stream: &mut Stream, wire: &mut Wire<'_>) -> bool {
    if wire.scratch.blocks.bytes.is_empty() && wire.scratch.blocks.ends.is_empty() {
        return false;
    }
    let mut blocks = std::mem::take(&mut wire.scratch.blocks);
    let Stream { id, outgoing, record, .. } = stream;
    let (mut start, mut has_raw) = (0, false);
    for (end, kind) in blocks.ends.drain(..) {
        let block = &blocks.bytes[start..end];
        start = end;
        match kind {
            BlockKind::Interim => outgoing.frame_bytes += put_block(block, false, *id, wire),
            BlockKind::Raw => {
                has_raw = true;
                wire.output.append(block);
                outgoing.frame_bytes += block.len() as u64;
            }
        }
    }
    let block = &blocks.bytes[start..];
    if !block.is_empty() {
        if let Some(record) = record {
            let at = wire.written();
            record.starts_at(at.saturating_sub(outgoing.frame_bytes));
            record.head_at(at);
        }
        let ends = outgoing.ends_with_body() && outgoing.queue.is_empty();
        outgoing.frame_bytes += put_block(block, ends, *id, wire);
        outgoing.has_ended |= ends;
    }
    outgoing.written_at = wire.written();
    blocks.clear();
    wire.scratch.blocks = blocks;
    has_raw
}

/// Puts a header block into frames; returns the number of bytes.
pub(super) fn put_block(block: &[u8], ends_stream: bool, id: u32, wire: &mut Wire<'_>) -> u64 {
    let before = wire.output.len();
    wire.output.append_with(|out| {
        let start = write::begin_headers(out);
        out.extend_from_slice(block);
        write::end_headers(start, ends_stream, id, PAYLOAD_BYTES_MAX, out);
    });
    (wire.output.len() - before) as u64
}

/// Writes what ends a response after its body: trailers, or an empty frame.
pub(super) fn write_end(
    stream_id: u32,
    outgoing: &mut Outgoing,
    encoder: &mut super::hpack::Encoder,
    wire: &mut Wire<'_>,
) {
    let bytes = match std::mem::replace(&mut outgoing.follows, Follows::Nothing) {
        Follows::Trailers(trailers) => {
            let mut block = std::mem::take(&mut wire.scratch.blocks.bytes);
            encode::trailers(encoder, &mut block, &trailers);
            let bytes = put_block(&block, true, stream_id, wire);
            wire.scratch.blocks.bytes = block;
            wire.scratch.blocks.clear();
            bytes
        }
        _ => {
            wire.output.append_with(|out| write::data_header(0, true, stream_id, out));
            HEADER_BYTES as u64
        }
    };
    outgoing.frame_bytes += bytes;
    outgoing.has_ended = true;
    outgoing.written_at = wire.written();
}
