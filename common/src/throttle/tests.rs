//! The shared memory under real processes, some of which are killed at any moment.

use super::*;
use crate::sys::fork::{Fork, fork};
use crate::sys::mmap::{Line, shared_lines};
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::waitpid;
use nix::unistd::Pid;
use std::time::Duration;

#[path = "clients_tests.rs"]
mod clients_tests;

fn throttle(limits: ThrottleLimits) -> Throttle {
    let throttle = Throttle::new(32, 0).expect("memory");
    throttle.set(&limits);
    throttle
}

fn concurrency(most: usize) -> ThrottleLimits {
    ThrottleLimits { concurrency: Some(most), ..ThrottleLimits::default() }
}

fn rate(text: &str) -> ThrottleLimits {
    ThrottleLimits { rate: text.parse().ok(), ..ThrottleLimits::default() }
}

fn cause<T: std::fmt::Debug>(admitted: Result<T, Denied>) -> Cause {
    admitted.expect_err("admitted").cause
}

/// A child that repeats `work` until it is killed. It rests between, as a process that is on no CPU is killed sooner.
fn repeat(mut work: impl FnMut()) -> Pid {
    match fork().expect("fork") {
        Fork::Parent(pid) => pid,
        Fork::Child(_) => loop {
            (0..20).for_each(|_| work());
            std::thread::sleep(Duration::from_micros(500));
        },
    }
}

fn end(pid: Pid) {
    kill(pid, Signal::SIGKILL).expect("kill");
    waitpid(pid, None).expect("reap");
}

/// One of 16 workers is killed and replaced, `deaths` times; then all are killed. Returns the sum of what `on_death` does.
fn with_deaths(deaths: usize, start: impl Fn(usize) -> Pid, on_death: impl Fn(usize) -> usize) -> usize {
    let (mut sum, mut pids): (usize, Vec<Pid>) = (0, (0..16).map(&start).collect());
    for death in 0..deaths {
        std::thread::sleep(Duration::from_micros(500 + 37 * (death as u64 % 29)));
        let slot = death * 7 % 16;
        end(pids[slot]);
        sum += on_death(slot);
        pids[slot] = start(slot);
    }
    for (slot, pid) in pids.into_iter().enumerate() {
        end(pid);
        sum += on_death(slot);
    }
    sum
}

#[test]
fn no_permit_is_lost_or_given_out_twice_in_a_thousand_deaths() {
    const MOST: usize = 10;
    let throttle = throttle(concurrency(MOST));
    // The holder of each place, as the holders see it; and how often a place had two.
    let witness: &'static [Line] = shared_lines(2).expect("memory");
    let (holders, clashes) = (&witness[0].words, &witness[1].words[0]);
    let taken = &witness[1].words[1];
    let start = |slot: usize| {
        let seat = throttle.seat(slot);
        let mut spins = slot as u64;
        repeat(move || {
            let Ok(held) = seat.admit(1) else { return };
            let place = held.place.expect("a permit") as usize;
            holders[place].store(slot as u64, SeqCst);
            taken.fetch_add(1, Relaxed);
            spins = spins.wrapping_mul(6364136223846793005).wrapping_add(1);
            match spins >> 57 {
                0 => std::thread::sleep(Duration::from_micros(500)),
                some => (0..some).for_each(|_| std::hint::spin_loop()),
            }
            if holders[place].load(SeqCst) != slot as u64 {
                clashes.fetch_add(1, SeqCst);
            }
            seat.give_back(held);
        })
    };
    let given_back = with_deaths(1000, start, |slot| throttle.release_all_of(slot));
    assert!(taken.load(Relaxed) > 1000 && given_back > 50, "{given_back} permits of the dead");
    assert_eq!((clashes.load(SeqCst), throttle.in_flight()), (0, 0));
    let seat = throttle.seat(0);
    let all: Vec<Held> = (0..MOST).map(|_| seat.admit(1).expect("all are there again")).collect();
    assert_eq!(cause(seat.admit(1)), Cause::Concurrency);
    all.into_iter().for_each(|held| assert!(!seat.give_back(held)));
}

