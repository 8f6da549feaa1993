//! What a connection waits for, and for how long.

use super::error::Code;
use super::frame::MAX_31_BITS;
use super::frame_writer as write;
use super::state::{Drain, Http2, Stage, Wire};
use super::stream::{Part, Stream};
use crate::app::Cx;
use crate::dispatch::{Cut, Outcome};
use crate::protocol::{Closing, Next};
use crate::throttle::Ticket;
use crate::timers::earlier;
use std::time::{Duration, Instant};
use tine_common::telemetry::Count;

/// A client that is told that the connection ends has sent its last requests after this long: several round trips.
const LAST_REQUESTS: Duration = Duration::from_secs(1);
/// The highest id of a stream, in the GOAWAY before the last one (RFC 9113, 6.8).
const ANY_STREAM: u32 = MAX_31_BITS;
/// What a PING has that asks whether the client is still there.
const PROBE: [u8; 8] = *b"tine\0\0\0\0";

/// What a client has to send.
enum Owed {
    /// The rest of a frame, or of a header block.
    Frame,
    /// That it has our SETTINGS.
    Settings,
    /// Anything, on a connection without a request.
    Request,
}

impl Http2 {
    /// When to advance without an event. `queued_bytes`: of the connection's output.
    pub fn deadline(&self, queued_bytes: usize, cx: &Cx<'_>) -> Option<Instant> {
        let of_streams = self.streams.iter().map(|stream| self.deadline_of(stream, queued_bytes, cx));
        let of_streams = of_streams.fold(None, earlier);
        let of_drain = cx.idle_end().and_then(|end| match self.drain {
            Drain::No => Some(end.began),
            Drain::Announced(at) => Some(at + LAST_REQUESTS),
            Drain::Last(_) => None,
        });
        // While output waits, only the client's reading counts.
        let of_client = self.owed(cx).filter(|_| queued_bytes == 0).map(|(until, _)| until);
        earlier(earlier(of_streams, of_drain), of_client)
    }

    /// What the client has to send first, and until when.
    fn owed(&self, cx: &Cx<'_>) -> Option<(Instant, Owed)> {
        let limits = cx.limits();
        let frame = self.part_since.map(|since| (since + limits.header_timeout, Owed::Frame));
        let settings = self.settings_sent.map(|sent| (sent + limits.header_timeout, Owed::Settings));
        let idle_until = self.idle_since + limits.idle_timeout;
        // A frame that had begun by then may be a request.
        let is_idle = self.streams.is_empty() && self.part_since.is_none_or(|since| since >= idle_until);
        let request = is_idle.then_some((idle_until, Owed::Request));
        [frame, settings, request].into_iter().flatten().min_by_key(|&(until, _)| until)
    }

    fn deadline_of(&self, stream: &Stream, queued_bytes: usize, cx: &Cx<'_>) -> Option<Instant> {
        let blocked = stream.outgoing.blocked_until(cx.limits().write_timeout);
        let own = match &stream.part {
            Part::Waiting(waiting) => waiting.ticket.as_ref().map(Ticket::until),
            Part::Exchange(active) => {
                let waits_for_reader = self.waits_for_reader(stream, queued_bytes, cx) || active.next == Next::Sent;
                let due = active.driver.deadline(cx);
                match (waits_for_reader, &active.next) {
                    (false, _) => due,
                    // It is called by neither before both have come.
                    (true, Next::Wait) => due.zip(active.driver.gives_up_at()).map(|(due, at)| due.max(at)),
                    (true, _) => active.driver.gives_up_at(),
                }
            }
            Part::WebSocket(open) => self.deadline_of_websocket(open, &stream.outgoing, queued_bytes, cx),
            Part::Sending => None,
            Part::Discarding(discarding) => Some(discarding.until),
        };
        earlier(blocked, own)
    }

    /// Whether its exchange waits for the client to take something first.
    fn waits_for_reader(&self, stream: &Stream, queued_bytes: usize, cx: &Cx<'_>) -> bool {
        self.is_full(&stream.outgoing, queued_bytes, cx) || stream.outgoing.is_blocked(self.send_window)
    }

    /// Ends the streams that have waited for too long.
    pub(super) fn end_streams(&mut self, wire: &mut Wire<'_>) {
        let (cx, now, count) = (wire.cx, wire.cx.now(), self.streams.len());
        let mut at = 0;
        while at < self.streams.len() {
            let stream = &self.streams[at];
            if stream.outgoing.blocked_until(cx.limits().write_timeout).is_some_and(|until| now >= until) {
                self.end_blocked(at, wire);
                continue;
            }
            if let Part::Discarding(discarding) = &stream.part
                && now >= discarding.until
            {
                let stream = self.remove(at, cx);
                cx.count(Count::TimeoutLinger);
                self.put_reset(stream.id, Code::NoError, wire);
                continue;
            }
            at += 1;
        }
        if self.streams.len() < count {
            self.count_paused();
        }
    }

