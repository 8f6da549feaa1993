//! The limits of the whole server, as one worker applies them to requests of any protocol: a request is admitted and holds a
//! [`Permit`] until it ends, or it waits for room and holds a [`Ticket`], or it is refused.
//!
//! What is counted is in shared memory (`tine_common::throttle`). The order is here. Requests that wait are served in the order
//! of their arrival; one that waits for a limit of its own client does not hold up the others. A request that arrives while
//! another waits, in any worker, waits too. When there is room, a worker admits its first request unless one has waited in another
//! worker for [`MOMENT`] longer. No worker wakes another: while requests wait, each worker looks every [`LOOK`], or every
//! [`LOOK_AT_GATE`] while the master has closed a gate.
//!
//! A waiting request costs its head, unread further, and an entry here. Dropping the ticket, as with its connection, gives up its
//! place.

mod queue;
mod refusal;

pub use refusal::LimitFields;

#[cfg(test)]
#[path = "throttle/tests.rs"]
mod tests;

use crate::app::{Cx, Woken};
use crate::http::{Request, Response};
use crate::timers::earlier;
use queue::{Queue, Waiter};
use refusal::Refusals;
use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::{Duration, Instant};
use tine_common::config::{ClientKey, Exempt, ThrottleConfig};
use tine_common::throttle::{Cause, Client, ClientHeld, Count, Denied, Held, Seat};

/// While requests wait, a worker looks this often whether there is room.
const LOOK: Duration = Duration::from_millis(5);
/// And this often while a gate is closed, which changes once a second: so that what waits for a CPU limit uses none of the CPU.
const LOOK_AT_GATE: Duration = Duration::from_millis(50);
/// A worker may admit its first request before one that has waited in another worker for this much longer: otherwise each permit
/// that is given back would have to wake another worker.
const MOMENT: Duration = Duration::from_millis(50);
/// A worker that has not looked for this long holds no other back: it hangs, or is stopped.
const FRESH: Duration = Duration::from_millis(100);
/// Requests that wait for a limit of their clients have this part of the queue at most.
const CLIENTS_PART: usize = 2;
/// How much one request weighs in the average time that requests are in flight: an eighth.
const AVERAGE_SHIFT: u32 = 3;

pub struct Throttle(Rc<Local>);

struct Local {
    seat: Seat,
    exempt: Vec<Exempt>,
    client_key: ClientKey,
    has_headers: bool,
    queue: RefCell<Queue>,
    refusals: RefCell<Refusals>,
    /// Why the server's limits denied a request last: also the cause for those that queued without being denied themselves.
    last_cause: Cell<Option<Cause>>,
    /// The average time in flight of requests that were not answered at once.
    flight_us: Cell<u64>,
}

pub enum Admission {
    Admitted(Permit),
    /// It waits for room.
    Waits(Ticket),
    Refused(Box<Response>),
}

/// A request in flight. Dropped once it has ended.
#[derive(Default)]
pub struct Permit {
    /// `None`: nothing is held.
    local: Option<Rc<Local>>,
    held: Held,
    client: Option<ClientHeld>,
    /// When it began, if it was not answered at once; 0 otherwise.
    kept_since_us: u64,
}

/// A request's place in the queue.
pub struct Ticket {
    local: Rc<Local>,
    number: u64,
    until: Instant,
}

/// What has become of a request that waits.
pub enum Verdict {
    Waits,
    Admitted(Permit),
    Refused(Box<Response>),
}

impl Throttle {
    pub fn new(seat: Seat, config: &ThrottleConfig) -> Throttle {
        Throttle(Rc::new(Local {
            seat,
            exempt: config.exempt.clone(),
            client_key: config.client_key.clone(),
            has_headers: config.has_headers,
            queue: RefCell::default(),
            refusals: RefCell::default(),
            last_cause: Cell::new(None),
            flight_us: Cell::new(0),
        }))
    }

    /// At the beginning of a request.
    pub fn admit(&self, request: &Request<'_>, cx: &Cx<'_>) -> Admission {
        match self.0.seat.is_active() {
            false => Admission::Admitted(Permit::none()),
            true => self.0.admit(request, cx),
        }
    }

    /// At the beginning of a turn, before requests end in it.
    pub fn look(&self, now: Instant) {
        if self.0.seat.is_active() {
            self.0.seat.look(self.0.us(now));
        }
    }

    /// Once a turn: admits requests that wait, as far as there is room, and wakes their connections.
    pub fn attend(&self, now: Instant, woken: &Woken) {
        if !self.0.queue.borrow().is_empty() {
            self.0.attend(now, woken);
        }
    }

    /// When to call [`Throttle::attend`] or [`Throttle::sum_up`] at the latest.
    pub fn deadline(&self) -> Option<Instant> {
        earlier(self.0.queue.borrow().look_at(), self.0.refusals.borrow().deadline())
    }

    /// Logs how many requests were refused, once that has ended.
    pub fn sum_up(&self, now: Instant) {
        self.0.refusals.borrow_mut().sum_up(now);
    }
}

