//! The process: it reports to the store several times a second, and puts what it is granted into the shared memory.
//!
//! It is a child of the master, which starts it again if it dies: all that matters is in the shared memory, so that the next one
//! goes on with the same shares, as the same server. It ends last of all processes, as requests may be in flight until then.
//!
//! Over an upgrade there are two, of one memory: one holds the lease, and the other stands by ([`Lessee`]). The lease is let go of, and
//! the shares are not given back, when the master leaves to another one, or when another process stands by.

use crate::lease::Lease;
use crate::store::{Store, TTL};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use signal_hook::consts::{SIGQUIT, SIGTERM};
use std::io::{self, Read, Write};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use tine_common::config::StoreUrl;
use tine_common::message::{Order, Report};
use tine_common::scoreboard::Slot;
use tine_common::sys::{fork, process};
use tine_common::throttle::{Lessee, Rate, Shares, StoreState, Throttle, ThrottleLimits};

/// The name of the process in its title and in the log.
pub const NAME: &str = "limit store";
/// From one report to the next.
const TURN: Duration = Duration::from_millis(100);
/// One that stands by looks this often whether the lease is free.
const LOOK: Duration = Duration::from_millis(20);
/// Between attempts to reach the store; far below the grace of the store after its restart.
const RETRY_MAX: Duration = Duration::from_secs(1);
/// Without a master it is killed this long after the requests in flight have to be over.
const ORPHAN_MARGIN: Duration = Duration::from_secs(5);

/// What the master passes to the process.
pub struct Start {
    pub url: StoreUrl,
    /// This server, for all others; the same over all processes and masters of one memory.
    pub id: String,
    /// The limits and the shares.
    pub throttle: Throttle,
    /// Its own, for its heartbeat.
    pub slot: Slot,
    pub channel: UnixStream,
    pub master: u32,
    pub graceful_timeout: Duration,
    /// Signals are blocked until its own handlers are installed.
    pub signals: fork::Child,
}

/// Runs the process to its end; returns its exit status.
pub fn run(start: Start) -> i32 {
    let Start { url, id, throttle, slot, channel, master, graceful_timeout, signals } = start;
    match process::end_after_parent(master, graceful_timeout + ORPHAN_MARGIN) {
        Ok(true) => {}
        Ok(false) => return 1, // the master is gone already
        Err(e) => return failed(&channel, &format!("cannot watch for the master's exit: {e}")),
    }
    let is_told = Arc::new(AtomicBool::new(false));
    // TERM is for the workers, as a service manager sends it to all: this process is needed until they have ended.
    let handled = signal_hook::flag::register(SIGQUIT, is_told.clone())
        .and_then(|_| signal_hook::flag::register(SIGTERM, Arc::default()));
    if let Err(e) = handled.and_then(|_| signals.unblock_signals()) {
        return failed(&channel, &format!("cannot handle signals: {e}"));
    }
    let store = match Store::new(&url, id) {
        Ok(store) => store,
        Err(why) => return failed(&channel, &format!("{url}: {why}")),
    };
    if let Err(e) = channel.set_nonblocking(true).and_then(|()| (&channel).write_all(&[Report::Ready.byte()])) {
        log::debug!("the channel to the master: {e}");
        return 1;
    }
    let lessee = throttle.lessee();
    while !lessee.try_hold() {
        slot.heartbeat(Instant::now(), false);
        let order = orders(&channel, Instant::now() + LOOK);
        if is_told.load(Ordering::Relaxed) || !matches!(order, Orders::None) {
            lessee.let_go();
            return 0;
        }
    }
    let lease = Lease::new(throttle);
    let StoreState { is_reachable, contact_us, .. } = lease.state();
    // The process before may just have lowered a share.
    let next = Instant::now() + contact_us.map_or(Duration::ZERO, |_| TURN);
    let mut one =
        Leasing { url, store, lease, lessee, is_lost: !is_reachable, lost_at: None, retry: TURN, next, shown: None };
    let mut orphaned: Option<Instant> = None;
    loop {
        let now = Instant::now();
        slot.heartbeat(now, false);
        if is_told.load(Ordering::Relaxed) {
            // By an operator: the master starts another one.
            lessee.let_go();
            return 0;
        }
        one.turn(now);
        let is_over = |since: Instant| one.lease.in_flight() == 0 || since.elapsed() >= graceful_timeout;
        if orphaned.is_some_and(|since| lessee.has_heir() || is_over(since)) {
            one.end();
            return 0;
        }
        match orders(&channel, one.next) {
            _ if orphaned.is_some() => std::thread::sleep(one.next.saturating_duration_since(Instant::now()).min(TURN)),
            Orders::None => {}
            Orders::Leave => {
                // To the process of another master, which begins now if it does not stand by.
                lessee.let_go();
                return 0;
            }
            Orders::End => {
                one.end();
                return 0;
            }
            // Its workers finish what is in flight, which others have to know.
            Orders::Gone => orphaned = Some(Instant::now()),
        }
    }
}

fn failed(mut channel: &UnixStream, text: &str) -> i32 {
    let mut report = vec![Report::BootFailed.byte()];
    report.extend_from_slice(text.as_bytes());
    // The master logs it; once that is gone there is no reader.
    let _ = channel.write_all(&report);
    1
}

