//! One HTTP/1 connection as a state machine: all transitions are here.
//!
//! ```text
//!                    +--------------- answered, kept ----------------+
//!                    v                                               |
//!   (accepted) --> Head --- a complete Response ------------------->-+
//!                    |  \                                            |
//!                    |   +-- Exchange: push body, pull response -->--+
//!                    |              \                                |
//!                    |               +--> Discard: the unread body --+
//!                    |                                               |
//!                    +-- malformed, too slow, gone --> Close <-------+ (not kept)
//!                    |
//!                    +-- handshake of a WebSocket, perhaps by an exchange --> Upgraded (the connection continues as one)
//! ```
//!
//! [`Http1::advance`] goes as far as the bytes, the room for output and the time allow, and returns what it waits for.

use super::call::{Call, Called, Entry, app_failed, arrived_body};
use super::decode::Decoder;
use super::discard::Discard;
use super::encode;
use super::exchange::Active;
use super::framing::ResponseFacts;
use super::head_cache::HeadCache;
use super::parse::{Parsed, later_minor_version, parse};
use super::pipelined::is_request_pipelined;
use super::writer::Writer;
use crate::app::{App, ConnectionEnd, Cx, Peer};
use crate::dispatch::{self, Cut, Outcome, Record, Recorder};
use crate::eviction::Waits;
use crate::exchange::{Driven, Failed, Piece};
use crate::http::{BodyLength, Error, StatusCode};
use crate::http2::{self, Http2};
use crate::protocol::{Closing, Io, Next, Protocol};
use crate::throttle::{Admission, Permit, Ticket, Verdict};
use crate::websocket::WebSocket;
use std::mem::MaybeUninit;
use std::time::Instant;
use tine_common::config::HEADER_COUNT_CEILING;
use tine_common::telemetry::Count;

/// Requests answered in one turn, however many were pipelined.
pub const REQUESTS_PER_TURN: usize = 256;

pub struct Http1 {
    /// When the current wait began: for a head, for bytes of an unread body, or idle since the last response.
    since: Instant,
    /// Bytes of an incomplete head that were parsed: it is parsed again once a newline has arrived or its size has
    /// doubled.
    seen: u32,
    stage: Stage,
    /// The number of requests of this connection whose head has arrived.
    place: u32,
    /// The worker drains, and the requests in the input are the last that are answered.
    reads_no_more: bool,
    /// The connection was evicted: the next wait ends at once.
    ends_at_next_wait: bool,
}

enum Stage {
    Head,
    /// The head of a request that waits for the limits is in the input.
    Waiting(Box<Waiting>),
    Exchange(Box<Active>),
    Discard(Box<Discard>),
    /// This protocol ends: the 101 is queued.
    Upgraded(Box<WebSocket>),
    /// What has come is of HTTP/2.
    Http2,
}

struct Waiting {
    ticket: Ticket,
    /// Of the request that waits.
    record: Record,
}

/// How one stage's step ended.
enum Step {
    Go,
    Stop(Next),
}

impl Http1 {
    pub fn new(now: Instant) -> Self {
        Http1 { since: now, seen: 0, stage: Stage::Head, place: 0, reads_no_more: false, ends_at_next_wait: false }
    }

    /// What the connection waits for, and since when, if it may be evicted; `None`: a request is in progress.
    pub fn waits_since(&self) -> Option<(Waits, Instant)> {
        match self.stage {
            _ if self.ends_at_next_wait => None,
            Stage::Head if self.seen > 0 => Some((Waits::Head, self.since)),
            Stage::Head => Some((Waits::Request { is_first: self.place == 0 }, self.since)),
            _ => None,
        }
    }

    /// Ends the current wait as if its deadline had passed. A request that has arrived by then is still answered.
    pub fn end_at_next_wait(&mut self) {
        self.ends_at_next_wait = true;
    }

    /// The exchange is called although its time has not come.
    pub fn wake(&mut self) {
        if let Stage::Exchange(active) = &mut self.stage {
            active.wake();
        }
    }

    /// Whether a request is being answered. One whose response is complete no longer counts, whatever is left of its
    /// body.
    pub fn is_in_flight(&self) -> bool {
        matches!(self.stage, Stage::Exchange(_))
    }

