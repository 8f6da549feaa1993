//! One request that an exchange answers: its body is pushed and its response pulled, each as far as the other side
//! allows.

use super::decode::{Decoder, Piece};
use super::framing::ResponseFacts;
use super::patience::Patience;
use super::pipelined::is_request_pipelined;
use super::writer::{Sink, Writer};
use crate::app::{AppError, ConnectionEnd, Cx, Exchange, Out, Pull};
use crate::http::{BodyLength, Error, StatusCode, Version};
use crate::net::ReadBuffer;
use crate::protocol::IdleEnd;
use crate::protocol::{Io, Next};
use std::time::{Duration, Instant};
use tine_common::request_name::RequestName;

/// A client that has ended its side is probed after this long if the probe is visible to it, as an interim response:
/// most responses come earlier, and some scripts that half-close read only the first line.
const PROBE_AFTER: Duration = Duration::from_secs(1);
/// Sent to a client that waits for `100 Continue`; one that does not drops it (RFC 9110, 15.2.1).
const CONTINUE: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";

pub struct Active {
    exchange: Box<dyn Exchange>,
    request: RequestName,
    facts: ResponseFacts,
    body: Decoder,
    patience: Patience,
    /// The app was waiting for the body at the last [`Exchange::wants_body`].
    is_body_due: bool,
    /// The app took the body's end.
    body_ended: bool,
    /// The app left bytes of the last push: nothing is read from the client.
    body_refused: bool,
    /// `100 Continue` has to be sent before the first body byte.
    owes_continue: bool,
    /// The head is written; what may follow.
    writer: Option<Writer>,
    not_before: Option<Instant>,
    /// The app is not called before all output is sent.
    waits_for_send: bool,
    /// The app was called during its wait, because the server stops.
    knows_of_drain: bool,
    presence: Presence,
}

/// What is known of a client that has nothing more to send. Whether it has left or only ended its side shows when
/// something is sent to it: if it has left, its kernel answers with a reset.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Presence {
    There,
    /// It ended its side at this time.
    Doubtful(Instant),
    /// It was probed: something was sent to it since.
    Probed,
}

/// The outcome of driving an exchange.
pub enum Driven {
    /// The response is complete; this happens to its connection.
    Ended(ConnectionEnd),
    Waits(Next),
}

/// What the app took of the body that has arrived.
#[derive(PartialEq, Eq)]
enum Pushed {
    Nothing,
    Some,
    /// Some, and there may be more: the connection's time is up.
    Interrupted,
}

pub enum Failed {
    /// The client broke the framing or stopped sending.
    Client(Error),
    /// The client ended its side in the middle of the body.
    ClientLeft,
    App(AppError),
}

impl Active {
    pub fn new(
        exchange: Box<dyn Exchange>,
        request: RequestName,
        facts: ResponseFacts,
        body: Decoder,
        owes_continue: bool,
        cx: &Cx<'_>,
    ) -> Self {
        let (body_ended, body_refused) = (false, false);
        let mut patience = Patience::new(cx.limits());
        patience.wait(cx.now());
        Active {
            exchange,
            request,
            facts,
            body,
            patience,
            is_body_due: true,
            body_ended,
            body_refused,
            owes_continue,
            writer: None,
            not_before: None,
            waits_for_send: false,
            knows_of_drain: false,
            presence: Presence::There,
        }
    }

    /// The facts for a head that is written now, given the input after the request. A client that never got `100
    /// Continue` may or may not send its body.
    pub fn facts_now(&self, input: &ReadBuffer, cx: &Cx<'_>) -> ResponseFacts {
        let is_pipelined =
            || self.body_ended && is_request_pipelined(input.unconsumed(), BodyLength::None, cx.limits());
        let keep_alive = self.facts.keep_alive && !self.owes_continue && (!cx.is_draining() || is_pipelined());
        ResponseFacts { keep_alive, ..self.facts }
    }

    /// The request's method is HEAD.
    pub fn is_head(&self) -> bool {
        self.facts.is_head
    }

    /// Whether the client announced that this is its last request.
    pub fn is_clients_last(&self) -> bool {
        !self.facts.keep_alive
    }

    /// The request's name in the log.
    pub fn request(&self) -> &RequestName {
        &self.request
    }

