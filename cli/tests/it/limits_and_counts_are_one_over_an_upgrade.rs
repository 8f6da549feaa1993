//! An upgrade hands the shared memory on: what is in flight in both servers is within the limits, a window of a rate is one, no
//! count begins anew, and whoever is killed meanwhile gives back what it held.

use crate::support::admin::{admin_of, get, workers_of};
use crate::support::masters::{master_of, reap};
use crate::support::redis::Redis;
use crate::support::upgradable::Upgradable;
use crate::support::{Client, eventually, send_signal};
use nix::sys::signal::Signal;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

/// CPU seconds that a process uses in a test of that.
const USED: f64 = 0.3;

/// All counters of a text of metrics, by name and labels.
fn counters(text: &str) -> BTreeMap<String, f64> {
    let is_counter = |series: &str| {
        let name = series.split('{').next().unwrap_or_default();
        ["_total", "_bucket", "_count", "_sum"].iter().any(|end| name.ends_with(end))
    };
    let parsed = |line: &str| {
        let (series, value) = line.rsplit_once(' ')?;
        Some((series.to_string(), value.parse().ok()?)).filter(|_| is_counter(series))
    };
    text.lines().filter(|line| !line.starts_with('#')).filter_map(parsed).collect()
}

#[track_caller]
fn assert_none_went_backwards(before: &BTreeMap<String, f64>, after: &BTreeMap<String, f64>) {
    for (series, value) in before {
        let now = after.get(series).copied().unwrap_or(f64::NEG_INFINITY);
        assert!(now >= *value, "{series} was {value}, and is {now}");
    }
}

#[test]
fn requests_in_flight_of_both_servers_are_within_the_limit() {
    let site = Upgradable::start("workers = 2\nlimit-concurrency = 10\nlimit-wait = \"100s\"\n");
    let mut before = site.holds(6);
    before.wait_admitted(6);
    let (old, _) = site.upgrade();
    let mut after = site.holds(12);
    after.wait_admitted(4);
    for finished in 1..=6 {
        before.finish_one();
        after.wait_admitted(4 + finished);
        assert_eq!(before.admitted() + after.admitted(), 10);
    }
    eventually("the old master has ended", || reap(old).then_some(()));
    after.wait_admitted(10);
    // Once more, the other way round: the permits that are given back have other places.
    let (old, _) = site.upgrade();
    let mut last = site.holds(3);
    after.finish_all();
    eventually("the old master has ended", || reap(old).then_some(()));
    last.wait_admitted(3);
    last.finish_all();
    site.end();
}

#[test]
fn a_window_of_the_rate_goes_on() {
    let site = Upgradable::start("workers = 2\nlimit-rate = \"20/h\"\nlimit-wait = \"0s\"\n");
    let answered = |count: usize| (0..count).filter(|_| site.server.get("/any").status == 200).count();
    assert_eq!(answered(15), 15);
    site.upgrade();
    assert_eq!(answered(15), 5, "20 in an hour");
    site.upgrade();
    assert_eq!(answered(3), 0);
    assert!(site.ctl_limit(&["rate=22/h"]).contains("rate=22/h"));
    site.upgrade();
    assert_eq!(answered(5), 2, "it was set, and is kept");
    site.end();
}

#[test]
fn what_is_killed_in_the_middle_gives_back_what_it_held() {
    let site = Upgradable::start("workers = 2\nlimit-concurrency = 10\nlimit-wait = \"100s\"\n");
    let before = site.holds(8);
    before.wait_admitted(8);
    let (old, new) = site.upgrade();
    let mut after = site.holds(12);
    after.wait_admitted(2);
    // One worker of the old master, which reaps it.
    let workers = workers_of(old);
    let held_by = |pid: i32| before.0.iter().filter(|client| site.server.worker_of(client) == Some(pid)).count();
    let (of_first, of_second) = (held_by(workers[0]), held_by(workers[1]));
    assert_eq!((of_first + of_second, workers.len()), (8, 2));
    send_signal(workers[0], Signal::SIGKILL);
    after.wait_admitted(2 + of_first);
    // The old master itself: its worker goes on, and holds what it holds.
    send_signal(old, Signal::SIGKILL);
    eventually("the old master is gone", || reap(old).then_some(()));
    assert_eq!(after.admitted(), 2 + of_first);
    // That worker, which has no master.
    send_signal(workers[1], Signal::SIGKILL);
    after.wait_admitted(10);
    site.server.wait_log("of a master that has ended: what they held of the limits is given back");
    assert_eq!(master_of(&site.pidfile()), new);
    after.finish_all();
    site.end();
}

