//! What suspended requests wait for: a socket of theirs, a descriptor of something else, or the answer of a lookup. A
//! request waits for one thing at a time.

use super::table::{CLOSED, Key, Request, Sockets};
use nix::sys::eventfd::EventFd;
use std::borrow::Cow;
use std::os::fd::RawFd;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tine_worker::app::{Cx, Interest, Ready, Watch};

pub enum Target {
    Socket(Key),
    /// Of a C module or of the app: watched, and never closed.
    Descriptor(RawFd),
    /// Written to when a lookup has its answer.
    Answer(Arc<EventFd>),
}

pub struct Wait {
    target: Target,
    interest: Interest,
    timeout: Option<Duration>,
    until: Option<Instant>,
    /// What it is woken by, if that is not a socket's own. Dropped before the descriptor.
    watch: Option<Watch>,
    failure: Option<Cow<'static, str>>,
}

impl Wait {
    pub fn new(target: Target, interest: Interest, timeout: Option<Duration>) -> Wait {
        Wait { target, interest, timeout, until: None, watch: None, failure: None }
    }

    /// Called in the turn in which the request was suspended.
    pub fn begin(&mut self, request: Request, sockets: &Sockets, cx: &Cx<'_>) {
        self.until = self.timeout.and_then(|timeout| cx.now().checked_add(timeout));
        let watched = match &self.target {
            Target::Socket(key) => sockets.watch(*key, self.interest, request, cx).map(|()| None),
            Target::Descriptor(fd) => watch(*fd, self.interest, cx),
            Target::Answer(event) => watch(std::os::fd::AsRawFd::as_raw_fd(&**event), self.interest, cx),
        };
        match watched {
            Ok(watch) => self.watch = watch,
            Err(failure) => self.failure = Some(failure),
        }
    }

    pub fn into_target(self) -> Target {
        self.target
    }

    pub fn until(&self) -> Option<Instant> {
        self.until
    }

    /// `of_socket`: what is ready of a socket; `None`: it was closed.
    pub fn is_pending(&self, now: Instant, of_socket: impl FnOnce(Key) -> Option<Ready>) -> bool {
        if self.failure.is_some() || self.until.is_some_and(|until| now >= until) {
            return false;
        }
        self.ready(of_socket).is_some_and(|ready| !is_any(self.wanted(ready)))
    }

    /// What was ready of what was asked for, if anything.
    pub fn outcome(&self, of_socket: impl FnOnce(Key) -> Option<Ready>) -> Result<Ready, Cow<'static, str>> {
        let ready = self.ready(of_socket);
        if let Some(failure) = &self.failure {
            return Err(failure.clone());
        }
        match ready.map(|ready| self.wanted(ready)) {
            None => Err(CLOSED.into()),
            Some(ready) if is_any(ready) => Ok(ready),
            Some(_) => Err("timeout".into()),
        }
    }

    fn ready(&self, of_socket: impl FnOnce(Key) -> Option<Ready>) -> Option<Ready> {
        match &self.target {
            Target::Socket(key) => of_socket(*key),
            _ => Some(self.watch.as_ref().map(Watch::ready).unwrap_or_default()),
        }
    }

    fn wanted(&self, ready: Ready) -> Ready {
        Ready {
            readable: ready.readable && self.interest != Interest::Write,
            writable: ready.writable && self.interest != Interest::Read,
        }
    }
}

fn is_any(ready: Ready) -> bool {
    ready.readable || ready.writable
}

fn watch(fd: RawFd, interest: Interest, cx: &Cx<'_>) -> Result<Option<Watch>, Cow<'static, str>> {
    cx.watch(&fd, interest).map(Some).map_err(|error| error.to_string().into())
}