    /// The body of the response, once its head is written.
    pub fn writer(&self) -> Option<Writer> {
        self.writer
    }

    /// Drops the exchange; returns the rest of the request, its body.
    pub fn into_body(self) -> Decoder {
        self.body
    }

    /// Whether bytes of the body would be used now.
    pub fn wants_body(&self) -> bool {
        !self.body_ended && !self.body_refused
    }

    /// When to continue without an event.
    pub fn deadline(&self, queued_bytes: usize, cx: &Cx<'_>) -> Option<Instant> {
        // While the client does not read the response, no other wait runs.
        if queued_bytes > cx.limits().write_low_watermark_bytes || self.waits_for_send && queued_bytes > 0 {
            return None;
        }
        let body = self.patience.ends(cx.limits()).filter(|_| self.wants_body() && self.is_body_due);
        let drain = cx.idle_end().filter(|_| !self.knows_of_drain).map(IdleEnd::at);
        let pull = self.not_before.map(|at| drain.map_or(at, |drain| at.min(drain)));
        [body, pull, self.probe_at()].into_iter().flatten().min()
    }

    /// When to probe the client, if it has to be probed and can be.
    fn probe_at(&self) -> Option<Instant> {
        let Presence::Doubtful(since) = self.presence else { return None };
        match self.writer {
            None => (self.facts.version == Version::Http11).then(|| since + PROBE_AFTER),
            Some(writer) => writer.may_begin_size().then_some(since),
        }
    }

    /// Pushes and pulls in turn until one of them has to wait or the connection's time is up.
    pub fn drive(&mut self, io: &mut Io<'_>, cx: &Cx<'_>) -> Result<Driven, Failed> {
        // It returned Idle although it had left body bytes.
        let mut idled_over_body = false;
        loop {
            let pushed = self.push(io, cx)?;
            // After an interrupted push the app is still pulled, but nothing is waited for.
            let is_interrupted = pushed == Pushed::Interrupted;
            if pushed != Pushed::Nothing {
                self.not_before = None;
                idled_over_body = false;
            }
            if self.waits_for_send && !io.output.is_empty() {
                self.patience.rest(cx.now());
                return Ok(Driven::Waits(Next::Sent));
            }
            if std::mem::take(&mut self.waits_for_send)
                && let Some(ended) = self.ended_without_body(io, cx)
            {
                return Ok(ended);
            }
            if io.output.len() > cx.limits().write_low_watermark_bytes {
                self.patience.rest(cx.now()); // the client has to read the output first
                return Ok(Driven::Waits(Next::Again));
            }
            let learns_of_drain = !self.knows_of_drain && cx.idle_end().is_some_and(|end| cx.now() >= end.at());
            self.knows_of_drain |= learns_of_drain;
            if self.not_before.is_some_and(|at| cx.now() < at) && !learns_of_drain {
                return self.wait(io, cx);
            }
            self.not_before = None;
            let before = io.output.len();
            let facts = self.facts_now(io.input, cx);
            let sink = Sink { queue: io.output, writer: &mut self.writer, facts, cx };
            let mut out = Out { sink, request: &self.request };
            let pulled = self.exchange.pull(&mut out, cx)?;
            if pulled != Pull::Sent
                && let Some(ended) = self.ended_without_body(io, cx)
            {
                return Ok(ended);
            }
            match pulled {
                Pull::More if io.output.len() == before || is_interrupted => return Ok(Driven::Waits(Next::Again)),
                Pull::More if cx.is_time_up() => return Ok(Driven::Waits(Next::Again)),
                Pull::More => continue,
                Pull::Sent => {
                    self.waits_for_send = true;
                    return Ok(Driven::Waits(Next::Sent));
                }
                Pull::NotBefore(at) => {
                    self.not_before = Some(at);
                    return if is_interrupted { Ok(Driven::Waits(Next::Again)) } else { self.wait(io, cx) };
                }
                Pull::Idle if self.body_ended => {
                    return Err(AppError::new("the exchange returned Idle, but the request body has ended").into());
                }
                Pull::Idle if !self.body_refused && !self.exchange.wants_body() => {
                    return Err(
                        AppError::new("the exchange returned Idle, but does not want the rest of the body").into()
                    );
                }
                // It waits for the body, but left some: that is pushed again, as long as it takes any.
                Pull::Idle if self.body_refused && !idled_over_body => idled_over_body = true,
                Pull::Idle if self.body_refused => {
                    return Err(AppError::new(
                        "the exchange returned Idle, but does not take the body that has arrived",
                    )
                    .into());
                }
                Pull::Idle if is_interrupted => return Ok(Driven::Waits(Next::Again)),
                Pull::Idle => return self.wait(io, cx),
                Pull::End => {
                    let Some(writer) = self.writer else {
                        return Err(AppError::new("the exchange ended without a response").into());
                    };
                    writer.finish(io.output)?;
                    return Ok(Driven::Ended(writer.end(self.facts_now(io.input, cx).keep_alive)));
                }
            }
        }
    }

