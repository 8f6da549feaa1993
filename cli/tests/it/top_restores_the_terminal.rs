//! `tine top` shows a running server, follows it when it exits and starts again, and restores the terminal however it
//! ends.

use crate::support::pty::InTerminal;
use crate::support::{Server, TINE, eventually, one_line_of, run_to_end, within_patience};
use nix::sys::signal::Signal;
use std::process::Command;

const SHOW_CURSOR: &str = "\x1b[?25h";
const ENTER: &str = "\x1b[?1049h";
const LEAVE: &str = "\x1b[?1049l";

fn top(path: &str) -> InTerminal {
    let mut command = Command::new(TINE);
    InTerminal::start(command.args(["top", "--interval", "100ms", "--control", path]).env_remove("NO_COLOR"))
}

/// A server with its control socket at this path.
fn server_at(path: &str) -> Server {
    Server::start(&["--workers", "2", "--control", path])
}

fn path_in(folder: &std::path::Path) -> String {
    folder.join("c").to_str().expect("a path in UTF-8").to_string()
}

#[track_caller]
fn expect_restored(terminal: &InTerminal) {
    let end = eventually("the terminal is given back", || {
        let said = terminal.said();
        Some(said.clone()).filter(|said| said.rfind(LEAVE) > said.rfind(ENTER) && said.ends_with(SHOW_CURSOR))
    });
    assert!(end.contains(ENTER), "it had taken it");
    assert!(terminal.is_cooked(), "lines and echo are as before");
}

#[test]
fn when_the_user_quits_and_when_it_is_signalled() {
    let folder = crate::support::scratch_folder();
    let path = path_in(&folder);
    let server = server_at(&path);
    for (keys, signal, status) in [
        (&b"q"[..], None, 0),
        (b"\x03", None, 0), // Ctrl-C
        (b"\x1b", None, 0), // Escape
        (b"", Some(Signal::SIGTERM), 128 + 15),
        (b"", Some(Signal::SIGHUP), 128 + 1),
        (b"", Some(Signal::SIGINT), 128 + 2),
    ] {
        let mut terminal = top(&path);
        terminal.wait_shown(&server.workers()[1].to_string());
        assert!(!terminal.is_cooked(), "keys arrive one by one");
        terminal.press(keys);
        signal.into_iter().for_each(|signal| terminal.signal(signal));
        assert_eq!(terminal.wait_exit().code(), Some(status), "{keys:?} {signal:?}");
        expect_restored(&terminal);
    }
    std::fs::remove_dir_all(&folder).expect("the folder is ours");
}

/// Its arguments are a program and its arguments, which get a terminal that goes away once they have written to it.
const HANG_UP: &str = r#"
import os, pty, sys, time
pid, terminal = pty.fork()
if pid == 0:
    os.execv(sys.argv[1], sys.argv[1:])
said = b""
while len(said) < 500:
    said += os.read(terminal, 65536)
os.close(terminal)
for _ in range(100):
    ended, status = os.waitpid(pid, os.WNOHANG)
    if ended:
        print(os.waitstatus_to_exitcode(status))
        break
    time.sleep(0.1)
else:
    os.kill(pid, 9)
"#;

#[test]
fn it_ends_with_its_terminal() {
    let folder = crate::support::scratch_folder();
    let path = path_in(&folder);
    let _server = server_at(&path);
    let arguments = ["-c", HANG_UP, TINE, "top", "--control", &path];
    let ended = within_patience("python3").args(arguments).output().expect("python3 runs");
    assert_eq!(String::from_utf8_lossy(&ended.stdout).trim(), "129", "{ended:?}");
    std::fs::remove_dir_all(&folder).expect("the folder is ours");
}

#[test]
fn a_server_that_exits_and_a_new_one_are_shown() {
    let folder = crate::support::scratch_folder();
    let path = path_in(&folder);
    let mut first = server_at(&path);
    let mut terminal = top(&path);
    terminal.wait_shown(&first.workers()[0].to_string());
    first.stop(Signal::SIGKILL);
    terminal.wait_shown("trying again");
    let second = server_at(&path);
    terminal.wait_shown(&second.workers()[0].to_string());
    drop(second);
    terminal.press(b"q");
    assert_eq!(terminal.wait_exit().code(), Some(0));
    expect_restored(&terminal);
    std::fs::remove_dir_all(&folder).expect("the folder is ours");
}

