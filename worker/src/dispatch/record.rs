//! What is known of a request once it has ended, whatever its protocol.
//!
//! It is made when the request's head is complete, by [`super::begin`], or when a head is refused. Its protocol fills it
//! in and passes it to [`super::Recorder::complete`] once its response is written; it then waits until the kernel has
//! taken the response's last byte, or until the connection is closed before that, and is passed to
//! [`super::Recorder::end`], the one place where counters and logs see it.
//!
//! Times are those of the turn's clock. A request begins at the time of the turn in which its head is complete: that
//! includes the wait for other connections of that turn, and not the time that a slow client takes to send its head. A
//! flush that ends a response reads the clock once.
//!
//! What a log needs of the request while it is in the input has to be captured in [`Record::begun`], and of the
//! response's head in [`Record::on_head`], which is called for each response, the server's own included.

use crate::app::Cx;
use crate::http::{Request, StatusCode, Version};
use crate::request_log::{Captured, RequestLog, Wait};
use std::net::SocketAddr;
use std::time::{Duration, Instant};
use tine_common::method::Method;

#[derive(Debug)]
pub struct Record {
    pub part: Part,
    pub outcome: Outcome,
    pub method: Method,
    /// `None`: the request's head was malformed or incomplete.
    pub version: Option<Version>,
    /// Of the response's head, if it was written by the server's encoder; `None`: there is no head, or the application
    /// wrote it as raw bytes.
    pub status: Option<StatusCode>,
    /// Bytes of the request as they were read, with framing, up to the response's end: a body that is dropped
    /// afterwards is not counted.
    pub request_bytes: u64,
    /// Bytes of the response, with its head and framing, and interim responses. Once it has ended: those of them that
    /// the kernel has taken.
    pub response_bytes: u64,
    /// The time of the turn in which its head was complete.
    pub began: Instant,
    /// When the first byte of the response's head was with the kernel.
    pub first_byte: Option<Instant>,
    /// When the last byte was with the kernel, or the connection was closed. Before that: as `began`.
    pub ended: Instant,
    /// Positions in the connection's output: where the response starts, any interim responses included; where its own
    /// head begins; where it ends.
    starts_at: u64,
    head_at: u64,
    ends_at: u64,
    /// What the logs keep of it; `None`: nothing.
    pub log: Option<Box<Captured>>,
}

/// What a record is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// A request and its response, which may be the 101 of a WebSocket.
    Request,
    /// The WebSocket that followed such a 101: its bytes in both directions, its time, and how it ended. The method and
    /// the status are those of its handshake.
    WebSocket,
    /// A connection that was refused before any request; only for the log.
    Connection,
}

/// How a request ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// All of the app's response, or of the 500 after its failure, was passed to the kernel; for a WebSocket: it was
    /// closed by a close handshake.
    Answered,
    /// As [`Outcome::Answered`], but the request never reached the app: the response is the server's own, to a head that
    /// is malformed, too large or late; or the body is, and the app had not begun its response.
    Refused,
    /// The response could not be completed.
    Cut(Cut),
    /// The client left before it had all of the response.
    ClientLeft,
}

/// Why a response could not be completed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cut {
    /// The app failed after its head, or an earlier response of the same connection was cut.
    App,
    /// The request's body was malformed or late, and the response had begun.
    Request,
    /// The client did not read it.
    WriteTimeout,
    /// A file that is part of it has changed or cannot be read.
    File,
    /// The graceful timeout of a drain.
    Shutdown,
    /// The connection could not be added to the poll.
    Poll,
}

impl Record {
    /// Of a request whose head is complete. `starts_at`: the position in the connection's output where its response
    /// will start.
    #[inline]
    pub fn begun(request: &Request<'_>, began: Instant, starts_at: u64, cx: &Cx<'_>) -> Record {
        let log = cx.request_log().map(|log| log.begin(request, began, cx));
        let method = Method::of(request.method().as_bytes());
        Record { log, ..Record::new(method, Some(request.version()), starts_at, began) }
    }

    /// Of a head that is refused before it is complete, or because it is malformed; `bytes`: as far as it has arrived.
    pub fn refused(bytes: &[u8], starts_at: u64, cx: &Cx<'_>) -> Record {
        let method = bytes.split(|&byte| byte == b' ').next().unwrap_or_default();
        let record = Record::new(Method::of(method), None, starts_at, cx.now());
        let log = cx.request_log().map(|log| log.begin_refused(bytes, cx.peer_address(), cx.now()));
        Record { request_bytes: bytes.len() as u64, log, ..record }
    }

