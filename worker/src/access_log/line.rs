//! Renders lines.
//!
//! What a line has of the request is rendered while the request is in the input, and what it has of the response's head
//! when that is written; the line puts these pieces together with what is known only at the end. So nothing is kept of
//! a request but text of its line, escaped already.

use super::clock::Clock;
use super::datum::{Datum, Room, push};
use super::fields::{AUTHORIZATION, Fields};
use super::template::{Op, Run, Template, What};
use super::values::{CREDENTIALS_BYTES_MAX, end_datum, field, foreign, user};
use crate::dispatch::Record;
use crate::http::Request;
use crate::request_log::Captured;
use std::net::SocketAddr;
use std::time::Instant;
use tine_common::access_log::{Stage, Style, Time, Value};

/// Each run that is rendered before the end begins with its length.
const LENGTH: usize = size_of::<u32>();
/// The most that an empty capture keeps allocated.
const KEPT_BYTES_MAX: usize = 4096;

/// What is known of a request while it is in the input.
#[derive(Clone, Copy)]
pub struct Asked<'a> {
    pub head: Asking<'a>,
    pub client: Option<SocketAddr>,
    pub local: Option<SocketAddr>,
    pub request_id: Option<&'a str>,
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
    /// Renders what the line has of the request. `capture`: empty.
    pub fn on_request(&self, asked: &Asked<'_>, capture: &mut Capture, clock: &mut Clock) {
        capture.room = self.room;
        let fields = match asked.head {
            Asking::Request(request) => self.wanted.find(request.headers()),
            Asking::Refused(_) => Fields::default(),
        };
        self.render(Stage::Request, &Source::Request(asked, &fields), capture, clock);
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
        for op in &run.ops {
            let datum = match &op.what {
                What::Nothing => {
                    out.extend_from_slice(&op.before);
                    continue;
                }
                What::Field(place) => source.field(*place),
                What::Value(value) => match source.time(value) {
                    None if *value == Value::User => {
                        self.push_user(out, op, source, room);
                        continue;
                    }
                    None => source.datum(value),
                    Some((time, at)) => {
                        out.extend_from_slice(&op.before);
                        clock.push(out, time, at, op.place);
                        if op.is_quoted {
                            out.push(b'"');
                        }
                        continue;
                    }
                },
            };
            self.push_datum(out, op, datum, room);
        }
    }

    #[inline]
    fn push_datum(&self, out: &mut Vec<u8>, op: &Op, datum: Datum<'_>, room: &mut Room) {
        if matches!(datum, Datum::Absent) {
            if op.is_foreign {
                room.skip();
            }
            if self.style == Style::Json {
                return;
            }
        }
        out.extend_from_slice(&op.before);
        push(out, datum, self.style, room);
        if op.is_quoted {
            out.push(b'"');
        }
    }

    /// The name has to be decoded.
    fn push_user(&self, out: &mut Vec<u8>, op: &Op, source: &Source<'_>, room: &mut Room) {
        let mut decoded = None;
        let name = match source {
            Source::Request(_, fields) => {
                fields[AUTHORIZATION].and_then(|value| user(value, decoded.insert([0; CREDENTIALS_BYTES_MAX])))
            }
            _ => None,
        };
        self.push_datum(out, op, foreign(name), room);
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

fn next_run<'a>(rest: &mut &'a [u8]) -> &'a [u8] {
    let Some((length, after)) = rest.split_first_chunk::<LENGTH>() else { return b"" };
    let (run, after) = after.split_at((u32::from_le_bytes(*length) as usize).min(after.len()));
    *rest = after;
    run
}

/// What the values of a stage come from.
enum Source<'a> {
    Request(&'a Asked<'a>, &'a Fields<'a>),
    /// The bytes of the response's head.
    Head(&'a [u8]),
    End(&'a Record, &'a Captured),
}

impl<'a> Source<'a> {
    fn field(&self, place: usize) -> Datum<'a> {
        match self {
            Source::Request(_, fields) => foreign(fields[place]),
            _ => Datum::Absent,
        }
    }

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
            Source::Request(asked, fields) => asked.datum(value, fields),
            Source::Head(head) => match value {
                Value::ResponseHeader(name) => foreign(field(head, name)),
                _ => Datum::Absent,
            },
            Source::End(record, captured) => end_datum(value, record, captured),
        }
    }
}
