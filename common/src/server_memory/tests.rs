//! The memory under two masters; that of another process is one that is killed.

use super::*;
use crate::scoreboard::{LoadSnapshot, Scoreboard, State};
use crate::sys::fork::{Fork, fork};
use crate::throttle::{Held, ThrottleLimits};
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::waitpid;

const NEEDS: Needs = Needs { slots: 4, rate_count: 0, store: 7 };

fn why(memory: &ServerMemory, needs: Needs) -> Option<String> {
    let file = memory.file.as_ref().expect("a file").try_clone().expect("a descriptor");
    ServerMemory::take_on(file, needs).err().map(|why| why.to_string())
}

#[test]
fn the_next_master_has_the_same_epoch_and_keys() {
    let memory = ServerMemory::new(NEEDS).expect("memory");
    let file = memory.file.as_ref().expect("a file").try_clone().expect("a descriptor");
    let next = ServerMemory::take_on(file, NEEDS).expect("the same layout");
    let (one, other) = (memory.epoch(), next.epoch());
    let apart = one.checked_duration_since(other).unwrap_or_else(|| other.duration_since(one));
    assert!(apart < Duration::from_millis(1), "{apart:?}");
    assert_eq!(memory.keys().hash_one("client"), next.keys().hash_one("client"));
    assert_ne!(memory.keys().hash_one("client"), ServerMemory::new(NEEDS).expect("memory").keys().hash_one("client"));
    assert_eq!((memory.masters().own(), next.masters().own(), next.masters().reach()), (0, 1, 2));
    assert!(next.is_taken_on() && !memory.is_taken_on());
}

#[test]
fn one_of_the_masters_acts_for_the_memory() {
    let memory = ServerMemory::new(NEEDS).expect("memory");
    let board = Scoreboard::over(&memory).expect("memory");
    let pids = [(); 2].map(|()| another_master(memory.file.as_ref().expect("a file")));
    let until = Instant::now() + Duration::from_secs(20);
    while memory.masters().living().count() < 2 {
        assert!(Instant::now() < until, "they have begun");
        std::thread::yield_now();
    }
    let led = || memory.masters().is_led_by_another();
    assert!(!led(), "this one is the service, or the last that had this memory");
    let last = memory.masters().living().last().expect("it lives");
    memory.word(Word::Leader).store(last.word(), SeqCst);
    assert!(led(), "the last has taken over");
    kill(nix::unistd::Pid::from_raw(last.pid() as i32), Signal::SIGKILL).expect("it lives");
    while last.lives() {
        std::thread::yield_now();
    }
    assert!(!led(), "it has ended, and this one is the first of the others");
    for pid in pids {
        kill(pid, Signal::SIGKILL).and_then(|()| waitpid(pid, None)).expect("it is ours");
    }
    assert!(board.masters().dead().count() == 2);
}

#[test]
fn memory_that_is_not_what_is_needed_is_refused() {
    let memory = ServerMemory::new(Needs { rate_count: 1 << 18, ..NEEDS }).expect("memory");
    assert_eq!(why(&memory, NEEDS), None, "more than is needed");
    for (needs, words) in [
        (Needs { slots: 5, ..NEEDS }, "it has 4 slots"),
        (Needs { rate_count: 1 << 19, ..NEEDS }, "at most 262144 requests, and --limit-rate asks for 524288"),
        (Needs { store: 0, ..NEEDS }, "--limit-store is another one"),
    ] {
        let said = why(&memory, needs).expect("it is refused");
        assert!(said.contains(words), "{said}");
    }
    memory.word(Word::Layout).fetch_add(1, SeqCst);
    assert!(why(&memory, NEEDS).expect("it is refused").contains("in another way"));
    let file = std::fs::File::open("/proc/self/exe").expect("a file");
    assert!(matches!(ServerMemory::take_on(file.into(), NEEDS), Err(Unusable::Unreadable(_))));
}

#[test]
fn there_are_numbers_for_some_masters() {
    let memory = ServerMemory::new(NEEDS).expect("memory");
    let all: Vec<Option<String>> = (0..MASTERS_MAX).map(|_| why(&memory, NEEDS)).collect();
    assert_eq!(all.iter().flatten().collect::<Vec<_>>(), ["16 masters have it already"]);
}

/// Two masters of the same memory, both in this process.
fn two_masters() -> (ServerMemory, [Scoreboard; 2]) {
    let memory = ServerMemory::new(NEEDS).expect("memory");
    let file = memory.file.as_ref().expect("a file").try_clone().expect("a descriptor");
    let next = ServerMemory::take_on(file, NEEDS).expect("the same layout");
    let boards = [&memory, &next].map(|memory| Scoreboard::over(memory).expect("memory"));
    (memory, boards)
}

