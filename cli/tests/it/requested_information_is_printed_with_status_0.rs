//! `--version`, `--help` and `check` print to standard output, fit 80 columns, and exit with status 0.

use crate::apps;
use crate::support::lua::folder_with;
use crate::support::{Server, TINE, run_to_end};
use std::process::Command;

#[track_caller]
fn said(arguments: &[&str]) -> String {
    let output = run_to_end(arguments);
    assert_eq!(output.status.code(), Some(0), "{arguments:?}");
    assert!(output.stderr.is_empty(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("UTF-8")
}

#[test]
fn the_version() {
    assert_eq!(said(&["--version"]), format!("tine {}\n", env!("CARGO_PKG_VERSION")));
}

#[test]
fn the_help_is_grouped_and_fits_80_columns() {
    let own_app = apps::app("own_app").args(["run", "--help"]).output().expect("the example runs");
    let own_app = String::from_utf8(own_app.stdout).expect("UTF-8");
    assert!(own_app.contains("Usage: own_app run [OPTIONS] [PORT]\n"), "{own_app}");
    assert!(!own_app.contains("APP"), "a user's own app takes none: {own_app}");
    let help = said(&["run", "--help"]);
    assert!(help.contains("Usage: tine run [OPTIONS] [APP] [PORT]\n"), "{help}");
    assert!(help.contains("PORT is TINE_PORT, APP is TINE_APP"), "{help}");
    for arguments in [
        &["--help"][..],
        &["run", "--help"],
        &["check", "--help"],
        &["run", "-h"],
        &["ctl", "--help"],
        &["top", "--help"],
    ] {
        let help = said(arguments);
        for line in help.lines() {
            assert!(line.chars().count() <= 80, "{arguments:?}: {line:?}");
            assert!(!line.ends_with("[default:"), "{arguments:?}: a default is split across lines: {line:?}");
        }
    }
    let help = said(&["run", "--help"]);
    for group in ["Listening:", "Processes:", "Limits:", "Timeouts:", "Lua application:", "Built-in origin:"] {
        assert!(help.lines().any(|line| line == group), "{group} in {help}");
    }
    assert!(help.contains("TINE_IDLE_TIMEOUT") && help.contains("500ms, 10s"), "{help}");
    assert!(!help.contains("is\nTINE_IDLE_TIMEOUT,\n"), "lines that are wrapped twice: {help}");
}

#[test]
fn a_check_prints_what_would_run_and_does_not_serve() {
    let text = said(&["check", "0", "--workers", "3", "--idle-timeout", "90s", "--header-max", "32K"]);
    let words = text.split_whitespace().collect::<Vec<_>>().join(" ");
    for expected in [
        "would serve the built-in test origin",
        "127.0.0.1:0",
        "workers 3",
        "idle-timeout 90s",
        "header-max 32K",
        "mem-interval 10s",
        "quiet off",
        "buffer-size 256K",
        "stream-mb 10",
        "chunk-size 4K",
    ] {
        assert!(words.contains(expected), "{expected:?} is not in {text}");
    }
}

#[test]
fn a_check_names_each_option_of_the_help() {
    let folder = folder_with(&[("app.lua", "function app() end")]);
    let app = folder.join("app.lua");
    let app = app.to_str().expect("a path in UTF-8");
    let text = said(&["check", "0"]) + &said(&["check", app]);
    std::fs::remove_dir_all(&folder).expect("the folder is ours");
    for line in said(&["run", "--help"]).lines() {
        let Some(option) = line.trim_start().strip_prefix("--").and_then(|line| line.split(' ').next()) else {
            continue;
        };
        if !["host", "listen", "tls-listen", "grpc"].contains(&option) {
            assert!(text.lines().any(|line| line.trim_start().starts_with(option)), "{option:?} is not in {text}");
        }
    }
}

/// The kernel's setting; `None` if it cannot be read.
fn setting(path: &str) -> Option<u32> {
    std::fs::read_to_string(path).ok()?.trim().parse().ok()
}

#[test]
fn limits_of_the_kernel_are_reported_by_check_and_run() {
    let clips = setting("/proc/sys/net/core/somaxconn").is_some_and(|most| most < 2_000_000_000);
    let lacks_fastopen = setting("/proc/sys/net/ipv4/tcp_fastopen").is_some_and(|bits| bits & 2 == 0);
    let expected = [("--backlog 2000000000 is limited to", clips), ("--tcp-fastopen has no effect", lacks_fastopen)];
    let options = ["--workers", "1", "--backlog", "2000000000", "--tcp-fastopen"];
    let text = said(&[&["check", "0"], &options[..]].concat());
    let server = Server::start(&options);
    for (words, expected) in expected {
        assert_eq!(text.contains(&format!("\nwarning: {words}")), expected, "{words:?} in {text}");
        assert_eq!(server.log().contains(&format!("] {words}")), expected, "{words:?} in {}", server.log());
    }
    assert!(!said(&["check", "0", "--backlog", "1"]).contains("warning"), "the kernel lowers nothing");
}

#[test]
fn options_may_stand_before_the_command() {
    for arguments in [
        &["--workers", "3", "check", "0"][..],
        &["--workers=3", "check", "0"],
        &["--tcp-fastopen", "--workers", "3", "check", "0"],
        &["--chunk-size", "1K", "--workers", "3", "check", "0"],
        &["--listen", "127.0.0.1:0", "--workers", "3", "check"],
        &["--chunk-size", "1K", "check", "builtin", "--workers", "3", "0", "--no-faults"],
    ] {
        let text = said(arguments);
        assert!(text.lines().any(|line| line.split_whitespace().take(2).eq(["workers", "3"])), "{arguments:?}: {text}");
    }
    let scratch = crate::support::scratch_folder();
    let output = Command::new(TINE).args(["--pidfile", "run", "check", "0"]).current_dir(&scratch).output();
    let text = String::from_utf8(output.expect("tine runs").stdout).expect("UTF-8");
    assert!(
        text.lines().any(|line| line.split_whitespace().take(2).eq(["pidfile", "run"])),
        "a value, not a command: {text}"
    );
    std::fs::remove_dir(&scratch).expect("the check left no file");
    assert_eq!(said(&["--workers", "3", "run", "--help"]), said(&["run", "--help"]));
    assert_eq!(said(&["-V", "run"]), said(&["--version"]));
    assert_eq!(said(&["--help", "run"]), said(&["-h"]));
    let server = Server::start_command(Command::new(TINE).args(["--workers", "2", "run", "0"]));
    assert_eq!(server.workers().len(), 2);
}

#[test]
fn a_server_prints_where_it_listens_and_what_to_try() {
    let server = Server::start(&["--workers", "2"]);
    let text = server.stdout();
    let port = server.address().port();
    assert!(text.contains("with 2 workers"), "{text}");
    assert!(text.contains(&format!("\n  http://127.0.0.1:{port}\n")), "{text}");
    assert!(text.contains(&format!("Try:  curl http://127.0.0.1:{port}/help")), "{text}");
    assert!(text.contains(&format!("kill {}", server.pid())), "{text}");
    assert!(server.log().contains("open files: limit"), "{}", server.log());
}

#[test]
fn without_a_command_it_prints_its_usage() {
    let output = Command::new(TINE).output().expect("tine runs");
    assert_eq!(output.status.code(), Some(0));
    assert!(String::from_utf8_lossy(&output.stdout).contains("Usage: tine <COMMAND>"));
}