impl Local {
    fn us(&self, at: Instant) -> u64 {
        self.seat.throttle().us(at)
    }

    fn admit(self: &Rc<Self>, request: &Request<'_>, cx: &Cx<'_>) -> Admission {
        if !self.exempt.is_empty() && self.is_exempt(request, cx) {
            return Admission::Admitted(Permit::none());
        }
        let now = cx.turn.latest();
        let now_us = self.us(now);
        let client = if self.seat.has_client_limits() { self.client(request, cx) } else { None };
        if self.seat.is_dry_run() {
            return Admission::Admitted(self.admit_in_any_case(client, now_us, now));
        }
        let of_client = match client.map(|client| self.seat.admit_client(client, now_us)) {
            None => None,
            Some(Ok(held)) => Some(held),
            Some(Err(denied)) => return self.wait(client, None, denied, now, cx),
        };
        let denied = match self.seat.is_any_waiting() {
            true => Denied { cause: self.likely_cause(), until_us: None },
            false => match self.seat.admit(now_us) {
                Ok(held) => {
                    self.seat.count(Count::Admitted);
                    return Admission::Admitted(self.permit(held, of_client));
                }
                Err(denied) => {
                    self.last_cause.set(Some(denied.cause));
                    denied
                }
            },
        };
        self.wait(client, of_client, denied, now, cx)
    }

    #[inline(never)]
    fn is_exempt(&self, request: &Request<'_>, cx: &Cx<'_>) -> bool {
        let path = request.path();
        self.exempt.iter().any(|exempt| exempt.includes(path, || cx.peer_address().map(|address| address.ip())))
    }

    /// Why requests wait for the server's limits: what denied one here last, unless that is no longer so; else a limit that
    /// there is, as it denied one in another worker.
    #[inline(never)]
    fn likely_cause(&self) -> Cause {
        let (limits, last) = (self.seat.limits(), self.last_cause.get());
        let is_exact = |&cause: &Cause| match cause {
            Cause::Concurrency => limits.concurrency.is_some(),
            Cause::Rate => limits.rate.is_some(),
            _ => false,
        };
        let exact = || last.into_iter().chain([Cause::Concurrency, Cause::Rate]).find(is_exact);
        // Without any of them, it is a gate that has opened at this moment.
        self.seat.closed_gate().or_else(exact).or(last).unwrap_or(Cause::Memory)
    }

    fn client(&self, request: &Request<'_>, cx: &Cx<'_>) -> Option<Client> {
        let shared = self.seat.throttle();
        if let ClientKey::Header(name) = &self.client_key
            && let Some(value) = request.headers().get(name)
        {
            return Some(shared.client(value));
        }
        cx.peer_address().map(|address| shared.client_at(address.ip()))
    }

    fn permit(self: &Rc<Self>, held: Held, client: Option<ClientHeld>) -> Permit {
        Permit { local: Some(self.clone()), held, client, kept_since_us: 0 }
    }

    /// In a dry run: counts what would have been refused, once each. Such a request uses up none of the limits, as it would not have.
    #[inline(never)]
    fn admit_in_any_case(self: &Rc<Self>, client: Option<Client>, now_us: u64, now: Instant) -> Permit {
        self.seat.count(Count::Admitted);
        let of_client = client.map(|client| self.seat.admit_client(client, now_us)).transpose();
        let denied = match of_client {
            Err(denied) => denied,
            Ok(of_client) => match self.seat.admit(now_us) {
                Ok(held) => return self.permit(held, of_client),
                Err(denied) => {
                    of_client.into_iter().for_each(|held| self.seat.give_back_client(held, now_us));
                    denied
                }
            },
        };
        self.seat.count(Count::WouldRefuse(denied.cause));
        self.refusals.borrow_mut().would_refuse(denied.cause, &self.seat.limits(), now);
        self.permit(Held::default(), None)
    }

    /// The request is denied for now: it waits, unless it may not or there is no place for it.
    #[inline(never)]
    fn wait(
        self: &Rc<Self>,
        client: Option<Client>,
        held: Option<ClientHeld>,
        denied: Denied,
        now: Instant,
        cx: &Cx<'_>,
    ) -> Admission {
        let limits = self.seat.limits();
        let (now_us, cause) = (self.us(now), denied.cause);
        let waiter = Waiter { connection: cx.connection.id, client, held, since_us: now_us, denied, asks_at_us: 0 };
        if limits.wait.is_zero() {
            return Admission::Refused(self.refuse(waiter, false, now));
        }
        let number = self.queue.borrow_mut().push(waiter);
        self.tell(now_us);
        // Entered first, and then counted: the queue is never longer.
        let all = self.seat.throttle().waiting();
        if all.all > limits.queue_max || cause.is_clients() && all.for_clients > limits.queue_max / CLIENTS_PART {
            let waiter = self.queue.borrow_mut().remove(number).expect("it was just entered");
            self.tell(now_us);
            self.seat.count(Count::QueueFull);
            return Admission::Refused(self.refuse(waiter, false, now));
        }
        self.seat.count(Count::Waited(cause));
        Admission::Waits(Ticket { local: self.clone(), number, until: now + limits.wait })
    }

