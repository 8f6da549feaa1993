//! Renders the lines of a format of directives.
//!
//! What a line has of the request is rendered while the request is in the input, and what it has of the response's head
//! when that is written; the line puts these pieces together with what is known only at the end. So nothing is kept of
//! a request but text of its line, escaped already.

use super::capture::{Asked, Asking, Capture};
use super::clock::Clock;
use super::datum::{Datum, Room, Style, push, push_foreign};
use super::fields::{AUTHORIZATION, Fields};
use super::pen::{Pen, Short};
use super::template::{Op, Run, Template, What};
use super::values::{CREDENTIALS_BYTES_MAX, end_datum, field, foreign, user};
use crate::dispatch::Record;
use crate::request_log::Captured;
use std::time::Instant;
use tine_common::access_log::{Stage, Value};

/// Each run that is rendered before the end begins with its length.
const LENGTH: usize = size_of::<u32>();
impl Template {
    /// Renders what the line has of the request. `capture`: empty. `scratch`: as long as that, and more.
    pub fn on_request(&self, asked: &Asked<'_>, capture: &mut Capture, clock: &mut Clock, scratch: &mut [u8]) {
        let mut room = self.room;
        let mut fields = Fields::default();
        if let Asking::Request(request) = asked.head {
            self.wanted.find(request.headers(), &mut fields);
        }
        let source = Source::Request(asked, &fields);
        self.render(Stage::Request, &source, &mut capture.bytes, &mut room, clock, scratch);
        capture.room = room;
    }

    /// Renders what the line has of the response's head, given its bytes as they are sent. Only the last head counts:
    /// one before it was not sent.
    pub fn on_head(&self, head: &[u8], capture: &mut Capture, clock: &mut Clock, scratch: &mut [u8]) {
        let at = capture.response_at.unwrap_or(capture.bytes.len());
        capture.bytes.truncate(at);
        capture.response_at = Some(at);
        let Capture { bytes, room, .. } = capture;
        self.render(Stage::Response, &Source::Head(head), bytes, room, clock, scratch);
    }

    /// What the runs of one stage come to at most: a line that is longer is cut.
    pub fn captured_bytes_max(&self) -> usize {
        self.line_bytes_max + self.runs.len() * LENGTH
    }

    /// Appends the runs of a stage to what was captured, each after its length.
    #[inline(always)]
    fn render(
        &self,
        stage: Stage,
        source: &Source<'_>,
        captured: &mut Vec<u8>,
        room: &mut Room,
        clock: &mut Clock,
        scratch: &mut [u8],
    ) {
        let mut written = 0;
        for run in self.runs.iter().filter(|run| run.stage == stage) {
            let Some((length, rest)) = scratch[written..].split_first_chunk_mut::<LENGTH>() else { break };
            let mut pen = Pen::new(rest);
            self.push_run(&mut pen, run, source, room, clock);
            *length = (pen.len() as u32).to_le_bytes();
            written += LENGTH + pen.len();
        }
        captured.extend_from_slice(&scratch[..written]);
    }

    #[inline(always)]
    fn push_run(&self, pen: &mut Pen<'_>, run: &Run, source: &Source<'_>, room: &mut Room, clock: &mut Clock) {
        for op in &run.ops {
            let datum = match &op.what {
                What::Nothing => {
                    pen.literal(&op.before);
                    continue;
                }
                What::Field(place) => source.field(*place),
                What::User => {
                    self.push_user(pen, op, source, room);
                    continue;
                }
                What::Time(time) => {
                    if let Some(at) = source.time() {
                        pen.literal(&op.before);
                        clock.push(pen, time, at, op.place);
                    }
                    continue;
                }
                What::Value(value) => source.datum(value, clock),
            };
            self.push_datum(pen, op, datum, room);
        }
    }

    #[inline(always)]
    fn push_datum(&self, pen: &mut Pen<'_>, op: &Op, datum: Datum<'_>, room: &mut Room) {
        if matches!(datum, Datum::Absent) {
            if op.is_foreign {
                room.skip();
            }
            pen.piece(&op.before, Short::DASH);
        } else if let Datum::Foreign(bytes) = datum {
            pen.literal(&op.before);
            push_foreign(pen, bytes, Style::Text, room);
        } else if let Some(short) = datum.short() {
            pen.piece(&op.before, short);
        } else {
            push_long(pen, op, datum, room);
        }
    }

    /// The name has to be decoded.
    #[inline(always)]
    fn push_user(&self, pen: &mut Pen<'_>, op: &Op, source: &Source<'_>, room: &mut Room) {
        match source {
            Source::Request(_, fields) if fields[AUTHORIZATION].is_some() => {
                self.push_decoded_user(pen, op, fields[AUTHORIZATION].unwrap_or_default(), room);
            }
            _ => self.push_datum(pen, op, Datum::Absent, room),
        }
    }

    #[inline(never)]
    fn push_decoded_user(&self, pen: &mut Pen<'_>, op: &Op, credentials: &[u8], room: &mut Room) {
        let mut decoded = [0; CREDENTIALS_BYTES_MAX];
        self.push_datum(pen, op, foreign(user(credentials, &mut decoded)), room);
    }

    /// Writes the whole line, without its newline.
    pub fn finish(&self, record: &Record, captured: &Captured, pen: &mut Pen<'_>, clock: &mut Clock) {
        let capture = captured.line();
        let (mut request, mut response) = capture.bytes.split_at(capture.response_at.unwrap_or(capture.bytes.len()));
        let mut room = Room::default();
        for run in &self.runs {
            match run.stage {
                Stage::Request => pen.push(next_run(&mut request)),
                Stage::Response if !response.is_empty() => pen.push(next_run(&mut response)),
                Stage::Response => self.push_run(pen, run, &Source::Head(b""), &mut room, clock),
                Stage::End => self.push_run(pen, run, &Source::End(record, captured), &mut room, clock),
            }
        }
    }
}

#[inline(never)]
fn push_long(pen: &mut Pen<'_>, op: &Op, datum: Datum<'_>, room: &mut Room) {
    pen.literal(&op.before);
    push(pen, datum, Style::Text, room);
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
    #[inline(always)]
    fn field(&self, place: usize) -> Datum<'a> {
        match self {
            Source::Request(_, fields) => foreign(fields[place]),
            _ => Datum::Absent,
        }
    }

    /// The time of day that its stage has.
    #[inline(always)]
    fn time(&self) -> Option<Instant> {
        match self {
            Source::Request(asked, _) => Some(asked.began),
            Source::Head(_) => None,
            Source::End(record, _) => Some(record.ended),
        }
    }

    #[inline(always)]
    fn datum(&self, value: &'a Value, clock: &mut Clock) -> Datum<'a> {
        match self {
            Source::Request(asked, fields) => asked.datum(value, fields),
            Source::Head(head) => match value {
                Value::ResponseHeader(name) => foreign(field(head, name)),
                _ => Datum::Absent,
            },
            Source::End(record, captured) => end_datum(value, record, captured, clock),
        }
    }
}