    /// If the response has no body, it is complete with its head: the app is not pulled for a body that would be
    /// dropped.
    fn ended_without_body(&self, io: &Io<'_>, cx: &Cx<'_>) -> Option<Driven> {
        let writer = self.writer.filter(|writer| self.body_ended && writer.is_bodyless())?;
        Some(Driven::Ended(writer.end(self.facts_now(io.input, cx).keep_alive)))
    }

    /// Pushes what has arrived of the body.
    fn push(&mut self, io: &mut Io<'_>, cx: &Cx<'_>) -> Result<Pushed, Failed> {
        let (mut took, mut is_first) = (false, true);
        self.body_refused = false;
        // A client that sends its body does not wait for the 100.
        self.owes_continue &= self.body_ended || io.input.is_empty();
        while !self.body_ended {
            if !std::mem::take(&mut is_first) && cx.is_time_up() {
                return Ok(Pushed::Interrupted);
            }
            match self.body.next(io.input)? {
                Piece::Data { bytes, last } => {
                    let taken = self.exchange.push(&io.input.unconsumed()[..bytes], last, cx)?;
                    if taken > bytes {
                        return Err(AppError::new(format!("push took {taken} of {bytes} bytes")).into());
                    }
                    io.input.consume(taken);
                    self.body.consume(taken);
                    took |= taken > 0;
                    self.patience.feed(taken, cx.limits(), cx.now());
                    if taken < bytes {
                        self.body_refused = true;
                        break;
                    }
                    self.body_ended = last;
                }
                Piece::End => {
                    self.exchange.push(&[], true, cx)?;
                    self.body_ended = true;
                    took = true;
                }
                Piece::NeedsInput => break,
            }
        }
        Ok(if took { Pushed::Some } else { Pushed::Nothing })
    }

    /// Nothing more to do before input or a deadline: waits, unless a wait has timed out.
    fn wait(&mut self, io: &mut Io<'_>, cx: &Cx<'_>) -> Result<Driven, Failed> {
        // While the body is read, the end of the stream tells.
        if io.hung_up && !self.wants_body() && self.presence == Presence::There {
            self.presence = Presence::Doubtful(cx.now());
        }
        if self.probe_at().is_some_and(|at| cx.now() >= at) {
            self.presence = Presence::Probed;
            let question = self.writer.as_mut().map_or(Some(CONTINUE), Writer::begin_size);
            io.output.append(question.unwrap_or_default());
        }
        if !self.body_ended && !self.body_refused {
            if io.input_ended {
                return Err(Failed::ClientLeft);
            }
            self.is_body_due = self.exchange.wants_body();
            if !self.is_body_due {
                self.patience.rest(cx.now());
                return Ok(Driven::Waits(Next::Wait));
            }
            self.patience.wait(cx.now());
            if let Some(why) = self.patience.is_over(cx.limits(), cx.now()) {
                return Err(Error::new(StatusCode::REQUEST_TIMEOUT, why).into());
            }
            if self.owes_continue && self.writer.is_none() {
                self.owes_continue = false;
                io.output.append(CONTINUE);
            }
        }
        Ok(Driven::Waits(Next::Wait))
    }
}

impl From<Error> for Failed {
    fn from(error: Error) -> Self {
        Failed::Client(error)
    }
}

impl From<AppError> for Failed {
    fn from(error: AppError) -> Self {
        Failed::App(error)
    }
}
