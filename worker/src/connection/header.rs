//! The header of the PROXY protocol: the first phase of a connection to an address marked `proxy:`, before TLS, with the deadline of a
//! request's head. Only a whole header is taken from the socket; until then its bytes are peeked at. What is not a header is not
//! answered (proxy-protocol.txt, 2: the receiver must not guess), but counted by cause.

use super::steps::{Shared, Step};
use super::{Connection, Phase, Turn};
use crate::eviction::Waits;
use crate::protocol::Closing;
use crate::proxy_header::{BYTES_MAX, Header};
use std::time::Instant;
use tine_common::config::Limits;
use tine_common::telemetry::Count;

pub struct AwaitedHeader {
    began: Instant,
    ends_at_next_wait: bool,
    then: Phase,
}

impl AwaitedHeader {
    /// `then`: the phase that follows.
    pub fn new(then: Phase, now: Instant) -> AwaitedHeader {
        AwaitedHeader { began: now, ends_at_next_wait: false, then }
    }

    pub fn until(&self, limits: &Limits) -> Instant {
        if self.ends_at_next_wait { self.began } else { self.began + limits.header_timeout }
    }

    pub fn waits_since(&self) -> Option<(Waits, Instant)> {
        (!self.ends_at_next_wait).then_some((Waits::Head, self.began))
    }

    pub fn end_at_next_wait(&mut self) {
        self.ends_at_next_wait = true;
    }
}

impl Connection {
    /// Looks at what has arrived of the header; after it, the connection goes on as any other.
    pub(super) fn read_header(&mut self, shared: &mut Shared<'_>, step: Step<'_>) -> Turn {
        let (turn, transport) = (step.turn, &mut self.transport);
        let Phase::Header(awaited) = &mut self.phase else { return Turn::Again };
        let room = shared.input.room(BYTES_MAX);
        let (header, has_ended) = match transport.socket.peek(room) {
            Ok(Some(count)) => (Header::of(&room[..count]), count == 0 || count < BYTES_MAX && transport.hung_up()),
            Ok(None) => (Header::Partial, false),
            Err(_) => (Header::Partial, true),
        };
        let (cause, why) = match header {
            Header::Whole(length, announced) => {
                let (peer, is_tls) = (transport.socket.client(), transport.session().is_some());
                if transport.skip(&mut room[..length]).is_err() {
                    return Turn::Closed;
                }
                transport.caller = turn.proxies.map(|proxies| proxies.of_announced(*announced, peer, is_tls));
                self.phase = std::mem::replace(&mut awaited.then, Phase::Finishing(Closing::Flushed));
                return Turn::Announced;
            }
            Header::Partial if has_ended => (Count::HeaderLeft, None),
            Header::Partial if turn.now < awaited.until(turn.limits) => return Turn::Waits,
            Header::Partial if awaited.ends_at_next_wait => return Turn::Closed,
            Header::Partial => (Count::HeaderTimeout, Some("no header of the PROXY protocol came in time")),
            Header::Wrong(wrong) => (wrong.count(), Some("it does not begin with a header of the PROXY protocol")),
        };
        turn.seat.count(cause, 1);
        if let (Some(why), Some(proxies)) = (why, turn.proxies) {
            proxies.on_unannounced(transport.socket.client(), transport.socket.local(), why, turn.now);
        }
        Turn::Closed
    }
}
