//! A format as its worker uses it: which values are written when.
//!
//! What a line has of the request is rendered while the request is in the input, and what it has of the response's head
//! when that is written; the line puts these pieces together with what is known only at the end. So nothing is kept of
//! a request but text of its line, escaped already.

use super::clock::Clock;
use super::datum::{Datum, Room, push};
use super::trace::TraceParent;
use super::values::{CREDENTIALS_BYTES_MAX, end_datum, field, foreign, trace_of, user};
use crate::app::WorkerInfo;
use crate::dispatch::Record;
use crate::http::Request;
use crate::request_log::Captured;
use std::net::SocketAddr;
use std::time::Instant;
use tine_common::access_log::{Format, Piece, Stage, Style, Time, Value};

/// Each piece that a stage has rendered begins with its length.
const LENGTH: usize = size_of::<u32>();
/// The most that a value of the server's own adds to a line, with quotes.
const OWN_BYTES_MAX: usize = 48;
/// The most that an empty capture keeps allocated.
const KEPT_BYTES_MAX: usize = 4096;

#[derive(Debug)]
pub struct Template {
    style: Style,
    runs: Vec<Run>,
    room: Room,
    has_response_fields: bool,
    has_trace: bool,
    needs_local_address: bool,
}

/// Pieces that follow each other in a line and are known at the same time.
#[derive(Debug)]
struct Run {
    stage: Stage,
    pieces: Vec<Piece>,
    /// The place of the first in the format.
    place: usize,
}

/// What is known of a request while it is in the input.
#[derive(Clone, Copy)]
pub struct Asked<'a> {
    pub head: Asking<'a>,
    pub client: Option<SocketAddr>,
    pub local: Option<SocketAddr>,
    pub request_id: Option<&'a str>,
    pub worker: &'a WorkerInfo,
    pub began: Instant,
}

#[derive(Clone, Copy)]
pub enum Asking<'a> {
    Request(&'a Request<'a>),
    /// What has arrived of a head that was refused; empty if nothing was read.
    Refused(&'a [u8]),
}

/// What was rendered of a line before its end.
#[derive(Debug, Default)]
pub struct Capture {
    bytes: Vec<u8>,
    /// Where the response's pieces begin, once there are some.
    response_at: Option<usize>,
    room: Room,
}

impl Template {
    /// `line_bytes_max`: with the newline.
    pub fn new(format: &Format, line_bytes_max: usize) -> Template {
        let mut runs: Vec<Run> = Vec::new();
        let (mut fixed_bytes, mut foreign) = (1, 0);
        for (place, piece) in format.pieces.iter().enumerate() {
            let stage = match piece {
                Piece::Literal(text) => {
                    fixed_bytes += text.len();
                    runs.last().map_or(Stage::Request, |run| run.stage)
                }
                Piece::Value { key, value } => {
                    let is_foreign = value.is_foreign();
                    foreign += usize::from(is_foreign);
                    fixed_bytes += key.len() + if is_foreign { 2 + "HTTP/1.1  ".len() } else { OWN_BYTES_MAX };
                    value.stage()
                }
            };
            match runs.last_mut() {
                Some(run) if run.stage == stage => run.pieces.push(piece.clone()),
                _ => runs.push(Run { stage, pieces: vec![piece.clone()], place }),
            }
        }
        let has_response_fields = runs.iter().any(|run| run.stage == Stage::Response);
        let is_trace = |piece: &Piece| matches!(piece, Piece::Value { value: Value::TraceId | Value::SpanId, .. });
        let has_trace = format.pieces.iter().any(is_trace);
        let is_local =
            |piece: &Piece| matches!(piece, Piece::Value { value: Value::LocalAddress | Value::LocalPort, .. });
        let needs_local_address = format.pieces.iter().any(is_local);
        let room = Room { bytes: line_bytes_max.saturating_sub(fixed_bytes), values: foreign };
        Template { style: format.style, runs, room, has_response_fields, has_trace, needs_local_address }
    }

    /// Whether [`Template::on_head`] has anything to do.
    pub fn has_response_fields(&self) -> bool {
        self.has_response_fields
    }

    /// Whether the address that the client connected to is a value: the kernel has to be asked for it.
    pub fn needs_local_address(&self) -> bool {
        self.needs_local_address
    }

    /// Renders what the line has of the request. `capture`: empty.
    pub fn on_request(&self, asked: &Asked<'_>, capture: &mut Capture, clock: &mut Clock) {
        capture.room = self.room;
        let trace = match asked.head {
            Asking::Request(request) if self.has_trace => trace_of(request),
            _ => None,
        };
        self.render(Stage::Request, &Source::Request(asked, trace), capture, clock);
    }

