//! A connection without a socket for the tests of the state machine: it uses [`Http1`] as `Connection` does, with one
//! read per step, and plays the client: it sends, reads responses at a given rate, ends its side, lets time pass.

use super::Http1;
use super::parse::parse;
use crate::app::{Answer, App, AppError, ConnectionCx, Cx, Exchange, Out, Pull, TurnCx};
use crate::dispatch::Recorder;
use crate::http::{DateLine, Head, Request, Response, StatusCode};
use crate::net::{ReadBuffer, WriteQueue};
use crate::protocol::{IdleEnd, Io, Next, Passed, Scratch};
use crate::turn_clock::TurnClock;
use std::time::{Duration, Instant};
use tine_common::config::Limits;

/// A connection that does not come to rest within this many steps never does.
const STEPS_MAX: usize = 10_000;

/// Calls `with` with the request whose head these bytes are.
pub fn with_request<T>(head: &[u8], limits: &Limits, with: impl FnOnce(&Request<'_>) -> T) -> T {
    let mut fields = [const { std::mem::MaybeUninit::uninit() }; 16];
    with(&parse(head, &mut fields, limits).expect("a valid head").expect("a complete head").request)
}

pub struct Client<A: App> {
    pub http1: Http1,
    pub app: A,
    pub limits: Limits,
    pub now: Instant,
    pub idle_end: Option<IdleEnd>,
    /// The exchange waits to be woken, and not for a time.
    pub waits_to_be_woken: bool,
    /// `None`: its time is never up.
    pub clock: Option<TurnClock>,
    /// The most bytes of responses that are read after a step.
    pub takes_bytes: usize,
    /// All that was read.
    pub taken: Vec<u8>,
    pub output: WriteQueue,
    pub recorder: Recorder,
    scratch: Scratch,
    received: u64,
    input: ReadBuffer,
    unread: Vec<u8>,
    ended: bool,
    input_ended: bool,
    date: DateLine,
}

impl<A: App> Client<A> {
    pub fn new(app: A) -> Self {
        let now = Instant::now();
        Client {
            http1: Http1::new(now),
            app,
            limits: Limits::default(),
            now,
            idle_end: None,
            waits_to_be_woken: false,
            clock: None,
            takes_bytes: usize::MAX,
            taken: Vec::new(),
            output: WriteQueue::new(now),
            recorder: Recorder::default(),
            scratch: Scratch::default(),
            received: 0,
            input: ReadBuffer::with_capacity(64 << 10),
            unread: Vec::new(),
            ended: false,
            input_ended: false,
            date: DateLine::new(now),
        }
    }

    /// Sends the bytes and runs the server until it waits or closes.
    pub fn send(&mut self, bytes: &[u8]) -> Next {
        self.unread.extend_from_slice(bytes);
        self.run()
    }

    /// Ends the client's side.
    pub fn end(&mut self) -> Next {
        self.ended = true;
        self.run()
    }

    pub fn later(&mut self, time: Duration) -> Next {
        self.now += time;
        self.run()
    }

    /// One read, if it is wanted, and one advance; reads what it may of the output.
    pub fn step(&mut self) -> Next {
        let turn = TurnCx::alone(self.now, &self.limits, &self.date, self.clock.as_ref());
        let cx = Cx { turn: &turn, connection: ConnectionCx { idle_end: self.idle_end, ..ConnectionCx::default() } };
        if self.input.has_room() && self.http1.wants_input(self.output.len(), &cx) {
            let count = self.unread.len().min((64 << 10) - self.input.len());
            self.input.feed(&self.unread[..count]);
            self.unread.drain(..count);
            self.received += count as u64;
            // The end of the stream is a read of its own.
            self.input_ended |= self.ended && count == 0;
        }
        let (input_ended, hung_up) = (self.input_ended, self.ended);
        let passed = Passed { received: self.received, sent: self.taken.len() as u64 };
        let (input, output, recorder) = (&mut self.input, &mut self.output, &mut self.recorder);
        let scratch = &mut self.scratch;
        let mut io = Io { input, output, recorder, scratch, passed, input_ended, hung_up };
        let next = self.http1.advance(&mut io, &mut self.app, &cx);
        self.take();
        if next == Next::Wait && !self.waits_to_be_woken {
            let deadline = self.deadline();
            let deadline = deadline.or((!self.output.is_empty()).then_some(self.now));
            assert!(deadline.is_some_and(|at| at >= self.now), "it waits without a deadline, or for one in the past");
        }
        next
    }

    /// Steps until the server waits for the client, or closes.
    pub fn run(&mut self) -> Next {
        for _ in 0..STEPS_MAX {
            let next = self.step();
            let wants_more = (!self.unread.is_empty() || self.ended != self.input_ended) && self.wants_input();
            match next {
                Next::Again | Next::Sent if self.takes_bytes == 0 => return next,
                Next::Again | Next::Sent => {}
                Next::Wait if wants_more || (!self.output.is_empty() && self.takes_bytes > 0) => {}
                next => return next,
            }
        }
        panic!("the connection never comes to rest");
    }

    pub fn wants_input(&self) -> bool {
        let turn = TurnCx::alone(self.now, &self.limits, &self.date, None);
        self.http1.wants_input(self.output.len(), &self.cx(&turn))
    }

    fn cx<'a>(&self, turn: &'a TurnCx<'a>) -> Cx<'a> {
        Cx { turn, connection: ConnectionCx { idle_end: self.idle_end, ..ConnectionCx::default() } }
    }

    /// The server drains; this connection may stay idle for that long.
    pub fn drain(&mut self, stay: Duration) {
        self.idle_end = Some(IdleEnd { began: self.now, stay });
    }

    pub fn deadline(&self) -> Option<Instant> {
        let turn = TurnCx::alone(self.now, &self.limits, &self.date, None);
        self.http1.deadline(self.output.len(), &self.cx(&turn))
    }

    fn take(&mut self) {
        let queued = self.output.contents();
        let (now, rest) = queued.split_at(queued.len().min(self.takes_bytes));
        self.taken.extend_from_slice(now);
        self.output.clear();
        self.output.append(rest);
    }

    pub fn date_lines(&self) -> &[u8] {
        self.date.lines()
    }

    /// What was read, without the Server and Date lines.
    pub fn text(&self) -> String {
        let text = String::from_utf8_lossy(&self.taken).into_owned();
        text.replace(std::str::from_utf8(self.date.lines()).expect("ASCII"), "")
    }
}

pub fn get(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n")
}

pub fn post(path: &str, fields: &str, body: &str) -> String {
    format!("POST {path} HTTP/1.1\r\nHost: a\r\n{fields}\r\n{body}")
}

/// A response with a declared length. `more`: header lines after it.
pub fn sized(status: &str, more: &str, body: &str) -> String {
    format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\n{more}\r\n{body}", body.len())
}

pub fn text(status: &str, more: &str, body: &str) -> String {
    let length = body.len();
    let kind = "Content-Type: text/plain; charset=utf-8";
    format!("HTTP/1.1 {status}\r\n{kind}\r\nContent-Length: {length}\r\n{more}\r\n{body}")
}

pub fn hi() -> String {
    text("200 OK", "", "hi")
}

pub fn refused(status: &str, reason: &str) -> String {
    text(status, CLOSE, &format!("{status}: {reason}\n"))
}

pub fn failed(more: &str) -> String {
    text("500 Internal Server Error", more, "500 Internal Server Error: the application failed\n")
}

pub const CLOSE: &str = "Connection: close\r\n";
pub const CHUNKED: &str = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
pub const STREAMED: &str =
    "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\none\r\n3\r\ntwo\r\n5\r\nthree\r\n0\r\n\r\n";
pub const EXPECT_5: &str = "Expect: 100-continue\r\nContent-Length: 5\r\n";
pub const EXPECT_0: &str = "Expect: 100-continue\r\nContent-Length: 0\r\n";
pub const CONTINUE: &str = "HTTP/1.1 100 Continue\r\n\r\n";

/// An exchange that consists of its pull; it takes and drops the body.
pub struct Pulled<F>(pub F);

impl<F: FnMut(&mut Out<'_>, &Cx<'_>) -> Result<Pull, AppError>> Exchange for Pulled<F> {
    fn pull(&mut self, out: &mut Out<'_>, cx: &Cx<'_>) -> Result<Pull, AppError> {
        (self.0)(out, cx)
    }
}

pub fn pulled(answer: impl FnMut(&mut Out<'_>, &Cx<'_>) -> Result<Pull, AppError> + 'static) -> Answer {
    Answer::exchange(Pulled(answer))
}

/// Answers with the request body once it is complete.
pub struct Echo {
    pub body: Vec<u8>,
    pub ended: bool,
    /// The most bytes that one push takes.
    pub bite: usize,
    /// Another bite may be taken; each pull allows one.
    pub hungry: bool,
    /// What a pull returns before the body has ended.
    pub meanwhile: fn(&Cx<'_>) -> Pull,
}

impl Echo {
    pub fn new(bite: usize, meanwhile: fn(&Cx<'_>) -> Pull) -> Self {
        Echo { body: Vec::new(), ended: false, bite, hungry: true, meanwhile }
    }
}

impl Exchange for Echo {
    fn push(&mut self, body: &[u8], end: bool, _cx: &Cx<'_>) -> Result<usize, AppError> {
        let taken =
            if std::mem::take(&mut self.hungry) || self.bite == usize::MAX { body.len().min(self.bite) } else { 0 };
        assert!(!self.ended, "nothing is pushed after the end");
        self.body.extend_from_slice(&body[..taken]);
        self.ended = end && taken == body.len();
        Ok(taken)
    }

    fn pull(&mut self, out: &mut Out<'_>, cx: &Cx<'_>) -> Result<Pull, AppError> {
        self.hungry = true;
        if !self.ended {
            return Ok((self.meanwhile)(cx));
        }
        out.head(Head::new(StatusCode::OK).length(self.body.len() as u64))?;
        out.write(&self.body)?;
        Ok(Pull::End)
    }
}

/// Takes the body's next bytes only every ten seconds.
struct Later(Echo);

impl Exchange for Later {
    fn push(&mut self, body: &[u8], end: bool, cx: &Cx<'_>) -> Result<usize, AppError> {
        self.0.push(body, end, cx)
    }

    fn wants_body(&self) -> bool {
        false
    }

    fn pull(&mut self, out: &mut Out<'_>, cx: &Cx<'_>) -> Result<Pull, AppError> {
        match self.0.pull(out, cx)? {
            Pull::Idle => Ok(Pull::NotBefore(cx.now() + Duration::from_secs(10))),
            pulled => Ok(pulled),
        }
    }
}

/// Does not want the body, and waits for it.
struct Past;

impl Exchange for Past {
    fn wants_body(&self) -> bool {
        false
    }

    fn pull(&mut self, _out: &mut Out<'_>, _cx: &Cx<'_>) -> Result<Pull, AppError> {
        Ok(Pull::Idle)
    }
}

/// Refuses every body byte, and answers at once.
struct Refuse;

impl Exchange for Refuse {
    fn push(&mut self, _body: &[u8], _end: bool, _cx: &Cx<'_>) -> Result<usize, AppError> {
        Ok(0)
    }

    fn pull(&mut self, out: &mut Out<'_>, _cx: &Cx<'_>) -> Result<Pull, AppError> {
        out.head(Head::new(StatusCode::FORBIDDEN).length(2))?;
        out.write(b"no")?;
        Ok(Pull::End)
    }
}

/// Fails to take the body: with an error, or by taking more than there is.
struct BadPush(fn(&[u8]) -> Result<usize, AppError>);

impl Exchange for BadPush {
    fn push(&mut self, body: &[u8], _end: bool, _cx: &Cx<'_>) -> Result<usize, AppError> {
        (self.0)(body)
    }

    fn pull(&mut self, _out: &mut Out<'_>, _cx: &Cx<'_>) -> Result<Pull, AppError> {
        Ok(Pull::Idle)
    }
}

/// A path for each thing that an application may do, right or wrong.
pub struct Paths;

impl App for Paths {
    fn call(&mut self, request: &Request<'_>, _cx: &Cx<'_>) -> Answer {
        let head = || Head::new(StatusCode::OK);
        let failed = || Err(AppError::new("as the test wants it"));
        match request.path() {
            "/text" => Response::text(StatusCode::OK, "hi").into(),
            "/204" => Response::new(StatusCode::NO_CONTENT).body("dropped").into(),
            "/304" => Response::new(StatusCode::NOT_MODIFIED).body("dropped").into(),
            "/splitting" => Response::new(StatusCode::OK).header("X", "a\r\nSet-Cookie: evil").into(),
            "/echo" => Answer::exchange(Echo::new(usize::MAX, |_| Pull::Idle)),
            "/echo/nibbling" => Answer::exchange(Echo::new(3, |_| Pull::Idle)),
            "/echo/past" => Answer::exchange(Echo::new(3, |cx| Pull::NotBefore(cx.now()))),
            "/echo/later" => Answer::exchange(Later(Echo::new(usize::MAX, |_| Pull::Idle))),
            "/idle/past" => Answer::exchange(Past),
            "/refuse" => Answer::exchange(Refuse),
            "/stream" => {
                let mut parts = ["", "one", "two", "three"].into_iter();
                pulled(move |out, _| match parts.next() {
                    Some("") => out.head(head()).map(|()| Pull::More),
                    Some(part) => out.write(part.as_bytes()).map(|()| Pull::More),
                    None => Ok(Pull::End),
                })
            }
            "/sized" => pulled(move |out, _| {
                out.head(head().length(3))?;
                out.write(b"abc").map(|()| Pull::End)
            }),
            "/204/stream" => pulled(|out, _| {
                out.head(Head::new(StatusCode::NO_CONTENT))?;
                out.write(b"dropped").map(|()| Pull::End)
            }),
            "/too-long" => pulled(move |out, _| {
                out.head(head().length(3))?;
                out.write(b"abcd").map(|()| Pull::End)
            }),
            "/too-short" => pulled(move |out, _| {
                out.head(head().length(3))?;
                out.write(b"ab").map(|()| Pull::End)
            }),
            "/fails" => pulled(move |_, _| failed()),
            "/fails/late" => pulled(move |out, _| {
                out.head(head())?;
                out.write(b"part")?;
                failed()
            }),
            "/fails/push" => Answer::exchange(BadPush(|_| Err(AppError::new("as the test wants it")))),
            "/takes/too-much" => Answer::exchange(BadPush(|body| Ok(body.len() + 1))),
            "/takes/nothing" => Answer::exchange(BadPush(|_| Ok(0))),
            "/headless" => pulled(|_, _| Ok(Pull::End)),
            "/body-first" => pulled(|out, _| out.write(b"x").map(|()| Pull::End)),
            "/two-heads" => pulled(move |out, _| {
                out.head(head())?;
                out.head(head()).map(|()| Pull::End)
            }),
            "/head-first" => pulled(move |out, _| match out.has_head() {
                true => Ok(Pull::Idle),
                false => out.head(head()).map(|()| Pull::Idle),
            }),
            "/idle" => pulled(|_, _| Ok(Pull::Idle)),
            path => Response::text(StatusCode::NOT_FOUND, format!("no {path}")).into(),
        }
    }
}
