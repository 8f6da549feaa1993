//! Drives an application without a socket or a server, for its own tests.
//!
//! A [`Client`] speaks HTTP/1.1 to the application through the server's protocol, with a clock of its own: where the
//! application waits ([`Pull::NotBefore`](crate::app::Pull::NotBefore)), the time passes at once. Descriptors that it
//! watches are real: while one of them may wake the exchange, it is waited for in real time, in which the application's
//! time stands still ([`Client::descriptor_limit`]). The application's tasks run while a request is answered, and while
//! [`Client::pass`] lets time pass.
//!
//! ```
//! # extern crate tine_worker as tine;
//! use tine::app::{Answer, App, Cx};
//! use tine::http::{Request, Response, StatusCode};
//! use tine::testing::Client;
//!
//! struct Hello;
//!
//! impl App for Hello {
//!     fn call(&mut self, request: &Request<'_>, _: &Cx<'_>) -> Answer {
//!         Response::text(StatusCode::OK, format!("hello from {}\n", request.path())).into()
//!     }
//! }
//!
//! let response = Client::new(Hello).get("/x");
//! assert_eq!((response.status, response.text()), (200, "hello from /x\n"));
//! assert_eq!(response.header("content-type"), Some("text/plain; charset=utf-8"));
//! ```

use crate::app::{App, ConnectionCx, ConnectionId, Cx, TurnCx, Wakeups};
use crate::dispatch::Recorder;
use crate::http::DateLine;
use crate::http1::Http1;
use crate::net::{ReadBuffer, WriteQueue};
use crate::protocol::{IdleEnd, Io, Next, Passed, Scratch};
use crate::tasks::Tasks;
use crate::timers::earlier;
use mio::{Events, Poll};
use std::io;
use std::time::{Duration, Instant};
use tine_common::config::Limits;

/// Advances of the protocol without which an application never comes to an end.
const STEPS_MAX: usize = 1_000_000;
const BUFFER_BYTES: usize = 256 << 10;

/// A client of one application; each request has a connection of its own.
pub struct Client {
    app: Box<dyn App>,
    limits: Limits,
    began: Instant,
    now: Instant,
    time_limit: Duration,
    is_lame_duck: bool,
    is_draining: bool,
    poll: Poll,
    wakeups: Wakeups,
    tasks: Tasks,
    descriptor_limit: Duration,
    /// Of the last request's connection.
    serial: u32,
}

/// What the application answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Response {
    /// The status, such as 200.
    pub status: u16,
    /// In the order in which they were sent, those of the server included.
    pub headers: Vec<(String, String)>,
    /// Without its framing.
    pub body: Vec<u8>,
    /// The statuses of the interim responses before it.
    pub interim: Vec<u16>,
    /// All of it came; false if the application failed after its head.
    pub is_complete: bool,
}

impl Response {
    /// The first field of this name, in any case.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(field, _)| field.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }

    /// The body, which must be UTF-8.
    ///
    /// # Panics
    /// If it is not.
    #[track_caller]
    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.body).expect("a body in UTF-8")
    }
}

impl Client {
    /// A client of this application, which is started, with the limits that a server has by default.
    ///
    /// # Panics
    /// If the application fails to start.
    #[track_caller]
    pub fn new(app: impl App + 'static) -> Client {
        let now = Instant::now();
        let poll = Poll::new().expect("a poll");
        let wakeups = Wakeups::new(poll.registry().try_clone().expect("a descriptor"));
        let mut client = Client {
            app: Box::new(app),
            limits: Limits::default(),
            began: now,
            now,
            time_limit: Duration::from_secs(3600),
            is_lame_duck: false,
            is_draining: false,
            poll,
            tasks: Tasks::of(wakeups.background.clone()),
            wakeups,
            descriptor_limit: Duration::from_secs(10),
            serial: 0,
        };
        let date = DateLine::new(now);
        let turn = TurnCx { wakeups: Some(&client.wakeups), ..TurnCx::alone(now, &client.limits, &date, None) };
        let started = client.app.start(&Cx { turn: &turn, connection: ConnectionCx::default() });
        started.expect("the application starts");
        client
    }

    /// How much of its time a response may take; an hour by default.
    pub fn time_limit(mut self, limit: Duration) -> Client {
        self.time_limit = limit;
        self
    }

    /// How long a descriptor that the application watches is waited for, in real time: 10 s by default. Then the
    /// application's own timeout comes at once. With [`Duration::ZERO`] only what is ready by then is reported.
    pub fn descriptor_limit(mut self, limit: Duration) -> Client {
        self.descriptor_limit = limit;
        self
    }

