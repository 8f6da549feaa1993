//! What is logged of requests: the access log, the slow log, and the IDs that connect them with other logs.
//!
//! One per worker, if any of the three is wanted; without them a request costs a branch. What it keeps of a request
//! stays with the request's [`Record`] as [`Captured`], in a box that is used again: in the steady state nothing is
//! allocated.

mod id;
mod slow;

pub use id::FIELD as ID_FIELD;
pub use slow::{Wait, Waits};

use crate::access_log::{AccessLog, Capture};
use crate::app::{Cx, WorkerInfo};
use crate::dispatch::{Outcome, Part, Record};
use crate::http::Request;
use id::RequestIds;
use std::cell::RefCell;
use std::io;
use std::net::SocketAddr;
use std::os::fd::RawFd;
use std::time::{Duration, Instant};
use tine_common::access_log::Sink;
use tine_common::config::RequestLogConfig;
use tine_common::request_name::RequestName;

/// Boxes that are kept for further requests.
const SPARE_MAX: usize = 512;
/// The status that stands for none, when lines are chosen by it: the client left before the response, as nginx's.
const NO_STATUS: u16 = 499;

pub struct RequestLog {
    access: Option<AccessLog>,
    slow: Option<Duration>,
    ids: Option<RequestIds>,
    status_min: u16,
    sample: u32,
    state: RefCell<State>,
}

#[derive(Default)]
struct State {
    #[allow(clippy::vec_box)] // it is the boxes that are used again
    spare: Vec<Box<Captured>>,
    /// Lines left out since the last one by `--access-log-sample`.
    skipped: u32,
}

/// What the logs keep of a request until it has ended.
#[derive(Debug, Default)]
pub struct Captured {
    line: Capture,
    /// Only for the slow log.
    name: Option<RequestName>,
    id: Option<Box<str>>,
    pub waits: Waits,
    /// The length of the response's head.
    head_bytes: usize,
    /// The connection is kept after the response.
    is_kept: bool,
}

impl RequestLog {
    /// `None`: nothing of it is wanted. To be called in the worker, which draws random numbers of its own.
    pub fn new(
        config: &RequestLogConfig,
        sink: Option<Sink>,
        worker: WorkerInfo,
        now: Instant,
    ) -> io::Result<Option<RequestLog>> {
        if sink.is_none() && config.slow.is_none() && !config.has_ids {
            return Ok(None);
        }
        Ok(Some(RequestLog {
            access: sink.map(|sink| AccessLog::new(sink, &config.access.format, &worker, config.has_ids, now)),
            slow: config.slow,
            ids: config.has_ids.then(RequestIds::new).transpose()?,
            status_min: config.access.status_min,
            sample: config.access.sample,
            // The first request has a line.
            state: RefCell::new(State { spare: Vec::new(), skipped: u32::MAX }),
        }))
    }

    /// Of a request whose head is in the input; it may have `began` in an earlier turn.
    pub fn begin(&self, request: &Request<'_>, began: Instant, cx: &Cx<'_>) -> Box<Captured> {
        let mut captured = self.spare();
        captured.id = self.ids.as_ref().map(|ids| ids.of(request.headers()));
        if let Some(access) = &self.access {
            access.capture(request, captured.id.as_deref(), began, cx, &mut captured.line);
        }
        if self.slow.is_some() {
            captured.name = Some(request.name());
            captured.waits.queue = cx.now().saturating_duration_since(began);
        }
        captured
    }

    /// Of a head that is refused; `bytes`: as far as it has arrived.
    pub fn begin_refused(&self, bytes: &[u8], client: Option<SocketAddr>, now: Instant) -> Box<Captured> {
        let mut captured = self.spare();
        captured.id = self.ids.as_ref().map(RequestIds::make);
        if let Some(access) = &self.access {
            access.capture_refused(bytes, client, captured.id.as_deref(), now, &mut captured.line);
        }
        captured
    }

    fn spare(&self) -> Box<Captured> {
        self.state.borrow_mut().spare.pop().unwrap_or_default()
    }

    /// The response's head is written; `head`: its text, `bytes`: its length as it is sent.
    pub fn on_head(&self, head: &[u8], bytes: usize, is_kept: bool, captured: &mut Captured) {
        captured.set_head(bytes, is_kept);
        if let Some(access) = &self.access {
            access.on_head(head, &mut captured.line);
        }
    }

    /// A request has ended: logs it, if it is to be logged.
    pub fn end(&self, record: &Record, mut captured: Box<Captured>) {
        let is_slow = record.part != Part::WebSocket && self.slow.is_some_and(|slow| record.duration() >= slow);
        if let Some(name) = captured.name.take().filter(|_| is_slow) {
            slow::log(&name, record, &captured);
        }
        let State { spare, skipped } = &mut *self.state.borrow_mut();
        if let Some(access) = &self.access
            && self.is_wanted(record, is_slow, skipped)
        {
            access.end(record, &captured);
        }
        if spare.len() < SPARE_MAX && captured.line.clear() {
            (captured.id, captured.waits) = (None, Waits::default());
            (captured.head_bytes, captured.is_kept) = (0, false);
            spare.push(captured);
        }
    }

    /// Whether it has a line in the access log.
    fn is_wanted(&self, record: &Record, is_slow: bool, skipped: &mut u32) -> bool {
        let status = record.status.map_or(NO_STATUS, |status| status.as_u16());
        // The status of a response that the server could not complete says too little.
        let is_failure = status >= 500 || matches!(record.outcome, Outcome::Cut(_));
        if status < self.status_min && !is_failure {
            return false;
        }
        if self.sample <= 1 || is_failure || is_slow {
            return true;
        }
        *skipped = skipped.saturating_add(1);
        if *skipped < self.sample {
            return false;
        }
        *skipped = 0;
        true
    }

    /// At the end of a turn.
    pub fn flush(&self, now: Instant) {
        self.access.iter().for_each(|access| access.flush(now));
    }

    /// When [`RequestLog::flush`] has to be called, if no turn comes earlier.
    pub fn deadline(&self) -> Option<Instant> {
        self.access.as_ref()?.deadline()
    }

    /// Lines of the access log dropped since the last call.
    pub fn take_dropped(&self) -> u64 {
        self.access.as_ref().map_or(0, AccessLog::take_dropped)
    }

    /// Opens the access log's file again.
    pub fn reopen(&self, now: Instant) -> Result<(), String> {
        self.access.as_ref().map_or(Ok(()), |access| access.reopen(now))
    }

    /// The access log's descriptor, which must not become another file's.
    pub fn descriptor(&self) -> Option<RawFd> {
        self.access.as_ref()?.descriptor()
    }

    /// Before the worker exits.
    pub fn finish(&self, now: Instant) {
        self.access.iter().for_each(|access| access.finish(now));
    }
}

impl Captured {
    pub fn id(&self) -> Option<&str> {
        self.id.as_deref()
    }

    /// What was sent after the response's head.
    pub fn body_bytes(&self, record: &Record) -> u64 {
        match record.part {
            Part::Request if self.head_bytes == 0 => 0, // no head, or an application's own
            _ => record.bytes_after_head(self.head_bytes as u64),
        }
    }

    pub fn is_kept(&self) -> bool {
        self.is_kept
    }

    pub fn line(&self) -> &Capture {
        &self.line
    }

    #[cfg(test)]
    pub fn line_mut(&mut self) -> &mut Capture {
        &mut self.line
    }

    pub fn set_head(&mut self, head_bytes: usize, is_kept: bool) {
        (self.head_bytes, self.is_kept) = (head_bytes, is_kept);
    }
}
