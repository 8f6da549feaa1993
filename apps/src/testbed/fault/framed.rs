//! Faults that are valid HTTP: a stall, many interim responses, responses that fail at random. They need no raw access.
//! As for the others, the request's body is read and dropped first.

use super::ends::MISSING_BYTES;
use super::params;
use super::script::PATTERN;
use crate::testbed::after_body;
use crate::testbed::draw::Draw;
use crate::testbed::query;
use std::time::{Duration, Instant};
use tine_worker::app::{Answer, AppError, Cx, Exchange, Out, Pull};
use tine_worker::http::{Head, Request, StatusCode};

/// The most interim responses before one final response.
const INTERIM_MAX: u64 = 100_000;

/// A response that pauses for `for` ms after `after` bytes of its body.
pub fn stall(request: &Request<'_>) -> Result<Answer, String> {
    let after = params::bytes(request, "after", params::BODY_BYTES_MAX)?.unwrap_or(0);
    let pause = Duration::from_millis(params::milliseconds(request, "for")?.unwrap_or(1000));
    Ok(after_body::answer(Stall { after, pause, sent: 0, resumes: None }))
}

struct Stall {
    after: u64,
    pause: Duration,
    sent: u64,
    /// When the stall ends; `None` until it begins.
    resumes: Option<Instant>,
}

impl Exchange for Stall {
    fn pull(&mut self, out: &mut Out<'_>, cx: &Cx<'_>) -> Result<Pull, AppError> {
        let length = self.after + MISSING_BYTES;
        if !out.has_head() {
            out.head(Head::new(StatusCode::OK).content_type("application/octet-stream").length(length))?;
        }
        if self.sent == self.after {
            let resumes = *self.resumes.get_or_insert(cx.now() + self.pause);
            // A stopping server pulls early; the stall still lasts as long as it should.
            if cx.now() < resumes {
                return Ok(Pull::NotBefore(resumes));
            }
        }
        let until = if self.sent < self.after { self.after } else { length };
        while self.sent < until && out.has_room() {
            let rest = &PATTERN[(self.sent % PATTERN.len() as u64) as usize..];
            let part = (until - self.sent).min(rest.len() as u64);
            out.write_static(&rest[..part as usize])?;
            self.sent += part;
        }
        Ok(if self.sent == length { Pull::End } else { Pull::More })
    }
}

/// Takes `after` bytes of the request's body, then none for `for` ms: a client of HTTP/2 gets no window for the stream, one of HTTP/1 none
/// from the kernel.
pub fn stalled_window(request: &Request<'_>) -> Result<Answer, String> {
    let after = params::bytes(request, "after", params::BODY_BYTES_MAX)?.unwrap_or(0);
    let pause = Duration::from_millis(params::milliseconds(request, "for")?.unwrap_or(1000));
    Ok(Answer::exchange(StalledWindow { after, pause, taken: 0, resumes: None, is_stalled: false, body_ended: false }))
}

struct StalledWindow {
    after: u64,
    pause: Duration,
    taken: u64,
    /// When the stall ends; `None` until it begins.
    resumes: Option<Instant>,
    is_stalled: bool,
    body_ended: bool,
}

impl StalledWindow {
    /// Begins the stall, or ends it, if it is time.
    fn look(&mut self, cx: &Cx<'_>) {
        let now = cx.now();
        self.is_stalled = self.taken == self.after && now < *self.resumes.get_or_insert(now + self.pause);
    }
}

impl Exchange for StalledWindow {
    fn push(&mut self, body: &[u8], end: bool, cx: &Cx<'_>) -> Result<usize, AppError> {
        self.look(cx);
        let taken = match body.len() as u64 {
            length if self.taken < self.after => length.min(self.after - self.taken),
            1.. if self.is_stalled => 0,
            length => length,
        };
        self.taken += taken;
        self.body_ended = end && taken == body.len() as u64;
        Ok(taken as usize)
    }

    fn wants_body(&self) -> bool {
        !self.is_stalled
    }

    fn pull(&mut self, out: &mut Out<'_>, cx: &Cx<'_>) -> Result<Pull, AppError> {
        if self.body_ended {
            let text = format!("{} bytes after a stall of {} ms\n", self.taken, self.pause.as_millis());
            let head = Head::new(StatusCode::OK).content_type("text/plain; charset=utf-8");
            out.head(head.length(text.len() as u64))?;
            out.write(text.as_bytes())?;
            return Ok(Pull::End);
        }
        self.look(cx);
        match self.resumes.filter(|_| self.is_stalled) {
            Some(resumes) => Ok(Pull::NotBefore(resumes)),
            None => Ok(Pull::Idle),
        }
    }
}

/// A run of interim responses, 100, 102 and 103 in turn, before a 200. An HTTP/1.0 client gets only the 200.
pub fn interims(request: &Request<'_>) -> Result<Answer, String> {
    let count = query::number(request, "count", 0..=INTERIM_MAX)?.unwrap_or(10);
    Ok(after_body::answer(Interims { count, written: 0 }))
}

struct Interims {
    count: u64,
    written: u64,
}

impl Exchange for Interims {
    fn pull(&mut self, out: &mut Out<'_>, _: &Cx<'_>) -> Result<Pull, AppError> {
        while self.written < self.count {
            if !out.has_room() {
                return Ok(Pull::More);
            }
            out.interim(match self.written % 3 {
                0 => Head::new(StatusCode::CONTINUE),
                1 => Head::new(StatusCode::PROCESSING),
                _ => Head::new(StatusCode::EARLY_HINTS).header("Link", "</style.css>; rel=preload; as=style"),
            })?;
            self.written += 1;
        }
        let text = format!("after {} interim responses\n", self.count);
        if !out.has_head() {
            out.head(Head::new(StatusCode::OK).content_type("text/plain; charset=utf-8").length(text.len() as u64))?;
        }
        // The last interim response, or the head after it, may have filled the output.
        if !out.has_room() {
            return Ok(Pull::More);
        }
        out.write(text.as_bytes())?;
        Ok(Pull::End)
    }
}

/// The share `rate` of the responses is 503, the others are 200; the n-th of a seed is always the same.
pub fn flaky(request: &Request<'_>) -> Result<Answer, String> {
    let rate = params::share(request, "rate")?.unwrap_or(0.1);
    let draw = Draw::asked_by(request)?;
    let drawn = draw.unit();
    let (status, relation) = match drawn < rate {
        true => (StatusCode::SERVICE_UNAVAILABLE, "below"),
        false => (StatusCode::OK, "not below"),
    };
    let text = format!("answer {} of seed {}: {drawn} is {relation} the rate {rate}\n", draw.n, draw.seed);
    Ok(after_body::answer(Whole { status, text }))
}

/// A fixed response, sent after the end of the request's body.
struct Whole {
    status: StatusCode,
    text: String,
}

impl Exchange for Whole {
    fn pull(&mut self, out: &mut Out<'_>, _: &Cx<'_>) -> Result<Pull, AppError> {
        let head = Head::new(self.status).content_type("text/plain; charset=utf-8");
        out.head(head.length(self.text.len() as u64))?;
        out.write(self.text.as_bytes())?;
        Ok(Pull::End)
    }
}
