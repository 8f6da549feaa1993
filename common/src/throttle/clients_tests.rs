//! The limits that each client has for itself.

use super::*;

#[test]
fn a_client_has_its_rate_and_the_others_have_theirs() {
    let limits = ThrottleLimits { client_rate: "3/1s".parse().ok(), ..ThrottleLimits::default() };
    let throttle = throttle(limits);
    let (seat, mut now_us) = (throttle.seat(0), 5_000_000);
    let [client, other] = [1, 2].map(|number| throttle.client(number));
    let admit = |client, now_us| seat.admit_client(client, now_us).map(|held| seat.leave_client(held));
    for _ in 0..3 {
        assert_eq!(admit(client, now_us), Ok(()));
    }
    let denied = admit(client, now_us).expect_err("a fourth");
    let wait_us = denied.until_us.expect("a time") - now_us;
    assert!(denied.cause == Cause::ClientRate && wait_us.abs_diff(333_333) < 3, "{denied:?}");
    assert_eq!(admit(other, now_us), Ok(()));
    let (rate, quota) = seat.client_quota(other, now_us).expect("a rate");
    assert_eq!((rate.count, quota.remaining), (3, 2));
    assert_eq!(seat.client_quota(client, now_us).expect("a rate").1.remaining, 0);
    for earlier_us in [1, 1000, 1_000_000] {
        assert!(admit(client, now_us - earlier_us).is_err(), "by a clock that was read {earlier_us} us earlier");
    }
    now_us = denied.until_us.expect("a time");
    assert_eq!(admit(client, now_us), Ok(()), "then there is room for one");
    assert!(admit(client, now_us).is_err());
    // The clock of a word wraps around; a client of long ago owes nothing.
    for days in [1, 100, 150, 203, 250, 1000] {
        let later = now_us + days * 24 * 3600 * 1_000_000;
        assert_eq!(admit(other, later), Ok(()), "{days} days later");
    }
}

#[test]
fn a_flood_of_clients_makes_nothing_grow_and_refuses_no_other() {
    let limits =
        ThrottleLimits { client_rate: "5/min".parse().ok(), client_concurrency: Some(2), ..ThrottleLimits::default() };
    let throttle = throttle(limits);
    let seat = throttle.seat(0);
    let hog = throttle.client("hog");
    let held: Vec<_> = (0..2).map(|_| seat.admit_client(hog, 10).expect("room")).collect();
    assert_eq!(cause(seat.admit_client(hog, 10)), Cause::ClientConcurrency);
    held.into_iter().for_each(|held| seat.leave_client(held));
    for _ in 0..3 {
        seat.leave_client(seat.admit_client(hog, 10).expect("room"));
    }
    assert_eq!(cause(seat.admit_client(hog, 10)), Cause::ClientRate);
    let mut all = Vec::new();
    for number in 0..300_000u32 {
        all.push(seat.admit_client(throttle.client(("flood", number)), 20).expect("a new client is never refused"));
    }
    assert_eq!(cause(seat.admit_client(hog, 30)), Cause::ClientRate, "it owes most, and is not forgotten");
    let lost = [Count::ForgottenClient, Count::NoPlaceForRequest].map(|count| throttle.counted(count));
    // All but those that the tables have room for; some share the bits of their hash that a word has.
    assert!(lost[0] >= 299_000 - 65_536 && lost[1] >= 300_000 - 131_072, "{lost:?}");
    all.into_iter().for_each(|held| seat.leave_client(held));
}

#[test]
fn an_ipv6_client_is_its_64_and_an_ipv4_client_its_address() {
    let throttle = throttle(ThrottleLimits::default());
    for (one, other, is_same) in [
        ("2001:db8:1:2::1", "2001:db8:1:2:ffff::9", true),
        ("2001:db8:1:2::1", "2001:db8:1:3::1", false),
        ("192.0.2.1", "192.0.2.2", false),
        ("192.0.2.1", "::ffff:192.0.2.1", true),
        ("192.0.2.1", "::192.0.2.1", false),
        ("0.0.0.1", "::1", false),
    ] {
        let [a, b] = [one, other].map(|address| throttle.client_at(address.parse().expect("an address")));
        assert_eq!(a == b, is_same, "{one} and {other}");
    }
}

#[test]
fn how_the_clients_stand_to_their_limits_is_known() {
    let limits =
        ThrottleLimits { client_concurrency: Some(3), client_rate: "4/min".parse().ok(), ..ThrottleLimits::default() };
    let (throttle, now) = (throttle(limits), Instant::now());
    let usage = |cause, at| throttle.clients_use(cause, at).expect("there is such a limit");
    assert_eq!(usage(Cause::ClientRate, now), ClientsUse::default());
    let seats: Vec<Seat> = (0..3).map(|slot| throttle.seat(slot)).collect();
    let mut held: Vec<ClientHeld> = Vec::new();
    for (client, requests) in [("a", 3), ("b", 1), ("c", 2)] {
        let of_one = (0..requests).map(|i| seats[i].admit_client(throttle.client(client), throttle.us(now)));
        held.extend(of_one.map(|held| held.expect("room")));
    }
    assert_eq!(usage(Cause::ClientConcurrency, now), ClientsUse { clients: 3, at_limit: 1, most: 3 });
    assert_eq!(usage(Cause::ClientRate, now), ClientsUse { clients: 3, at_limit: 0, most: 3 });
    // A request that has ended still counts in the rate.
    for _ in 0..2 {
        seats[1].leave_client(held.pop().expect("it is the last one's"));
        held.push(seats[1].admit_client(throttle.client("c"), throttle.us(now)).expect("room"));
    }
    assert_eq!(usage(Cause::ClientConcurrency, now), ClientsUse { clients: 3, at_limit: 1, most: 3 });
    assert_eq!(usage(Cause::ClientRate, now), ClientsUse { clients: 3, at_limit: 1, most: 4 });
    // One request every 15 s is forgotten; what is in flight stays.
    let later = now + Duration::from_secs(31);
    assert_eq!(usage(Cause::ClientRate, later), ClientsUse { clients: 2, at_limit: 0, most: 2 });
    assert_eq!(usage(Cause::ClientRate, now + Duration::from_secs(61)), ClientsUse::default());
    assert_eq!(throttle.clients_use(Cause::Rate, now), None);
}

#[test]
fn a_client_has_no_more_in_flight_than_its_limit_whoever_is_killed() {
    let throttle = throttle(ThrottleLimits { client_concurrency: Some(20), ..ThrottleLimits::default() });
    let client = throttle.client("client");
    let start = |slot: usize| {
        let seat = throttle.seat(slot);
        let mut held = Vec::new();
        repeat(move || match seat.admit_client(client, 1) {
            Ok(one) => held.push(one),
            Err(_) => held.drain(..).for_each(|one| seat.leave_client(one)),
        })
    };
    with_deaths(100, start, |slot| throttle.release_all_of(slot));
    let seats = [throttle.seat(0), throttle.seat(1)];
    let held: Vec<_> = (0..20).map(|i| seats[i % 2].admit_client(client, 1).expect("all are there again")).collect();
    assert_eq!(cause(seats[0].admit_client(client, 1)), Cause::ClientConcurrency);
    throttle.release_all_of(1);
    assert!(seats[0].admit_client(client, 1).is_ok(), "half of them are gone with their worker");
    drop(held);
}
