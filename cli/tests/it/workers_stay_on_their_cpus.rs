//! `--cpu-affinity`: each slot's workers, including replacements, may use one CPU; the master may use all.

use crate::support::{Server, eventually, one_line_of, run_to_end, send_signal};
use nix::sys::signal::Signal;
use std::fs;

fn allowed(pid: &str) -> String {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).expect("the process is there");
    let line = status.lines().find_map(|line| line.strip_prefix("Cpus_allowed_list:")).expect("the line");
    line.trim().to_string()
}

fn allowed_to(pids: &[i32]) -> Vec<String> {
    let mut all: Vec<String> = pids.iter().map(|pid| allowed(&pid.to_string())).collect();
    all.sort();
    all
}

/// The CPUs that this test may use, and so its servers.
fn cpus() -> Vec<usize> {
    let text = allowed("self");
    let number = |text: &str| text.parse::<usize>().expect("a number");
    let range = |part: &str| {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        number(first)..=number(last)
    };
    text.split(',').flat_map(range).collect()
}

#[test]
fn auto_takes_all_in_turn() {
    let cpus = cpus();
    let mut expected: Vec<String> = (0..3).map(|slot| cpus[slot % cpus.len()].to_string()).collect();
    expected.sort();
    let server = Server::start(&["--workers", "3", "--cpu-affinity", "auto"]);
    let before = server.workers();
    assert_eq!(allowed_to(&before), expected);
    assert_eq!(allowed(&server.pid().to_string()), allowed("self"));
    send_signal(before[0], Signal::SIGKILL);
    server.wait_replaced(&before);
    // It sets its affinity some time after it was forked.
    eventually("all are bound again", || (allowed_to(&server.workers()) == expected).then_some(()));
}

#[test]
fn a_list_takes_those() {
    let last = cpus().last().expect("one").to_string();
    let server = Server::start(&["--workers", "2", "--cpu-affinity", &last]);
    assert_eq!(allowed_to(&server.workers()), [last.clone(), last]);
    let server = Server::start(&["--workers", "1"]);
    assert_eq!(allowed_to(&server.workers()), [allowed("self")], "off is the default");
}

#[test]
fn an_invalid_cpu_is_reported() {
    for (value, words) in [
        ("1023", "CPU 1023 is not available to this process; choose from"),
        ("all", "give auto, off, or CPUs such as 0-3,8"),
        ("0,0", "give auto, off, or CPUs such as 0-3,8"),
    ] {
        let output = run_to_end(&["run", "0", "--cpu-affinity", value]);
        let line = one_line_of(&output);
        assert_eq!(output.status.code(), Some(2), "{line}");
        assert!(line.contains("--cpu-affinity") && line.contains(words), "{line}");
    }
}
