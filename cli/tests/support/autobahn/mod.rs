//! The cases of the Autobahn test suite (github.com/crossbario/autobahn-testsuite, categories 1 to 10) that are the
//! same for every server: how a case is written ([`case`]), run ([`talk`]) and judged ([`verdict`]). The tables are in
//! `websocket_passes_autobahn_*.rs`.
//!
//! What is sent, and in which writes, is what Autobahn sends, and a case passes as it does there. Where Autobahn waits
//! one or two seconds for something that must arrive, this waits for [`patience`](super::patience), so that no verdict
//! depends on the machine's speed.

mod case;
mod talk;
mod verdict;

#[allow(unused_imports)] // each test file uses a part of it
pub use case::*;

use super::Server;
use std::sync::Mutex;
use talk::Talk;
use verdict::{Verdict, judge};

/// Runs the cases, `concurrency` of them at a time, and fails the test unless all pass strictly; those of `lenient` may
/// also pass non-strictly. Returns the number of cases.
pub fn expect_all_pass(
    server: &Server,
    concurrency: usize,
    lenient: &[&str],
    cases: impl Iterator<Item = Case> + Send,
) -> usize {
    let cases = Mutex::new(cases.enumerate());
    let outcomes = Mutex::new(Vec::new());
    let next = || cases.lock().expect("a table that does not panic").next();
    let run_lane = || {
        while let Some((place, case)) = next() {
            let verdict = match Talk::begin(server) {
                Ok(talk) => judge(&case, &talk.run(&case)),
                Err(e) => Verdict::Failed(format!("no connection: {e}")),
            };
            outcomes.lock().expect("a thread that does not panic").push((place, case.id, verdict));
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..concurrency {
            scope.spawn(run_lane);
        }
    });
    let mut outcomes = outcomes.into_inner().expect("a thread that does not panic");
    outcomes.sort_by_key(|(place, ..)| *place);
    let (mut ok, mut not_strict, mut informational, mut failed) = (0, 0, 0, 0);
    for (_, id, verdict) in &outcomes {
        match verdict {
            Verdict::Ok => ok += 1,
            Verdict::Informational => informational += 1,
            Verdict::NonStrict if lenient.contains(&id.as_str()) => not_strict += 1,
            Verdict::NonStrict => {
                failed += 1;
                eprintln!("{id}: passes, but not strictly");
            }
            Verdict::Failed(why) => {
                failed += 1;
                eprintln!("{id}: {why}");
            }
        }
    }
    let sum = outcomes.len();
    let held = sum - failed;
    eprintln!(
        "{held} of {sum} cases pass: {ok} strictly, {not_strict} not strictly, {informational} are informational"
    );
    assert!(failed == 0, "{failed} of {sum} cases fail");
    sum
}
