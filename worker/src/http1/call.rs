//! A request whose head is complete is passed to the app. What the app answers at once is written while the request is
//! still in the input.

use super::decode::Decoder;
use super::discard::DISCARD_BYTES_MAX;
use super::encode;
use super::exchange::Active;
use super::framing::ResponseFacts;
use super::parse::Parsed;
use super::pipelined::is_request_pipelined;
use crate::app::{Answer, App, Cx, Handshake};
use crate::caller;
use crate::dispatch::{self, Outcome, Recorder};
use crate::exchange::Driver;
use crate::http::{BodyLength, Response, StatusCode};
use crate::net::WriteQueue;
use crate::protocol::Passed;
use crate::throttle::Permit;
use crate::websocket::WebSocket;
use std::time::Instant;

/// A call of the app for a request that is still in the input, and where its response goes.
pub struct Call<'a> {
    pub output: &'a mut WriteQueue,
    pub recorder: &'a mut Recorder,
    pub passed: Passed,
    /// Positions in the connection's input and output, where the request began and the response starts.
    pub began_at: u64,
    pub starts_at: u64,
    /// No request is read after this one.
    pub ends_connection: bool,
}

/// A request is admitted, or refused by the limits.
pub struct Entry {
    pub admitted: Result<Permit, Box<Response>>,
    /// When its head was complete.
    pub began: Instant,
}

/// The outcome of calling the app.
pub enum Called {
    Answered { body: BodyLength, keep_alive: bool, is_clients_last: bool },
    Exchange(Box<Active>),
    Upgraded(Box<WebSocket>),
}

impl Call<'_> {
    /// Calls the app. A [`Response`] is queued while the request is still in the input; `rest` is the input after its
    /// head.
    pub fn make(&mut self, parsed: &Parsed<'_>, rest: &[u8], entry: Entry, app: &mut dyn App, cx: &Cx<'_>) -> Called {
        let request = &parsed.request;
        let mut permit = Permit::none();
        let answer = match entry.admitted {
            Ok(admitted) => {
                permit = admitted;
                dispatch::begin(request, entry.began, self.starts_at, self.recorder, app, cx)
            }
            Err(refusal) => {
                self.recorder.begin(request, entry.began, self.starts_at, cx).outcome = Outcome::Refused;
                Answer::Response(*refusal)
            }
        };
        self.recorder.last().request_bytes = parsed.length as u64;
        match answer {
            Answer::Response(mut response) => self.respond(&mut response, parsed, rest, &permit, cx),
            Answer::Exchange(exchange) => {
                let body = Decoder::new(request.body_length(), cx.limits().header_bytes_max);
                let driver = Driver::new(exchange, request.name(), cx);
                let (facts, is_held_back) = (facts_of(parsed), is_held_back(parsed, rest));
                let record = self.recorder.take_last();
                let mut active = Active::new(driver, facts, body, is_held_back, record, self.began_at);
                active.hold(permit, cx);
                Called::Exchange(Box::new(active))
            }
            Answer::Upgrade(upgrade) => {
                let handshake = match Handshake::of(request) {
                    Ok(handshake) => handshake,
                    Err(refusal) => return self.respond(&mut refusal.response(), parsed, rest, &permit, cx),
                };
                match handshake.accept(&upgrade) {
                    Ok(()) => {
                        let record = self.recorder.last();
                        encode::switching(self.output, &handshake, &upgrade, record, cx);
                        let peer = caller::called(upgrade.peer, cx);
                        let mut websocket = WebSocket::new(peer, request.name(), record, cx.limits(), cx.now());
                        websocket.permit = permit.keep(cx.now());
                        self.written();
                        Called::Upgraded(Box::new(websocket))
                    }
                    Err(error) => {
                        dispatch::on_refused(&request.name(), error, cx);
                        self.respond(&mut app_failed(), parsed, rest, &permit, cx)
                    }
                }
            }
        }
    }

    /// Queues a complete response, or a 500 if it cannot be sent.
    fn respond(
        &mut self,
        response: &mut Response,
        parsed: &Parsed<'_>,
        rest: &[u8],
        permit: &Permit,
        cx: &Cx<'_>,
    ) -> Called {
        let body = parsed.request.body_length();
        let mut facts = facts_of(parsed);
        // A body that will not be read: too large to drop, or held back until a 100 that will not be sent.
        let is_too_large = matches!(body, BodyLength::Known(n) if n > DISCARD_BYTES_MAX);
        facts.keep_alive &= !(is_held_back(parsed, rest) || is_too_large || self.ends_connection);
        facts.keep_alive &= !cx.is_draining() || is_request_pipelined(rest, body, cx.limits());
        if let Some(fields) = permit.limit_fields(cx) {
            fields.add_to_response(response);
        }
        let (output, record) = (&mut *self.output, self.recorder.last());
        record.request_bytes += parsed.request.arrived_body().map_or(0, |body| body.len() as u64);
        let keep_alive = encode::response(response, output, facts, record, cx).unwrap_or_else(|error| {
            dispatch::on_refused(&parsed.request.name(), error, cx);
            encode::response(&mut app_failed(), output, facts, record, cx).unwrap_or(false)
        });
        self.written();
        Called::Answered { body, keep_alive, is_clients_last: !parsed.keep_alive }
    }

    /// The response is written.
    fn written(&mut self) {
        self.recorder.last().written(self.passed.written(self.output.len()));
    }
}

fn facts_of(parsed: &Parsed<'_>) -> ResponseFacts {
    let request = &parsed.request;
    ResponseFacts { version: request.version(), is_head: request.method() == "HEAD", keep_alive: parsed.keep_alive }
}

/// A client that expects 100 (Continue) holds its body back, unless it has begun to send it (RFC 9110, 10.1.1).
fn is_held_back(parsed: &Parsed<'_>, rest: &[u8]) -> bool {
    parsed.expects_continue && parsed.request.has_body() && rest.is_empty()
}

/// The whole body, at the front of the input after a head. Only of a length that keeps the connection even if no
/// exchange reads it.
pub fn arrived_body(length: BodyLength, rest: &[u8]) -> Option<&[u8]> {
    match length {
        BodyLength::Known(length @ 1..=DISCARD_BYTES_MAX) => rest.get(..length as usize),
        _ => None,
    }
}

pub fn app_failed() -> Response {
    Response::text(StatusCode::INTERNAL_SERVER_ERROR, "500 Internal Server Error: the application failed\n")
}