    /// Whether bytes in the input are of a head that is to be read.
    pub fn is_at_head(&self) -> bool {
        matches!(self.stage, Stage::Head)
    }

    /// Whether a drain waits for it: a request is being answered, or the input begins one.
    pub fn is_busy(&self, has_input: bool) -> bool {
        match self.stage {
            Stage::Head => has_input,
            Stage::Waiting(_) | Stage::Exchange(_) => true,
            Stage::Discard(_) | Stage::Upgraded(_) => false,
            Stage::Http2 => true,
        }
    }

    /// As [`crate::protocol::Protocol::awaiting_first_byte`].
    pub fn awaiting_first_byte(&mut self, sent_bytes: u64) -> Option<&mut Record> {
        match &mut self.stage {
            Stage::Exchange(active) => active.awaiting_first_byte(sent_bytes),
            _ => None,
        }
    }

    /// As [`crate::protocol::Protocol::end`].
    pub fn end(&mut self, consumed: u64, written: u64, outcome: Outcome, recorder: &mut Recorder) {
        match std::mem::replace(&mut self.stage, Stage::Head) {
            Stage::Exchange(mut active) => {
                active.end_record(consumed, written, outcome);
                recorder.complete(active.into_parts().1);
            }
            Stage::Waiting(waiting) => {
                let Waiting { mut record, .. } = *waiting;
                record.outcome = outcome;
                record.written(written);
                recorder.complete(record);
            }
            Stage::Upgraded(mut websocket) => websocket.end(consumed, written, outcome, recorder),
            Stage::Head | Stage::Discard(_) | Stage::Http2 => {}
        }
    }

    /// The protocol that the connection continues with, after [`Next::Switch`].
    pub fn into_switched(self) -> Option<Protocol> {
        match self.stage {
            Stage::Upgraded(websocket) => Some(Protocol::WebSocket(websocket)),
            Stage::Http2 => Some(Protocol::Http2(Box::new(Http2::new(self.since)))),
            _ => None,
        }
    }

    /// Whether bytes from the client would be used now.
    pub fn wants_input(&self, queued_bytes: usize, cx: &Cx<'_>) -> bool {
        match &self.stage {
            Stage::Head => !self.reads_no_more && queued_bytes <= cx.limits().write_low_watermark_bytes,
            Stage::Exchange(active) => active.wants_body(),
            Stage::Discard(_) => true,
            Stage::Waiting(_) | Stage::Upgraded(_) | Stage::Http2 => false,
        }
    }

    /// When the current wait times out.
    pub fn deadline(&self, queued_bytes: usize, cx: &Cx<'_>) -> Option<Instant> {
        match &self.stage {
            // Until the response is sent, only the client's reading counts.
            Stage::Head | Stage::Discard(_) if queued_bytes > 0 => None,
            Stage::Head => Some(self.head_deadline(cx)),
            Stage::Waiting(waiting) => Some(waiting.ticket.until()),
            Stage::Exchange(active) => active.deadline(queued_bytes, cx),
            Stage::Discard(discard) => Some(discard.until(self.since, cx)),
            Stage::Upgraded(_) | Stage::Http2 => None,
        }
    }

    /// Advances as far as possible.
    #[inline(always)] // its caller is the only one
    pub fn advance(&mut self, io: &mut Io<'_>, app: &mut dyn App, cx: &Cx<'_>) -> Next {
        for requests in 0..REQUESTS_PER_TURN {
            // Responses leave in order, and no faster than the client reads them.
            if matches!(self.stage, Stage::Head) && io.output.len() > cx.limits().write_low_watermark_bytes {
                self.since = cx.now();
                return self.pause(io, cx);
            }
            let is_next = requests > 0 && matches!(self.stage, Stage::Head) && !io.input.is_empty();
            if is_next && cx.is_time_up() {
                return self.pause(io, cx);
            }
            let step = match std::mem::replace(&mut self.stage, Stage::Head) {
                Stage::Head => self.on_head(io, app, cx),
                Stage::Waiting(waiting) => self.on_waiting(waiting, io, app, cx),
                Stage::Exchange(active) => self.on_exchange(active, io, cx),
                Stage::Discard(discard) => self.on_discard(discard, io, cx),
                switched @ (Stage::Upgraded(_) | Stage::Http2) => {
                    self.stage = switched;
                    return Next::Switch;
                }
            };
            if let Step::Stop(next) = step {
                return next;
            }
        }
        self.pause(io, cx)
    }

