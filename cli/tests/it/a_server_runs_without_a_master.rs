//! `--workers 0`: a single process serves, drains and exits by itself.

use crate::support::masters::children_of;
use crate::support::{Server, TINE, eventually, lua, one_line_of, run_to_end, scratch_folder};
use nix::sys::signal::Signal;
use std::fs;
use std::process::Command;
use std::time::Duration;

#[test]
fn it_serves_in_the_process_itself_and_finishes_what_is_in_flight() {
    for signal in [Signal::SIGTERM, Signal::SIGINT] {
        let mut server = Server::start(&["--workers", "0"]);
        assert_eq!(server.get("/health").status, 200);
        assert!(children_of(server.pid()).is_empty());
        assert!(server.stdout().contains(" with one process and no master on\n"), "{}", server.stdout());
        let mut client = server.connect();
        client.send("GET /delay/700 HTTP/1.1\r\nHost: t\r\n\r\n");
        eventually("the request is there", || {
            (!client.is_readable_within(Duration::from_millis(50)).ok()?).then_some(())
        });
        server.signal(signal);
        server.wait_log("stopping; finishing 1 request");
        let response = client.response();
        assert_eq!((response.status, response.header("connection")), (200, Some("close")));
        assert_eq!(server.wait_exit().code(), Some(0), "{}", server.log());
    }
}

#[test]
fn a_second_signal_ends_it_at_once() {
    let mut server = Server::start(&["--workers", "0"]);
    let mut client = server.connect();
    client.send("GET /delay/3600000 HTTP/1.1\r\nHost: t\r\n\r\n");
    eventually("the request is there", || (!client.is_readable_within(Duration::from_millis(50)).ok()?).then_some(()));
    server.signal(Signal::SIGTERM);
    server.wait_log("stopping; finishing 1 request");
    server.signal(Signal::SIGTERM);
    assert_eq!(server.wait_exit().code(), Some(0), "{}", server.log());
    assert!(server.log().contains("cut 1 connection in use, by a second signal"), "{}", server.log());
}

#[test]
fn what_its_signals_do_is_logged() {
    let folder = scratch_folder();
    let (log, renamed) = (folder.join("access"), folder.join("access.1"));
    let path = log.to_str().expect("a path in UTF-8");
    let mut server = Server::start(&["--workers", "0", "--access-log", path]);
    fs::rename(&log, &renamed).expect("the log");
    server.signal(Signal::SIGUSR1);
    server.wait_log("SIGUSR1: log reopened");
    assert!(log.exists(), "it is there once that is said");
    let mut client = server.connect();
    client.send("GET /delay/3600000 HTTP/1.1\r\nHost: t\r\n\r\n");
    eventually("the request is there", || (!client.is_readable_within(Duration::from_millis(50)).ok()?).then_some(()));
    assert_eq!(server.stop(Signal::SIGQUIT).code(), Some(0), "{}", server.log());
    assert!(server.log().contains("SIGQUIT: stopping at once, 1 request in flight"), "{}", server.log());
    fs::remove_dir_all(&folder).expect("the scratch folder");
}

#[test]
fn tine_ctl_says_that_it_may_have_no_control_socket() {
    let server = Server::start(&["--workers", "0"]);
    let output = server.ctl(&["status"]);
    assert_eq!(output.status.code(), Some(3), "{output:?}");
    let (line, port) = (one_line_of(&output), server.address().port());
    assert!(
        line.contains(&format!("process {} (tine) listens on port {port}, but no control socket", server.pid())),
        "{line}"
    );
    assert!(line.contains("a server with --workers 0 or --control none has none and only takes signals"), "{line}");
}

#[test]
fn its_files_are_removed() {
    let folder = scratch_folder();
    let (socket, pidfile) = (folder.join("socket"), folder.join("pid"));
    let mut command = Command::new(TINE);
    command.args(["run", "--workers", "0", "--listen"]).arg(format!("unix:{}", socket.display()));
    let mut server = Server::start_command(command.arg("--pidfile").arg(&pidfile));
    assert_eq!(fs::read_to_string(&pidfile).expect("the pidfile").trim(), server.pid().to_string());
    assert!(socket.exists());
    assert_eq!(server.stop(Signal::SIGTERM).code(), Some(0), "{}", server.log());
    fs::remove_dir(&folder).expect("nothing is left in it");
}

#[test]
fn an_app_in_lua_is_served_and_its_failure_is_reported() {
    let server = lua::serve(lua::PATH_APP, &["--workers", "0", "--allow-root"]);
    assert_eq!(server.get("/x").text(), "the app: /x");
    let mut command = crate::apps::app("faults");
    let mut server = Server::spawn(command.args(["run", "0", "--workers", "0"]).env("FAULTS_BOOT", "error"));
    assert_eq!(server.wait_exit().code(), Some(3), "{}", server.log());
    assert!(server.log().contains("the app could not be built: "), "{}", server.log());
}

#[test]
fn options_of_the_master_are_reported_as_having_no_effect() {
    let server = Server::start(&["--workers", "0", "--max-requests", "1", "--control", "none"]);
    server.wait_log(" WARN server[");
    let line = server.wait_log("--max-requests, --control have no effect with --workers 0: there is no master");
    assert!(line.contains(&format!("server[{}]", server.pid())), "{line}");
    assert_eq!([server.get("/health").status, server.get("/health").status], [200, 200]);
    let output = run_to_end(&["check", "0", "--workers", "0"]);
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(said.lines().any(|line| line.split_whitespace().take(2).eq(["workers", "0"])), "{said}");
    let output = run_to_end(&["run", "0", "--workers", "0", "--listen", "unix:/no/such/directory/s"]);
    assert_eq!(output.status.code(), Some(1), "{}", one_line_of(&output));
}
