//! The line of `--access-log-format json`.
//!
//! The format is fixed, so it needs no template: each key is a constant, and the values follow each other in the code as
//! in the line. The names follow OpenTelemetry's semantic conventions with `_` for `.`, as the labels of `/metrics` do.
//! What is not known is left out. All that belongs to the request stands first, and so is one piece until the end.

use super::capture::{Asked, Asking};
use super::clock::Clock;
use super::datum::{Datum, Room, Style, push, push_foreign};
use super::fields::{AUTHORIZATION, Fields, TRACEPARENT, Wanted};
use super::pen::{Literal, Pen, Short};
use super::refused::RequestLine;
use super::trace;
use super::values::{CREDENTIALS_BYTES_MAX, host, user};
use crate::app::WorkerInfo;
use crate::dispatch::{Outcome, Record};
use crate::http::{Request, Version};
use crate::request_log::Captured;
use std::net::SocketAddr;
use std::time::Duration;
use tine_common::access_log::{Time, Unit, Value};

/// All keys with their quotes, and the longest values of the server's own: 424 and 284 bytes, and the braces.
const OWN_BYTES_MAX: usize = 712;
/// A user's name, a method, a path, a query, a host, a referrer, a user agent and an ID.
const FOREIGN_VALUES: usize = 8;

#[derive(Debug)]
pub struct JsonLine {
    wanted: Wanted,
    referer: usize,
    user_agent: usize,
    /// What foreign values may fill.
    room: Room,
    /// The worker and its process, which never change, and the end of the line.
    end: Literal,
}

impl JsonLine {
    /// `line_bytes_max`: with the newline.
    pub fn new(line_bytes_max: usize, worker: &WorkerInfo) -> JsonLine {
        let mut wanted = Wanted::default();
        for value in [Value::Host, Value::User, Value::TraceId] {
            wanted.add(&value);
        }
        let [referer, user_agent] =
            [Value::Referer, Value::UserAgent].map(|value| wanted.add(&value).expect("two fields have places"));
        let room = Room { bytes: line_bytes_max.saturating_sub(OWN_BYTES_MAX), values: FOREIGN_VALUES };
        let (index, pid) = (worker.index, std::process::id());
        let end = Literal::new(format!(",\"worker\":{index},\"process_pid\":{pid}}}").as_bytes());
        JsonLine { wanted, referer, user_agent, room, end }
    }

    /// Writes what the line has of the request.
    pub fn on_request(&self, asked: &Asked<'_>, pen: &mut Pen<'_>, clock: &mut Clock) {
        let mut line = Strings { pen, room: self.room };
        line.pen.constant(b"{\"time\":\"");
        clock.push(line.pen, &Time::Iso, asked.began, 0);
        line.pen.byte(b'"');
        line.foreign(b",\"request_id\":\"", asked.request_id.map(str::as_bytes));
        match asked.head {
            Asking::Request(request) => {
                let mut fields = Fields::default();
                self.wanted.find(request.headers(), &mut fields);
                if fields[TRACEPARENT].is_some() {
                    line.trace(request);
                }
                line.client(asked.client);
                self.push_request(&mut line, request, &fields);
            }
            Asking::Refused(bytes) => {
                line.client(asked.client);
                if let Some(refused) = RequestLine::of(bytes) {
                    line.room.skip(); // the user
                    line.refused(&refused);
                }
            }
        }
    }

    #[inline(always)]
    fn push_request(&self, line: &mut Strings<'_, '_>, request: &Request<'_>, fields: &Fields<'_>) {
        match fields[AUTHORIZATION] {
            Some(credentials) => line.user(credentials),
            None => line.room.skip(),
        }
        line.foreign(b",\"http_request_method\":\"", Some(request.method().as_bytes()));
        line.foreign(b",\"url_path\":\"", Some(request.path().as_bytes()));
        line.foreign(b",\"url_query\":\"", request.query().map(str::as_bytes));
        line.foreign(b",\"host\":\"", host(request, fields));
        line.foreign(b",\"referer\":\"", fields[self.referer]);
        line.foreign(b",\"user_agent_original\":\"", fields[self.user_agent]);
        match request.version() {
            Version::Http10 => line.pen.constant(b",\"network_protocol_version\":\"1.0\""),
            Version::Http11 => line.pen.constant(b",\"network_protocol_version\":\"1.1\""),
            Version::Http2 => line.pen.constant(b",\"network_protocol_version\":\"2\""),
        }
    }

    /// Writes the whole line, without its newline.
    pub fn finish(&self, record: &Record, captured: &Captured, pen: &mut Pen<'_>, clock: &mut Clock) {
        pen.push(&captured.line().bytes);
        if let Some(status) = record.status {
            pen.constant(b",\"http_response_status_code\":");
            pen.three_digits(status.as_u16().into());
        }
        pen.constant(b",\"http_request_size\":");
        pen.number(record.request_bytes);
        pen.constant(b",\"http_response_size\":");
        pen.number(record.response_bytes);
        pen.constant(b",\"http_response_body_size\":");
        pen.number(captured.body_bytes(record));
        let duration = clock.span(record.began, record.ended);
        let digits = Short::decimal(duration);
        pen.constant(b",\"duration\":");
        push_seconds(pen, duration, digits);
        if let Some(first_byte) = record.first_byte {
            let to_first_byte = clock.span(record.began, first_byte);
            // Most responses leave in one piece.
            let digits = if to_first_byte == duration { digits } else { Short::decimal(to_first_byte) };
            pen.constant(b",\"time_to_first_byte\":");
            push_seconds(pen, to_first_byte, digits);
        }
        match record.outcome {
            Outcome::Answered | Outcome::Refused => pen.constant(b",\"outcome\":\"complete\""),
            Outcome::Cut(_) => pen.constant(b",\"outcome\":\"cut\""),
            Outcome::ClientLeft => pen.constant(b",\"outcome\":\"aborted\""),
        }
        pen.literal(&self.end);
    }
}