#[test]
fn counters_go_on_for_a_scraper_that_asks_throughout() {
    let site = Upgradable::start("workers = 2\nadmin = \"0\"\nlimit-concurrency = 100\n");
    let (admin, address) = (admin_of(&site.server), site.server.address());
    let is_over = AtomicBool::new(false);
    let scrape = || {
        let mut client = Client::try_connect(admin).ok()?;
        client.try_send("GET /metrics HTTP/1.1\r\nHost: t\r\nConnection: close\r\n\r\n").ok()?;
        // The process that has taken the connection may just end.
        let response = client.try_response("GET").ok()?;
        Some(counters(&response.text())).filter(|_| response.status == 200)
    };
    let answered = std::thread::scope(|scope| {
        let scraper = scope.spawn(|| {
            let (mut last, mut count) = (BTreeMap::new(), 0);
            while !is_over.load(Relaxed) {
                if let Some(now) = scrape() {
                    assert_none_went_backwards(&last, &now);
                    (last, count) = (now, count + 1);
                }
            }
            count
        });
        let clients = scope.spawn(|| {
            let mut answered = 0;
            while !is_over.load(Relaxed) {
                let response = Client::try_connect(address).and_then(|mut client| {
                    client.try_send("GET /status/404 HTTP/1.1\r\nHost: t\r\nConnection: close\r\n\r\n")?;
                    client.try_response("GET")
                });
                assert_eq!(response.expect("no request fails").status, 404);
                answered += 1;
            }
            answered
        });
        for _ in 0..3 {
            let (old, _) = site.upgrade();
            eventually("the old master has ended", || reap(old).then_some(()));
        }
        is_over.store(true, Relaxed);
        let scrapes = scraper.join().expect("no counter goes backwards");
        assert!(scrapes > 10, "{scrapes}");
        clients.join().expect("no request fails")
    });
    let of = |name: &str| {
        let all = counters(&get(admin, "/metrics").text());
        all.iter().filter(|(series, _)| series.starts_with(name)).map(|(_, value)| value).sum::<f64>()
    };
    let text =
        "http_server_request_duration_seconds_count{http_request_method=\"GET\",http_response_status_code=\"404\"";
    assert_eq!((of(text), of("tine_upgrades_total{outcome=\"success\"}")), (f64::from(answered), 3.0));
    let status: serde_json::Value =
        serde_json::from_slice(&site.server.ctl(&["status", "--json"]).stdout).expect("one line of JSON");
    assert_eq!(status["status"]["requests"], answered);
    site.end();
}

/// The kernel adds what they have used to no process of the server's.
#[test]
fn cpu_time_of_a_master_and_its_workers_that_are_killed_stays_counted() {
    let site = Upgradable::start("workers = 1\nadmin = \"0\"\n");
    let admin = admin_of(&site.server);
    let total = || counters(&get(admin, "/metrics").text())["tine_cpu_seconds_total"];
    let cpu = |pid: i32| tine_common::resident::cpu_seconds(pid as u32).expect("it lives");
    let use_cpu = |worker: i32| {
        let before = cpu(worker);
        eventually("it has used the CPU", || {
            site.server.get("/bin/64M");
            (cpu(worker) > before + USED).then_some(())
        });
    };
    let old = site.master();
    let workers = workers_of(old);
    total();
    use_cpu(workers[0]);
    // The master wakes once a second, and looks then.
    let wakeups = || {
        let status = std::fs::read_to_string(format!("/proc/{old}/status")).expect("it lives");
        let line = status.lines().find_map(|line| line.strip_prefix("voluntary_ctxt_switches:")).expect("a line");
        line.trim().parse::<u64>().expect("a number")
    };
    let before = wakeups();
    eventually("the master has seen it", || (wakeups() >= before + 2).then_some(()));
    let held = site.holds(1);
    held.wait_admitted(1);
    let (_, new) = site.upgrade();
    let new_worker = workers_of(new)[0];
    let (before, new_before) = (total(), cpu(new_worker));
    workers.into_iter().chain([old]).for_each(|pid| send_signal(pid, Signal::SIGKILL));
    eventually("the old master is gone", || reap(old).then_some(()));
    site.server.wait_log("of a master that has ended: what they held of the limits is given back");
    use_cpu(new_worker);
    let (grown, used) = (total() - before, cpu(new_worker) - new_before);
    assert!(grown > 0.8 * used, "{grown} s, after {used} s of the new worker");
    site.end();
}