    /// Ends the connection when nothing is left, or if the client does not send what it owes.
    /// `has_more`: frames have arrived that are not read yet.
    pub(super) fn end_waits(&mut self, has_more: bool, wire: &mut Wire<'_>) {
        let (cx, now) = (wire.cx, wire.cx.now());
        if wire.hung_up && !self.streams.is_empty() && !std::mem::replace(&mut self.is_probed, true) {
            // If it has left, its kernel answers with a reset.
            wire.output.append_with(|out| write::ping(PROBE, out));
        }
        self.end_drain(wire);
        if wire.input_ended && !has_more && self.streams.is_empty() && !matches!(self.stage, Stage::Ended(_)) {
            self.stage = Stage::Ended(Closing::Flushed);
        }
        if matches!(self.stage, Stage::Ended(_)) {
            return;
        }
        // It is idle once all output is sent.
        if !wire.output.is_empty() {
            self.idle_since = now;
            return;
        }
        match self.owed(cx).filter(|&(until, _)| now >= until) {
            Some((_, Owed::Frame)) => {
                self.time_out(Code::Protocol, "a frame did not arrive in time", Some(Count::TimeoutHead), wire);
            }
            Some((_, Owed::Settings)) => {
                self.time_out(Code::SettingsTimeout, "SETTINGS were not acknowledged in time", None, wire);
            }
            _ if has_more => {}
            Some((_, Owed::Request)) => self.time_out(Code::NoError, "", Some(Count::TimeoutIdle), wire),
            None if self.ends_at_next_wait && self.streams.is_empty() => self.time_out(Code::NoError, "", None, wire),
            None => {}
        }
    }

    /// A wait for the client has ended without it.
    fn time_out(&mut self, code: Code, why: &str, count: Option<Count>, wire: &mut Wire<'_>) {
        if let Some(count) = count {
            wire.cx.count(count);
        }
        self.fail(code, why, wire);
    }

    /// A client that does not take its response: as one of HTTP/1 that does not read.
    fn end_blocked(&mut self, at: usize, wire: &mut Wire<'_>) {
        wire.cx.count(Count::TimeoutWrite);
        self.reset(at, Code::Cancel, Outcome::Cut(Cut::WriteTimeout), wire);
    }

    /// The server stops: the client is told that the connection ends, and then which request is the last.
    fn end_drain(&mut self, wire: &mut Wire<'_>) {
        let now = wire.cx.now();
        match self.drain {
            Drain::No if !wire.cx.is_draining() => return,
            Drain::No if !self.streams.is_empty() => {
                self.put_goaway(ANY_STREAM, Code::NoError, "", wire);
                self.drain = Drain::Announced(now);
            }
            Drain::No => self.announce_last(wire),
            Drain::Announced(at) if self.streams.is_empty() || now >= at + LAST_REQUESTS => self.announce_last(wire),
            Drain::Announced(_) | Drain::Last(_) => {}
        }
        if matches!(self.drain, Drain::Last(_)) && self.streams.is_empty() && !matches!(self.stage, Stage::Ended(_)) {
            self.stage = Stage::Ended(Closing::Lingering);
        }
    }

    /// What it waits for, once all that could be done is done.
    pub(super) fn next(&self, wire: &Wire<'_>) -> Next {
        let (cx, queued) = (wire.cx, wire.output.len());
        let mut waits_for_send = false;
        for stream in &self.streams {
            if stream.can_send(self.send_window) {
                return Next::Again;
            }
            let (next, is_due, waits_for_reader) = match &stream.part {
                Part::Exchange(active) => (&active.next, active.is_due, self.waits_for_reader(stream, queued, cx)),
                Part::WebSocket(open) => {
                    let is_held = self.holds_websocket(&stream.outgoing, queued, cx);
                    let is_full = stream.outgoing.queue.len() > cx.limits().write_low_watermark_bytes;
                    waits_for_send |= is_held && open.is_due && queued > 0;
                    (&open.next, open.is_due && !is_held, is_held || is_full)
                }
                Part::Waiting(waiting) if waiting.ticket.is_none() && !self.is_too_full(cx) => return Next::Again,
                _ => continue,
            };
            if is_due {
                return Next::Again;
            }
            match next {
                Next::Again if !waits_for_reader => return Next::Again,
                Next::Sent if stream.outgoing.queue.is_empty() && stream.outgoing.written_at <= wire.passed.sent => {
                    return Next::Again;
                }
                Next::Again | Next::Sent => waits_for_send |= queued > 0,
                _ => {}
            }
        }
        if waits_for_send { Next::Sent } else { Next::Wait }
    }
}