#[test]
fn a_limit_that_is_lowered_holds_as_soon_as_it_can() {
    let throttle = throttle(concurrency(10));
    let seats = [throttle.seat(0), throttle.seat(1)];
    let mut held: Vec<Held> = (0..10).map(|i| seats[i % 2].admit(1).expect("room")).collect();
    throttle.set(&concurrency(4));
    for most in (4..10).rev() {
        assert_eq!(cause(seats[0].admit(1)), Cause::Concurrency, "{} are in flight", most + 1);
        // From the front: places below the new limit become free first.
        seats[1].give_back(held.remove(0));
        assert_eq!(throttle.in_flight(), most);
    }
    assert_eq!(cause(seats[0].admit(1)), Cause::Concurrency, "4 are in flight");
    seats[0].give_back(held.remove(0));
    held.push(seats[1].admit(1).expect("a fourth"));
    assert_eq!(cause(seats[0].admit(1)), Cause::Concurrency);
    throttle.set(&concurrency(6));
    held.extend([seats[0].admit(1).expect("a fifth"), seats[0].admit(1).expect("a sixth")]);
    assert_eq!(cause(seats[1].admit(1)), Cause::Concurrency);
    throttle.set(&ThrottleLimits::default());
    assert!(!seats[0].is_active());
    held.into_iter().for_each(|held| assert!(!seats[0].give_back(held)));
    throttle.set(&concurrency(1));
    let only = seats[0].admit(1).expect("the only one");
    assert_eq!(cause(seats[1].admit(1)), Cause::Concurrency);
    seats[0].give_back(only);
    assert_eq!(throttle.in_flight(), 0);
}

#[test]
fn a_window_holds_the_rate_and_no_less_whoever_is_killed() {
    const WINDOW_US: u64 = 4000;
    const COUNT: u64 = 50;
    let throttle = throttle(rate("50/4ms"));
    // A clock that each attempt moves on by a microsecond, and the times of what was admitted.
    let (clock, log) = (&shared_lines(1).expect("memory")[0].words, shared_lines(1 << 14).expect("memory"));
    let entries: Vec<&AtomicU64> = log.iter().flat_map(|line| &line.words).collect();
    let entries: &'static [&AtomicU64] = entries.leak();
    let start = |slot: usize| {
        let seat = throttle.seat(slot);
        repeat(move || {
            let now_us = clock[0].fetch_add(1, SeqCst);
            if let Ok(held) = seat.admit(now_us) {
                let at = clock[1].fetch_add(1, SeqCst) as usize;
                if let Some(entry) = entries.get(at) {
                    entry.store(now_us + 1, SeqCst);
                }
                seat.give_back(held);
            }
        })
    };
    with_deaths(150, start, |slot| throttle.release_all_of(slot));
    let (ended, logged) = (clock[0].load(SeqCst), (clock[1].load(SeqCst) as usize).min(entries.len()));
    let mut times: Vec<u64> = entries[..logged].iter().map(|entry| entry.load(SeqCst)).filter(|&at| at > 0).collect();
    times.sort();
    let most = times.windows(COUNT as usize + 1).map(|some| some[COUNT as usize] - some[0]).min().expect("some");
    assert!(most >= WINDOW_US, "{} requests in {most} us of {WINDOW_US}", COUNT + 1);
    let ideal = (ended.min(*times.last().expect("some")) / WINDOW_US * COUNT) as usize;
    assert!(times.len() + 170 >= ideal * 97 / 100, "{} of {ideal} were admitted", times.len());
}

#[test]
fn a_window_is_exact_when_its_count_and_its_length_change() {
    let (throttle, mut random) = (throttle(rate("5/1ms")), 12345u64);
    let seats = [throttle.seat(0), throttle.seat(1)];
    let mut draw = |below: u64| {
        random = random.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (random >> 33) % below
    };
    let (mut log, mut now_us, mut count, mut window_us): (Vec<u64>, _, _, _) = (Vec::new(), 1000, 5, 1000);
    let mut refusals = 0;
    for step in 0..200_000 {
        now_us += draw(200);
        if step % 500 == 499 {
            (count, window_us) = (1 + draw(40), 1000 * (1 + draw(5)));
            let window = Duration::from_micros(window_us);
            throttle.set(&ThrottleLimits { rate: Some(Rate { count, window }), ..ThrottleLimits::default() });
        }
        // A time is logged one microsecond late.
        let in_window = log.iter().rev().take_while(|&&at| at + 1 + window_us > now_us).count() as u64;
        let admitted = seats[draw(2) as usize].admit(now_us);
        assert_eq!(admitted.is_ok(), in_window < count, "step {step}: {in_window} of {count} in {window_us} us");
        match admitted {
            Ok(_) => log.push(now_us),
            Err(denied) => {
                refusals += 1;
                let until_us = log[log.len() - count as usize] + 1 + window_us;
                assert_eq!(denied, Denied { cause: Cause::Rate, until_us: Some(until_us) });
                assert_eq!(seats[0].room_at_us(0, now_us), Some(until_us));
            }
        }
        let quota = seats[1].quota(now_us).expect("a rate").1;
        let in_window = log.iter().rev().take_while(|&&at| at + 1 + window_us > now_us).count() as u64;
        assert_eq!(quota.remaining, count.saturating_sub(in_window));
    }
    assert!(refusals > 1000, "{refusals}");
}

