//! WebSockets on streams (RFC 8441): an extended CONNECT is answered by 200, and from then on the bytes of DATA, in both
//! directions, are those of a WebSocket. END_STREAM stands for the end of a connection's side, RST_STREAM for its reset.
//!
//! To the [`WebSocket`] its stream's queue is the output. So its own watermarks are those of a connection, and besides it is not
//! called while the connection's other output is above the low watermark, or too much waits for windows that are closed.

use super::drive::write_heads;
use super::encode;
use super::error::Code;
use super::outgoing::Outgoing;
use super::request::Begins;
use super::state::{Http2, Wire};
use super::stream::{Open, Part};
use crate::app::{Cx, Peer, Upgrade};
use crate::dispatch::{InFlightEntry, Outcome};
use crate::net::ReadBuffer;
use crate::protocol::{Closing, Next};
use crate::throttle::Permit;
use crate::websocket::{self, Duplex, WebSocket};
use std::time::Instant;
use tine_common::request_name::RequestName;

/// What a WebSocket is passed at a time.
const INPUT_BYTES: usize = websocket::INPUT_BYTES_MAX;

impl Http2 {
    /// A handshake was accepted at once.
    pub(super) fn switch(
        &mut self,
        begins: Begins,
        mut upgrade: Upgrade,
        request: RequestName,
        permit: Permit,
        wire: &mut Wire<'_>,
    ) {
        let (id, cx) = (begins.id, wire.cx);
        let mut record = wire.recorder.take_last();
        encode::switching(&mut self.encoder, &mut wire.scratch.blocks.bytes, &mut upgrade, &mut record, cx);
        let stream = self.insert(begins, Part::Sending, record, cx);
        let has_raw = write_heads(stream, wire);
        debug_assert!(!has_raw, "an app that switches at once has written nothing");
        if let Some(at) = self.place_of(id) {
            self.on_switched(at, upgrade.peer, request, permit, wire);
        }
    }

    /// The answer to the handshake is in the output: the stream is a WebSocket, whose record follows the request's.
    pub(super) fn on_switched(
        &mut self,
        at: usize,
        peer: Box<dyn Peer>,
        request: RequestName,
        permit: Permit,
        wire: &mut Wire<'_>,
    ) {
        let (limits, now, written) = (wire.cx.limits(), wire.cx.now(), wire.written());
        let stream = &mut *self.streams[at];
        let mut handshake = stream.record.take().expect("a request has a record");
        let mut websocket = WebSocket::new(peer, request, &mut handshake, limits, now);
        websocket.permit = permit;
        stream.outgoing.writer = None; // no response is being written
        stream.record = websocket.take_record();
        stream.record.iter_mut().for_each(|record| record.starts_at(written));
        handshake.outcome = Outcome::Answered;
        handshake.request_bytes = std::mem::take(&mut stream.incoming.frame_bytes);
        handshake.written_among_others(written, std::mem::take(&mut stream.outgoing.frame_bytes));
        wire.recorder.complete(handshake);
        wire.recorder.websocket_begun();
        self.budget.on_answered();
        stream.part = Part::WebSocket(Box::new(Open { websocket, next: Next::Again, is_due: true }));
    }

    /// Whether the WebSocket of this stream is not called, whatever has come for it. `output_bytes`: in the connection's output.
    pub(super) fn holds_websocket(&self, stream: &Outgoing, output_bytes: usize, cx: &Cx<'_>) -> bool {
        output_bytes > cx.limits().write_low_watermark_bytes || self.holds(stream, cx)
    }

    /// Whether the WebSocket of this stream is worth a call.
    pub(super) fn is_websocket_ready(&mut self, at: usize, wire: &Wire<'_>) -> bool {
        let is_held = self.holds_websocket(&self.streams[at].outgoing, wire.output.len(), wire.cx);
        let stream = &mut *self.streams[at];
        let Part::WebSocket(open) = &mut stream.part else { return false };
        if is_held {
            open.websocket.hold(wire.cx.now());
            return false;
        }
        let deadline = open.websocket.deadline(stream.outgoing.queue.len(), wire.cx);
        open.is_due || open.next != Next::Wait || wire.input_ended || deadline.is_some_and(|at| wire.cx.now() >= at)
    }

    pub(super) fn drive_websocket(&mut self, at: usize, wire: &mut Wire<'_>) {
        let stream = &mut *self.streams[at];
        let Part::WebSocket(open) = &mut stream.part else { return };
        let cx = &wire.cx.of_stream(stream.id);
        InFlightEntry::turn_to_websocket(cx);
        let (incoming, output) = (&mut stream.incoming, &mut stream.outgoing.queue);
        let before = output.len();
        let input = wire.scratch.websocket_input.get_or_insert_with(|| ReadBuffer::with_capacity(INPUT_BYTES));
        let wants_input = open.websocket.wants_input(before, cx);
        let fed = if wants_input { incoming.data().len().min(INPUT_BYTES) } else { 0 };
        input.feed(&incoming.data()[..fed]);
        let is_all = fed == incoming.data().len();
        let input_ended = (incoming.has_ended || wire.input_ended) && is_all;
        let hung_up = incoming.has_ended || wire.hung_up;
        open.next = open.websocket.go_on(&mut Duplex { input, output, input_ended, hung_up }, cx);
        incoming.consume(fed - input.len());
        input.clear();
        InFlightEntry::turn_away(cx);
        open.is_due = !incoming.data().is_empty() && open.websocket.wants_input(output.len(), cx);
        self.queued_bytes = self.queued_bytes - before + output.len();
        if let Next::Close(closing) = open.next {
            self.end_websocket(at, closing, wire);
        }
    }

    /// It has ended: after what is queued the stream does.
    fn end_websocket(&mut self, at: usize, closing: Closing, wire: &mut Wire<'_>) {
        let stream = &mut *self.streams[at];
        let outcome = websocket::outcome(closing);
        stream.part = Part::Sending;
        stream.outgoing.is_complete = true;
        stream.record.iter_mut().for_each(|record| record.outcome = outcome);
        match closing {
            Closing::Flushed | Closing::Lingering => {}
            Closing::Cut | Closing::Reset | Closing::ResetTaken => self.reset(at, Code::Cancel, outcome, wire),
        }
    }

    /// As [`Http2::deadline`], of one stream.
    pub(super) fn deadline_of_websocket(
        &self,
        open: &Open,
        stream: &Outgoing,
        queued_bytes: usize,
        cx: &Cx<'_>,
    ) -> Option<Instant> {
        // Meanwhile the client has the write timeout to take what is sent.
        let is_held = self.holds_websocket(stream, queued_bytes, cx);
        if is_held { None } else { open.websocket.deadline(stream.queue.len(), cx) }
    }
}