#[test]
fn workers_of_two_masters_have_slots_of_their_own_and_one_sum() {
    let (_, [one, other]) = two_masters();
    let slots = [one.claim(0), other.claim(0), other.claim(1), one.claim(1)].map(|slot| slot.expect("it is free"));
    assert_eq!((slots, one.claim(2)), ([0, 1, 2, 3], None));
    let now = Instant::now();
    for (board, slot, connections) in [(one, 0, 3), (one, 3, 4), (other, 1, 7), (other, 2, 8)] {
        board.slot(slot).set_state(State::Ready);
        board.slot(slot).heartbeat(now, true);
        board.slot(slot).set(Metric::Connections, connections);
        board.slot(slot).set(Metric::Requests, 10 * connections);
    }
    let snapshot = |least, least_worker| LoadSnapshot { least, least_worker, total: 22, accepting: 2 };
    assert_eq!(one.load_snapshot(now, 3), snapshot(3, 0), "the balance is between the workers of one master");
    assert_eq!(other.load_snapshot(now, 2), snapshot(7, 0));
    assert_eq!((one.owners(now), other.owners(now)), (vec![0, 1], vec![0, 1]));
    one.retire(0, 1);
    one.retire(3, 0);
    for board in [one, other] {
        assert_eq!((board.totals()[Metric::Requests], board.totals()[Metric::ResponsesCut]), (220, 1));
    }
    assert_eq!((one.own_totals()[Metric::Requests], other.own_totals()[Metric::Requests]), (70, 150));
    assert_eq!(other.claim(2), Some(0), "a slot that is free again");
}

#[test]
fn what_two_masters_count_themselves_is_one_sum() {
    let (_, [one, other]) = two_masters();
    one.telemetry().master().count(Count::Reloads, 2);
    other.telemetry().master().count(Count::Reloads, 3);
    assert_eq!((one.telemetry().counted(Count::Reloads), other.telemetry().counted(Count::Reloads)), (5, 5));
}

#[test]
fn limits_are_one_over_both_masters() {
    let (_, [one, other]) = two_masters();
    let limits = ThrottleLimits { concurrency: Some(3), rate: "5/min".parse().ok(), ..ThrottleLimits::default() };
    one.throttle().set(&limits);
    assert_eq!(other.throttle().limits(), limits);
    let seats =
        [(one, one.claim(0)), (other, other.claim(0))].map(|(board, slot)| board.throttle().seat(slot.expect("free")));
    let now = Instant::now();
    let us = [one, other].map(|board| board.throttle().us(now));
    assert!(us[0].abs_diff(us[1]) <= 1, "{us:?}");
    let admit = |at: usize| seats[at].admit(us[at]);
    let mut held: Vec<Held> = [0, 1, 0].map(|at| admit(at).expect("room")).into();
    assert_eq!([0, 1].map(|at| admit(at).expect_err("three are in flight").cause), [Cause::Concurrency; 2]);
    seats[0].give_back(held.pop().expect("the last"));
    held.push(admit(1).expect("room again"));
    seats[0].give_back(held.remove(0));
    held.push(admit(1).expect("the fifth"));
    seats[1].give_back(held.remove(0));
    assert_eq!([0, 1].map(|at| admit(at).expect_err("five were admitted").cause), [Cause::Rate; 2]);
}

/// A process that is a master with a worker, which is in the same process: it holds a permit and has counted.
fn another_master(file: &OwnedFd) -> nix::unistd::Pid {
    match fork().expect("fork") {
        Fork::Parent(pid) => pid,
        Fork::Child(_) => {
            let memory = ServerMemory::take_on(file.try_clone().expect("a descriptor"), NEEDS).expect("the layout");
            let board = Scoreboard::over(&memory).expect("memory");
            let slot = board.claim(0).expect("a free slot");
            assert!(board.occupy(slot));
            let seat = board.throttle().seat(slot);
            let _held = seat.admit(board.throttle().us(Instant::now())).expect("room");
            board.slot(slot).set(Metric::Requests, 5);
            board.claim(1).expect("one that its process never takes");
            loop {
                std::thread::sleep(Duration::from_secs(1));
            }
        }
    }
}

#[test]
fn what_a_killed_master_and_its_workers_held_is_swept_by_the_other() {
    let memory = ServerMemory::new(NEEDS).expect("memory");
    let board = Scoreboard::over(&memory).expect("memory");
    board.throttle().set(&ThrottleLimits { concurrency: Some(2), ..ThrottleLimits::default() });
    board.claim(0).expect("free");
    let pid = another_master(memory.file.as_ref().expect("a file"));
    let until = Instant::now() + Duration::from_secs(20);
    while board.other_pids().len() < 2 || board.totals()[Metric::Requests] < 5 {
        assert!(Instant::now() < until, "it has begun");
        std::thread::yield_now();
    }
    assert_eq!((board.sweep(), board.throttle().in_flight()), (0, 1), "it lives");
    kill(pid, Signal::SIGKILL).expect("it lives");
    waitpid(pid, None).expect("it is ours");
    assert_eq!((board.sweep(), board.sweep()), (2, 0));
    assert_eq!((board.throttle().in_flight(), board.totals()[Metric::Requests]), (0, 5));
    assert_eq!((board.other_pids(), board.masters().is_led_by_another()), (vec![], false));
    assert_eq!((board.claim(1), board.claim(2)), (Some(1), Some(2)));
}

#[test]
fn a_worker_of_a_master_that_was_swept_does_not_begin() {
    let (_, [one, _]) = two_masters();
    let slot = one.claim(0).expect("free");
    one.retire(slot, 0);
    assert!(!one.occupy(slot));
    assert!(one.occupy(one.claim(0).expect("free")));
}
