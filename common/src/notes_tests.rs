use super::*;
use crate::scoreboard::{Scoreboard, State};
use std::sync::atomic::AtomicBool;

fn board() -> (Scoreboard, Notes, Instant) {
    let board = Scoreboard::new(2).unwrap();
    let now = Instant::now();
    board.take(1, 1);
    board.seat(1).set_state(State::Ready);
    board.seat(1).beat(now, false);
    (board, board.notes(1), now)
}

fn begin(notes: &Notes, method: &str, target: &str) {
    let length = method.len() + 1 + target.len();
    notes.begin(format!("{method} {target} HTTP/1.1\r\nHost: a\r\n\r\n").as_bytes(), length);
}

/// Method, target and whether the loop is in it, of each that is listed.
fn listed(notes: &Notes, now: Instant) -> Vec<(String, String, bool)> {
    let requests = notes.requests(now).listed.into_iter();
    requests.map(|request| (request.method, request.target, request.is_running)).collect()
}

fn said(method: &str, target: &str, is_running: bool) -> (String, String, bool) {
    (method.to_string(), target.to_string(), is_running)
}

#[test]
fn a_request_is_listed_while_it_is_in_flight() {
    let (board, notes, now) = board();
    assert_eq!(notes.requests(now), Requests::default());
    // Answered in its turn.
    notes.turn_to(Before::Idle);
    assert!(matches!(notes.running(), Running::Nothing));
    begin(&notes, "GET", "/quick");
    assert_eq!(listed(&notes, now), [said("GET", "/quick", true)]);
    assert_eq!(notes.keep(None, false), None);
    notes.turn_away();
    assert_eq!(listed(&notes, now), []);
    // Takes longer.
    notes.turn_to(Before::Idle);
    begin(&notes, "PUT", "/slow?x=1");
    let kept = notes.keep(None, true);
    assert!(kept.is_some());
    assert_eq!(listed(&notes, now), [said("PUT", "/slow?x=1", true)]);
    notes.turn_away();
    let later = now + Duration::from_secs(31);
    board.seat(1).beat(later, false);
    // Another one meanwhile.
    notes.turn_to(Before::Idle);
    begin(&notes, "GET", "/");
    assert_eq!(listed(&notes, later), [said("PUT", "/slow?x=1", false), said("GET", "/", true)]);
    assert!(notes.requests(later).listed[0].age.abs_diff(Duration::from_secs(31)) < Duration::from_millis(2));
    assert_eq!(notes.keep(None, false), None);
    // Its next turn, in which it goes on; then the one in which it ends.
    notes.turn_to(Before::InFlight(kept));
    assert_eq!(listed(&notes, later), [said("PUT", "/slow?x=1", true)]);
    assert_eq!(notes.keep(kept, true), kept);
    notes.turn_to(Before::InFlight(kept));
    assert_eq!(notes.keep(kept, false), None);
    assert_eq!(listed(&notes, later), [said("PUT", "/slow?x=1", true)], "its end may take its time");
    notes.turn_away();
    assert_eq!(notes.requests(later), Requests::default());
}

#[test]
fn a_pipelined_request_takes_over_the_note_of_the_one_before() {
    let (_, notes, now) = board();
    notes.turn_to(Before::Idle);
    begin(&notes, "GET", "/first");
    let kept = notes.keep(None, true);
    notes.turn_to(Before::InFlight(kept));
    begin(&notes, "GET", "/second");
    assert_eq!(listed(&notes, now), [said("GET", "/second", true)], "the first is answered");
    assert_eq!(notes.keep(kept, true), kept);
    assert_eq!(listed(&notes, now), [said("GET", "/second", true)]);
    notes.turn_to(Before::InFlight(kept));
    begin(&notes, "GET", "/third");
    assert_eq!(notes.keep(kept, false), None);
    notes.turn_away();
    assert_eq!(listed(&notes, now), []);
}

