//! Masters that are killed while one takes over from the other: the survivor serves on, and what the dead held of the limits
//! comes back once. Limits that are set meanwhile reach both, and any number of masters may follow each other.

use crate::support::admin::workers_of;
use crate::support::masters::{children_of, reap};
use crate::support::redis::Redis;
use crate::support::upgradable::{Upgradable, wait_accept_no_more};
use crate::support::{BUSY, Client, eventually, freeze, send_signal};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

const OPTIONS: &str = "workers = 2\nlimit-concurrency = 10\nlimit-wait = \"100s\"\n";

/// Starts an upgrade of `master`, and stops the new master before it can serve. Returns that.
#[track_caller]
fn frozen_upgrade(site: &Upgradable, master: i32) -> i32 {
    let before = site.server.log().matches("upgrading, process ").count();
    send_signal(master, Signal::SIGUSR2);
    let new = eventually("the new master is started", || {
        let log = site.server.log();
        let line = log.lines().filter(|line| line.contains("upgrading, process ")).nth(before)?;
        line.split("process ").nth(1)?.split(' ').next()?.parse().ok()
    });
    freeze(new);
    new
}

/// Kills it with its workers, once it has begun so far that it has some.
#[track_caller]
fn kill_with_workers(master: i32) {
    let workers = workers_of(master);
    send_signal(master, Signal::SIGKILL);
    for pid in workers {
        // One that begins has ended by itself by then, as its master is gone.
        let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
    }
}

#[test]
fn a_new_master_that_is_killed_while_it_starts() {
    let site = Upgradable::start(OPTIONS);
    let old = site.master();
    let mut before = site.holds(8);
    before.wait_admitted(8);
    for workers in 0..=2 {
        let new = frozen_upgrade(&site, old);
        eventually("it has that number of workers, or serves already", || {
            if children_of(new).len() >= workers || site.master() == new {
                return Some(());
            }
            send_signal(new, Signal::SIGCONT);
            std::thread::yield_now();
            freeze(new);
            None
        });
        if site.master() == new {
            continue; // too late for this claim; the next test is about that
        }
        kill_with_workers(new);
        let line = format!("process {new} was killed by SIGKILL before it served; this master continues to serve");
        site.server.wait_log(&line);
        eventually("the pidfile names it again", || (site.master() == old).then_some(()));
        let mut after = site.holds(6);
        after.wait_admitted(2);
        after.finish_one();
        after.wait_admitted(2);
        after.finish_one();
        after.finish_one();
        after.finish_all();
    }
    before.finish_all();
    let (old, _) = site.upgrade();
    eventually("the old master has ended", || reap(old).then_some(()));
    site.end();
}

/// The old master learns at the same time that the new one serves, and that it is dead.
#[test]
fn a_new_master_that_is_killed_just_after_it_has_taken_over() {
    let site = Upgradable::start(OPTIONS);
    let old = site.master();
    let mut before = site.holds(8);
    before.wait_admitted(8);
    // The new one would allow less.
    site.site.write("tine.toml", b"workers = 2\nlimit-concurrency = 5\nlimit-wait = \"100s\"\n");
    send_signal(old, Signal::SIGUSR2);
    site.server.wait_log("upgrading, process ");
    freeze(old);
    let new = eventually("the new master serves", || Some(site.master()).filter(|&pid| pid != old));
    // Its workers live on for a moment.
    send_signal(new, Signal::SIGKILL);
    site.server.wait_gone(&[new]);
    send_signal(old, Signal::SIGCONT);
    site.server.wait_log(&format!("process {new} was killed by SIGKILL before it served"));
    eventually("the pidfile names it again", || (site.master() == old).then_some(()));
    assert_eq!(site.server.get("/health").status, 200, "{}", site.server.log());
    let mut after = site.holds(6);
    after.wait_admitted(2);
    before.finish_all();
    after.finish_all();
    // What was set is kept, until the option itself is another one.
    site.site.write("tine.toml", OPTIONS.as_bytes());
    site.ctl_limit(&["concurrency=3"]);
    for most in [3, 4] {
        let (old, _) = site.upgrade();
        eventually("the old master has ended", || reap(old).then_some(()));
        let mut last = site.holds(5);
        last.wait_admitted(most);
        last.finish_all();
        site.site.write("tine.toml", b"workers = 2\nlimit-concurrency = 4\nlimit-wait = \"100s\"\n");
    }
    site.server.wait_log("limit concurrency is 4, as configured; tine ctl had set it to 3");
    site.end();
}

