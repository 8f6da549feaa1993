//! During an upgrade two masters have a process of `--limit-store` each, over one memory: only one of them asks the store,
//! whichever is killed, and the sum stays exact.

use crate::apps::sharing_servers::{MOST, Sharing};
use crate::support::admin::workers_of;
use crate::support::masters::{children_of, reap};
use crate::support::upgradable::{Upgradable, wait_accept_no_more};
use crate::support::{eventually, freeze, send_signal};
use nix::sys::signal::Signal;

fn lease_process_of(master: i32) -> Option<i32> {
    children_of(master).into_iter().find(|pid| {
        std::fs::read_to_string(format!("/proc/{pid}/cmdline"))
            .is_ok_and(|title| title.starts_with("tine: limit store"))
    })
}

/// Starts an upgrade, and stops the new master when it has a process for the store, but has not taken over.
#[track_caller]
fn half_upgraded(site: &Upgradable, old: i32) -> i32 {
    send_signal(old, Signal::SIGUSR2);
    let line = site.server.wait_log("upgrading, process ");
    let new: i32 = line.split("process ").nth(1).and_then(|rest| rest.split(' ').next()?.parse().ok()).expect("a pid");
    eventually("it has that process", || {
        freeze(new);
        if lease_process_of(new).is_some() {
            return Some(());
        }
        send_signal(new, Signal::SIGCONT);
        std::thread::yield_now();
        None
    });
    assert_eq!(site.master(), old, "it has not taken over");
    new
}

#[test]
fn one_asks_the_store_at_any_time() {
    let mut sharing = Sharing::start();
    assert!(sharing.servers[0].0.stop(Signal::SIGTERM).success());
    let proxy = &sharing.proxies[0];
    let options =
        format!("workers = 2\nlimit-concurrency = 10\nlimit-wait = \"100s\"\nlimit-store = \"{}\"\n", proxy.url());
    let site = Upgradable::start(&options);
    let mut held = site.holds(12);
    held.wait_admitted(10);
    let old = site.master();
    let new = half_upgraded(&site, old);
    let standing_by = lease_process_of(new).expect("it stands by");
    let _others = sharing.holds(1, 4);
    let one_asks = |what: &str| {
        proxy.wait_answers(3);
        assert_eq!(proxy.open_connections(), 1, "{what}");
        assert_eq!((sharing.servers[1].counts().held, held.admitted() as u64), (0, MOST), "{what}");
    };
    one_asks("the old one leases");
    send_signal(lease_process_of(old).expect("it leases"), Signal::SIGKILL);
    one_asks("the one that stood by leases");
    eventually("another one stands by", || lease_process_of(old));
    one_asks("it stands by");
    send_signal(standing_by, Signal::SIGKILL);
    one_asks("it leases, as the new master cannot replace its own");
    send_signal(new, Signal::SIGCONT);
    eventually("the new master serves", || (site.master() == new).then_some(()));
    wait_accept_no_more(&workers_of(old), new);
    one_asks("the new one leases");
    // Two wait still, and the other server wants four.
    for finished in 1..=6 {
        held.finish_one();
        let expected = |others: u64, own: usize| (sharing.servers[1].counts().held, held.admitted()) == (others, own);
        eventually("shares move", || (4.min(finished)..=finished).find(|&more| expected(more, 10 - more as usize)));
    }
    held.finish_all();
    eventually("the old master has ended", || reap(old).then_some(()));
    sharing.servers[1].wait_held(4);
    site.end();
}