enum Orders {
    None,
    /// Another master has taken over.
    Leave,
    /// The server ends.
    End,
    /// The master is.
    Gone,
}

/// Waits for orders until `until`.
fn orders(mut channel: &UnixStream, until: Instant) -> Orders {
    let left = until.saturating_duration_since(Instant::now()).min(TURN);
    let timeout = PollTimeout::try_from(left + Duration::from_millis(1)).unwrap_or(PollTimeout::ZERO);
    // A signal ends the wait as well.
    if poll(&mut [PollFd::new(channel.as_fd(), PollFlags::POLLIN)], timeout).is_err() {
        return Orders::None;
    }
    let mut bytes = [0; 16];
    match channel.read(&mut bytes) {
        Ok(0) => Orders::Gone,
        Ok(count) => {
            let mut said = Orders::None;
            for order in bytes[..count].iter().filter_map(|&byte| Order::from_byte(byte)) {
                match order {
                    Order::ReopenLogs => tine_common::log::reopen().unwrap_or_else(|line| log::error!("{line}")),
                    Order::Leave => said = Orders::Leave,
                    Order::Drain | Order::Cut => said = Orders::End,
                    Order::LameDuck | Order::Lent | Order::Owned => {}
                }
            }
            said
        }
        Err(e) if matches!(e.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => Orders::None,
        // A reset, as the master has not read all.
        Err(_) => Orders::Gone,
    }
}

struct Leasing {
    url: StoreUrl,
    store: Store,
    lease: Lease,
    lessee: Lessee,
    /// The store does not answer, or has not yet.
    is_lost: bool,
    /// Since when, once that is logged.
    lost_at: Option<Instant>,
    retry: Duration,
    /// When the next report is due.
    next: Instant,
    /// The limits in common, and how they differ from this server's, as last logged.
    shown: Option<(Shares, ThrottleLimits)>,
}

impl Leasing {
    fn turn(&mut self, now: Instant) {
        if now < self.next {
            return;
        }
        self.lease.keep_within();
        let report = self.lease.report(false, now);
        let answer = self.store.report(&report).and_then(|grant| match now.elapsed() {
            // This process stood still: by now the store may have given to others what it grants.
            late if late >= TTL => Err(format!("its answer is {:.1} s old", late.as_secs_f64())),
            _ => Ok(grant),
        });
        match answer {
            Ok(grant) => {
                self.lease.take(&grant, Instant::now());
                (self.retry, self.next) = (TURN, now + TURN);
                self.on_answer();
            }
            Err(why) => {
                self.lease.lose();
                // Servers that have lost the store together do not all come back at the same moment.
                self.next = now + self.retry.mul_f64(0.75 + fastrand::f64() / 4.0);
                self.retry = (self.retry * 2).min(RETRY_MAX);
                self.on_failure(&why, now);
            }
        }
    }

    fn on_answer(&mut self) {
        let state = self.lease.state();
        if std::mem::take(&mut self.is_lost) {
            let (url, servers) = (&self.url, state.servers);
            match self.lost_at.take() {
                Some(at) => log::info!("limit store {url} is back after {:.1} s", at.elapsed().as_secs_f64()),
                None => log::info!("limit store {url} is reached; servers that share the limits: {servers}"),
            }
        }
        let (whole, limits) = (state.whole, self.lease.limits());
        if self.shown.is_none_or(|shown| shown != (whole, limits)) {
            self.shown = Some((whole, limits));
            let own = Shares::part_of(&limits, 100);
            let is_lower = own.concurrency.zip(whole.concurrency).is_some_and(|(own, whole)| whole < own);
            if is_lower || own.rate.zip(whole.rate).is_some_and(|(own, whole)| whole != own) {
                log::warn!("another server of the limit store has lower limits, which count: {}", describe(&whole));
            }
        }
    }

    fn on_failure(&mut self, why: &str, now: Instant) {
        self.is_lost = true;
        if self.lost_at.is_some() {
            return;
        }
        self.lost_at = Some(now);
        let (url, shares) = (&self.url, describe(&self.lease.shares()));
        match self.lease.state().contact_us {
            Some(_) => {
                log::warn!("limit store {url} cannot be reached: {why}; this server goes on with its shares: {shares}")
            }
            None => log::warn!(
                "limit store {url} cannot be reached: {why}; until it is, this server has --limit-store-alone of its limits: {shares}"
            ),
        }
    }

    /// The server ends, unless another process stands by.
    fn end(&mut self) {
        if !self.lessee.has_heir() {
            self.leave();
        }
        self.lessee.let_go();
    }

    /// Gives back what this server holds. Its admissions of the last window stay counted.
    fn leave(&mut self) {
        self.lease.close();
        // Otherwise the store finds out by itself.
        if self.store.is_connected()
            && let Err(why) = self.store.report(&self.lease.report(true, Instant::now()))
        {
            log::debug!("limit store: {why}; the shares of this server return in {} s", TTL.as_secs());
        }
    }
}

fn describe(shares: &Shares) -> String {
    let rate = |rate: Rate| format!("rate {rate}");
    let parts = [shares.concurrency.map(|most| format!("concurrency {most}")), shares.rate.map(rate)];
    let parts: Vec<String> = parts.into_iter().flatten().collect();
    if parts.is_empty() { "no limit is set".to_string() } else { parts.join(", ") }
}