#[test]
fn a_log_of_admissions_goes_round_and_round() {
    let throttle = throttle(rate("131072/1ms"));
    let seats = [throttle.seat(0), throttle.seat(1), throttle.seat(2)];
    assert!(throttle.fits(&rate("131073/s")).is_err());
    // The third seat sleeps for laps, and wakes with a hint from long ago.
    for lap in 0..3 {
        let now_us = 1 + lap * 10_000;
        for i in 0..131_072 {
            assert!(seats[i % 2].admit(now_us).is_ok(), "{i} of lap {lap}");
        }
        for seat in &seats {
            assert_eq!(cause(seat.admit(now_us + 500)), Cause::Rate);
        }
    }
    throttle.set(&rate("3/1ms"));
    let now_us = 1_000_000;
    let admitted = (0..9).filter(|i| seats[i % 3].admit(now_us).is_ok()).count();
    assert_eq!(admitted, 3);
}

#[test]
fn a_closed_gate_admits_nothing() {
    let throttle = throttle(ThrottleLimits::default());
    let seat = throttle.seat(3);
    assert!(!seat.is_active());
    for (gate, expected) in
        [(Gate::Memory, Cause::Memory), (Gate::Cpu, Cause::Cpu), (Gate::Descriptors, Cause::Descriptors)]
    {
        let before = seat.freed();
        throttle.set_gate(gate, true);
        assert!(seat.is_active() && throttle.is_closed(gate) && seat.freed() != before);
        assert_eq!(cause(seat.admit(1)), expected);
        throttle.set_gate(gate, false);
        assert!(!seat.is_active() && seat.admit(1).is_ok());
    }
}

#[test]
fn what_waits_and_what_was_counted_outlives_no_worker_and_every_worker() {
    let throttle = throttle(ThrottleLimits::default());
    let seats = [throttle.seat(0), throttle.seat(5)];
    seats[0].tell(Waiting { all: 3, for_clients: 1, oldest_since_us: Some(70) }, 100);
    seats[1].tell(Waiting { all: 2, for_clients: 0, oldest_since_us: Some(50) }, 60);
    assert_eq!(throttle.waiting(), Waiting { all: 5, for_clients: 1, oldest_since_us: Some(50) });
    assert_eq!(seats[0].oldest_since_us(60), Some(50));
    assert_eq!(seats[0].oldest_since_us(61), Some(70), "the other does not attend to its requests");
    seats[0].count(Count::Admitted);
    seats[1].count(Count::Admitted);
    seats[1].count(Count::Refused(Cause::ClientRate));
    throttle.release_all_of(5);
    assert!(seats[0].is_any_waiting());
    assert_eq!(throttle.waiting().all, 3);
    seats[0].tell(Waiting { all: 1, for_clients: 1, oldest_since_us: None }, 110);
    assert!(!seats[0].is_any_waiting());
    let counted = [Count::Admitted, Count::Refused(Cause::ClientRate), Count::Left].map(|one| throttle.counted(one));
    assert_eq!(counted, [2, 1, 0]);
}

#[test]
fn no_reader_sees_a_count_go_backwards_while_workers_are_reaped() {
    let throttle = throttle(ThrottleLimits::default());
    let refused = Count::Refused(Cause::Rate);
    let writer = std::thread::spawn(move || {
        for round in 0..500_000 {
            throttle.seat(round % 3).count(refused);
            throttle.0.seats.sweep(Owner::of_slot(round % 3));
        }
    });
    let mut before = 0;
    while !writer.is_finished() {
        let now = throttle.counted(refused);
        assert!(now >= before, "{before}, then {now}");
        before = now;
    }
    writer.join().expect("it counts");
    assert_eq!(throttle.counted(refused), 500_000);
}

#[test]
fn a_peak_between_two_samples_is_seen() {
    let throttle = throttle(concurrency(100));
    let [one, other] = [0, 1].map(|slot| throttle.seat(slot));
    let mut held: Vec<Held> = (0..82).map(|i| [&one, &other][i % 2].admit(1).expect("room")).collect();
    other.tell(Waiting { all: 7, for_clients: 2, oldest_since_us: Some(1) }, 1);
    one.look(5_000);
    held.drain(..).for_each(|held| assert!(one.give_back(held), "some wait"));
    other.tell(Waiting::default(), 6_000);
    // Too soon after the last look.
    let held: Vec<Held> = (0..99).map(|_| one.admit(5_001).expect("room")).collect();
    one.look(5_500);
    held.into_iter().for_each(|held| {
        one.give_back(held);
    });
    assert_eq!(throttle.take_peak(), 82 + 5);
    assert_eq!(throttle.take_peak(), 0, "that was the second before");
    let _still = one.admit(7_000).expect("room");
    assert_eq!(throttle.take_peak(), 1, "what is there now counts");
    throttle.set(&ThrottleLimits::default());
    one.look(9_000);
    assert_eq!(throttle.take_peak(), 1);
}