    /// Continues in another turn. In a drain, requests in the input are answered before more is read: otherwise a
    /// client that never stops sending would keep the drain from ending.
    fn pause(&mut self, io: &Io<'_>, cx: &Cx<'_>) -> Next {
        let is_at_head = matches!(self.stage, Stage::Head);
        self.reads_no_more = cx.is_draining()
            && is_at_head
            && is_request_pipelined(io.input.unconsumed(), BodyLength::None, cx.limits());
        Next::Again
    }

    /// When the wait for a head, or for the rest of one, times out.
    fn head_deadline(&self, cx: &Cx<'_>) -> Instant {
        if self.seen > 0 {
            return self.since + cx.limits().header_timeout;
        }
        let idle = self.since + cx.limits().idle_timeout;
        cx.idle_end().map_or(idle, |end| idle.min(end.after(self.since)))
    }

    fn is_wait_over(&self, cx: &Cx<'_>) -> bool {
        self.ends_at_next_wait || cx.now() >= self.head_deadline(cx)
    }

    fn on_head(&mut self, io: &mut Io<'_>, app: &mut dyn App, cx: &Cx<'_>) -> Step {
        // Empty lines before a request are skipped for old clients (RFC 9112, 2.2).
        while io.input.unconsumed().starts_with(b"\r\n") {
            io.input.consume(2);
        }
        let arrived = io.input.len();
        // A lone CR may still become such a line, and does not begin a head.
        if arrived == 0 || io.input.unconsumed() == b"\r" {
            // It is idle once all output is sent.
            if !io.output.is_empty() {
                self.since = cx.now();
            }
            return Step::Stop(match (io.input_ended, self.is_wait_over(cx)) {
                (true, _) => Next::Close(Closing::Flushed),
                (false, true) => {
                    if !self.ends_at_next_wait && !cx.is_draining() {
                        cx.count(Count::TimeoutIdle);
                    }
                    Next::Close(Closing::Lingering)
                }
                (false, false) => Next::Wait,
            });
        }
        let seen = self.seen as usize;
        if seen == 0
            || arrived >= 2 * seen
            || !io.input.has_room()
            || memchr::memchr(b'\n', &io.input.unconsumed()[seen.min(arrived)..]).is_some()
        {
            match self.request(None, io, app, cx) {
                Ok(Some(step)) => return step,
                Ok(None) => {}
                Err(error) => {
                    let head = io.input.unconsumed();
                    if self.place == 0 && cx.limits().has_http2 && http2::is_preface(head) {
                        if seen == 0 {
                            self.since = cx.now();
                        }
                        self.stage = Stage::Http2;
                        return Step::Stop(Next::Switch);
                    }
                    if error.status == StatusCode::HTTP_VERSION_NOT_SUPPORTED
                        && let Some(at) = later_minor_version(head)
                    {
                        io.input.replace(at, b'1');
                        return Step::Go;
                    }
                    let (is_head, record) = (is_head(head), Record::refused(head, io.written(), cx));
                    return self.refuse(error, is_head, record, io, cx);
                }
            }
        }
        if seen == 0 {
            self.since = cx.now();
        }
        self.seen = arrived as u32;
        Step::Stop(if io.input_ended {
            // An incomplete request is dropped; the responses before it are still sent.
            io.input.clear();
            Next::Close(Closing::Flushed)
        } else if self.is_wait_over(cx) {
            let head = io.input.unconsumed();
            let (is_head, record) = (is_head(head), Record::refused(head, io.written(), cx));
            let error = Error::new(StatusCode::REQUEST_TIMEOUT, "the request's head did not arrive in time");
            if !self.ends_at_next_wait {
                cx.count(Count::TimeoutHead);
            }
            return self.refuse(error, is_head, record, io, cx);
        } else {
            Next::Wait
        })
    }