#[test]
fn what_does_not_fit_is_counted() {
    let (board, notes, now) = board();
    let mut kept = Vec::new();
    for place in 0..KEPT_MAX + 5 {
        notes.turn_to(Before::Idle);
        begin(&notes, "GET", &format!("/{place}"));
        kept.push(notes.keep(None, true));
        board.seat(1).set_in_flight(place as u64 + 1);
    }
    notes.turn_away();
    let requests = notes.requests(now);
    assert_eq!((requests.listed.len(), requests.others), (KEPT_MAX, 5));
    assert!(kept[KEPT_MAX..].iter().all(Option::is_none));
    notes.turn_to(Before::InFlight(None));
    assert!(matches!(notes.running(), Running::Unknown));
    assert_eq!(notes.keep(None, true), None, "its text is gone");
    // One ends: the next has its note.
    notes.turn_to(Before::InFlight(kept[3]));
    notes.keep(kept[3], false);
    notes.turn_to(Before::Idle);
    begin(&notes, "GET", "/next");
    assert_eq!(notes.keep(None, true), kept[3]);
    assert_eq!(notes.requests(now).listed.len(), KEPT_MAX);
    // Whoever has the seat next begins with none.
    board.retire(1);
    assert_eq!(notes.requests(now), Requests::default());
    assert!(matches!(notes.running(), Running::Nothing));
}

#[test]
fn targets_are_printable_and_as_long_as_a_note() {
    let long = format!("/{}", "x".repeat(200));
    // One byte short of the room, as long as it, one longer; a character that the end divides.
    let fits =
        |more: isize| format!("/{}", "y".repeat((TEXT_BYTES_MAX as isize - "GET /".len() as isize + more) as usize));
    let divided = format!("{}é", fits(-1));
    let (_, notes, now) = board();
    for (target, expected, is_cut) in [
        ("*", "*".to_string(), false),
        ("/a\u{1b}[1m\u{7f}é", "/a\\u{1b}[1m\\u{7f}é".to_string(), false),
        (&long, long[..TEXT_BYTES_MAX - "GET ".len()].to_string(), true),
        (&fits(-1), fits(-1), false),
        (&fits(0), fits(0), false),
        (&fits(1), fits(0), true),
        (&divided, format!("{}\u{fffd}", fits(-1)), true),
    ] {
        notes.turn_to(Before::Idle);
        begin(&notes, "GET", target);
        let request = notes.requests(now).listed.remove(0);
        assert_eq!((request.method.as_str(), request.target, request.is_cut), ("GET", expected, is_cut), "{target}");
    }
    // A method alone can be longer than a note.
    begin(&notes, &"M".repeat(300), "/");
    let request = notes.requests(now).listed.remove(0);
    assert_eq!((request.method.len(), request.target.as_str(), request.is_cut), (TEXT_BYTES_MAX, "", true));
}

#[test]
fn no_reader_takes_two_halves_for_a_request() {
    let (_, notes, now) = board();
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
                notes.turn_to(Before::Idle);
                begin(&notes, "GET", &target);
                let kept = notes.keep(None, true);
                notes.turn_to(Before::InFlight(kept));
                notes.keep(kept, false);
            }
        });
        let mut seen = std::collections::HashSet::new();
        let until = Instant::now() + Duration::from_secs(30);
        // However slow this machine is: until many different ones were seen.
        for looks in 0.. {
            for request in notes.requests(now).listed {
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
fn a_note_whose_writer_died_is_left_out_until_it_is_written_again() {
    let (_, notes, now) = board();
    notes.turn_to(Before::Idle);
    begin(&notes, "GET", "/a");
    let version = &notes.lines[CURRENT as usize].words[VERSION];
    version.store(version.load(Relaxed) + 1, Relaxed);
    assert_eq!(listed(&notes, now), []);
    assert!(matches!(notes.running(), Running::Unknown));
    begin(&notes, "GET", "/b");
    assert_eq!(listed(&notes, now), [said("GET", "/b", true)]);
    assert_eq!(version.load(Relaxed) % 2, 0);
}
