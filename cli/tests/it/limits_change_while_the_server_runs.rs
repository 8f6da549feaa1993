//! `tine ctl limit` shows the limits and changes them at once; what it sets survives reloads, new workers and upgrades,
//! until the configuration itself changes that value.

use crate::support::masters::{adopt_orphans, master_of, reap};
use crate::support::site::Site;
use crate::support::{Client, Server, TINE, busy, eventually, send_signal};
use nix::sys::signal::Signal;
use std::process::{Command, Output};

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&[&output.stdout[..], &output.stderr[..]].concat()).into_owned()
}

/// The outcome of `tine ctl limit`, which succeeds.
#[track_caller]
fn limit(server: &Server, changes: &[&str]) -> String {
    let output = server.ctl(&[&["limit"], changes].concat());
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    said(&output)
}

/// The value of a setting, and whether it was set while the server runs.
fn setting(server: &Server, name: &str) -> (String, bool) {
    let output = server.ctl(&["limit", "--json"]);
    let answer: serde_json::Value = serde_json::from_slice(&output.stdout).expect("one line of JSON");
    let limits = &answer["status"]["limits"];
    let value = limits["settings"][name].as_str().unwrap_or_else(|| panic!("{name} in {answer}"));
    let set = limits["set_by_ctl"].as_array().expect("a list");
    let is_set = set.iter().any(|change| change.as_str().is_some_and(|text| text.starts_with(&format!("{name}="))));
    (value.to_string(), is_set)
}

/// How many of these requests are answered while all of them are held.
fn admitted(server: &Server, requests: usize) -> usize {
    let clients: Vec<Option<Client>> = (0..requests).map(|_| busy(server)).collect();
    clients.iter().flatten().count()
}

#[test]
fn a_change_is_in_force_at_once_and_in_new_workers() {
    let server = Server::start(&["--workers", "2", "--limit-concurrency", "3", "--limit-wait", "0"]);
    assert_eq!(admitted(&server, 5), 3);
    let text = limit(&server, &["concurrency=5", "rate=1000/min", "wait=0s"]);
    assert_eq!(text, "concurrency=5 (was 3), rate=1000/min (was off), wait=0s (was 0s)\n");
    server.wait_log("tine ctl: limits changed: concurrency=5 (was 3), rate=1000/min (was off)");
    eventually("all have ended", || (server.in_flight() == 0).then_some(()));
    assert_eq!(admitted(&server, 7), 5);
    let before = server.workers();
    before.iter().for_each(|&pid| send_signal(pid, Signal::SIGKILL));
    server.wait_gone(&before);
    eventually("new workers serve", || (server.get("/health").status == 200).then_some(()));
    eventually("what the dead held is back", || (admitted(&server, 7) == 5).then_some(()));
    limit(&server, &["concurrency=off", "rate=off"]);
    eventually("all have ended", || (server.in_flight() == 0).then_some(()));
    assert_eq!(admitted(&server, 9), 9);
}

#[test]
fn the_table_shows_every_limit_its_use_and_state() {
    let server = Server::start(&["--workers", "1", "--limit-concurrency", "10", "--limit-memory", "1G"]);
    let _held = busy(&server).expect("room");
    let text = eventually("it is measured", || Some(limit(&server, &[])).filter(|text| text.contains("descriptors")));
    let row = |name: &str| {
        let line = text.lines().find(|line| line.starts_with(name)).unwrap_or_else(|| panic!("{name} in\n{text}"));
        line.split_whitespace().map(str::to_string).collect::<Vec<_>>()
    };
    assert_eq!(row("LIMIT")[..4], ["LIMIT", "VALUE", "USED", "STATE"]);
    assert_eq!(row("concurrency")[..4], ["concurrency", "10", "1", "normal"]);
    assert_eq!((row("memory")[1].as_str(), row("memory")[3].as_str()), ("1G", "normal"));
    assert!(row("memory")[2].ends_with('M'), "{text}");
    assert_eq!(row("rate"), ["rate", "off"]);
    assert_eq!(row("warn"), ["warn", "80%,", "wait", "1s,", "queue", "1000,", "dry-run", "off"]);
    assert!(text.lines().all(|line| line.len() <= 80), "{text}");
    let status = said(&server.ctl(&["status"]));
    assert!(status.contains("  limits      concurrency 1 of 10\n"), "{status}");
    assert!(status.contains("  held back   0 requests wait, 0 waited, 0 refused\n"), "{status}");
    let unlimited = Server::start(&["--workers", "1"]);
    assert!(!said(&unlimited.ctl(&["status"])).contains("limits"), "nothing is limited");
}

