//! How a coroutine waits: for a time, for a message of a channel, or for a descriptor. Whatever has the coroutine, a request for
//! example, begins the wait in the turn in which the coroutine has yielded, is woken or called in time, and resumes the
//! coroutine once the wait is over. A coroutine waits for one thing at a time.

use super::messages::{self, Awaited};
use super::socket::Sockets;
use std::io;
use std::time::{Duration, Instant};
use tine_worker::app::Cx;

/// What a coroutine wants to wait for.
pub enum Asked {
    Sleep(Duration),
    Message(messages::Wait),
    /// What it has asked `Sockets` for.
    Descriptor,
}

/// A coroutine that waits, until this is dropped.
pub enum Waiting {
    /// Even the shortest gives others a turn, so it lasts longer than the turn of `since`.
    Sleep {
        since: Instant,
        until: Instant,
    },
    Message(Awaited),
    /// That of the coroutine with this number.
    Descriptor(i64),
}

impl Asked {
    /// Begins the wait of the coroutine with this number. From now on the connection is woken when the wait may be over; of a
    /// time that comes, it is not.
    pub fn begin(self, number: i64, sockets: &Sockets, cx: &Cx<'_>) -> io::Result<Waiting> {
        Ok(match self {
            Asked::Sleep(time) => Waiting::Sleep { since: cx.now(), until: cx.now() + time },
            Asked::Message(wait) => Waiting::Message(wait.begin(cx)?),
            Asked::Descriptor => {
                sockets.begin_wait(number, cx);
                Waiting::Descriptor(number)
            }
        })
    }
}

impl Waiting {
    /// `Some`: it goes on, until this time if there is one; `None`: it is over.
    pub fn until(&self, sockets: &Sockets, cx: &Cx<'_>) -> Option<Option<Instant>> {
        match self {
            Waiting::Sleep { since, until } => (cx.now() < *until || cx.now() == *since).then_some(Some(*until)),
            Waiting::Message(awaited) => (!awaited.is_over(cx)).then_some(awaited.until),
            Waiting::Descriptor(number) => sockets.waits_until(*number, cx.now()),
        }
    }
}