    /// Begins the request whose head is at the start of the input, if that is complete. `entry`: of one that has waited.
    #[inline]
    fn request(
        &mut self,
        entry: Option<Entry>,
        io: &mut Io<'_>,
        app: &mut dyn App,
        cx: &Cx<'_>,
    ) -> Result<Option<Step>, Error> {
        let (began_at, starts_at, passed, hung_up) = (io.consumed(), io.written(), io.passed, io.hung_up);
        let ends_connection = self.ends_at_next_wait;
        let mut call = Call { output: io.output, recorder: io.recorder, passed, began_at, starts_at, ends_connection };
        let bytes = io.input.unconsumed();
        let begun = match io.scratch.head_cache.recall(bytes, cx.limits()) {
            Some(parsed) => self.begin(parsed, bytes, entry, &mut call, app, cx),
            None => match self.parse_and_begin(bytes, &mut io.scratch.head_cache, entry, &mut call, app, cx)? {
                Some(begun) => begun,
                None => return Ok(None),
            },
        };
        Ok(Some(match begun {
            Begun::Called(length, called) => {
                io.input.consume(length);
                self.on_called(called, io, cx)
            }
            // No event will report a client that has left already.
            Begun::Waits if hung_up => Step::Go,
            Begun::Waits => Step::Stop(Next::Wait),
        }))
    }

    /// Apart, since it needs much room on the stack.
    #[inline(never)]
    fn parse_and_begin(
        &mut self,
        bytes: &[u8],
        cache: &mut HeadCache,
        entry: Option<Entry>,
        call: &mut Call<'_>,
        app: &mut dyn App,
        cx: &Cx<'_>,
    ) -> Result<Option<Begun>, Error> {
        let mut fields = [const { MaybeUninit::uninit() }; HEADER_COUNT_CEILING];
        let Some(parsed) = parse(bytes, &mut fields[..cx.limits().header_count_max], cx.limits())? else {
            return Ok(None);
        };
        cache.note(bytes, &parsed);
        Ok(Some(self.begin(parsed, bytes, entry, call, app, cx)))
    }

