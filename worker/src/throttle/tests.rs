//! Workers that share the limits, without sockets: each has a seat, and time is passed in.

use super::*;
use crate::app::{ConnectionCx, ConnectionId, TurnCx};
use crate::http::DateLine;
use crate::http1::test_client::with_request;
use tine_common::config::Limits;
use tine_common::throttle::{Change, Gate, ThrottleLimits};

struct Workers {
    shared: tine_common::throttle::Throttle,
    workers: Vec<(Throttle, Woken)>,
    limits: Limits,
    date: DateLine,
    began: Instant,
    now: Instant,
}

impl Workers {
    fn new(count: usize, changes: &[&str]) -> Workers {
        let shared = tine_common::throttle::Throttle::new(count, 0).expect("memory");
        let config = ThrottleConfig { client_key: "header:K".parse().expect("a key"), ..ThrottleConfig::default() };
        let workers = (0..count).map(|slot| (Throttle::new(shared.seat(slot), &config), Woken::default())).collect();
        let began = Instant::now() + Duration::from_secs(10);
        let workers =
            Workers { shared, workers, limits: Limits::default(), date: DateLine::new(began), began, now: began };
        workers.set(changes);
        workers
    }

    fn set(&self, changes: &[&str]) {
        let mut limits = ThrottleLimits::default();
        changes.iter().for_each(|text| text.parse::<Change>().expect("a change").apply(&mut limits));
        self.shared.set(&limits);
    }

    fn at(&mut self, ms: u64) -> &mut Workers {
        self.now = self.began + Duration::from_millis(ms);
        self
    }

    /// A request of this client, on a connection of this number.
    fn ask_as(&self, worker: usize, client: &str, connection: u32) -> Admission {
        let text = format!("GET / HTTP/1.1\r\nHost: t\r\nK: {client}\r\n\r\n");
        let turn = TurnCx::alone(self.now, &self.limits, &self.date, None);
        let id = ConnectionId::new(0, connection);
        let cx = Cx { turn: &turn, connection: ConnectionCx { id, ..ConnectionCx::default() } };
        with_request(text.as_bytes(), &self.limits, |request| self.workers[worker].0.admit(request, &cx))
    }

    fn ask(&self, worker: usize, connection: u32) -> Admission {
        self.ask_as(worker, "client", connection)
    }

    #[track_caller]
    fn admitted(&self, worker: usize) -> Permit {
        match self.ask(worker, 0) {
            Admission::Admitted(permit) => permit,
            _ => panic!("it is not admitted"),
        }
    }

    #[track_caller]
    fn waits(&self, worker: usize, connection: u32) -> Ticket {
        self.waits_as(worker, "client", connection)
    }

    #[track_caller]
    fn waits_as(&self, worker: usize, client: &str, connection: u32) -> Ticket {
        match self.ask_as(worker, client, connection) {
            Admission::Waits(ticket) => ticket,
            _ => panic!("it does not wait"),
        }
    }

    #[track_caller]
    fn refused(&self, worker: usize) -> (u16, String) {
        match self.ask(worker, 0) {
            Admission::Refused(response) => described(&response),
            _ => panic!("it is not refused"),
        }
    }

    /// A turn of the worker's loop; the connections that it wakes.
    fn turn(&self, worker: usize) -> Vec<u32> {
        let (throttle, woken) = &self.workers[worker];
        throttle.attend(self.now, woken);
        let mut connections: Vec<u32> = std::iter::from_fn(|| woken.pop()).map(|id| id.serial).collect();
        connections.reverse();
        connections
    }

    #[track_caller]
    fn verdict(&self, ticket: &mut Ticket) -> Permit {
        match ticket.verdict(false, self.now) {
            Verdict::Admitted(permit) => permit,
            Verdict::Waits => panic!("it still waits"),
            Verdict::Refused(_) => panic!("it is refused"),
        }
    }
}

/// Its status and its Retry-After.
fn described(response: &Response) -> (u16, String) {
    let lines = String::from_utf8(response.head.lines.lines.clone()).expect("text");
    let after = lines.strip_prefix("Retry-After: ").expect("a Retry-After").trim_end();
    (response.head.status.as_u16(), after.to_string())
}

