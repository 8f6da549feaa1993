//! A call as an exchange: passes a method the client's messages, as far as its replies are sent, and ends the response by a
//! status.
//!
//! ```text
//! Next::Message --- a message, the end, a drain ---> the method says what is next
//! More, NotBefore, Wait --- go_on ------------------> the method says what is next
//! End, an error, the deadline --- replies are sent -> status: the response is complete
//! ```

use super::coding::{self, Coding};
use super::inbox::Inbox;
use super::metadata::parse_timeout;
use super::unary::Refused;
use super::{Code, Method, Next, Replies, Status};
use std::time::Instant;
use tine_worker::app::{AppError, Cx, Exchange, Out, Pull};
use tine_worker::http::Request;

pub struct Call<M> {
    method: M,
    inbox: Inbox,
    coding: Coding,
    replies: Replies,
    next: Next,
    deadline: Option<Instant>,
    /// The client's last byte was taken.
    body_ended: bool,
    knows_end: bool,
    knows_of_drain: bool,
    /// Bytes of the last push were not taken.
    left_bytes: bool,
    /// How it ends, once the replies are sent.
    status: Option<Status>,
}

impl<M: Method> Call<M> {
    pub fn new(request: &Request<'_>, cx: &Cx<'_>, method: M) -> Call<M> {
        let mut call = Call {
            method,
            inbox: Inbox::default(),
            coding: Coding::Identity,
            replies: Replies::new(coding::takes_gzip(request)),
            next: Next::Message,
            deadline: None,
            body_ended: false,
            knows_end: false,
            knows_of_drain: false,
            left_bytes: false,
            status: None,
        };
        match Coding::of(request) {
            Ok(coding) => call.coding = coding,
            Err(status) => call.status = Some(status),
        }
        call.replies.compress(call.coding == Coding::Gzip);
        if let Some(value) = request.headers().get("grpc-timeout") {
            match parse_timeout(value) {
                // A time that the clock will not reach ends nothing.
                Some(timeout) => call.deadline = cx.now().checked_add(timeout),
                None => call.status = Some(Status::new(Code::Internal, "malformed grpc-timeout")),
            }
        }
        call
    }

    /// What the method said.
    fn set(&mut self, next: Result<Next, Status>) {
        match next {
            Ok(Next::End) => self.status = Some(Status::OK),
            Ok(next) => self.next = next,
            Err(status) => self.status = Some(status),
        }
    }

    /// The messages that begin within `body`, as long as the method takes any; returns what it left.
    fn take<'a>(&mut self, mut body: &'a [u8], cx: &Cx<'_>) -> &'a [u8] {
        while self.status.is_none() && self.next == Next::Message && !self.replies.is_full() && !body.is_empty() {
            match self.inbox.take(&mut body, self.coding) {
                Ok(Some(message)) => {
                    self.replies.got_compressed = self.inbox.was_compressed;
                    let next = self.method.on_message(message.as_slice(), &mut self.replies, cx);
                    self.set(next);
                    if cx.is_time_up() {
                        break;
                    }
                }
                Ok(None) => break,
                Err(status) => self.status = Some(status),
            }
        }
        body
    }

    /// Calls the method as long as it can go on without the client.
    fn go_on(&mut self, cx: &Cx<'_>) {
        let mut is_woken = true;
        while self.status.is_none() && !self.replies.is_full() {
            let before = self.next;
            match self.next {
                Next::Message if self.body_ended && !self.knows_end => {
                    self.knows_end = true;
                    let next = match self.inbox.has_part() {
                        true => Err(Status::new(Code::Internal, "the last message is incomplete")),
                        false => self.method.on_end(&mut self.replies, cx),
                    };
                    self.set(next);
                }
                Next::Message if self.body_ended => self.status = Some(Status::OK),
                Next::Message if cx.is_draining() && !self.knows_of_drain && !self.inbox.has_part() => {
                    self.knows_of_drain = true;
                    let next = self.method.on_drain(&mut self.replies, cx);
                    self.set(next);
                }
                Next::Message | Next::End => return,
                Next::NotBefore(_) | Next::Wait if !std::mem::take(&mut is_woken) => return,
                Next::More | Next::NotBefore(_) | Next::Wait => {
                    let next = self.method.go_on(&mut self.replies, cx);
                    self.set(next);
                }
            }
            if before == Next::More && cx.is_time_up() {
                return;
            }
        }
    }

    /// What is waited for, after all that could be written was.
    fn pull_next(&self, cx: &Cx<'_>) -> Pull {
        let until = match self.next {
            Next::More => return Pull::More,
            // The rest of the push comes again: at once, or in the next turn.
            Next::Message if self.left_bytes && cx.is_time_up() => return Pull::More,
            Next::Message if self.left_bytes => return Pull::Idle,
            Next::NotBefore(at) => Some(at),
            Next::Message | Next::Wait | Next::End => None,
        };
        debug_assert!(self.deadline.is_none_or(|deadline| cx.now() < deadline));
        match until.into_iter().chain(self.deadline).min() {
            Some(at) => Pull::NotBefore(at),
            None if self.next == Next::Message && self.wants_body() => Pull::Idle,
            None => Pull::Wait,
        }
    }
}

impl Call<Refused> {
    /// Ends at once, before any message.
    pub fn refused(request: &Request<'_>, cx: &Cx<'_>, status: Status) -> Self {
        let mut call = Call::new(request, cx, Refused);
        call.status.get_or_insert(status);
        call
    }
}

impl<M: Method> Exchange for Call<M> {
    fn push(&mut self, body: &[u8], end: bool, cx: &Cx<'_>) -> Result<usize, AppError> {
        let left = match self.status {
            None => self.take(body, cx),
            Some(_) => body,
        };
        // What comes after the call has its status is dropped.
        let left = if self.status.is_some() { 0 } else { left.len() };
        self.left_bytes = left > 0;
        self.body_ended |= end && left == 0;
        Ok(body.len() - left)
    }

    fn wants_body(&self) -> bool {
        self.next == Next::Message && (self.method.is_due() || self.inbox.has_part())
    }

    fn gives_up_at(&self) -> Option<Instant> {
        self.deadline
    }

    fn pull(&mut self, out: &mut Out<'_>, cx: &Cx<'_>) -> Result<Pull, AppError> {
        if self.status.is_none() && self.deadline.is_some_and(|deadline| cx.now() >= deadline) {
            self.status = Some(Status::new(Code::DeadlineExceeded, "the deadline of the call has passed"));
        }
        self.go_on(cx);
        self.replies.write(out)?;
        if !self.replies.is_empty() {
            return Ok(Pull::More);
        }
        match &self.status {
            Some(status) => {
                self.replies.write_status(status, out)?;
                Ok(Pull::End)
            }
            None => Ok(self.pull_next(cx)),
        }
    }
}