    /// From now on the server is in the lame-duck phase of its stop (`--drain-delay`).
    pub fn lame_duck(&mut self) {
        self.is_lame_duck = true;
    }

    /// From now on the server drains.
    pub fn drain(&mut self) {
        self.is_draining = true;
    }

    /// Lets this much of the application's time pass, in which its tasks run.
    ///
    /// # Panics
    /// If they never rest.
    #[track_caller]
    pub fn pass(&mut self, time: Duration) {
        let (ends, mut date) = (self.now + time, DateLine::new(self.now));
        for _ in 0..STEPS_MAX {
            date.refresh(self.now);
            let turn = TurnCx { wakeups: Some(&self.wakeups), ..TurnCx::alone(self.now, &self.limits, &date, None) };
            self.tasks.run(&turn, self.idle_end());
            while let Some(id) = self.wakeups.woken.pop() {
                self.tasks.wake(id);
            }
            match self.tasks.deadline(self.now).filter(|&at| at <= ends) {
                Some(at) => self.now = at.max(self.now),
                None => {
                    self.now = ends;
                    return;
                }
            }
        }
        panic!("the application's tasks never rest; they were called {STEPS_MAX} times")
    }

    fn idle_end(&self) -> Option<IdleEnd> {
        self.is_draining.then_some(IdleEnd { began: self.began, stay: Duration::from_secs(86400) })
    }

    /// The time that has passed for the application.
    pub fn elapsed(&self) -> Duration {
        self.now - self.began
    }

    /// A GET without a body.
    #[track_caller]
    pub fn get(&mut self, target: &str) -> Response {
        self.request("GET", target, &[], b"")
    }

    /// A POST with this body.
    #[track_caller]
    pub fn post(&mut self, target: &str, body: &[u8]) -> Response {
        self.request("POST", target, &[], body)
    }

    /// Any request. `Host`, `Connection: close` and, for a body, `Content-Length` are added, unless they are given.
    ///
    /// # Panics
    /// If the application does not come to an end within the time limit, waits without a timeout for what does not come, or
    /// makes a WebSocket of the connection.
    #[track_caller]
    pub fn request(&mut self, method: &str, target: &str, headers: &[(&str, &str)], body: &[u8]) -> Response {
        let mut wire = format!("{method} {target} HTTP/1.1\r\n").into_bytes();
        let length = body.len().to_string();
        let mut added = vec![("Host", "localhost"), ("Connection", "close")];
        if !body.is_empty() {
            added.push(("Content-Length", &length));
        }
        added.retain(|(name, _)| !headers.iter().any(|(given, _)| given.eq_ignore_ascii_case(name)));
        for (name, value) in added.iter().chain(headers) {
            wire.extend_from_slice(format!("{name}: {value}\r\n").as_bytes());
        }
        wire.extend_from_slice(b"\r\n");
        wire.extend_from_slice(body);
        parse(&self.exchange(&wire), method == "HEAD")
    }

    /// All bytes that the server sends for these, to the end of the connection.
    #[track_caller]
    fn exchange(&mut self, mut unread: &[u8]) -> Vec<u8> {
        let (mut http1, ends) = (Http1::new(self.now), self.now + self.time_limit);
        let (mut input, mut output) = (ReadBuffer::with_capacity(BUFFER_BYTES), WriteQueue::new(self.now));
        let (mut sent, mut date) = (Vec::new(), DateLine::new(self.now));
        let (mut recorder, mut scratch, mut received) = (Recorder::default(), Scratch::default(), 0);
        self.serial += 1;
        let id = ConnectionId::new(0, self.serial);
        for _ in 0..STEPS_MAX {
            date.refresh(self.now);
            let turn = TurnCx {
                is_lame_duck: self.is_lame_duck,
                wakeups: Some(&self.wakeups),
                ..TurnCx::alone(self.now, &self.limits, &date, None)
            };
            let idle_end = self.idle_end();
            let cx = Cx {
                turn: &turn,
                connection: ConnectionCx { idle_end, id, socket: None, session: None, caller: None },
            };
            if input.has_room() && http1.wants_input(output.len(), &cx) {
                let count = unread.len().min(BUFFER_BYTES - input.len());
                input.feed(&unread[..count]);
                unread = &unread[count..];
                received += count as u64;
            }
            let mut io = Io {
                input: &mut input,
                output: &mut output,
                recorder: &mut recorder,
                scratch: &mut scratch,
                passed: Passed { received, sent: sent.len() as u64 },
                input_ended: false,
                hung_up: false,
            };
            let next = http1.advance(&mut io, &mut *self.app, &cx);
            sent.extend(output.contents());
            output.clear();
            recorder.take_completed();
            self.tasks.run(&turn, idle_end);
            if is_woken(&self.wakeups, &mut self.tasks, id) {
                http1.wake();
                continue;
            }
            match next {
                Next::Close(_) => return sent,
                Next::Again | Next::Sent => {}
                Next::Switch => panic!("the application made a WebSocket of the connection"),
                Next::Wait if !unread.is_empty() => {}
                Next::Wait => {
                    let deadline = http1.deadline(0, &cx);
                    let is_due = deadline.is_some_and(|at| at <= self.now);
                    if self.is_woken_by_descriptors(id, if is_due { Duration::ZERO } else { self.descriptor_limit }) {
                        http1.wake();
                        continue;
                    }
                    let at = earlier(deadline, self.tasks.deadline(self.now));
                    let at = at.expect("the application waits without a timeout, and nothing wakes it");
                    assert!(
                        at <= ends,
                        "no end of the response within {:?} of the application's time",
                        self.time_limit
                    );
                    self.now = at;
                }
            }
        }
        panic!("the application never comes to an end; it was called {STEPS_MAX} times")
    }