#[test]
fn an_old_master_that_is_killed_while_the_new_one_starts() {
    let site = Upgradable::start(OPTIONS);
    let mut before = site.holds(8);
    before.wait_admitted(8);
    let old = site.master();
    let workers = workers_of(old);
    let new = frozen_upgrade(&site, old);
    send_signal(old, Signal::SIGKILL);
    eventually("the old master is gone", || reap(old).then_some(()));
    send_signal(new, Signal::SIGCONT);
    eventually("the new master serves", || (site.master() == new).then_some(()));
    wait_accept_no_more(&workers, new);
    let mut after = site.holds(12);
    after.wait_admitted(2);
    before.finish_one();
    after.wait_admitted(3);
    workers.into_iter().for_each(|pid| send_signal(pid, Signal::SIGKILL));
    after.wait_admitted(10);
    after.finish_all();
    site.end();
}

/// An even older one finishes what it has; nothing of theirs stays in the memory that it has.
#[test]
fn both_masters_killed_at_once() {
    let site = Upgradable::start(OPTIONS);
    let mut before = site.holds(4);
    before.wait_admitted(4);
    let (first, second) = site.upgrade();
    let after = site.holds(12);
    after.wait_admitted(6);
    let third = frozen_upgrade(&site, second);
    kill_with_workers(third);
    kill_with_workers(second);
    site.server.wait_log("of a master that has ended: what they held of the limits is given back");
    before.finish_all();
    site.server.wait_gone(&[second, third]);
    eventually("the oldest has ended", || reap(first).then_some(()));
}

#[test]
fn limits_that_are_set_while_a_new_master_starts_reach_both() {
    let site = Upgradable::start(OPTIONS);
    let old = site.master();
    let mut before = site.holds(12);
    before.wait_admitted(10);
    let new = frozen_upgrade(&site, old);
    assert!(site.ctl_limit(&["concurrency=12"]).contains("concurrency=12"));
    before.wait_admitted(12);
    // More than the channel has room for.
    for most in 100..300 {
        site.ctl_limit(&[&format!("client-rate={most}/min"), "queue=500", "warn=70%", "wait=99s", "memory=9G"]);
    }
    assert!(site.ctl_limit(&["concurrency=13", "rate=1000/min"]).contains("rate=1000/min"));
    send_signal(new, Signal::SIGCONT);
    site.server.wait_log(&format!("process {new} has taken over"));
    wait_accept_no_more(&workers_of(old), new);
    let mut after = site.holds(4);
    after.wait_admitted(1);
    let said = site.ctl_limit(&["wait=90s"]);
    before.finish_all();
    eventually("the old master has ended", || reap(old).then_some(()));
    after.wait_admitted(4);
    after.finish_all();
    let status = String::from_utf8_lossy(&site.server.ctl(&["limit"]).stdout).into_owned();
    assert!(status.contains("13") && status.contains("1000/min"), "{said}\n{status}");
    site.end();
}

