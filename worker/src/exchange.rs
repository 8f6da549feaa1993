//! The rules of push and pull, whatever the protocol: a request's body is pushed and its response pulled, each as far as
//! the other side allows.

use crate::app::{AppError, Caller, Cx, Exchange, Out, Pull};
use crate::http::{Error, StatusCode};
use crate::patience::Patience;
use crate::protocol::{IdleEnd, Next, Sink};
use crate::request_log::Wait;
use crate::timers::earlier;
use std::rc::Rc;
use std::time::Instant;
use tine_common::request_name::RequestName;

/// The protocol's side of a request.
pub trait Stream {
    /// What is at the front of the body.
    fn next_piece(&mut self) -> Result<Piece, Error>;

    /// The first bytes of the data that [`Stream::next_piece`] found.
    fn data(&self, bytes: usize) -> &[u8];

    /// The app has taken this many bytes of the data.
    fn consume(&mut self, bytes: usize);

    /// The client has ended its side, and all that it sent was read.
    fn input_ended(&self) -> bool;

    /// Bytes of the connection that wait to be sent.
    fn queued_bytes(&self) -> usize;

    /// Some of the response may not be with the kernel yet.
    fn has_unsent(&self) -> bool;

    /// The server keeps the client from sending more of the body, as apps do not take what others have sent.
    fn is_input_withheld(&self) -> bool;

    /// Too much output waits to be sent for the app to be called for more.
    fn is_full(&self, cx: &Cx<'_>) -> bool;

    /// Where the app's output goes. `body_ended`: the app has taken all of the body.
    fn sink<'s>(&'s mut self, body_ended: bool, cx: &'s Cx<'s>) -> Sink<'s>;

    /// The head is written, and no body follows.
    fn is_bodyless(&self) -> bool;

    /// Ends the response. An error: it has no head, or is incomplete.
    fn finish(&mut self) -> Result<(), AppError>;

