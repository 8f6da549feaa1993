use super::*;
use crate::scoreboard::{Scoreboard, State};
use std::sync::atomic::AtomicBool;

fn board() -> (Scoreboard, InFlightTable, Instant) {
    let board = Scoreboard::new(2).unwrap();
    let now = Instant::now();
    board.take(1, 1);
    board.slot(1).set_state(State::Ready);
    board.slot(1).heartbeat(now, false);
    (board, board.in_flight_table(1), now)
}

fn begin(table: &InFlightTable, method: &str, target: &str) {
    let length = method.len() + 1 + target.len();
    table.begin(format!("{method} {target} HTTP/1.1\r\nHost: a\r\n\r\n").as_bytes(), length);
}

/// Method, target and whether the loop is in it, of each that is listed.
fn listed(table: &InFlightTable, now: Instant) -> Vec<(String, String, bool)> {
    let requests = table.requests(now).listed.into_iter();
    requests.map(|request| (request.method, request.target, request.is_running)).collect()
}

fn entry(method: &str, target: &str, is_running: bool) -> (String, String, bool) {
    (method.to_string(), target.to_string(), is_running)
}

#[test]
fn a_request_is_listed_while_it_is_in_flight() {
    let (board, table, now) = board();
    assert_eq!(table.requests(now), Requests::default());
    // Answered in its turn.
    table.turn_to(Before::Idle);
    assert!(matches!(table.running(), Running::Nothing));
    begin(&table, "GET", "/quick");
    assert_eq!(listed(&table, now), [entry("GET", "/quick", true)]);
    assert_eq!(table.keep(None, false), None);
    table.turn_away();
    assert_eq!(listed(&table, now), []);
    // Takes longer.
    table.turn_to(Before::Idle);
    begin(&table, "PUT", "/slow?x=1");
    let kept = table.keep(None, true);
    assert!(kept.is_some());
    assert_eq!(listed(&table, now), [entry("PUT", "/slow?x=1", true)]);
    table.turn_away();
    let later = now + Duration::from_secs(31);
    board.slot(1).heartbeat(later, false);
    // Another one in the meantime.
    table.turn_to(Before::Idle);
    begin(&table, "GET", "/");
    assert_eq!(listed(&table, later), [entry("PUT", "/slow?x=1", false), entry("GET", "/", true)]);
    assert!(table.requests(later).listed[0].age.abs_diff(Duration::from_secs(31)) < Duration::from_millis(2));
    assert_eq!(table.keep(None, false), None);
    // Its next turn, in which it continues; then the one in which it ends.
    table.turn_to(Before::InFlight(kept));
    assert_eq!(listed(&table, later), [entry("PUT", "/slow?x=1", true)]);
    assert_eq!(table.keep(kept, true), kept);
    table.turn_to(Before::InFlight(kept));
    assert_eq!(table.keep(kept, false), None);
    assert_eq!(listed(&table, later), [entry("PUT", "/slow?x=1", true)], "its end may take its time");
    table.turn_away();
    assert_eq!(table.requests(later), Requests::default());
}

#[test]
fn a_pipelined_request_takes_over_the_entry_of_the_one_before() {
    let (_, table, now) = board();
    table.turn_to(Before::Idle);
    begin(&table, "GET", "/first");
    let kept = table.keep(None, true);
    table.turn_to(Before::InFlight(kept));
    begin(&table, "GET", "/second");
    assert_eq!(listed(&table, now), [entry("GET", "/second", true)], "the first is answered");
    assert_eq!(table.keep(kept, true), kept);
    assert_eq!(listed(&table, now), [entry("GET", "/second", true)]);
    table.turn_to(Before::InFlight(kept));
    begin(&table, "GET", "/third");
    assert_eq!(table.keep(kept, false), None);
    table.turn_away();
    assert_eq!(listed(&table, now), []);
}

#[test]
fn what_does_not_fit_is_counted() {
    let (board, table, now) = board();
    let mut kept = Vec::new();
    for place in 0..KEPT_MAX + 5 {
        table.turn_to(Before::Idle);
        begin(&table, "GET", &format!("/{place}"));
        kept.push(table.keep(None, true));
        board.slot(1).set(crate::metric::Metric::InFlight, place as u64 + 1);
    }
    table.turn_away();
    let requests = table.requests(now);
    assert_eq!((requests.listed.len(), requests.others), (KEPT_MAX, 5));
    assert!(kept[KEPT_MAX..].iter().all(Option::is_none));
    table.turn_to(Before::InFlight(None));
    assert!(matches!(table.running(), Running::Unknown));
    assert_eq!(table.keep(None, true), None, "its text is gone");
    // One ends: the next request gets its entry.
    table.turn_to(Before::InFlight(kept[3]));
    table.keep(kept[3], false);
    table.turn_to(Before::Idle);
    begin(&table, "GET", "/next");
    assert_eq!(table.keep(None, true), kept[3]);
    assert_eq!(table.requests(now).listed.len(), KEPT_MAX);
    // The next worker of the slot begins with none.
    board.retire(1, 0);
    assert_eq!(table.requests(now), Requests::default());
    assert!(matches!(table.running(), Running::Nothing));
}

