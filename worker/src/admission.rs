//! Who is let in: a budget of connections, and a clear answer to those above it.

use crate::http::DateLine;
use crate::http1;
use crate::net::{ReadBuffer, Socket};
use std::fmt;
use std::fs::File;
use std::io;
use std::net::IpAddr;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};
use tine_common::address_counts::client_of;
use tine_common::log::Burst;
use tine_common::sys::socket::{Accepted, accept};
use tine_common::units::counted;

/// Descriptors that are not for clients: standard streams, epoll, channel, signals, the scoreboard's and the app's own.
const RESERVED_DESCRIPTORS: u64 = 64;
/// Refused connections that are closed with care at the same time; those above it get their answer and a plain close.
pub const REFUSED_OPEN_MAX: usize = 32;
/// What `Retry-After` says.
const RETRY_AFTER_SECONDS: u32 = 5;
/// Accepting pauses for this long when descriptors run out.
pub const EXHAUSTED_PAUSE: Duration = Duration::from_millis(100);
/// A burst of refusals is over after this long without one.
const BURST_QUIET: Duration = Duration::from_secs(2);
/// Addresses that are named in a burst of refusals of those that have their share.
const NAMED_MAX: usize = 8;

pub struct Admission {
    /// Connections that this worker's descriptors allow.
    worker_max: usize,
    /// Connections of all workers together.
    server_max: Option<usize>,
    /// Held so that, when descriptors run out, one can be had to say so.
    spare: Option<File>,
    burst: Burst,
    room_made: Burst,
    /// Refusals of addresses that have their share, and those that were named in this burst.
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
        Admission { worker_max, server_max, spare, burst: burst(), room_made: burst(), of_addresses: burst(), named }
    }

    pub fn has_server_max(&self) -> bool {
        self.server_max.is_some()
    }

    /// `mine`: this worker's connections; `total`: all workers'.
    pub fn admits(&self, mine: usize, total: u64) -> bool {
        mine < self.worker_max && self.server_max.is_none_or(|max| total < max as u64)
    }

    /// Counts a refusal; says so once a burst.
    pub fn on_refused(&mut self, why: fmt::Arguments<'_>, now: Instant) {
        if self.burst.admits(now) {
            log::warn!("{why}; refusing connections with 503 until there is room");
        }
    }

    /// Counts a refusal of an address that has its share; names the address, once a burst.
    pub fn on_address_refused(&mut self, address: IpAddr, most: usize, now: Instant) {
        self.of_addresses.admits(now);
        let client = client_of(address);
        if self.named.len() == NAMED_MAX || self.named.contains(&client) {
            return;
        }
        self.named.push(client);
        let (prefix, most) = (if client.is_ipv6() { "/64" } else { "" }, counted(most as u64, "connection"));
        log::warn!(
            "{client}{prefix} has {most}, all that --max-connections-per-address allows; refusing more from there with 503"
        );
    }

    /// Counts a connection that is closed to make room; says so once a burst.
    pub fn on_room_made(&mut self, mine: usize, now: Instant) {
        if self.room_made.admits(now) {
            log::warn!("at capacity with {mine} connections here; closing those that idle longest to let others in");
        }
    }

    /// Descriptors ran out while somebody waits: gives up the spare one to accept and hands the connection to `answer`,
    /// which must close it. False if nobody waited or even that failed.
    pub fn use_spare(&mut self, listener: BorrowedFd<'_>, answer: impl FnOnce(OwnedFd)) -> bool {
        if self.spare.take().is_none() {
            self.spare = spare();
            return false;
        }
        let accepted = accept(listener);
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

    /// When [`Admission::sum_up`] has something to say.
    pub fn deadline(&self) -> Option<Instant> {
        [&self.burst, &self.room_made, &self.of_addresses].into_iter().filter_map(Burst::ends_at).min()
    }

    pub fn sum_up(&mut self, now: Instant) {
        if let Some(ended) = self.burst.ended(now) {
            let refused = counted(ended.count, "connection");
            log::warn!("refused {refused} with 503 within {:.1} s", ended.lasted.as_secs_f64());
        }
        if let Some(ended) = self.of_addresses.ended(now) {
            self.named.clear();
            let (refused, seconds) = (counted(ended.count, "connection"), ended.lasted.as_secs_f64());
            log::warn!("refused {refused} of addresses that had their share with 503 within {seconds:.1} s");
        }
        if let Some(ended) = self.room_made.ended(now) {
            let (count, seconds) = (ended.count, ended.lasted.as_secs_f64());
            log::warn!("closed {count} idle connections within {seconds:.1} s to let others in");
        }
    }
}

/// The 503 for a client that there is no room for. What it has sent so far is read and dropped.
pub fn answer_to(socket: &Socket, date: &DateLine, scratch: &mut ReadBuffer) -> Vec<u8> {
    // Errors mean that the client is gone.
    let _ = scratch.receive(socket, usize::MAX);
    let answer = http1::refusal(scratch.unconsumed(), date, RETRY_AFTER_SECONDS);
    scratch.clear();
    answer
}

/// For a client that there is not even room to be careful with: as what it sent so far was read, closing does not reset the
/// answer, as far as that can be known.
pub fn send_and_close(socket: &Socket, answer: &[u8]) {
    // As above.
    let _ = socket.send(answer);
    let _ = socket.finish_sending();
}

fn spare() -> Option<File> {
    let opened: io::Result<File> = File::open("/dev/null");
    opened.ok() // without it, exhaustion is answered by waiting
}
