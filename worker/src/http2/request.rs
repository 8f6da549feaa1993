//! A request begins: it is admitted or waits, the app is called, and what it answers at once is written.

use super::budget::Waste;
use super::drive::put_block;
use super::encode;
use super::error::{Code, Violation};
use super::frame::{HEADER_BYTES, PAYLOAD_BYTES_MAX, StreamId};
use super::frame_writer as write;
use super::head::{FieldRoom, Refusal, RequestHead};
use super::incoming::Incoming;
use super::last_head::Coded;
use super::outgoing::Outgoing;
use super::priority::Priority;
use super::state::{Drain, Http2, Wire};
use super::stream::{Active, Part, Stream, Waiting};
use super::windows::SendWindow;
use super::writer::{After, Writer, framing};
use crate::app::{Answer, Cx, Handshake};
use crate::caller;
use crate::dispatch::{self, InFlightEntry, Outcome, Record};
use crate::exchange::Driver;
use crate::http::{BodyLength, Error, Request, Response, StatusCode, Version};
use crate::http1::{BodyFraming, app_failed, error_response};
use crate::protocol::Next;
use crate::sink::append_body;
use crate::throttle::{Admission, Permit, Verdict};
use std::time::Instant;

/// A request whose head has come, now or before it had to wait.
pub(super) struct Begins {
    pub id: StreamId,
    pub began: Instant,
    pub incoming: Incoming,
    /// The client's window for its response.
    pub window: SendWindow,
    pub is_head: bool,
    pub priority: Priority,
}

/// RFC 9110, 15.5.20: a client has used the connection for another name, for which it was not made.
const MISDIRECTED: Error =
    Error::new(StatusCode::MISDIRECTED_REQUEST, "no certificate of this server has the name that is asked for");

/// With TLS, refuses a request for a name that no certificate has.
fn directed<'a>(head: &'a RequestHead, cx: &Cx<'_>) -> Result<&'a RequestHead, Refusal> {
    match !cx.is_tls() || cx.covers(head.host()) {
        true => Ok(head),
        false => Err(Refusal::Answered { error: MISDIRECTED, is_head: head.is_head() }),
    }
}

/// A request whose head has been read, and whether the limits let it pass.
type Admitted = Result<Permit, Box<Response>>;

impl Http2 {
    /// The head of a request has come: it is in the block, or the last head.
    pub(super) fn on_request(
        &mut self,
        id: StreamId,
        has_ended: bool,
        frame_bytes: u64,
        coded: Coded<'_>,
        wire: &mut Wire<'_>,
    ) -> Result<(), Violation> {
        self.place = self.place.saturating_add(1);
        let mut last_head = wire.scratch.last_head.take().unwrap_or_default();
        let read = last_head.read(coded, &mut wire.scratch.block, has_ended, wire.cx.limits());
        let mut incoming = Incoming::new(has_ended, frame_bytes);
        let handled = match read.and_then(|head| directed(head, wire.cx)) {
            Ok(head) => {
                match head.body {
                    // What comes is not a body (RFC 9110, 9.3.6).
                    _ if head.is_websocket() => incoming.begin_tunnel(),
                    BodyLength::Known(length) => incoming.declare(length),
                    _ => {}
                }
                let window = SendWindow::new(self.client.initial_window);
                let early = self.early_priority.take_if(|&mut (of, _)| of <= id).filter(|&(of, _)| of == id);
                let (is_head, priority) = (head.is_head(), early.map_or_else(|| head.priority(), |(_, early)| early));
                let begins = Begins { id, began: wire.cx.now(), incoming, window, is_head, priority };
                self.begin(head, begins, self.place, None, wire);
                Ok(())
            }
            Err(Refusal::Malformed(why)) => Err(Violation::of_stream(Code::Protocol, why)),
            Err(Refusal::Answered { error, is_head }) => {
                self.refuse(error, is_head, id, incoming, wire);
                self.charge(Waste::Refusal, wire)
            }
        };
        wire.scratch.last_head = Some(last_head);
        handled
    }