    /// Waits for the descriptors that may wake this connection, at most for `limit`; returns whether one has.
    fn is_woken_by_descriptors(&mut self, id: ConnectionId, limit: Duration) -> bool {
        let (mut events, began) = (Events::with_capacity(64), Instant::now());
        while self.wakeups.watches.may_wake(id) {
            let left = limit.saturating_sub(began.elapsed());
            match self.poll.poll(&mut events, Some(left)) {
                Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
                polled => polled.expect("epoll_wait"),
            }
            events.iter().for_each(|event| self.wakeups.watches.on_event(event));
            if is_woken(&self.wakeups, &mut self.tasks, id) {
                return true;
            }
            if left.is_zero() {
                break;
            }
        }
        false
    }
}

/// Whether this connection was woken since the last call; tasks that were are queued.
fn is_woken(wakeups: &Wakeups, tasks: &mut Tasks, id: ConnectionId) -> bool {
    let mut is_woken = false;
    while let Some(woken) = wakeups.woken.pop() {
        tasks.wake(woken);
        is_woken |= woken == id;
    }
    is_woken
}

/// The response in these bytes, which the server sent to the end of the connection.
fn parse(mut bytes: &[u8], is_head: bool) -> Response {
    let mut interim = Vec::new();
    loop {
        let mut fields = [httparse::EMPTY_HEADER; 1024];
        let mut head = httparse::Response::new(&mut fields);
        let Ok(httparse::Status::Complete(length)) = head.parse(bytes) else {
            panic!("the application sent no response: {:?}", String::from_utf8_lossy(bytes));
        };
        let status = head.code.unwrap_or_default();
        bytes = &bytes[length..];
        if (100..200).contains(&status) {
            interim.push(status);
            continue;
        }
        let value = |field: &httparse::Header<'_>| String::from_utf8_lossy(field.value).into_owned();
        let headers: Vec<_> = head.headers.iter().map(|field| (field.name.to_string(), value(field))).collect();
        let mut response = Response { status, headers, body: Vec::new(), interim, is_complete: true };
        let has_none = is_head || status == 204 || status == 304;
        let length = response.header("content-length").and_then(|length| length.parse::<usize>().ok());
        if has_none {
        } else if response.header("transfer-encoding").is_some() {
            response.is_complete = dechunk(bytes, &mut response.body);
        } else {
            response.body = bytes.to_vec();
            response.is_complete = length.is_none_or(|length| length == bytes.len());
        }
        return response;
    }
}

/// Adds the data of all chunks; false if the last one is missing.
fn dechunk(mut bytes: &[u8], body: &mut Vec<u8>) -> bool {
    while let Ok(httparse::Status::Complete((line, size))) = httparse::parse_chunk_size(bytes) {
        if size == 0 {
            return true;
        }
        let data = &bytes[line..];
        let size = usize::try_from(size).unwrap_or(usize::MAX);
        body.extend_from_slice(&data[..size.min(data.len())]);
        match data.get(size.saturating_add(2)..) {
            Some(rest) => bytes = rest,
            None => return false,
        }
    }
    false
}

#[cfg(test)]
#[path = "testing_tests.rs"]
mod tests;