#[test]
fn a_worker_that_has_denied_none_itself_knows_why_requests_wait() {
    let counted = |workers: &Workers| {
        let all = Cause::ALL.map(|cause| (cause, workers.shared.counted(Count::Waited(cause))));
        all.into_iter().filter(|&(_, count)| count > 0).collect::<Vec<_>>()
    };
    let workers = Workers::new(2, &["cpu=10%", "wait=1s"]);
    workers.shared.set_gate(Gate::Cpu, true);
    let _waits = [workers.waits(0, 1), workers.waits(1, 2)];
    assert_eq!(counted(&workers), [(Cause::Cpu, 2)], "no rate is limited");
    // A gate of long ago is not the cause of what is limited now.
    let workers = Workers::new(2, &["cpu=10%", "concurrency=1", "wait=1s"]);
    workers.shared.set_gate(Gate::Cpu, true);
    drop(workers.waits(1, 1));
    workers.shared.set_gate(Gate::Cpu, false);
    let _held = workers.admitted(0);
    let _waits = [workers.waits(0, 2), workers.waits(1, 3)];
    assert_eq!(counted(&workers), [(Cause::Concurrency, 2), (Cause::Cpu, 1)]);
}

#[test]
fn first_come_first_served_also_when_there_is_room_again() {
    let mut workers = Workers::new(1, &["concurrency=2"]);
    let held = [workers.admitted(0), workers.admitted(0)];
    let mut tickets: Vec<Ticket> = (1..4).map(|connection| workers.waits(0, connection)).collect();
    assert_eq!(workers.turn(0), []);
    drop(held);
    // One that arrives now goes to the end.
    tickets.push(workers.waits(0, 4));
    assert_eq!(workers.turn(0), [1, 2]);
    let permits = [0, 1].map(|first| workers.verdict(&mut tickets[first]));
    drop(permits);
    assert_eq!(workers.at(1).turn(0), [3, 4]);
    assert_eq!(workers.shared.waiting().all, 0);
    // A connection that ends before it has fetched its permit.
    drop(tickets);
    assert_eq!(workers.shared.in_flight(), 0);
    drop(workers.admitted(0));
}

#[test]
fn a_worker_in_which_no_request_waits_any_more_has_nothing_to_wake_for() {
    let workers = Workers::new(1, &["concurrency=1"]);
    let _held = workers.admitted(0);
    let ticket = workers.waits(0, 1);
    workers.turn(0);
    let throttle = &workers.workers[0].0;
    assert!(throttle.deadline().is_some());
    // Its client has left, or its wait is over.
    drop(ticket);
    workers.turn(0);
    assert_eq!(throttle.deadline(), None);
}

#[test]
fn while_a_gate_is_closed_it_is_looked_at_more_seldom() {
    let workers = Workers::new(1, &["concurrency=1"]);
    let _held = workers.admitted(0);
    let _ticket = workers.waits(0, 1);
    let pause = || {
        workers.turn(0);
        workers.workers[0].0.deadline().map(|at| at.saturating_duration_since(workers.now))
    };
    assert_eq!(pause(), Some(LOOK));
    workers.shared.set_gate(Gate::Cpu, true);
    assert_eq!(pause(), Some(LOOK_AT_GATE));
    workers.shared.set_gate(Gate::Cpu, false);
    assert_eq!(pause(), Some(LOOK));
}

#[test]
fn no_worker_starves_and_one_that_is_stopped_holds_no_other_up() {
    let mut workers = Workers::new(3, &["concurrency=1", "wait=1h"]);
    let held = workers.admitted(0);
    let mut first = workers.waits(1, 1);
    workers.turn(1);
    let mut second = workers.at(90).waits(2, 2);
    workers.turn(1);
    drop(held);
    // A newcomer of another worker waits, as the first of the second does, which came later than by a moment.
    let mut third = workers.waits(0, 3);
    assert_eq!((workers.turn(0), workers.turn(2)), (vec![], vec![]));
    assert_eq!(workers.at(95).turn(1), [1]);
    drop(workers.verdict(&mut first));
    assert_eq!(workers.at(100).turn(0), [3], "within a moment, the worker that looks first");
    drop(workers.verdict(&mut third));
    let mut last = workers.at(180).waits(0, 4);
    assert_eq!(workers.at(185).turn(0), [], "the second has waited since 90");
    // Its worker has not looked since 90.
    assert_eq!(workers.at(200).turn(0), [4]);
    drop(workers.verdict(&mut last));
    assert_eq!(workers.turn(2), [2]);
    drop(workers.verdict(&mut second));
    drop(workers.admitted(1));
}