    /// Begins the request of this head. `place`: as [`Request::place`]; `admitted`: of one that has waited for the limits.
    fn begin(
        &mut self,
        head: &RequestHead,
        begins: Begins,
        place: u32,
        admitted: Option<Admitted>,
        wire: &mut Wire<'_>,
    ) {
        let mut room = FieldRoom::new();
        let mut request = head.request(&mut room);
        request.set_place(place);
        let caller = wire.cx.caller_of(&request);
        let of_stream = wire.cx.of_stream(begins.id);
        let called = caller.as_ref().map(|caller| of_stream.called_by(caller));
        let cx = called.as_ref().unwrap_or(&of_stream);
        request.set_https(cx.is_https());
        let mut ticket = None;
        let admitted = match admitted {
            Some(admitted) => Some(admitted),
            None if self.is_too_full(cx) => None,
            None => match dispatch::admit(&request, cx) {
                Admission::Admitted(permit) => Some(Ok(permit)),
                Admission::Refused(response) => Some(Err(response)),
                Admission::Waits(waits) => {
                    ticket = Some(waits);
                    None
                }
            },
        };
        let Some(admitted) = admitted else {
            let record = Record::begun(&request, begins.began, wire.written(), cx);
            let waiting = Waiting { ticket, head: head.clone(), place };
            self.insert(begins, Part::Waiting(Box::new(waiting)), record, cx);
            return;
        };
        let expects_continue = head.expects_continue() && request.has_body();
        self.call(&request, expects_continue, begins, admitted, wire, cx);
    }

    /// Streams are in the order of their ids; one that has waited is not the last.
    pub(super) fn insert(&mut self, begins: Begins, part: Part, record: Record, cx: &Cx<'_>) -> &mut Stream {
        let Begins { id, incoming, window, is_head, priority, .. } = begins;
        let outgoing = Outgoing::new(window, cx.now());
        let at = self.streams.partition_point(|other| other.id < id);
        let stream = Stream { id, priority, is_head, incoming, outgoing, part, record: Some(record) };
        self.streams.insert(at, Box::new(stream));
        &mut self.streams[at]
    }

    fn call(
        &mut self,
        request: &Request<'_>,
        expects_continue: bool,
        begins: Begins,
        admitted: Admitted,
        wire: &mut Wire<'_>,
        cx: &Cx<'_>,
    ) {
        let starts_at = wire.written();
        let (permit, answer) = match admitted {
            Ok(permit) => (permit, dispatch::begin(request, begins.began, starts_at, wire.recorder, wire.app, cx)),
            Err(refusal) => {
                wire.recorder.begin(request, begins.began, starts_at, cx).outcome = Outcome::Refused;
                (Permit::none(), Answer::Response(*refusal))
            }
        };
        let mut response = match answer {
            Answer::Response(response) => response,
            Answer::Exchange(exchange) => {
                let active = Active {
                    driver: Driver::new(exchange, request.name(), cx),
                    next: Next::Again,
                    is_due: true,
                    owes_continue: expects_continue,
                    limit_fields: permit.limit_fields(cx).map(Box::new),
                    permit: permit.keep(cx.now()),
                    entry: InFlightEntry::keep(cx),
                };
                let record = wire.recorder.take_last();
                self.insert(begins, Part::Exchange(Box::new(active)), record, cx);
                return InFlightEntry::turn_away(cx);
            }
            Answer::Upgrade(mut upgrade) => {
                let accepted = Handshake::of(request).map(|handshake| handshake.accept(&upgrade));
                match accepted {
                    Err(refusal) => refusal.response(),
                    Ok(Err(error)) => {
                        dispatch::on_refused(&request.name(), error, cx);
                        app_failed()
                    }
                    Ok(Ok(())) => {
                        InFlightEntry::turn_away(cx);
                        let permit = permit.keep(cx.now());
                        upgrade.peer = caller::called(upgrade.peer, cx);
                        return self.switch(begins, upgrade, request.name(), permit, wire);
                    }
                }
            }
        };
        InFlightEntry::turn_away(cx);
        if let Some(fields) = permit.limit_fields(cx) {
            fields.add_to_response(&mut response);
        }
        if let Err(error) = response.head.check() {
            dispatch::on_refused(&request.name(), error, cx);
            response = app_failed();
        }
        // A client that holds its body back until a 100 does not get one.
        let is_held_back = expects_continue && begins.incoming.data().is_empty();
        // What would be a WebSocket's bytes is not a body whose end will come.
        let is_last = is_held_back || begins.incoming.is_tunnel();
        self.respond(response, begins, 0, is_last, wire);
    }

