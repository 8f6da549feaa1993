//! `tine ctl` reaches a server through its control socket: its output, its effects, its exit status.

use crate::support::{Server, eventually, freeze, one_line_of, run_to_end, run_to_end_with, send_signal};
use nix::sys::signal::Signal;
use serde_json::Value;
use std::process::Output;

fn text(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).expect("UTF-8")
}

#[track_caller]
fn json(output: &Output) -> Value {
    serde_json::from_str(&text(output)).expect("one line of JSON")
}

#[test]
fn status_and_workers_are_printed_in_80_columns_and_in_json() {
    let server = Server::start(&["--workers", "2"]);
    server.get("/health");
    let status = server.ctl(&["status"]);
    assert_eq!(status.status.code(), Some(0), "{}", String::from_utf8_lossy(&status.stderr));
    let said = text(&status);
    let pid = server.pid();
    for words in [&format!("process {pid}, for "), "2 ready of 2", "serving, generation 1", &server.url("")] {
        assert!(said.contains(words), "{words:?} is not in {said}");
    }
    let workers = server.ctl(&["workers"]);
    let table = text(&workers);
    for (line, pid) in table.lines().skip(1).zip(server.workers()) {
        assert!(line.contains(&pid.to_string()) && line.contains(" ready "), "{table}");
    }
    assert_eq!(table.lines().count(), 3, "{table}");
    assert!((said + &table).lines().all(|line| line.chars().count() <= 80), "{table}");

    let status = json(&server.ctl(&["status", "--json"]));
    assert_eq!((&status["ok"], &status["status"]["pid"]), (&Value::from(true), &Value::from(pid)));
    assert_eq!(status["status"]["requests"], 1);
    assert!(status["status"]["workers"].is_null(), "the workers are only in `workers`");
    let workers = json(&server.ctl(&["workers", "--json"]));
    let pids = workers["status"]["workers"].as_array().expect("workers").iter();
    assert_eq!(pids.map(|worker| worker["pid"].as_i64().unwrap() as i32).collect::<Vec<_>>(), server.workers());
}

#[test]
fn it_answers_while_every_worker_hangs() {
    let server = Server::start(&["--workers", "2"]);
    server.workers().into_iter().for_each(freeze);
    let workers = json(&server.ctl(&["workers", "--json"]));
    assert_eq!(workers["status"]["workers"].as_array().map(Vec::len), Some(2));
    server.workers().into_iter().for_each(|pid| send_signal(pid, Signal::SIGCONT));
}

#[test]
fn commands_are_carried_out() {
    let server = Server::start(&["--workers", "1"]);
    let count = |wanted: usize| eventually("the workers", || (server.workers().len() == wanted).then_some(()));
    for (order, workers) in [(&["add"][..], 2), (&["scale", "4"], 4), (&["remove"], 3)] {
        assert_eq!(server.ctl(order).status.code(), Some(0), "{order:?}");
        count(workers);
    }
    let before = server.workers();
    assert_eq!(server.ctl(&["recycle", "1"]).status.code(), Some(0));
    server.wait_replaced(&before);
    assert_eq!(server.ctl(&["reopen-logs"]).status.code(), Some(0));
}

#[test]
fn a_command_that_fails_is_status_1() {
    let server = Server::start(&["--workers", "2"]);
    for command in ["drain", "recycle"] {
        let output = server.ctl(&[command, "7"]);
        assert_eq!(output.status.code(), Some(1));
        assert!(one_line_of(&output).contains("there is no slot 7"), "{output:?}");
        let output = server.ctl(&[command, "7", "--json"]);
        assert_eq!((output.status.code(), &json(&output)["ok"]), (Some(1), &Value::from(false)));
    }
}