    #[inline]
    fn begin<'a>(
        &mut self,
        mut parsed: Parsed<'a>,
        bytes: &'a [u8],
        entry: Option<Entry>,
        call: &mut Call<'_>,
        app: &mut dyn App,
        cx: &Cx<'_>,
    ) -> Begun {
        let (caller, of_caller);
        let cx = match cx.caller_of(&parsed.request) {
            None => cx,
            Some(known) => {
                caller = known;
                of_caller = cx.called_by(&caller);
                &of_caller
            }
        };
        let entry = match entry {
            Some(entry) => entry,
            None => {
                self.seen = 0;
                self.reads_no_more = false;
                self.place = self.place.saturating_add(1);
                match dispatch::admit(&parsed.request, cx) {
                    Admission::Admitted(permit) => Entry { admitted: Ok(permit), began: cx.now() },
                    Admission::Refused(response) => Entry { admitted: Err(response), began: cx.now() },
                    Admission::Waits(ticket) => {
                        let mut record = Record::begun(&parsed.request, cx.now(), call.starts_at, cx);
                        record.request_bytes = parsed.length as u64;
                        self.stage = Stage::Waiting(Box::new(Waiting { ticket, record }));
                        return Begun::Waits;
                    }
                }
            }
        };
        parsed.request.set_place(self.place);
        parsed.request.set_https(cx.is_https());
        let rest = &bytes[parsed.length..];
        parsed.request.set_arrived(arrived_body(parsed.request.body_length(), rest));
        let called = call.make(&parsed, rest, entry, app, cx);
        Begun::Called(parsed.length, called)
    }

    /// A request that waits for the limits begins once it is admitted, or is refused.
    fn on_waiting(&mut self, mut waiting: Box<Waiting>, io: &mut Io<'_>, app: &mut dyn App, cx: &Cx<'_>) -> Step {
        let admitted = match waiting.ticket.verdict(io.hung_up, cx.now()) {
            Verdict::Waits => {
                self.stage = Stage::Waiting(waiting);
                return Step::Stop(Next::Wait);
            }
            Verdict::Admitted(permit) => Ok(permit),
            Verdict::Refused(response) => Err(response),
        };
        match self.request(Some(Entry { admitted, began: waiting.record.began }), io, app, cx) {
            Ok(Some(step)) => step,
            Ok(None) | Err(_) => unreachable!("nothing was consumed since the head was parsed"),
        }
    }

    fn on_called(&mut self, called: Called, io: &mut Io<'_>, cx: &Cx<'_>) -> Step {
        self.since = cx.now();
        match called {
            Called::Upgraded(websocket) => self.on_upgraded(websocket, io),
            Called::Exchange(active) => {
                self.stage = Stage::Exchange(active);
                Step::Go
            }
            Called::Answered { body, keep_alive, is_clients_last } => {
                self.after_response(Decoder::new(body, cx.limits().header_bytes_max), keep_alive, is_clients_last, io)
            }
        }
    }

    fn on_upgraded(&mut self, mut websocket: Box<WebSocket>, io: &mut Io<'_>) -> Step {
        websocket.begin(io.consumed(), io.written());
        io.recorder.websocket_begun();
        self.stage = Stage::Upgraded(websocket);
        Step::Go
    }

    /// The response is queued: decides what happens to the rest of the request and to the connection. If the server
    /// ends the connection, the client's next request may be on its way and would turn a plain close into a reset.
    fn after_response(&mut self, body: Decoder, keep_alive: bool, is_clients_last: bool, io: &mut Io<'_>) -> Step {
        match (keep_alive, body.is_ended()) {
            (true, true) => Step::Go,
            (true, false) => {
                // `since` is the time of the response.
                self.stage = Stage::Discard(Box::new(Discard::new(body, self.since)));
                Step::Go
            }
            (false, true) if is_clients_last && io.input.is_empty() => Step::Stop(Next::Close(Closing::Flushed)),
            (false, _) => {
                io.input.clear();
                Step::Stop(Next::Close(Closing::Lingering))
            }
        }
    }

    fn on_exchange(&mut self, mut active: Box<Active>, io: &mut Io<'_>, cx: &Cx<'_>) -> Step {
        let failed = match active.drive(io, cx) {
            Ok(Driven::Waits(next)) => {
                self.stage = Stage::Exchange(active);
                return Step::Stop(next);
            }
            Ok(Driven::Ended) => {
                if let Some((peer, permit)) = active.take_switched() {
                    return self.on_switched(active, peer, permit, io, cx);
                }
                let end = active.end(io.input, cx);
                let is_raw = active.writer().is_some_and(Writer::is_raw);
                let is_clients_last = active.is_clients_last();
                let body = complete(active, Outcome::Answered, io);
                self.since = cx.now();
                return match end {
                    ConnectionEnd::Reset => Step::Stop(Next::Close(Closing::ResetTaken)),
                    // No head announced this close: bytes that the client sends now would turn it into a reset.
                    ConnectionEnd::Closed if is_raw => {
                        io.input.clear();
                        Step::Stop(Next::Close(Closing::Lingering))
                    }
                    end => self.after_response(body, end == ConnectionEnd::Kept, is_clients_last, io),
                };
            }
            Err(failed) => failed,
        };
        match &failed {
            Failed::App(error) => dispatch::on_app_error(active.request(), error, cx),
            Failed::Client(error) if error.status == StatusCode::REQUEST_TIMEOUT => cx.count(Count::TimeoutBody),
            Failed::Client(_) | Failed::ClientLeft | Failed::GaveUp => {}
        }
        // After the head only the close can tell the client that the response is incomplete.
        if let Some(writer) = active.writer() {
            let outcome = match failed {
                Failed::ClientLeft => Outcome::ClientLeft,
                Failed::App(_) | Failed::GaveUp => Outcome::Cut(Cut::App),
                Failed::Client(_) => Outcome::Cut(Cut::Request),
            };
            complete(active, outcome, io);
            let closing = if writer.ends_with_connection() { Closing::Reset } else { Closing::Cut };
            return Step::Stop(Next::Close(closing));
        }
        match failed {
            Failed::Client(error) => {
                let is_head = active.is_head();
                active.end_record(io.consumed(), io.written(), Outcome::Refused);
                self.refuse(error, is_head, active.into_parts().1, io, cx)
            }
            Failed::ClientLeft => {
                complete(active, Outcome::ClientLeft, io);
                // As for an incomplete head.
                io.input.clear();
                Step::Stop(Next::Close(Closing::Flushed))
            }
            Failed::App(_) | Failed::GaveUp => {
                self.since = cx.now();
                let facts = active.facts_now(io.input, cx);
                let (head_at, record) = (io.written(), active.record());
                record.head_at(head_at);
                let keep_alive = encode::response(&mut app_failed(), io.output, facts, record, cx).unwrap_or(false);
                let is_clients_last = active.is_clients_last();
                let body = complete(active, Outcome::Answered, io);
                self.after_response(body, keep_alive, is_clients_last, io)
            }
        }
    }

    /// The exchange has made a WebSocket of the connection.
    fn on_switched(
        &mut self,
        mut active: Box<Active>,
        peer: Box<dyn Peer>,
        permit: Permit,
        io: &mut Io<'_>,
        cx: &Cx<'_>,
    ) -> Step {
        let request = active.request().clone();
        let mut websocket = Box::new(WebSocket::new(peer, request, active.record(), cx.limits(), cx.now()));
        websocket.permit = permit;
        complete(active, Outcome::Answered, io);
        self.since = cx.now();
        self.on_upgraded(websocket, io)
    }

    fn on_discard(&mut self, mut discard: Box<Discard>, io: &mut Io<'_>, cx: &Cx<'_>) -> Step {
        // The response has to be sent first.
        if !io.output.is_empty() {
            (self.since, discard.answered) = (cx.now(), cx.now());
        }
        match discard.take_arrived(io.input, &mut self.since, cx.now()) {
            Ok(Piece::End) => {
                self.since = cx.now();
                Step::Go
            }
            Ok(Piece::NeedsInput) if io.input_ended => Step::Stop(Next::Close(Closing::Flushed)),
            Ok(Piece::NeedsInput) if cx.now() < discard.until(self.since, cx) => {
                self.stage = Stage::Discard(discard);
                Step::Stop(Next::Wait)
            }
            // Too much, too slow or malformed: the response is still sent, but the connection is not kept.
            too_much => {
                if matches!(too_much, Ok(Piece::NeedsInput)) {
                    cx.count(Count::TimeoutLinger);
                }
                io.input.clear();
                Step::Stop(Next::Close(Closing::Lingering))
            }
        }
    }

    /// Answers with the client's error, and closes.
    fn refuse(&mut self, error: Error, is_head: bool, mut record: Record, io: &mut Io<'_>, cx: &Cx<'_>) -> Step {
        self.seen = 0;
        let facts = ResponseFacts { version: crate::http::Version::Http11, is_head, keep_alive: false };
        record.head_at(io.written());
        let queued = encode::response(&mut encode::error_response(error), io.output, facts, &mut record, cx);
        debug_assert!(queued.is_ok(), "the server's own responses have valid headers");
        record.outcome = Outcome::Refused;
        record.written(io.written());
        io.recorder.complete(record);
        io.input.clear();
        Step::Stop(Next::Close(Closing::Lingering))
    }
}

/// Whether these bytes begin a HEAD request, however they continue: no response to it has a body (RFC 9110, 9.3.2).
pub fn is_head(bytes: &[u8]) -> bool {
    bytes.starts_with(b"HEAD ")
}

/// The exchange's response is written, complete or not: its record is; returns the rest of the request's body.
fn complete(mut active: Box<Active>, outcome: Outcome, io: &mut Io<'_>) -> Decoder {
    active.end_record(io.consumed(), io.written(), outcome);
    let (body, record) = active.into_parts();
    io.recorder.complete(record);
    body
}

/// What has become of a request whose head is complete.
enum Begun {
    /// The app was called; the length of the head.
    Called(usize, Called),
    Waits,
}

#[cfg(test)]
#[path = "state_tests.rs"]
mod tests;
