use super::*;
use crate::method::Method;
use crate::scoreboard::Scoreboard;
use crate::throttle::ThrottleLimits;
use exposition::Format;
use report::report;
use requests::BOUNDS_NS;
use std::time::Instant;

const MS: u64 = 1_000_000;

fn labels(method: Method, status: u16) -> Labels {
    Labels { method, status: Some(status), protocol: Protocol::Http11 }
}

/// A scoreboard with workers in all of its slots.
fn board(slots: usize) -> Scoreboard {
    let board = Scoreboard::new(slots).expect("memory");
    (0..slots).for_each(|slot| board.take(slot, slot));
    board
}

#[test]
fn counts_and_requests_are_added_up_and_outlive_their_worker() {
    let board = board(3);
    let telemetry = board.telemetry();
    for slot in 0..3 {
        let mut requests = telemetry.requests(slot);
        requests.record(labels(Method::Get, 200), 3 * MS, Some(MS), 1);
        requests.record(labels(Method::Get, 404), 30 * MS, None, 1);
        requests.seat().count(Count::SentBytes, 100);
        requests.seat().set_level(Level::WebSockets, 2);
    }
    let sums = || {
        let sets = telemetry.request_sets();
        let seen: Vec<_> = sets.iter().map(|set| (set.labels, set.count(), set.sum_ns)).collect();
        (seen, telemetry.counted(Count::SentBytes), telemetry.latencies(Latency::Duration).count())
    };
    let before = sums();
    let expected = vec![(labels(Method::Get, 200), 3, 9_000_000), (labels(Method::Get, 404), 3, 90_000_000)];
    assert_eq!(before, (expected, 300, 6));
    assert_eq!(telemetry.latencies(Latency::FirstByte).count(), 3);
    assert_eq!(telemetry.level(Level::WebSockets), 6);
    board.retire(1, 4);
    assert_eq!(sums(), before, "no sum goes backwards");
    assert_eq!((telemetry.level(Level::WebSockets), telemetry.counted(Count::CutWorkerDied)), (4, 4));
    board.take(1, 1);
    telemetry.requests(1).record(labels(Method::Get, 200), MS, None, 1);
    assert_eq!(sums().0[0].1, 4, "the next worker continues");
}

#[test]
fn a_request_is_in_the_bucket_of_its_duration() {
    let board = board(1);
    let mut requests = board.telemetry().requests(0);
    for (bucket, bound) in BOUNDS_NS.into_iter().enumerate() {
        requests.record(labels(Method::Put, 201), bound, None, bucket as u64 + 1);
    }
    requests.record(labels(Method::Put, 201), 11_000 * MS, None, 1);
    let sets = board.telemetry().request_sets();
    assert_eq!(sets[0].buckets, [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 1]);
}

#[test]
fn sets_of_labels_are_bounded_over_the_whole_server() {
    let board = board(4);
    let telemetry = board.telemetry();
    let (mut all, mut known) = (0, 0);
    for slot in 0..4 {
        let mut requests = telemetry.requests(slot);
        for status in 100..1000 {
            requests.record(labels(Method::ALL[status as usize % 11], status + slot as u16), MS, None, 1);
            all += 1;
        }
        known = known.max(telemetry.request_sets().len());
    }
    let sets = telemetry.request_sets();
    assert_eq!((sets.len(), known), (SETS_MAX + 1, SETS_MAX + 1));
    assert_eq!(sets.iter().map(RequestSet::count).sum::<u64>(), all, "none is lost");
    let other = sets.iter().find(|set| set.labels.status.is_none()).expect("those that found no place");
    assert_eq!((other.labels.method, other.count() > 2000), (Method::Other, true));
}

#[test]
fn slots_without_a_seat_count_nothing() {
    let board = Scoreboard::new(SEATS_MAX + 1).expect("memory");
    board.take(SEATS_MAX, 0);
    board.telemetry().requests(SEATS_MAX).record(labels(Method::Get, 200), MS, Some(MS), 1);
    Seat::NONE.count(Count::SentBytes, 1);
    assert_eq!(board.telemetry().request_sets(), []);
    board.retire(SEATS_MAX, 1);
}

#[test]
fn each_limit_is_there_with_its_use() {
    let board = board(1);
    let (rate, client_rate) = ("2000/min".parse().ok(), "2/min".parse().ok());
    let limits = ThrottleLimits { concurrency: Some(100), rate, client_rate, ..ThrottleLimits::default() };
    board.throttle().set(&limits);
    let (seat, now) = (board.throttle().seat(0), Instant::now());
    for client in ["a", "a", "b"] {
        let _held = seat.admit_client(board.throttle().client(client), board.throttle().us(now)).expect("room");
    }
    let held: Vec<_> = (0..3).map(|_| seat.admit(board.throttle().us(now)).expect("room")).collect();
    let text = report(&board, None, Format::Text, now);
    for line in [
        "tine_limit{limit=\"concurrency\"} 100\n",
        "tine_limit{limit=\"rate\"} 2000\n",
        "tine_limit{limit=\"client_rate\"} 2\n",
        "tine_limit_clients{limit=\"client_rate\"} 2\n",
        "tine_limit_clients_at_limit{limit=\"client_rate\"} 1\n",
        "tine_limit_busiest_client{limit=\"client_rate\"} 2\n",
        "tine_limit_used{limit=\"concurrency\"} 3\n",
        "tine_limit_used{limit=\"rate\"} 3\n",
    ] {
        assert!(text.contains(line), "{line} in {text}");
    }
    assert!(!text.contains("tine_limit{limit=\"memory\"}"), "what is not limited is left out: {text}");
    drop(held);
}