#[test]
fn stop_waits_until_the_server_is_gone() {
    let mut server = Server::start(&["--workers", "2"]);
    let output = server.ctl(&["stop"]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    // It has closed everything; only its parent, this test, has not reaped it yet.
    assert_eq!(server.wait_exit().code(), Some(0));
    assert!(server.log().contains("drained"), "{}", server.log());
    let output = server.ctl(&["status"]);
    assert_eq!(output.status.code(), Some(3), "{output:?}");
    assert!(one_line_of(&output).contains(&format!("no server on port {}", server.address().port())), "{output:?}");
    assert_eq!(std::fs::read_dir(server.folder().join("tine")).expect("the folder").count(), 0, "its socket is gone");
}

#[test]
fn a_server_that_hangs_is_status_4() {
    let server = Server::start(&["--workers", "1"]);
    freeze(server.pid());
    let output = server.ctl(&["status", "--timeout", "100ms"]);
    send_signal(server.pid(), Signal::SIGCONT);
    assert_eq!(output.status.code(), Some(4), "{output:?}");
    assert!(one_line_of(&output).contains("no answer within 100ms"), "{output:?}");
}

#[test]
fn wrong_use_is_status_2_and_no_server_is_3() {
    let table: &[(&[&str], i32, &[&str])] = &[
        (&["stauts"], 2, &["'stauts'", "'status'"]),
        (&["scale"], 2, &["<N>"]),
        (&["scale", "0"], 2, &["from 1 to 1024"]),
        (&["scale", "1025"], 2, &["from 1 to 1024"]),
        (&["drain"], 2, &["<SLOT>"]),
        (&["drain", "-1"], 2, &["-1"]),
        (&["recycle", "x"], 2, &["SLOT"]),
        (&["status", "--bogus"], 2, &["--bogus", "`tine ctl --help`"]),
        (&["status", "--control", "65536"], 2, &["--control", "65535"]),
        (&["status", "--control", "none"], 2, &["--control", "a path, a port or auto"]),
        (&["status", "--control", ""], 2, &["--control"]),
        (&["status", "--timeout", "10"], 2, &["--timeout", "10s"]),
        (&["status", "--control", "/no/such/x.ctl"], 3, &["/no/such/x.ctl", "no such socket"]),
        (&["--control", "/dev/null", "status"], 3, &["/dev/null"]),
    ];
    for (arguments, status, words) in table {
        let output = run_to_end(&[&["ctl"], *arguments].concat());
        let line = one_line_of(&output);
        assert_eq!(output.status.code(), Some(*status), "{arguments:?}: {line}");
        assert!(words.iter().all(|word| line.contains(word)), "{arguments:?}: {line}");
    }
    let output = run_to_end_with(&["ctl", "status"], &[("TINE_CONTROL", "/no/such/y.ctl")]);
    assert!(one_line_of(&output).contains("/no/such/y.ctl"), "{output:?}");
}

#[test]
fn a_given_path_is_used_or_refused() {
    let server = Server::start(&["--workers", "1"]);
    let path = server.folder().join("c");
    let path = path.to_str().expect("a path in UTF-8");
    let first = Server::start(&["--workers", "1", "--control", path]);
    assert!(first.log().contains(&format!("control socket: {path}")), "{}", first.log());
    let output = run_to_end(&["ctl", "--control", path, "status", "--json"]);
    assert_eq!(json(&output)["status"]["pid"], first.pid());
    for command in ["run", "check"] {
        let output = run_to_end(&[command, "0", "--control", path]);
        assert_eq!(output.status.code(), Some(1), "{output:?}");
        let line = one_line_of(&output);
        assert!(line.contains("--control") && line.contains("another server listens there"), "{line}");
    }
    let output = run_to_end(&["ctl", "--control", path, "status", "--json"]);
    assert_eq!(json(&output)["status"]["pid"], first.pid(), "a check leaves it alone");
}

#[test]
fn a_draining_server_gives_up_the_path() {
    let folder = crate::support::scratch_folder();
    let path = folder.join("c").to_str().expect("a path in UTF-8").to_string();
    let mut old = Server::start(&["--workers", "1", "--control", &path]);
    let mut client = old.connect();
    client.send("GET /delay/60000 HTTP/1.1\r\nHost: t\r\n\r\n");
    let ask = || json(&run_to_end(&["ctl", "--control", &path, "status", "--json"]))["status"].clone();
    eventually("the request is in flight", || (ask()["in_flight"] == 1).then_some(()));
    old.signal(Signal::SIGTERM);
    eventually("it drains", || (ask()["state"] == "draining").then_some(()));
    let new = Server::start(&["--workers", "1", "--control", &path]);
    assert_eq!(ask()["pid"], new.pid());
    old.stop(Signal::SIGQUIT);
    assert_eq!(ask()["pid"], new.pid(), "the old server's exit leaves the path to the new one");
    drop(new);
    std::fs::remove_dir_all(&folder).expect("the folder is ours");
}

#[test]
fn none_turns_it_off() {
    let server = Server::start(&["--workers", "1", "--control", "none"]);
    assert_eq!(server.ctl(&["status"]).status.code(), Some(3));
    assert!(!server.log().contains("control socket"), "{}", server.log());
}

/// A worker that never answered a request and that an operator drains is not a crash: its replacement starts at once, each time.
#[test]
fn drains_of_idle_workers_are_no_crashes() {
    let server = Server::start(&["--workers", "2"]);
    for _ in 0..3 {
        let before = server.workers();
        assert_eq!(server.ctl(&["drain", "0"]).status.code(), Some(0), "{}", server.log());
        server.wait_replaced(&before);
    }
    assert!(!server.log().contains("never answered") && !server.log().contains("quick deaths"), "{}", server.log());
}