    /// Renders what the line has of the response's head, given its bytes as they are sent. Only the last head counts:
    /// one before it was not sent.
    pub fn on_head(&self, head: &[u8], capture: &mut Capture, clock: &mut Clock) {
        let at = capture.response_at.unwrap_or(capture.bytes.len());
        capture.bytes.truncate(at);
        capture.response_at = Some(at);
        self.render(Stage::Response, &Source::Head(head), capture, clock);
    }

    /// Appends the runs of a stage to the capture, each after its length.
    fn render(&self, stage: Stage, source: &Source<'_>, capture: &mut Capture, clock: &mut Clock) {
        let Capture { bytes, room, .. } = capture;
        for run in self.runs.iter().filter(|run| run.stage == stage) {
            let at = bytes.len();
            bytes.extend_from_slice(&[0; LENGTH]);
            self.push_run(bytes, run, source, room, clock);
            let length = (bytes.len() - at - LENGTH) as u32;
            bytes[at..at + LENGTH].copy_from_slice(&length.to_le_bytes());
        }
    }

    fn push_run(&self, out: &mut Vec<u8>, run: &Run, source: &Source<'_>, room: &mut Room, clock: &mut Clock) {
        for (piece, place) in run.pieces.iter().zip(run.place..) {
            let (key, value) = match piece {
                Piece::Literal(text) => {
                    out.extend_from_slice(text);
                    continue;
                }
                Piece::Value { key, value } => (key, value),
            };
            if let (Value::User, Source::Request(asked, _)) = (value, source) {
                push_user(out, key, asked, self.style, room);
                continue;
            }
            match (source.time(value), self.style) {
                (None, style) => push(out, key, source.datum(value), style, room),
                (Some((time, at)), Style::Text) => clock.push(out, time, at, place),
                (Some((time, at)), Style::Json) => {
                    out.extend_from_slice(key);
                    out.push(b'"');
                    clock.push(out, time, at, place);
                    out.push(b'"');
                }
            }
        }
    }

    /// Appends the whole line, without its newline.
    pub fn finish(&self, record: &Record, captured: &Captured, out: &mut Vec<u8>, clock: &mut Clock) {
        let capture = captured.line();
        let (mut request, mut response) = capture.bytes.split_at(capture.response_at.unwrap_or(capture.bytes.len()));
        let mut room = Room::default();
        for run in &self.runs {
            match run.stage {
                Stage::Request => out.extend_from_slice(next_run(&mut request)),
                Stage::Response if !response.is_empty() => out.extend_from_slice(next_run(&mut response)),
                Stage::Response => self.push_run(out, run, &Source::Head(b""), &mut room, clock),
                Stage::End => self.push_run(out, run, &Source::End(record, captured), &mut room, clock),
            }
        }
    }
}

impl Capture {
    /// Empties it, to be used again; false: it is too large to be kept.
    pub fn clear(&mut self) -> bool {
        self.bytes.clear();
        self.response_at = None;
        self.bytes.capacity() <= KEPT_BYTES_MAX
    }
}

/// The name has to be decoded.
fn push_user(out: &mut Vec<u8>, key: &[u8], asked: &Asked<'_>, style: Style, room: &mut Room) {
    let mut decoded = None;
    let name = match asked.head {
        Asking::Request(request) => request
            .headers()
            .get("authorization")
            .and_then(|value| user(value, decoded.insert([0; CREDENTIALS_BYTES_MAX]))),
        Asking::Refused(_) => None,
    };
    push(out, key, foreign(name), style, room);
}

fn next_run<'a>(rest: &mut &'a [u8]) -> &'a [u8] {
    let Some((length, after)) = rest.split_first_chunk::<LENGTH>() else { return b"" };
    let (run, after) = after.split_at((u32::from_le_bytes(*length) as usize).min(after.len()));
    *rest = after;
    run
}

/// What the values of a stage come from.
enum Source<'a> {
    Request(&'a Asked<'a>, Option<TraceParent<'a>>),
    /// The bytes of the response's head.
    Head(&'a [u8]),
    End(&'a Record, &'a Captured),
}

impl<'a> Source<'a> {
    /// If the value is a time of day: its form, and the time.
    fn time(&self, value: &'a Value) -> Option<(&'a Time, Instant)> {
        match (value, self) {
            (Value::Began(time), Source::Request(asked, _)) => Some((time, asked.began)),
            (Value::Ended(time), Source::End(record, _)) => Some((time, record.ended)),
            _ => None,
        }
    }

    fn datum(&self, value: &'a Value) -> Datum<'a> {
        match self {
            Source::Request(asked, trace) => asked.datum(value, *trace),
            Source::Head(head) => match value {
                Value::ResponseHeader(name) => foreign(field(head, name)),
                _ => Datum::Absent,
            },
            Source::End(record, captured) => end_datum(value, record, captured),
        }
    }
}
