//! The handshake of TLS: a connection's first phase, with a deadline of its own. It is counted, and never logged line by line:
//! scanners fail by the thousand.

use super::steps::{Shared, Step};
use super::{Connection, Phase, Turn};
use crate::admission::Refusal;
use crate::eviction::Waits;
use crate::http1::{self, Http1};
use crate::http2::Http2;
use crate::net::Shaken;
use crate::protocol::{Closing, Next, Protocol};
use std::time::Instant;
use tine_common::config::Limits;
use tine_common::telemetry::Count;

pub struct Handshake {
    began: Instant,
    ends_at_next_wait: bool,
    /// The connection is refused: this is all that it is told.
    refusal: Option<Box<Refusal>>,
}

impl Handshake {
    pub fn new(refusal: Option<Refusal>, now: Instant) -> Handshake {
        Handshake { began: now, ends_at_next_wait: false, refusal: refusal.map(Box::new) }
    }

    /// It is refused after all.
    pub fn refuse(&mut self, refusal: Refusal) {
        self.refusal = Some(Box::new(refusal));
    }

    /// As long as a request's head may take. One that is refused does not keep its place for longer than that either.
    pub fn until(&self, limits: &Limits) -> Instant {
        if self.ends_at_next_wait { self.began } else { self.began + limits.header_timeout }
    }

    pub fn waits_since(&self) -> Option<(Waits, Instant)> {
        (!self.ends_at_next_wait && self.refusal.is_none()).then_some((Waits::Head, self.began))
    }

    pub fn end_at_next_wait(&mut self) {
        self.ends_at_next_wait = true;
    }
}

impl Connection {
    /// Goes on with the handshake; after it the connection begins with the protocol that was agreed on.
    pub(super) fn shake_hands(&mut self, shared: &mut Shared<'_>, step: Step<'_>) -> Result<Next, Turn> {
        let turn = step.turn;
        let Phase::Handshake(handshake) = &mut self.phase else { return Ok(Next::Wait) };
        match self.transport.shake_hands(shared.input) {
            Shaken::NotYet if turn.now < handshake.until(turn.limits) => Ok(Next::Wait),
            Shaken::NotYet => {
                turn.seat.count(Count::HandshakeTimeout, 1);
                Err(Turn::Closed)
            }
            Shaken::Done => {
                let refusal = handshake.refusal.take();
                self.on_handshake_done(refusal, shared, step);
                Ok(Next::Again)
            }
            Shaken::PlainHttp => {
                turn.seat.count(Count::HandshakePlainHttp, 1);
                let answer = http1::plain_to_tls(shared.input.unconsumed(), turn.date);
                shared.input.clear();
                shared.output.append(&answer);
                self.phase = Phase::Finishing(Closing::Lingering);
                Ok(Next::Close(Closing::Lingering))
            }
            Shaken::Failed(cause) => {
                turn.seat.count(cause, 1);
                if cause == Count::HandshakeLeft {
                    return Err(Turn::Closed);
                }
                // The alert says why. A close with bytes unread would destroy it.
                shared.input.clear();
                self.phase = Phase::Finishing(Closing::Lingering);
                Ok(Next::Close(Closing::Lingering))
            }
        }
    }

    fn on_handshake_done(&mut self, refusal: Option<Box<Refusal>>, shared: &mut Shared<'_>, step: Step<'_>) {
        let Some(session) = self.transport.session() else { return };
        let kind = if session.is_resumed() { Count::HandshakesResumed } else { Count::HandshakesFull };
        step.turn.seat.count(kind, 1);
        self.phase = match refusal {
            Some(refusal) => {
                shared.output.append(&refusal.answer);
                refusal.record.into_iter().for_each(|record| self.unsent.push(record));
                Phase::Finishing(Closing::Lingering)
            }
            None if session.is_http2() => Phase::Open(Protocol::Http2(Box::new(Http2::new(step.turn.now)))),
            None => Phase::Open(Protocol::Http1(Http1::new(step.turn.now))),
        };
    }
}
