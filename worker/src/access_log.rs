//! The access log of one worker: a line for each request, written when its response has left.
//!
//! What a line has of the request is captured while its bytes are in the input ([`AccessLog::capture`]), and what it has
//! of the response's head as that is written. The line is put together when the request has ended, and the lines of a
//! turn are written at its end ([`AccessLog::flush`]). Which requests have a line is decided by `request_log`.

mod clock;
mod datum;
mod fields;
mod line;
#[cfg(test)]
mod line_tests;
mod pen;
mod template;
#[cfg(test)]
mod test_json;
mod trace;
mod values;

use crate::app::{Cx, WorkerInfo};
use crate::dispatch::Record;
use crate::http::Request;
use crate::request_log::Captured;
use clock::Clock;
pub use line::Capture;
use line::{Asked, Asking};
use std::cell::RefCell;
use std::net::SocketAddr;
use std::os::fd::RawFd;
use std::time::Instant;
use template::Template;
use tine_common::access_log::{Format, Lines, Sink};

pub struct AccessLog {
    template: Template,
    state: RefCell<State>,
}

struct State {
    lines: Lines,
    clock: Clock,
    scratch: Box<[u8]>,
}

impl AccessLog {
    pub fn new(sink: Sink, format: &Format, worker: &WorkerInfo, has_ids: bool, now: Instant) -> Self {
        let template = Template::new(format, sink.line_bytes_max(), worker, has_ids);
        let state = State { lines: Lines::new(sink), clock: Clock::new(now), scratch: template.scratch() };
        AccessLog { template, state: RefCell::new(state) }
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
        let local = self.template.needs_local_address.then(|| cx.local_address()).flatten();
        let (head, client) = (Asking::Request(request), cx.peer_address());
        self.fill(&Asked { head, client, local, request_id, began }, line);
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
        self.fill(&Asked { head, client, local: None, request_id, began }, line);
    }

    fn fill(&self, asked: &Asked<'_>, line: &mut Capture) {
        let State { clock, scratch, .. } = &mut *self.state.borrow_mut();
        self.template.on_request(asked, line, clock, scratch);
    }

    /// The bytes of the response's head, as they are sent.
    pub fn on_head(&self, head: &[u8], line: &mut Capture) {
        if self.template.has_response_fields {
            let State { clock, scratch, .. } = &mut *self.state.borrow_mut();
            self.template.on_head(head, line, clock, scratch);
        }
    }

    /// A request has ended: adds its line.
    pub fn end(&self, record: &Record, captured: &Captured) {
        let State { lines, clock, .. } = &mut *self.state.borrow_mut();
        lines.push(record.ended, |out| self.template.finish(record, captured, out, clock));
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
