//! Admission: a budget of connections, and a clear response to those above it.

use crate::dispatch::{Outcome, Record, Recorder};
use crate::http::DateLine;
use crate::http1;
use crate::net::{ReadBuffer, Socket};
use crate::proxy_header::Header;
use crate::request_log::RequestLog;
use std::fmt;
use std::fs::File;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::{BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};
use tine_common::address_counts::client_of;
use tine_common::log::Burst;
use tine_common::sys::socket::{Accepted, accept};
use tine_common::units::counted;

/// Descriptors not used for clients: standard streams, epoll, the channel, signals, the scoreboard's and the app's own.
const RESERVED_DESCRIPTORS: u64 = 64;
/// Refused connections that linger at the same time; those above it get their response and a plain close.
pub const REFUSED_OPEN_MAX: usize = 32;
/// The value of `Retry-After`.
const RETRY_AFTER_SECONDS: u32 = 5;
/// Accepting pauses for this long when descriptors run out.
pub const EXHAUSTED_PAUSE: Duration = Duration::from_millis(100);
/// A burst of refusals is over after this long without one.
const BURST_QUIET: Duration = Duration::from_secs(2);
/// Addresses that are logged by name in a burst of refusals by address.
const NAMED_MAX: usize = 8;

pub struct Admission {
    /// The number of connections that this worker's descriptors allow.
    worker_max: usize,
    /// The limit of connections of all workers together.
    server_max: Option<usize>,
    /// Held in reserve, to answer clients when descriptors run out.
    spare: Option<File>,
    burst: Burst,
    evicted: Burst,
    /// Refusals of addresses at their limit, and the addresses that were named in this burst.
    of_addresses: Burst,
    named: Vec<IpAddr>,
}

impl Admission {
    /// `listening`: the descriptors of listeners and their wakers.
    pub fn new(nofile: u64, listening: usize, server_max: Option<usize>) -> Self {
        let taken = RESERVED_DESCRIPTORS + REFUSED_OPEN_MAX as u64 + listening as u64;
        // With very few descriptors, serve a few connections rather than none.
        let worker_max = nofile.saturating_sub(taken).max(nofile / 4).max(1) as usize;
        let burst = || Burst::new(1, BURST_QUIET);
        let (spare, named) = (spare(), Vec::new());
        Admission { worker_max, server_max, spare, burst: burst(), evicted: burst(), of_addresses: burst(), named }
    }

    pub fn has_server_max(&self) -> bool {
        self.server_max.is_some()
    }

    /// `mine`: this worker's connections; `total`: all workers'.
    pub fn admits(&self, mine: usize, total: u64) -> bool {
        mine < self.worker_max && self.server_max.is_none_or(|max| total < max as u64)
    }

    /// Counts a refusal; logs it once a burst.
    pub fn on_refused(&mut self, why: fmt::Arguments<'_>, now: Instant) {
        if self.burst.admits(now) {
            log::warn!("{why}; refusing connections with 503 until there is room");
        }
    }

    /// Counts a refusal of an address at its limit; logs the address once a burst.
    pub fn on_address_refused(&mut self, address: IpAddr, most: usize, now: Instant) {
        self.of_addresses.admits(now);
        let client = client_of(address);
        if self.named.len() == NAMED_MAX || self.named.contains(&client) {
            return;
        }
        self.named.push(client);
        let (prefix, most) = (if client.is_ipv6() { "/64" } else { "" }, counted(most as u64, "connection"));
        log::warn!(
            "{client}{prefix} has {most}, the limit of --max-connections-per-address; refusing more from there with 503"
        );
    }

    /// Counts an evicted connection; logs it once a burst.
    pub fn on_evicted(&mut self, mine: usize, now: Instant) {
        if self.evicted.admits(now) {
            log::warn!("at capacity with {mine} connections here; closing those idle longest to admit new ones");
        }
    }