    /// As [`Local::refuse_as`], for one that may have waited: what it held of its client's limits is given back.
    fn refuse(&self, waiter: Waiter, has_left: bool, now: Instant) -> Box<Response> {
        let Waiter { client, held, mut denied, .. } = waiter;
        if let Some(held) = held {
            self.seat.give_back_client(held, self.us(now));
        }
        if !denied.cause.is_clients() {
            denied.cause = self.likely_cause();
        }
        let count = if has_left { Count::Left } else { Count::Refused(denied.cause) };
        self.refuse_as(count, denied, client, now)
    }

    /// Tells the other workers what waits here.
    fn tell(&self, now_us: u64) {
        self.seat.tell(self.queue.borrow().waiting(), now_us);
    }

    fn attend(self: &Rc<Self>, now: Instant, woken: &Woken) {
        let now_us = self.us(now);
        let mut queue = self.queue.borrow_mut();
        queue.ask_for_clients(&self.seat, now_us);
        while let Some(first) = queue.first()
            && queue.is_room_likely(self.seat.freed(), now_us)
            && self.is_next(first.since_us, now_us)
        {
            let freed = self.seat.freed();
            // A dry run that has just begun lets all pass that wait.
            let held = self.seat.admit_waiting(now_us).or_else(|denied| match self.seat.is_dry_run() {
                true => Ok(Held::default()),
                false => Err(denied),
            });
            match held {
                Ok(held) => {
                    self.seat.count(Count::Admitted);
                    let permit = |client| self.permit(held, client);
                    woken.push(queue.admit_first(permit));
                }
                Err(denied) => {
                    self.last_cause.set(Some(denied.cause));
                    queue.deny_first(denied, freed, now_us);
                    break;
                }
            }
        }
        queue.looked(now, if self.seat.throttle().is_any_closed() { LOOK_AT_GATE } else { LOOK });
        drop(queue);
        self.tell(now_us);
    }

    /// The request has ended.
    fn give_back(&self, held: Held, client: Option<ClientHeld>, kept_since_us: u64) {
        if let Some(held) = client {
            self.seat.leave_client(held);
        }
        self.seat.give_back(held);
        if kept_since_us > 0 {
            let flight_us = self.us(Instant::now()).saturating_sub(kept_since_us);
            let average = self.flight_us.get();
            self.flight_us.set(average - (average >> AVERAGE_SHIFT) + (flight_us >> AVERAGE_SHIFT));
        }
    }

    /// Whether no request of another worker that looks at its own comes before one that waits `since_us`.
    fn is_next(&self, since_us: u64, now_us: u64) -> bool {
        let fresh_us = now_us.saturating_sub(FRESH.as_micros() as u64);
        self.seat.oldest_since_us(fresh_us).is_none_or(|oldest| since_us <= oldest + MOMENT.as_micros() as u64)
    }
}

impl Permit {
    /// Of a request that nothing limits.
    pub fn none() -> Permit {
        Permit::default()
    }

    /// The request is not answered at once.
    pub fn keep(mut self, now: Instant) -> Permit {
        self.kept_since_us = self.local.as_ref().map_or(0, |local| local.us(now));
        self
    }

    /// The fields of its response that say what is left of the limits; `None`: they were not asked for, or there are none.
    pub fn limit_fields(&self, cx: &Cx<'_>) -> Option<LimitFields> {
        let local = self.local.as_ref().filter(|local| local.has_headers)?;
        local.limit_fields(self.client.as_ref().map(ClientHeld::client), local.us(cx.turn.latest()))
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        if let Some(local) = self.local.take() {
            local.give_back(std::mem::take(&mut self.held), self.client.take(), self.kept_since_us);
        }
    }
}

impl Ticket {
    /// When the request is refused.
    pub fn until(&self) -> Instant {
        self.until
    }

    /// `has_left`: the client has ended its side, and gets no place any more.
    pub fn verdict(&mut self, has_left: bool, now: Instant) -> Verdict {
        let local = &self.local;
        if !has_left && let Some(permit) = local.queue.borrow_mut().take_admitted(self.number) {
            return Verdict::Admitted(permit);
        }
        if !has_left && now < self.until {
            return Verdict::Waits;
        }
        let waiter = local.queue.borrow_mut().remove(self.number);
        match waiter {
            Some(waiter) => {
                local.tell(local.us(now));
                Verdict::Refused(local.refuse(waiter, has_left, now))
            }
            // It was admitted at the same time.
            None => local.queue.borrow_mut().take_admitted(self.number).map_or(Verdict::Waits, Verdict::Admitted),
        }
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        let local = &self.local;
        let mut queue = local.queue.borrow_mut();
        let (waiter, admitted) = (queue.remove(self.number), queue.take_admitted(self.number));
        drop(queue);
        drop(admitted);
        let now_us = local.us(Instant::now());
        if let Some(waiter) = waiter {
            local.seat.count(Count::Left);
            if let Some(held) = waiter.held {
                local.seat.give_back_client(held, now_us);
            }
        }
        local.tell(now_us);
    }
}