#[test]
fn memory_that_does_not_fit_is_made_anew_and_the_log_says_what_that_means() {
    let site = Upgradable::start("workers = 1\nlimit-concurrency = 4\nlimit-wait = \"100s\"\n");
    let mut before = site.holds(4);
    before.wait_admitted(4);
    site.site
        .write("tine.toml", b"workers = 1\nlimit-concurrency = 4\nlimit-wait = \"100s\"\nlimit-rate = \"200000/h\"\n");
    let (old, _) = site.upgrade();
    let line = site.server.wait_log("the shared memory of the master before this one is not taken on");
    for words in [
        "it has room for a rate of at most 131072 requests, and --limit-rate asks for 200000",
        "until that one has exited, each counts for itself, so that up to twice the limits may be in use",
        "counters begin at 0",
    ] {
        assert!(line.contains(words), "{line}");
    }
    let mut after = site.holds(5);
    after.wait_admitted(4);
    assert_eq!(before.admitted(), 4);
    before.finish_all();
    eventually("the old master has ended", || reap(old).then_some(()));
    assert_eq!(after.admitted(), 4);
    // A lower one fits.
    site.site.write("tine.toml", b"workers = 1\nlimit-concurrency = 4\nlimit-wait = \"100s\"\n");
    let (old, _) = site.upgrade();
    let mut last = site.holds(2);
    after.finish_all();
    last.finish_all();
    eventually("the old master has ended", || reap(old).then_some(()));
    assert_eq!(site.server.log().matches("is not taken on").count(), 1, "{}", site.server.log());
    site.end();
}

#[test]
fn the_lease_of_shared_limits_goes_on_as_the_same_server() {
    let redis = Redis::start();
    let options =
        format!("workers = 2\nlimit-concurrency = 10\nlimit-wait = \"100s\"\nlimit-store = \"{}\"\n", redis.url());
    let site = Upgradable::start(&options);
    let store = || {
        let output = site.server.ctl(&["status", "--json"]);
        let said: serde_json::Value = serde_json::from_slice(&output.stdout).expect("one line of JSON");
        let store = &said["status"]["limits"]["store"];
        [&store["servers"], &store["shares"]["concurrency"]].map(|number| number.as_u64().unwrap_or(0))
    };
    let mut before = site.holds(6);
    before.wait_admitted(6);
    for round in 0..2 {
        let (old, new) = site.upgrade();
        let mut after = site.holds(10);
        after.wait_admitted(4);
        assert_eq!(store(), [1, 10], "one server has it all; the log says:\n{}", site.server.log());
        // The process that leases now is killed; the next one goes on.
        let leasing = eventually("the new master's process leases", || {
            let is_it = |pid: &i32| {
                let title = std::fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap_or_default();
                title.starts_with("tine: limit store")
            };
            crate::support::masters::children_of(new).into_iter().find(is_it)
        });
        send_signal(leasing, Signal::SIGKILL);
        before.finish_all();
        eventually("the old master has ended", || reap(old).then_some(()));
        after.wait_admitted(10);
        assert_eq!(store(), [1, 10], "round {round}");
        after.finish_all();
        before = site.holds(6);
        before.wait_admitted(6);
    }
    before.finish_all();
    site.end();
}