    /// The exchange has nothing to do now: the stream may find out whether the client is still there. `wants_body`:
    /// reading the body will show it.
    fn on_wait(&mut self, wants_body: bool, cx: &Cx<'_>);

    /// The exchange waits for the body: the client may have to be told to send it.
    fn on_wait_for_body(&mut self);

    /// What is waited for from now on, apart from the exchange: for the log.
    fn waits_for(&mut self, wait: Option<Wait>, cx: &Cx<'_>);
}

/// What is at the front of a body.
#[derive(Debug, PartialEq, Eq)]
pub enum Piece {
    /// Data; `last`: nothing follows it.
    Data {
        bytes: usize,
        last: bool,
    },
    /// Nothing yet.
    NeedsInput,
    End,
}

/// One request that an exchange answers.
pub struct Driver {
    exchange: Box<dyn Exchange>,
    request: RequestName,
    /// The client, if that is not the other end of the connection.
    caller: Option<Rc<Caller>>,
    patience: Patience,
    /// The app was waiting for the body at the last [`Exchange::wants_body`].
    is_body_due: bool,
    /// The app took the body's end.
    body_ended: bool,
    /// The app left bytes of the last push: nothing is read from the client.
    body_refused: bool,
    due: Due,
    /// The app is not called before all output is sent.
    waits_for_send: bool,
    /// The app was called during its wait, because the server stops.
    knows_of_drain: bool,
}

/// When the app is pulled next, unless it takes a push.
enum Due {
    Now,
    At(Instant),
    WhenWoken,
}

/// The outcome of driving an exchange.
pub enum Driven {
    /// The response is complete.
    Ended,
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
    /// The app gives up, as the client does not take the output.
    GaveUp,
}

impl Driver {
    pub fn new(exchange: Box<dyn Exchange>, request: RequestName, cx: &Cx<'_>) -> Self {
        let mut patience = Patience::new(cx.limits());
        patience.wait(cx.now());
        Driver {
            exchange,
            request,
            caller: cx.caller().cloned(),
            patience,
            is_body_due: true,
            body_ended: false,
            body_refused: false,
            due: Due::Now,
            waits_for_send: false,
            knows_of_drain: false,
        }
    }

    /// The request's name in the log.
    pub fn request(&self) -> &RequestName {
        &self.request
    }

    /// The app has taken all of the body.
    pub fn body_ended(&self) -> bool {
        self.body_ended
    }

    /// The app is called although its time has not come.
    pub fn wake(&mut self) {
        self.due = Due::Now;
    }

    /// Whether bytes of the body would be used now.
    pub fn wants_body(&self) -> bool {
        !self.body_ended && !self.body_refused
    }

    /// While the client has to read the response first: when the app gives up.
    pub fn gives_up_at(&self) -> Option<Instant> {
        self.exchange.gives_up_at()
    }

    /// The app is not called before all of its output is sent.
    pub fn waits_for_send(&self) -> bool {
        self.waits_for_send
    }

    /// When to continue without an event. While the client has to read the response first, this wait does not run.
    pub fn deadline(&self, cx: &Cx<'_>) -> Option<Instant> {
        let body = self.patience.ends(cx.limits()).filter(|_| self.wants_body() && self.is_body_due);
        let drain = cx.idle_end().filter(|_| !self.knows_of_drain).map(IdleEnd::at);
        let pull = match self.due {
            Due::Now => None,
            Due::At(at) => Some(drain.map_or(at, |drain| at.min(drain))),
            Due::WhenWoken => drain,
        };
        earlier(body, pull)
    }

    /// Pushes and pulls in turn until one of them has to wait or the connection's time is up.
    pub fn drive(&mut self, stream: &mut impl Stream, cx: &Cx<'_>) -> Result<Driven, Failed> {
        match self.caller.clone() {
            None => self.drive_as_called(stream, cx),
            Some(caller) => self.drive_as_called(stream, &cx.called_by(&caller)),
        }
    }

    /// The same; the client is known.
    fn drive_as_called(&mut self, stream: &mut impl Stream, cx: &Cx<'_>) -> Result<Driven, Failed> {
        stream.waits_for(None, cx);
        // It returned Idle although it had left body bytes.
        let mut idled_over_body = false;
        loop {
            let pushed = self.push(stream, cx)?;
            // After an interrupted push the app is still pulled, but nothing is waited for.
            let is_interrupted = pushed == Pushed::Interrupted;
            if pushed != Pushed::Nothing {
                self.due = Due::Now;
                idled_over_body = false;
            }
            if self.waits_for_send && stream.has_unsent() {
                return self.wait_for_reader(Next::Sent, stream, cx);
            }
            if std::mem::take(&mut self.waits_for_send) && self.is_ended_without_body(stream) {
                return Ok(Driven::Ended);
            }
            if stream.is_full(cx) {
                return self.wait_for_reader(Next::Again, stream, cx);
            }
            let learns_of_drain = !self.knows_of_drain && cx.idle_end().is_some_and(|end| cx.now() >= end.at());
            self.knows_of_drain |= learns_of_drain;
            if !self.due.has_come(cx) && !learns_of_drain {
                return self.wait(stream, cx);
            }
            self.due = Due::Now;
            let before = stream.queued_bytes();
            let mut out = Out { sink: stream.sink(self.body_ended, cx), request: &self.request };
            let pulled = self.exchange.pull(&mut out, cx)?;
            if pulled != Pull::Sent && self.is_ended_without_body(stream) {
                return Ok(Driven::Ended);
            }
            match pulled {
                Pull::More if stream.queued_bytes() == before || is_interrupted => {
                    return Ok(Driven::Waits(Next::Again));
                }
                Pull::More if cx.is_time_up() => return Ok(Driven::Waits(Next::Again)),
                Pull::More => continue,
                Pull::Sent => {
                    self.waits_for_send = true;
                    stream.waits_for(Some(Wait::Reader), cx);
                    return Ok(Driven::Waits(Next::Sent));
                }
                Pull::NotBefore(_) | Pull::Wait => {
                    self.due = if let Pull::NotBefore(at) = pulled { Due::At(at) } else { Due::WhenWoken };
                    return if is_interrupted { Ok(Driven::Waits(Next::Again)) } else { self.wait(stream, cx) };
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
                Pull::Idle => return self.wait(stream, cx),
                Pull::End => {
                    stream.finish()?;
                    return Ok(Driven::Ended);
                }
            }
        }
    }

    /// If the response has no body, it is complete with its head: the app is not pulled for a body that would be
    /// dropped.
    fn is_ended_without_body(&self, stream: &impl Stream) -> bool {
        self.body_ended && stream.is_bodyless()
    }

    /// Pushes what has arrived of the body.
    fn push(&mut self, stream: &mut impl Stream, cx: &Cx<'_>) -> Result<Pushed, Failed> {
        let (mut took, mut is_first) = (false, true);
        self.body_refused = false;
        while !self.body_ended {
            if !std::mem::take(&mut is_first) && cx.is_time_up() {
                return Ok(Pushed::Interrupted);
            }
            match stream.next_piece()? {
                Piece::Data { bytes, last } => {
                    let taken = self.exchange.push(stream.data(bytes), last, cx)?;
                    if taken > bytes {
                        return Err(AppError::new(format!("push took {taken} of {bytes} bytes")).into());
                    }
                    stream.consume(taken);
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

    /// The client has to read the output first, and then comes `next`.
    fn wait_for_reader(&mut self, next: Next, stream: &mut impl Stream, cx: &Cx<'_>) -> Result<Driven, Failed> {
        if self.gives_up_at().is_some_and(|at| cx.now() >= at) {
            return Err(Failed::GaveUp);
        }
        self.patience.rest(cx.now());
        stream.waits_for(Some(Wait::Reader), cx);
        Ok(Driven::Waits(next))
    }

    /// Nothing more to do before input or a deadline: waits, unless a wait has timed out.
    fn wait(&mut self, stream: &mut impl Stream, cx: &Cx<'_>) -> Result<Driven, Failed> {
        stream.on_wait(self.wants_body(), cx);
        if self.wants_body() {
            if stream.input_ended() {
                return Err(Failed::ClientLeft);
            }
            self.is_body_due = self.exchange.wants_body() && !stream.is_input_withheld();
            if !self.is_body_due {
                self.patience.rest(cx.now());
                return Ok(Driven::Waits(Next::Wait));
            }
            self.patience.wait(cx.now());
            if let Some(why) = self.patience.is_over(cx.limits(), cx.now()) {
                return Err(Error::new(StatusCode::REQUEST_TIMEOUT, why).into());
            }
            stream.on_wait_for_body();
            stream.waits_for(Some(Wait::Body), cx);
        }
        Ok(Driven::Waits(Next::Wait))
    }
}

impl Due {
    fn has_come(&self, cx: &Cx<'_>) -> bool {
        match self {
            Due::Now => true,
            Due::At(at) => cx.now() >= *at,
            Due::WhenWoken => false,
        }
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