#[test]
fn what_is_wrong_is_refused_and_changes_nothing() {
    let server = Server::start(&["--workers", "1", "--limit-concurrency", "10"]);
    for (change, status, hint) in [
        ("concurrency=0", 2, "from 1 to"),
        ("concurrency", 2, "is not NAME=VALUE"),
        ("colour=red", 2, "there are concurrency, rate,"),
        ("rate=16000000/h", 1, "needs a restart"),
        ("wait=1h", 1, "--graceful-timeout"),
    ] {
        let output = server.ctl(&["limit", "warn=70%", change]);
        assert_eq!(output.status.code(), Some(status), "{change}: {}", said(&output));
        assert!(said(&output).contains(hint), "{change}: {}", said(&output));
    }
    assert_eq!(setting(&server, "warn"), ("80%".to_string(), false));
    assert_eq!(setting(&server, "concurrency"), ("10".to_string(), false));
}

#[test]
fn a_reload_keeps_what_was_set_unless_the_file_changes_it() {
    let site = Site::of(&[("tine.toml", b"workers = 1\nlimit-concurrency = 10\nlimit-rate = \"100/min\"\n")]);
    let server = Server::start_command(
        Command::new(TINE).args(["run", "0", "--config", "tine.toml"]).current_dir(site.path("")),
    );
    limit(&server, &["concurrency=20", "rate=200/min"]);
    let reload = || assert_eq!(server.ctl(&["reload"]).status.code(), Some(0), "{}", server.log());
    reload();
    assert_eq!(setting(&server, "concurrency"), ("20".to_string(), true));
    site.write("tine.toml", b"workers = 1\nlimit-concurrency = 15\nlimit-rate = \"100/min\"\n");
    reload();
    assert_eq!(setting(&server, "concurrency"), ("15".to_string(), false));
    assert_eq!(setting(&server, "rate"), ("200/min".to_string(), true));
    server.wait_log("limit concurrency is 15, as configured; tine ctl had set it to 20");
    site.write("tine.toml", b"workers = 1\nlimit-concurrency = 10\nlimit-rate = \"100/min\"\n");
    reload();
    assert_eq!(setting(&server, "concurrency"), ("10".to_string(), false), "the old value brings nothing back");
}

#[test]
fn an_upgrade_keeps_what_was_set() {
    adopt_orphans();
    let site = Site::of(&[("tine.toml", b"workers = 1\nlimit-concurrency = 10\nlimit-rate = \"100/min\"\n")]);
    let pidfile = site.path("pid");
    let server = Server::start_command(
        Command::new(TINE).args(["run", "0", "--config", "tine.toml", "--pidfile", "pid"]).current_dir(site.path("")),
    );
    limit(&server, &["concurrency=20", "rate=200/min"]);
    // Changed since: this value is the file's.
    site.write("tine.toml", b"workers = 1\nlimit-concurrency = 10\nlimit-rate = \"300/min\"\n");
    for _ in 0..2 {
        let before = master_of(&pidfile);
        assert_eq!(server.ctl(&["upgrade"]).status.code(), Some(0), "{}", server.log());
        eventually("another master serves", || (master_of(&pidfile) != before).then_some(()));
        server.wait_log("limits set by tine ctl are kept: concurrency=20");
        assert_eq!(setting(&server, "concurrency"), ("20".to_string(), true));
        assert_eq!(setting(&server, "rate"), ("300/min".to_string(), false));
        if before != server.pid() {
            eventually("the old master has ended", || reap(before).then_some(()));
        }
    }
    assert_eq!(server.get("/any").status, 200);
    let last = master_of(&pidfile);
    send_signal(last, Signal::SIGTERM);
    eventually("the last master has ended", || reap(last).then_some(()));
}