#[test]
fn an_upgrade_is_followed() {
    let folder = crate::support::scratch_folder();
    let path = path_in(&folder);
    let server = server_at(&path);
    let mut terminal = top(&path);
    terminal.wait_shown(&server.workers()[0].to_string());
    // The old master stays until this is answered, and still reports the connections that it has.
    let mut client = server.connect();
    client.send("GET /delay/60000 HTTP/1.1\r\nHost: t\r\n\r\n");
    terminal.wait_shown("in flight 1 ");
    let output = run_to_end(&["ctl", "--control", &path, "upgrade"]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let output = run_to_end(&["ctl", "--control", &path, "workers", "--json"]);
    let answer: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_ne!(answer["status"]["pid"], server.pid(), "another master answers");
    let worker = &answer["status"]["workers"][0]["pid"];
    terminal.wait_shown(&worker.to_string());
    terminal.press(b"q");
    assert_eq!(terminal.wait_exit().code(), Some(0));
    drop(server);
    std::fs::remove_dir_all(&folder).expect("the folder is ours");
}

#[test]
fn keys_sort_and_choose() {
    let folder = crate::support::scratch_folder();
    let path = path_in(&folder);
    let _server = server_at(&path);
    let mut terminal = top(&path);
    for (keys, text) in [
        (&b"\x1b[B"[..], "\nworker 1: 0 in flight"), // down
        (b"\x1b[A", "\nworker 0: 0 in flight"),      // up
        (b"s", "sort: state"),
        (b"r", "sort: state, reversed"),
        (b"b", "bars: req/s"),
        (b"j", "\nworker 1: 0 in flight"),
    ] {
        terminal.press(keys);
        terminal.wait_shown(text);
    }
    let before = terminal.said().len();
    terminal.press(b"\x0c"); // Ctrl-L
    eventually("all of it is drawn anew", || {
        let since = terminal.said().split_off(before);
        ["\x1b[2J", "\x1b[J"].iter().any(|clear| since.contains(clear)).then_some(())
    });
    terminal.wait_shown("\nworker 1: 0 in flight");
    terminal.press(b"q");
    assert_eq!(terminal.wait_exit().code(), Some(0));
    std::fs::remove_dir_all(&folder).expect("the folder is ours");
}

#[test]
fn a_terminal_that_changes_its_size_is_filled() {
    let folder = crate::support::scratch_folder();
    let path = path_in(&folder);
    let _server = server_at(&path);
    let mut terminal = top(&path);
    terminal.wait_shown("\nq quit");
    assert_eq!(terminal.screen().lines().position(|line| line.starts_with("q quit")), Some(23));
    terminal.resize(60, 12);
    eventually("the keys are in the last line", || {
        terminal.screen().lines().nth(11).filter(|line| line.starts_with("q quit")).map(|_| ())
    });
    terminal.resize(20, 3);
    terminal.wait_shown("too small");
    terminal.press(b"q");
    assert_eq!(terminal.wait_exit().code(), Some(0));
    expect_restored(&terminal);
    std::fs::remove_dir_all(&folder).expect("the folder is ours");
}

#[test]
fn without_a_terminal_or_a_server_there_is_a_one_line_error() {
    let output = run_to_end(&["top"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(one_line_of(&output).contains("`tine ctl workers`"), "{output:?}");
    let mut terminal = top("/no/such/x.ctl");
    assert_eq!(terminal.wait_exit().code(), Some(3));
    terminal.wait_shown("/no/such/x.ctl: there is no such socket");
    assert!(!terminal.said().contains(ENTER), "{:?}", terminal.said());
    for (arguments, words) in [(["--interval", "1ms"], "100ms"), (["--interval", "x"], "10s")] {
        let output = run_to_end(&[&["top"], &arguments[..]].concat());
        assert_eq!(output.status.code(), Some(2));
        assert!(one_line_of(&output).contains(words), "{output:?}");
    }
}