#[inline(always)]
fn push_seconds(pen: &mut Pen<'_>, span: Duration, digits: Option<Short>) {
    match digits {
        Some(digits) => pen.short(digits),
        None => push(pen, Datum::Span(span, Unit::Decimal), Style::Json, &mut Room::default()),
    }
}

/// The part of a line that has foreign values.
struct Strings<'p, 'r> {
    pen: &'p mut Pen<'r>,
    room: Room,
}

impl Strings<'_, '_> {
    /// A key with the quote before its value, and the value.
    #[inline(always)]
    fn foreign<const N: usize>(&mut self, key: &[u8; N], value: Option<&[u8]>) {
        let Some(value) = value else { return self.room.skip() };
        self.pen.constant(key);
        push_foreign(self.pen, value, Style::Json, &mut self.room);
        self.pen.byte(b'"');
    }

    #[inline(always)]
    fn client(&mut self, client: Option<SocketAddr>) {
        let Some(client) = client else { return };
        self.pen.constant(b",\"client_address\":\"");
        self.pen.address(client.ip());
        self.pen.byte(b'"');
        // 0: a proxy has not told it.
        if client.port() > 0 {
            self.pen.constant(b",\"client_port\":");
            self.pen.number(client.port().into());
        }
    }

    /// The name has to be decoded.
    #[inline(never)]
    fn user(&mut self, credentials: &[u8]) {
        let mut decoded = [0; CREDENTIALS_BYTES_MAX];
        self.foreign(b",\"user_name\":\"", user(credentials, &mut decoded));
    }

    #[cold]
    fn refused(&mut self, line: &RequestLine<'_>) {
        self.foreign(b",\"http_request_method\":\"", Some(line.method));
        self.foreign(b",\"url_path\":\"", line.path);
        self.foreign(b",\"url_query\":\"", line.query());
        self.pen.constant(b",\"network_protocol_version\":\"");
        self.pen.push(line.version());
        self.pen.byte(b'"');
    }

    #[inline(never)]
    fn trace(&mut self, request: &Request<'_>) {
        let Some(trace) = trace::of(request) else { return };
        self.pen.constant(b",\"trace_id\":\"");
        self.pen.push(trace.trace_id);
        self.pen.constant(b"\",\"span_id\":\"");
        self.pen.push(trace.span_id);
        self.pen.byte(b'"');
    }
}

#[cfg(test)]
mod tests {
    use super::super::test_json::fields;
    use super::*;
    use crate::http::{BodyLength, Headers, StatusCode};
    use std::time::Instant;
    use tine_common::method::Method;

    /// A line whose values are all as long as they can be.
    #[test]
    fn a_line_is_whole_however_long_its_values_are() {
        let text = "v".repeat(5000);
        let trace = b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
        let fields_of = [("host", text.as_bytes()), ("referer", text.as_bytes()), ("user-agent", text.as_bytes())];
        let headers = fields_of.into_iter().chain([("traceparent", &trace[..]), ("authorization", b"Basic YWRhOng=")]);
        let headers: Vec<_> = headers.map(|(name, value)| httparse::Header { name, value }).collect();
        let target = format!("/{text}?{text}");
        let request = Request::new(&text, &target, 0, Version::Http11, Headers::new(&headers), BodyLength::None);
        let worker =
            WorkerInfo { index: usize::MAX, workers: usize::MAX, generation: u64::MAX, ..WorkerInfo::alone(0) };
        let began = Instant::now();
        let asked = Asked {
            head: Asking::Request(&request),
            client: "[2001:db8:1111:2222:3333:4444:5555:6666]:65535".parse().ok(),
            local: None,
            request_id: Some(&text),
            began,
            tls: None,
        };
        let mut record = Record::new(Method::Get, None, 0, began);
        (record.status, record.request_bytes, record.outcome) = (Some(StatusCode::OK), u64::MAX, Outcome::ClientLeft);
        record.written(u64::MAX / 2);
        record.end(u64::MAX, began + Duration::from_secs(u64::MAX / (1 << 32)));
        for line_bytes_max in [1024, 2048, 4096, 8192] {
            let (line, mut clock) = (JsonLine::new(line_bytes_max, &worker), Clock::new(began));
            let mut room = vec![0; line_bytes_max];
            let mut pen = Pen::new(&mut room);
            line.on_request(&asked, &mut pen, &mut clock);
            let length = pen.len();
            let mut captured = Captured::default();
            captured.line_mut().bytes.extend_from_slice(&room[..length]);
            let mut out = vec![0; line_bytes_max];
            let mut pen = Pen::new(&mut out);
            line.finish(&record, &captured, &mut pen, &mut clock);
            let length = pen.len();
            assert!(length < line_bytes_max, "{length} bytes and a newline");
            let json = fields(std::str::from_utf8(&out[..length]).expect("text"));
            assert_eq!((json.len(), json["outcome"].as_str()), (23, "aborted"), "{json:?}");
        }
    }
}
