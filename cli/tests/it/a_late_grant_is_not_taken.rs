//! A grant of the store that is read later than a lease lasts: by then others may have what it grants.

use crate::apps::sharing_servers::{MOST, Sharing, sharing_server};
use crate::apps::turnstile_server::is_waiting;
use crate::support::{freeze, send_signal};
use nix::sys::signal::Signal;

#[test]
fn a_process_that_stood_still_does_not_take_what_it_was_granted() {
    let mut sharing = Sharing::start();
    let all = sharing.holds(1, 10);
    sharing.wait_held([0, MOST]);
    sharing.wait_share(0, 0);
    let process = sharing.process(0);
    freeze(process);
    let waiting = sharing.holds(0, 10);
    sharing.release(1, 10);
    sharing.wait_held([0, 0]);
    drop(all);
    assert!(sharing.servers[1].0.stop(Signal::SIGTERM).success(), "it gives all back");
    sharing.proxies[0].hold_answers_with("*6\r\n:10\r\n");
    send_signal(process, Signal::SIGCONT);
    sharing.proxies[0].wait_held();
    freeze(process);
    sharing.proxies[0].release();
    // A new server, which gets it when that time is over.
    sharing.servers[1] = sharing_server(&sharing.proxies[1]);
    let _others = sharing.holds(1, 10);
    sharing.wait_held([0, MOST]);
    send_signal(process, Signal::SIGCONT);
    sharing.proxies[0].wait_answers(5);
    assert_eq!(sharing.held(), [0, MOST]);
    assert!(waiting.iter().all(is_waiting));
    sharing.release(1, 4);
    sharing.wait_held([4, 6]);
}
