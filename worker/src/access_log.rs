//! The access log of one worker: a line for each request, written when its response has left.
//!
//! What a line has of the request is captured while its bytes are in the input ([`AccessLog::capture`]), and what it has
//! of the response's head as that is written. The line is put together when the request has ended, and the lines of a
//! turn are written at its end ([`AccessLog::flush`]). Which requests have a line is decided by `request_log`.

mod capture;
mod clock;
mod datum;
mod fields;
mod json;
mod line;
#[cfg(test)]
mod line_tests;
mod pen;
mod refused;
mod template;
#[cfg(test)]
mod test_json;
mod trace;
mod values;

use crate::app::{Cx, WorkerInfo};
use crate::dispatch::Record;
use crate::http::Request;
use crate::request_log::Captured;
pub use capture::Capture;
use capture::{Asked, Asking};
use clock::Clock;
use json::JsonLine;
use pen::Pen;
use std::cell::RefCell;
use std::net::SocketAddr;
use std::os::fd::RawFd;
use std::time::Instant;
use template::Template;
use tine_common::access_log::{Form, Format, Lines, Sink};

/// What a pen likes to have after the end of a line.
const SPARE_BYTES: usize = 128;

pub struct AccessLog {
    layout: Layout,
    state: RefCell<State>,
}

/// What the lines are made by.
enum Layout {
    Directives(Template),
    Json(JsonLine),
}

struct State {
    lines: Lines,
    clock: Clock,
    scratch: Box<[u8]>,
}

impl AccessLog {
    pub fn new(sink: Sink, format: &Format, worker: &WorkerInfo, has_ids: bool, now: Instant) -> Self {
        let layout = Layout::new(format, sink.line_bytes_max(), worker, has_ids);
        let scratch = layout.scratch(sink.line_bytes_max());
        let state = State { lines: Lines::new(sink), clock: Clock::new(now), scratch };
        AccessLog { layout, state: RefCell::new(state) }
    }

    /// Of a request whose head is in the input. `line`: empty.
    pub fn capture(
        &self,
        request: &Request<'_>,
        request_id: Option<&str>,
        began: Instant,
        cx: &Cx<'_>,
        line: &mut Capture,
    ) {
        let local = self.layout.needs_local_address().then(|| cx.local_address()).flatten();
        let (head, client) = (Asking::Request(request), cx.peer_address());
        let tls = self.layout.needs_tls().then(|| cx.tls()).flatten().map(|tls| &**tls);
        self.fill(&Asked { head, client, local, request_id, began, tls }, line);
    }

    /// Of a head that is refused; `bytes`: as far as it has arrived.
    pub fn capture_refused(
        &self,
        bytes: &[u8],
        client: Option<SocketAddr>,
        request_id: Option<&str>,
        began: Instant,
        line: &mut Capture,
    ) {
        let head = Asking::Refused(bytes);
        self.fill(&Asked { head, client, local: None, request_id, began, tls: None }, line);
    }

    fn fill(&self, asked: &Asked<'_>, line: &mut Capture) {
        let State { clock, scratch, .. } = &mut *self.state.borrow_mut();
        self.layout.on_request(asked, line, clock, scratch);
    }

    /// The bytes of the response's head, as they are sent.
    pub fn on_head(&self, head: &[u8], line: &mut Capture) {
        if let Layout::Directives(template) = &self.layout
            && template.has_response_fields
        {
            let State { clock, scratch, .. } = &mut *self.state.borrow_mut();
            template.on_head(head, line, clock, scratch);
        }
    }

    /// A request has ended: adds its line.
    pub fn end(&self, record: &Record, captured: &Captured) {
        let State { lines, clock, .. } = &mut *self.state.borrow_mut();
        lines.push(record.ended, |out| self.layout.finish(record, captured, out, clock));
    }

    /// At the end of a turn.
    pub fn flush(&self, now: Instant) {
        self.state.borrow_mut().lines.flush(now);
    }

    /// When [`AccessLog::flush`] has to be called, if no turn comes earlier.
    pub fn deadline(&self) -> Option<Instant> {
        self.state.borrow().lines.deadline()
    }

    /// Lines dropped since the last call.
    pub fn take_dropped(&self) -> u64 {
        self.state.borrow_mut().lines.take_dropped()
    }

    pub fn reopen(&self, now: Instant) -> Result<(), String> {
        self.state.borrow_mut().lines.reopen(now)
    }

    pub fn descriptor(&self) -> Option<RawFd> {
        self.state.borrow().lines.sink().descriptor()
    }

    /// Before the worker exits.
    pub fn finish(&self, now: Instant) {
        self.state.borrow_mut().lines.finish(now);
    }
}

impl Layout {
    fn new(format: &Format, line_bytes_max: usize, worker: &WorkerInfo, has_ids: bool) -> Layout {
        match &format.form {
            Form::Directives(pieces) => Layout::Directives(Template::new(pieces, line_bytes_max, worker, has_ids)),
            Form::Json => Layout::Json(JsonLine::new(line_bytes_max, worker)),
        }
    }

    /// Room for what a line has of a request.
    fn scratch(&self, line_bytes_max: usize) -> Box<[u8]> {
        let captured_bytes_max = match self {
            Layout::Directives(template) => template.captured_bytes_max(),
            Layout::Json(_) => line_bytes_max,
        };
        vec![0; captured_bytes_max + SPARE_BYTES].into()
    }

    /// The session has to be asked for what was agreed on.
    fn needs_tls(&self) -> bool {
        matches!(self, Layout::Directives(template) if template.needs_tls)
    }

    /// The kernel has to be asked for the address that the client connected to.
    fn needs_local_address(&self) -> bool {
        matches!(self, Layout::Directives(template) if template.needs_local_address)
    }

    /// `line`: empty.
    #[inline(always)]
    fn on_request(&self, asked: &Asked<'_>, line: &mut Capture, clock: &mut Clock, scratch: &mut [u8]) {
        match self {
            Layout::Directives(template) => template.on_request(asked, line, clock, scratch),
            Layout::Json(json) => {
                let mut pen = Pen::new(scratch);
                json.on_request(asked, &mut pen, clock);
                let length = pen.len();
                line.bytes.extend_from_slice(&scratch[..length]);
            }
        }
    }

    /// Writes the whole line, without its newline; returns its length.
    #[inline(always)]
    fn finish(&self, record: &Record, captured: &Captured, out: &mut [u8], clock: &mut Clock) -> usize {
        let mut pen = Pen::new(out);
        match self {
            Layout::Directives(template) => template.finish(record, captured, &mut pen, clock),
            Layout::Json(json) => json.finish(record, captured, &mut pen, clock),
        }
        pen.len()
    }
}