    /// Descriptors ran out while a connection is pending: gives up the spare one to accept it and passes it to
    /// `answer`, which must close it. False if none was pending, or even that failed.
    pub fn use_spare(&mut self, listener: BorrowedFd<'_>, answer: impl FnOnce(OwnedFd)) -> bool {
        if self.spare.take().is_none() {
            self.spare = spare();
            return false;
        }
        let (accepted, _) = accept(listener);
        let answered = match accepted {
            Accepted::Connection(fd) => {
                answer(fd);
                true
            }
            _ => false,
        };
        self.spare = spare();
        answered
    }

    /// When [`Admission::sum_up`] has something to log.
    pub fn deadline(&self) -> Option<Instant> {
        [&self.burst, &self.evicted, &self.of_addresses].into_iter().filter_map(Burst::ends_at).min()
    }

    pub fn sum_up(&mut self, now: Instant) {
        if let Some(ended) = self.burst.ended(now) {
            log::warn!("refused {} with 503 within {}", counted(ended.count, "connection"), ended.span());
        }
        if let Some(ended) = self.of_addresses.ended(now) {
            self.named.clear();
            let (refused, span) = (counted(ended.count, "connection"), ended.span());
            log::warn!("refused {refused} by --max-connections-per-address with 503 within {span}");
        }
        if let Some(ended) = self.evicted.ended(now) {
            let closed = counted(ended.count, "idle connection");
            log::warn!("closed {closed} within {} to admit new ones", ended.span());
        }
    }
}

/// The 503 for a client that is refused.
pub struct Refusal {
    pub answer: Vec<u8>,
    /// Only for the log.
    pub record: Option<Record>,
}

impl Refusal {
    /// What the client has sent so far is read and dropped. `is_announced`: that begins with a header of the PROXY protocol.
    pub fn of(
        socket: &Socket,
        is_announced: bool,
        date: &DateLine,
        scratch: &mut ReadBuffer,
        log: Option<&RequestLog>,
        now: Instant,
    ) -> Refusal {
        // Errors mean that the client is gone.
        let _ = scratch.receive(socket, usize::MAX);
        let (mut asked, mut client) = (scratch.unconsumed(), socket.client());
        if is_announced {
            match Header::of(asked) {
                Header::Whole(length, announced) => {
                    asked = &asked[length..];
                    client = announced.ends.client_or(client);
                }
                // Not a request in any case.
                Header::Partial | Header::Wrong(_) => asked = b"",
            }
        }
        let answer = http1::refusal(asked, date, RETRY_AFTER_SECONDS);
        let record = log.map(|log| Record::of_connection(asked, &answer, client, log, now));
        scratch.clear();
        Refusal { answer, record }
    }

    /// For a client whose session has not begun, so that nothing was read.
    pub fn unread(client: Option<SocketAddr>, date: &DateLine, log: Option<&RequestLog>, now: Instant) -> Refusal {
        let answer = http1::refusal(b"", date, RETRY_AFTER_SECONDS);
        let record = log.map(|log| Record::of_connection(b"", &answer, client, log, now));
        Refusal { answer, record }
    }

    /// Sends the answer and closes at once, without lingering. Since what the client has sent so far was read, the close
    /// does not cause a reset, as far as that can be known.
    pub fn send_and_close(self, socket: &Socket, recorder: &mut Recorder, now: Instant) {
        // As above.
        let sent = socket.send(&self.answer).ok().flatten().unwrap_or(0);
        let _ = socket.finish_sending();
        if let Some(mut record) = self.record {
            if sent < self.answer.len() {
                record.outcome = Outcome::ClientLeft;
            }
            record.end(sent as u64, now);
            recorder.end(std::slice::from_mut(&mut record));
        }
    }
}

fn spare() -> Option<File> {
    let opened: io::Result<File> = File::open("/dev/null");
    opened.ok() // without it, exhaustion is answered by waiting
}