/// The third has memory of its own, and leases for itself: the second goes on for the first, too, while both finish.
#[test]
fn one_of_those_that_finish_leases_for_all_of_one_memory() {
    let redis = Redis::start();
    let options = format!("{OPTIONS}limit-store = \"{}\"\n", redis.url());
    let site = Upgradable::start(&options);
    let mut before = site.holds(4);
    before.wait_admitted(4);
    let (first, second) = site.upgrade();
    let mut between = site.holds(2);
    between.wait_admitted(2);
    site.site.write("tine.toml", format!("{options}limit-rate = \"200000/h\"\n").as_bytes());
    site.upgrade();
    site.server.wait_log("is not taken on");
    let mut after = site.holds(8);
    after.wait_admitted(4);
    let redis_has = |servers: u64| {
        let said: serde_json::Value =
            serde_json::from_slice(&site.server.ctl(&["status", "--json"]).stdout).expect("one line of JSON");
        (said["status"]["limits"]["store"]["servers"] == servers).then_some(())
    };
    eventually("two memories are two servers", || redis_has(2));
    let leases = |pid: &i32| {
        std::fs::read_to_string(format!("/proc/{pid}/cmdline"))
            .is_ok_and(|title| title.starts_with("tine: limit store"))
    };
    between.finish_one();
    after.wait_admitted(5);
    assert_eq!([first, second].map(|pid| children_of(pid).iter().filter(|pid| leases(pid)).count()), [0, 1]);
    before.finish_all();
    between.finish_all();
    for old in [first, second] {
        eventually("it has ended", || reap(old).then_some(()));
    }
    after.wait_admitted(8);
    after.finish_all();
    eventually("one server is left", || redis_has(1));
    site.end();
}

/// Held, or refused with a 503.
fn busy(site: &Upgradable) -> Option<Client> {
    let mut client = site.server.connect();
    client.send(BUSY);
    match client.response().status {
        100 => Some(client),
        503 => None,
        other => panic!("{other}"),
    }
}

#[test]
fn connections_of_an_address_are_counted_in_both_servers() {
    let site = Upgradable::start("workers = 2\nmax-connections-per-address = 3\n");
    let held = [(); 2].map(|()| busy(&site).expect("room"));
    let (old, new) = site.upgrade();
    let third = busy(&site).expect("room for one");
    (0..4).for_each(|_| assert!(busy(&site).is_none(), "three are open"));
    workers_of(old).into_iter().for_each(|pid| send_signal(pid, Signal::SIGKILL));
    eventually("the old master has ended", || reap(old).then_some(()));
    let fourth = [(); 2].map(|()| eventually("its connections are counted off", || busy(&site)));
    assert!(busy(&site).is_none(), "three are open");
    // A master without the option, which is killed with its workers' connections, and one that has it again.
    site.site.write("tine.toml", b"workers = 2\n");
    drop((held, third, fourth));
    let (_, plain) = site.upgrade();
    eventually("the one before has ended", || reap(new).then_some(()));
    let uncounted = [(); 5].map(|()| busy(&site).expect("no limit"));
    site.site.write("tine.toml", b"workers = 2\nmax-connections-per-address = 3\n");
    site.upgrade();
    let counted = [(); 3].map(|()| busy(&site).expect("those of a server that does not count"));
    assert!(busy(&site).is_none(), "three are open");
    drop((counted, uncounted));
    eventually("the one without has ended", || reap(plain).then_some(()));
    site.end();
}

#[test]
fn more_masters_follow_each_other_than_share_one_memory() {
    let site = Upgradable::start("workers = 1\nlimit-concurrency = 40\nlimit-wait = \"0s\"\n");
    let mut held = Vec::new();
    let mut masters = Vec::new();
    for _ in 0..17 {
        let one = site.holds(1);
        one.wait_admitted(1);
        held.push(one);
        masters.push(site.upgrade().0);
    }
    let line = site.server.wait_log("the shared memory of the master before this one is not taken on");
    assert!(line.contains("16 masters have it already"), "{line}");
    assert_eq!(site.server.log().matches("is not taken on").count(), 1, "{}", site.server.log());
    held.iter_mut().for_each(|one| one.finish_all());
    for old in masters {
        eventually("the old master has ended", || reap(old).then_some(()));
    }
    for _ in 0..3 {
        let (old, _) = site.upgrade();
        eventually("the old master has ended", || reap(old).then_some(()));
    }
    let status = String::from_utf8_lossy(&site.server.ctl(&["status", "--json"]).stdout).into_owned();
    assert!(status.contains("\"in_flight\":0"), "{status}");
    site.end();
}
