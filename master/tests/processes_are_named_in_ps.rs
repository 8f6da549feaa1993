//! `ps` tells the master from its workers, and which worker is which, in the short name and in the command line.

mod support;

use std::fs;
use support::{Server, eventually};

fn names(pid: i32) -> (String, String) {
    let read = |file: &str| fs::read_to_string(format!("/proc/{pid}/{file}")).unwrap_or_default();
    let command_line = read("cmdline").trim_end_matches('\0').to_string();
    (read("comm").trim().to_string(), command_line)
}

#[test]
fn processes_are_named_in_ps() {
    let server = Server::start(&["--workers", "12"]);
    let twice = |name: String| (name.clone(), name);
    assert_eq!(names(server.pid()), twice("tine: master".to_string()));
    let workers = server.workers();
    for index in 0..12 {
        let expected = twice(format!("tine: worker {index}"));
        assert_eq!(workers.iter().filter(|&&pid| names(pid) == expected).count(), 1, "{expected:?}");
    }
    // A successor takes the name over.
    let victim = workers.iter().copied().find(|&pid| names(pid).0 == "tine: worker 11").expect("just seen");
    support::send_signal(victim, nix::sys::signal::Signal::SIGKILL);
    let new = server.wait_replaced(&workers);
    eventually("the successor has the name", || (names(new) == twice("tine: worker 11".to_string())).then_some(()));
}