#[test]
fn the_queue_is_bounded_over_all_workers_and_half_of_it_for_clients() {
    let workers = Workers::new(2, &["concurrency=2", "client-concurrency=1", "queue=4"]);
    let _held = [workers.ask_as(0, "a", 0), workers.ask_as(0, "b", 0)];
    let _own = [workers.waits_as(0, "a", 0), workers.waits_as(1, "b", 0)];
    let Admission::Refused(response) = workers.ask_as(1, "a", 0) else { panic!("it is not refused") };
    assert_eq!(described(&response).0, 429);
    let one = workers.waits_as(0, "c", 0);
    let _other = workers.waits_as(1, "d", 0);
    let Admission::Refused(response) = workers.ask_as(0, "e", 0) else { panic!("it is not refused") };
    assert_eq!(described(&response).0, 503);
    drop(one);
    let _again = workers.waits_as(1, "e", 0);
    let counted = |count| workers.shared.counted(count);
    assert_eq!(counted(Count::QueueFull), 2);
    assert_eq!((counted(Count::Waited(Cause::Concurrency)), counted(Count::Waited(Cause::ClientConcurrency))), (3, 2));
    assert_eq!((counted(Count::Refused(Cause::Concurrency)), counted(Count::Left)), (1, 1));
}

#[test]
fn a_dry_run_counts_each_request_once_that_would_not_have_been_admitted() {
    let workers = Workers::new(1, &["client-rate=3/h", "rate=5/h", "memory=1M", "dry-run=on"]);
    let would = |cause| workers.shared.counted(Count::WouldRefuse(cause));
    let counts = || (would(Cause::ClientRate), would(Cause::Rate), would(Cause::Memory));
    let ask = |client| assert!(matches!(workers.ask_as(0, client, 0), Admission::Admitted(_)));
    (0..12).for_each(|_| ask("a"));
    assert_eq!(counts(), (9, 0, 0), "the client would have been refused, and not have used up the server's rate");
    (0..4).for_each(|_| ask("b"));
    assert_eq!(counts(), (9, 2, 0), "what the server would have refused does not count for its client");
    workers.shared.set_gate(Gate::Memory, true);
    ask("b");
    ask("c");
    assert_eq!(counts(), (9, 2, 2));
}

#[test]
fn a_dry_run_that_begins_lets_all_pass_that_wait() {
    let workers = Workers::new(1, &["concurrency=1", "wait=1h"]);
    let _held = workers.admitted(0);
    let mut waits = [workers.waits(0, 1), workers.waits(0, 2)];
    assert_eq!(workers.turn(0), []);
    workers.set(&["concurrency=1", "wait=1h", "dry-run=on"]);
    assert_eq!(workers.turn(0), [1, 2]);
    waits.iter_mut().for_each(|ticket| drop(workers.verdict(ticket)));
}

#[test]
fn a_client_over_its_own_limit_holds_up_no_other() {
    let mut workers = Workers::new(1, &["client-rate=1/s", "concurrency=1", "wait=1h"]);
    let held = workers.ask_as(0, "a", 0);
    let mut own = workers.waits_as(0, "a", 1);
    let mut other = workers.waits_as(0, "b", 2);
    drop(held);
    assert_eq!(workers.at(10).turn(0), [2]);
    drop(workers.verdict(&mut other));
    assert_eq!(workers.at(900).turn(0), []);
    assert_eq!(workers.at(1001).turn(0), [1]);
    drop(workers.verdict(&mut own));
}

#[test]
fn a_rate_tells_exactly_when_there_is_room() {
    let mut workers = Workers::new(1, &["rate=2/10s", "wait=1s"]);
    drop(workers.admitted(0));
    drop(workers.at(3000).admitted(0));
    let mut waits = workers.at(4000).waits(0, 1);
    let mut later = workers.waits(0, 2);
    workers.at(5000);
    // There is room at 10 s and at 13 s.
    let refused = |ticket: &mut Ticket, now| match ticket.verdict(false, now) {
        Verdict::Refused(response) => described(&response),
        _ => panic!("it is not refused"),
    };
    assert_eq!(refused(&mut later, workers.now), (503, "8".to_string()), "one waits before it");
    assert_eq!(refused(&mut waits, workers.now), (503, "5".to_string()), "none does");
    workers.set(&["rate=2/10s", "wait=0"]);
    assert_eq!(workers.at(9500).refused(0), (503, "1".to_string()));
    drop((waits, later));
    drop(workers.at(10_001).admitted(0));
    assert_eq!(workers.refused(0), (503, "3".to_string()));
}

#[test]
fn what_the_server_refuses_is_not_charged_to_the_client() {
    let workers = Workers::new(1, &["client-rate=2/h", "client-concurrency=1", "concurrency=1", "wait=0"]);
    let held = workers.ask_as(0, "other", 0);
    for _ in 0..5 {
        assert_eq!(workers.refused(0).0, 503);
    }
    drop(held);
    drop(workers.admitted(0));
    drop(workers.admitted(0));
    let (status, after) = workers.refused(0);
    assert_eq!((status, after.as_str()), (429, "1800"));
}
