//! A store that does not know what the servers have: its key was removed, another store has taken its place, or none of them
//! has reached it for longer than a lease lasts. One server reports at once, the other one a moment later: until then, what the
//! other one has is not given away.

use crate::apps::sharing_servers::{MOST, Sharing};
use crate::apps::turnstile_server::is_waiting;
use crate::support::{eventually, freeze, send_signal};
use nix::sys::signal::Signal;
use std::time::{Duration, Instant};

/// The first has all, and its process stands still while the store is changed and the other server wants some.
fn one_reports_late(change: impl FnOnce(&Sharing)) {
    let sharing = Sharing::start();
    let _all = sharing.holds(0, 12);
    sharing.wait_held([MOST, 0]);
    let process = sharing.process(0);
    let others = sharing.holds(1, 3);
    freeze(process);
    change(&sharing);
    // The other one would have it by then.
    sharing.proxies[1].wait_answers(8);
    assert_eq!(sharing.held(), [MOST, 0]);
    send_signal(process, Signal::SIGCONT);
    sharing.wait_share(0, 7);
    sharing.proxies[0].wait_answers(5);
    assert!(others.iter().all(is_waiting));
    sharing.release(0, 3);
    sharing.wait_held([7, 3]);
}

#[test]
fn its_key_was_removed() {
    one_reports_late(|sharing| sharing.redis.tell("FLUSHALL"));
}

/// A replica that is older than the last leases.
#[test]
fn it_is_another_store() {
    one_reports_late(|sharing| sharing.redis.tell("HSET limits run another"));
}

#[test]
fn none_has_reached_it_for_long() {
    one_reports_late(|sharing| {
        sharing.proxies.iter().for_each(|proxy| proxy.cut());
        let since = Instant::now();
        eventually("a lease is over", || (since.elapsed() > Duration::from_millis(5500)).then_some(()));
        sharing.proxies.iter().for_each(|proxy| proxy.mend());
    });
}