    /// Writes a complete response to the request whose record is the recorder's last; its head is checked. `bytes_before`: of its
    /// interim responses. `is_last`: nothing more is read of the request.
    pub(super) fn respond(
        &mut self,
        response: Response,
        begins: Begins,
        bytes_before: u64,
        is_last: bool,
        wire: &mut Wire<'_>,
    ) {
        let (cx, id) = (wire.cx, begins.id);
        let length = response.length(begins.is_head);
        let Response { head, body } = response;
        let known = body.as_slice().len();
        let framing = framing(&head, Some(length), begins.is_head);
        let has_body = framing.body != BodyFraming::Empty && known > 0;
        let at = wire.written();
        let record = wire.recorder.last();
        record.starts_at(at.saturating_sub(bytes_before));
        record.head_at(at);
        record.request_bytes = begins.incoming.frame_bytes;
        let mut block = std::mem::take(&mut wire.scratch.blocks.bytes);
        encode::head(&mut self.encoder, &mut block, &head, framing.content_length, record, cx);
        let head_bytes = put_block(&block, !has_body, id, wire);
        wire.scratch.blocks.bytes = block;
        wire.scratch.blocks.clear();
        let frame_bytes = bytes_before + head_bytes;
        if head.closes() {
            self.announce_last(wire);
        }
        let is_room = wire.output.len() <= cx.limits().write_low_watermark_bytes;
        let window = self.send_window.bytes().min(begins.window.bytes());
        let fits = known <= PAYLOAD_BYTES_MAX.min(window);
        if has_body && !(fits && is_room) {
            let record = wire.recorder.take_last();
            let stream = self.insert(begins, Part::Sending, record, cx);
            append_body(&mut stream.outgoing.queue, body);
            stream.outgoing.writer = Some(Writer { framing: framing.body, after: After::Goes });
            stream.outgoing.is_complete = true;
            stream.outgoing.frame_bytes = frame_bytes;
            self.queued_bytes += known;
            return;
        }
        let mut body_bytes = 0;
        if has_body {
            self.send_window.spend(known);
            wire.output.append_with(|out| write::data_header(known, true, id, out));
            append_body(wire.output, body);
            body_bytes = (HEADER_BYTES + known) as u64;
        }
        if begins.incoming.has_ended || is_last {
            let written = wire.written();
            wire.recorder.last().written_among_others(written, frame_bytes + body_bytes);
            match begins.incoming.has_ended {
                true => self.budget.on_answered(),
                false => self.put_reset(id, Code::NoError, wire),
            }
        } else {
            let record = wire.recorder.take_last();
            let stream = self.insert(begins, Part::Sending, record, cx);
            stream.outgoing.writer = Some(Writer { framing: framing.body, after: After::Goes });
            (stream.outgoing.is_complete, stream.outgoing.has_ended) = (true, true);
            stream.outgoing.frame_bytes = frame_bytes + body_bytes;
            if let Some(at) = self.place_of(id) {
                self.end_response(at, wire);
            }
        }
    }

    /// Answers with the client's error, a head that makes no request; the rest of it is not read.
    fn refuse(&mut self, error: Error, is_head: bool, id: StreamId, incoming: Incoming, wire: &mut Wire<'_>) {
        let method: &[u8] = if is_head { b"HEAD" } else { b"" };
        let mut record = Record::refused(method, wire.written(), wire.cx);
        (record.outcome, record.version) = (Outcome::Refused, Some(Version::Http2));
        let window = SendWindow::new(self.client.initial_window);
        let begins = Begins { id, began: record.began, incoming, window, is_head, priority: Priority::default() };
        wire.recorder.complete(record);
        self.respond(error_response(error), begins, 0, true, wire);
    }

    /// A request that waits: begins it once it is admitted or refused by the limits, or once there is room.
    pub(super) fn look_at_waiting(&mut self, at: usize, wire: &mut Wire<'_>) {
        let is_too_full = self.is_too_full(wire.cx);
        let Part::Waiting(waiting) = &mut self.streams[at].part else { return };
        let admitted = match &mut waiting.ticket {
            None if is_too_full => return,
            None => None,
            Some(ticket) => match ticket.verdict(wire.input_ended, wire.cx.now()) {
                Verdict::Waits => return,
                Verdict::Admitted(permit) => Some(Ok(permit)),
                Verdict::Refused(response) => Some(Err(response)),
            },
        };
        let stream = self.remove(at, wire.cx);
        let Stream { id, priority, is_head, incoming, outgoing, part, record } = *stream;
        let (Part::Waiting(waiting), Some(record)) = (part, record) else { return };
        // What has come meanwhile counts: of the body, for the windows and of the priority.
        let begins = Begins { id, began: record.began, incoming, window: outgoing.window, is_head, priority };
        self.begin(&waiting.head, begins, waiting.place, admitted, wire);
    }

    /// The connection ends after the requests that have begun.
    pub(super) fn announce_last(&mut self, wire: &mut Wire<'_>) {
        if !matches!(self.drain, Drain::Last(_)) {
            self.put_goaway(self.last, Code::NoError, "", wire);
            self.drain = Drain::Last(self.last);
        }
    }
}
