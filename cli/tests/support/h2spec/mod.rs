//! The cases of h2spec (github.com/summerwind/h2spec 2.6.0) in its sections' order, by RFC 7540 and 7541: what is sent, and
//! what must come. Where h2spec also accepts that the connection ends without a reason, this does not.

mod case;
mod frames;
mod generic;
mod hpack;
mod messages;
mod streams;

#[allow(unused_imports)] // each test file uses a part of it
pub use case::Paths;

use case::Case;
use std::net::SocketAddr;
use std::sync::Mutex;

/// Cases at a time: most of those that fail do so by waiting in vain.
const LANES: usize = 8;

/// Runs all cases: their number, and what failed, by case.
pub fn run(address: SocketAddr, paths: Paths) -> (usize, Vec<String>) {
    let groups = [generic::cases, streams::cases, frames::cases, messages::cases, hpack::cases];
    let cases: Vec<Case> = groups.into_iter().flat_map(|cases| cases(paths)).collect();
    let (left, failed) = (Mutex::new(cases.iter()), Mutex::new(Vec::new()));
    let next = || left.lock().expect("a list that does not panic").next();
    let run_lane = || {
        while let Some(case) = next() {
            if let Err(why) = case.run(address) {
                failed.lock().expect("a list that does not panic").push(format!("{}: {why}", case.id));
            }
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..LANES {
            scope.spawn(run_lane);
        }
    });
    let mut failed = failed.into_inner().expect("a list that does not panic");
    failed.sort();
    (cases.len(), failed)
}