    /// Of a connection that is refused with `answer`, a whole response, whatever it requests; `bytes`: as far as that has
    /// arrived.
    pub fn of_connection(
        bytes: &[u8],
        answer: &[u8],
        client: Option<SocketAddr>,
        log: &RequestLog,
        now: Instant,
    ) -> Record {
        let mut captured = log.begin_refused(bytes, client, now);
        let head_bytes = memchr::memmem::find(answer, b"\r\n\r\n").map_or(0, |at| at + 4);
        log.on_head(&answer[..head_bytes], head_bytes, false, &mut captured);
        let mut record = Record::new(Method::Other, None, 0, now);
        (record.part, record.outcome, record.log) = (Part::Connection, Outcome::Refused, Some(captured));
        (record.status, record.request_bytes) = (Some(StatusCode::SERVICE_UNAVAILABLE), bytes.len() as u64);
        record.written(answer.len() as u64);
        record
    }

    #[inline]
    pub fn new(method: Method, version: Option<Version>, starts_at: u64, now: Instant) -> Record {
        Record {
            part: Part::Request,
            outcome: Outcome::Answered,
            method,
            version,
            status: None,
            request_bytes: 0,
            response_bytes: 0,
            began: now,
            first_byte: None,
            ended: now,
            starts_at,
            head_at: starts_at,
            ends_at: u64::MAX,
            log: None,
        }
    }

    /// Of the WebSocket that follows this handshake; it is logged in its place.
    pub fn of_websocket(&mut self) -> Record {
        let record = Record::new(self.method, self.version, 0, self.began);
        Record { part: Part::WebSocket, status: self.status, log: self.log.take(), ..record }
    }

    /// The position in the connection's output where it starts.
    pub fn starts_at(&mut self, position: u64) {
        (self.starts_at, self.head_at) = (position, position);
    }

    /// The response's head is written, whoever wrote it: the app or the server. `text`: as HTTP/1 sends it; `bytes`: its
    /// length as it is sent.
    pub fn on_head(&mut self, status: StatusCode, text: &[u8], bytes: usize, is_kept: bool, cx: &Cx<'_>) {
        self.status = Some(status);
        if let (Some(captured), Some(log)) = (&mut self.log, cx.request_log()) {
            log.on_head(text, bytes, is_kept, captured);
        }
    }

    /// What it waits for besides its app from now on, for the log.
    pub fn waits_for(&mut self, wait: Option<Wait>, now: Instant) {
        match (&mut self.log, wait) {
            (Some(log), Some(wait)) => log.waits.begin(wait, now),
            (Some(log), None) => log.waits.end(now),
            (None, _) => {}
        }
    }

    /// The ID of the request, if it has one.
    pub fn request_id(&self) -> Option<&str> {
        self.log.as_ref()?.id()
    }

    /// What was sent after a head of this length, once it has ended.
    pub fn bytes_after_head(&self, head_bytes: u64) -> u64 {
        (self.starts_at + self.response_bytes).saturating_sub(self.head_at + head_bytes)
    }

    /// The response's head begins at this position of the output; without a call: where the response starts.
    pub fn head_at(&mut self, position: u64) {
        self.head_at = position;
    }

    /// The response is written, complete or not, up to this position of the output.
    pub fn written(&mut self, ends_at: u64) {
        self.ends_at = ends_at;
        self.response_bytes = ends_at - self.starts_at;
    }

    /// As [`Record::written`], of a response in frames among those of others: `bytes` of it in all.
    pub fn written_among_others(&mut self, ends_at: u64, bytes: u64) {
        (self.ends_at, self.response_bytes) = (ends_at, bytes);
    }

    /// Whether the first byte of the response's head is about to become known as sent.
    pub fn awaits_first_byte(&self, sent_bytes: u64) -> bool {
        self.first_byte.is_none() && sent_bytes > self.head_at
    }

    /// All of it is sent.
    pub fn is_sent(&self, sent_bytes: u64) -> bool {
        self.ends_at <= sent_bytes
    }

    /// The connection has sent this many bytes by `now`.
    pub fn on_sent(&mut self, sent_bytes: u64, now: Instant) {
        if self.awaits_first_byte(sent_bytes) {
            self.first_byte = Some(now);
        }
    }

    /// No more of it will be sent than the connection has sent by now.
    pub fn end(&mut self, sent_bytes: u64, now: Instant) {
        self.ended = now;
        self.on_sent(sent_bytes, now);
        self.response_bytes -= self.ends_at.saturating_sub(sent_bytes).min(self.response_bytes);
    }

    /// Whether both have ended and are counted alike.
    pub fn is_counted_as(&self, other: &Record) -> bool {
        (self.part, self.method, self.version, self.status) == (other.part, other.method, other.version, other.status)
            && (self.began, self.first_byte, self.ended) == (other.began, other.first_byte, other.ended)
    }

    /// From the request's beginning to its end.
    pub fn duration(&self) -> Duration {
        self.ended.saturating_duration_since(self.began)
    }

    /// From the request's beginning to the first byte of its response.
    pub fn time_to_first_byte(&self) -> Option<Duration> {
        self.first_byte.map(|at| at.saturating_duration_since(self.began))
    }
}