#[test]
fn targets_are_printable_and_as_long_as_an_entry() {
    let long = format!("/{}", "x".repeat(200));
    // One byte shorter than the limit, as long, one longer; a character that the limit divides.
    let fits =
        |more: isize| format!("/{}", "y".repeat((TEXT_BYTES_MAX as isize - "GET /".len() as isize + more) as usize));
    let divided = format!("{}é", fits(-1));
    let (_, table, now) = board();
    for (target, expected, is_cut) in [
        ("*", "*".to_string(), false),
        ("/a\u{1b}[1m\u{7f}é", "/a\\u{1b}[1m\\u{7f}é".to_string(), false),
        (&long, long[..TEXT_BYTES_MAX - "GET ".len()].to_string(), true),
        (&fits(-1), fits(-1), false),
        (&fits(0), fits(0), false),
        (&fits(1), fits(0), true),
        (&divided, format!("{}\u{fffd}", fits(-1)), true),
    ] {
        table.turn_to(Before::Idle);
        begin(&table, "GET", target);
        let request = table.requests(now).listed.remove(0);
        assert_eq!((request.method.as_str(), request.target, request.is_cut), ("GET", expected, is_cut), "{target}");
    }
    // A method alone can be longer than an entry.
    begin(&table, &"M".repeat(300), "/");
    let request = table.requests(now).listed.remove(0);
    assert_eq!((request.method.len(), request.target.as_str(), request.is_cut), (TEXT_BYTES_MAX, "", true));
}

#[test]
fn no_reader_sees_two_halves_as_a_request() {
    let (_, table, now) = board();
    let stop = AtomicBool::new(false);
    /// A failed assertion ends the writer, too.
    struct Ends<'a>(&'a AtomicBool);
    impl Drop for Ends<'_> {
        fn drop(&mut self) {
            self.0.store(true, Relaxed);
        }
    }
    std::thread::scope(|scope| {
        let _ends = Ends(&stop);
        scope.spawn(|| {
            // Texts of one letter each, of changing lengths: a torn one has two letters, or a wrong length for its letter.
            for turn in 0.. {
                if stop.load(Relaxed) {
                    return;
                }
                let letter = turn % 26;
                let target = "abcdefghijklmnopqrstuvwxyz"[letter..=letter].repeat(1 + letter * 4);
                table.turn_to(Before::Idle);
                begin(&table, "GET", &target);
                let kept = table.keep(None, true);
                table.turn_to(Before::InFlight(kept));
                table.keep(kept, false);
            }
        });
        let mut seen = std::collections::HashSet::new();
        let until = Instant::now() + Duration::from_secs(30);
        // However slow this machine is: until many different ones were seen.
        for looks in 0.. {
            for request in table.requests(now).listed {
                let letter = request.target.as_bytes()[0];
                let length = 1 + usize::from(letter - b'a') * 4;
                let expected = String::from_utf8(vec![letter; length]).unwrap();
                assert_eq!((request.method.as_str(), &request.target), ("GET", &expected));
                seen.insert(letter);
            }
            if looks >= 20_000 && seen.len() == 26 {
                break;
            }
            assert!(Instant::now() < until, "only {} of 26 were seen", seen.len());
        }
    });
}

#[test]
fn an_entry_whose_writer_died_is_left_out_until_it_is_written_again() {
    let (_, table, now) = board();
    table.turn_to(Before::Idle);
    begin(&table, "GET", "/a");
    let version = &table.lines[CURRENT as usize].words[VERSION];
    version.store(version.load(Relaxed) + 1, Relaxed);
    assert_eq!(listed(&table, now), []);
    assert!(matches!(table.running(), Running::Unknown));
    begin(&table, "GET", "/b");
    assert_eq!(listed(&table, now), [entry("GET", "/b", true)]);
    assert_eq!(version.load(Relaxed) % 2, 0);
}
