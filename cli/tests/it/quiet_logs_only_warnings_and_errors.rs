//! `--quiet`: no banner, and only warnings and errors are logged, unless TINE_LOG asks for more.

use crate::support::{Client, Server, TINE, eventually, run_to_end, run_to_end_with, scratch_folder, send_signal};
use nix::sys::signal::Signal;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A server on a Unix socket: without a banner a TCP port would be unknown.
fn start(options: &[&str], environment: &[(&str, &str)]) -> (Server, PathBuf) {
    let path = scratch_folder().join("socket");
    let mut command = Command::new(TINE);
    command
        .arg("run")
        .arg("--listen")
        .arg(format!("unix:{}", path.display()))
        .args(["--workers", "1", "--backlog", "16"])
        .args(options);
    let server = Server::spawn(command.env_remove("TINE_LOG").envs(environment.iter().copied()));
    (server, path)
}

/// Waits until it answers.
#[track_caller]
fn wait_answer(server: &Server, path: &Path) {
    let mut client = eventually(&format!("it can be reached; the log says:\n{}", server.log()), || {
        Client::try_connect_unix(path).ok()
    });
    client.send("GET /health HTTP/1.1\r\nHost: t\r\nConnection: close\r\n\r\n");
    assert_eq!(client.response().status, 200);
}

/// Stops it; returns the levels of all lines that it logged.
#[track_caller]
fn stop(mut server: Server, path: &Path) -> (Vec<String>, Server) {
    assert_eq!(server.stop(Signal::SIGTERM).code(), Some(0), "{}", server.log());
    std::fs::remove_dir(path.parent().expect("a folder")).expect("the socket is removed");
    let level = |line: &str| line.split(' ').nth(1).unwrap_or_default().to_string();
    (server.log().lines().map(level).collect(), server)
}

#[test]
fn only_warnings_and_errors_are_logged() {
    for (options, environment) in [(&["--quiet"][..], &[][..]), (&[], &[("TINE_QUIET", "yes")])] {
        let (server, path) = start(options, environment);
        wait_answer(&server, &path);
        let before = server.workers();
        send_signal(before[0], Signal::SIGKILL);
        server.wait_log("was killed by SIGKILL");
        server.wait_replaced(&before);
        wait_answer(&server, &path);
        let (levels, server) = stop(server, &path);
        assert_eq!(levels, ["WARN"], "{}", server.log());
        assert_eq!(server.stdout(), "");
    }
}

#[test]
fn without_it_the_same_server_logs_more() {
    let (mut server, path) = start(&[], &[("TINE_QUIET", "no")]);
    server.wait_ready();
    assert!(server.stdout().contains(&format!("unix:{}", path.display())), "{}", server.stdout());
    let (levels, server) = stop(server, &path);
    assert!(levels.iter().filter(|level| *level == "INFO").count() >= 3, "{}", server.log());
}

#[test]
fn an_explicit_level_takes_precedence() {
    let (server, path) = start(&["--quiet"], &[("TINE_LOG", "info")]);
    server.wait_log("serving the built-in test origin");
    wait_answer(&server, &path);
    let (levels, server) = stop(server, &path);
    assert!(levels.iter().filter(|level| *level == "INFO").count() >= 3, "{}", server.log());
    assert_eq!(server.stdout(), "", "the level applies to the log, not to the banner");

    let (server, path) = start(&["--quiet"], &[("TINE_LOG", "off")]);
    wait_answer(&server, &path);
    let before = server.workers();
    send_signal(before[0], Signal::SIGKILL);
    server.wait_replaced(&before);
    wait_answer(&server, &path);
    let (levels, _) = stop(server, &path);
    assert_eq!(levels, Vec::<String>::new());
}

#[test]
fn a_check_and_a_mistake_are_printed_all_the_same() {
    let said = |arguments: &[&str]| String::from_utf8(run_to_end(arguments).stdout).expect("UTF-8");
    let words = |text: String| text.split_whitespace().collect::<Vec<_>>().join(" ");
    let (loud, quiet) = (words(said(&["check", "0"])), words(said(&["check", "0", "--quiet"])));
    assert!(loud.contains("quiet off"), "{loud}");
    assert_eq!(loud.replace("quiet off default", "quiet on command line"), quiet);
    let output = run_to_end_with(&["run", "0", "--quiet", "--workers", "1025"], &[("TINE_LOG", "off")]);
    assert_eq!(output.status.code(), Some(2));
    assert!(crate::support::one_line_of(&output).contains("--workers"));
}
