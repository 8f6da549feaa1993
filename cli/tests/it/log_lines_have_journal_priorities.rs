//! Where standard error is the journal's stream, each line begins with its priority and has no time, as the journal
//! adds it; anywhere else lines have a time with milliseconds.

use crate::support::{Server, TINE, scratch_folder};
use nix::sys::signal::Signal;
use std::process::Command;

/// A server whose standard error is named by `JOURNAL_STREAM`, as systemd does for a service.
fn under_journal(arguments: &str) -> Command {
    let mut command = Command::new("sh");
    let stream = "JOURNAL_STREAM=$(stat -L -c %d:%i /proc/self/fd/2); export JOURNAL_STREAM";
    command.args(["-c", &format!("{stream}; exec {TINE} {arguments}")]);
    command
}

#[test]
fn lines_of_the_journal_begin_with_their_priority() {
    let folder = scratch_folder();
    let app = folder.join("app.lua");
    std::fs::write(&app, "return function() error('first\\nsecond') end").expect("an app");
    let app = app.to_str().expect("UTF-8");
    let mut server = Server::start_command(&mut under_journal(&format!(
        "run {app} 0 --workers 1 --log-level debug --max-unavailable 1"
    )));
    assert_eq!(server.get("/x").status, 500);
    server.stop(Signal::SIGTERM);
    let log = server.log();
    for line in log.lines() {
        let (priority, rest) = line.split_at_checked(3).unwrap_or_else(|| panic!("{line:?}"));
        let expected = match rest.split(' ').next() {
            Some("ERROR") => "<3>",
            Some("WARN") => "<4>",
            Some("INFO") => "<6>",
            Some("DEBUG") => "<7>",
            _ => "<3>", // the continuation of an error
        };
        assert_eq!(priority, expected, "{line}");
    }
    for words in ["<3>ERROR worker 0[", "<3>  second", "<6>INFO master[", "<7>DEBUG master["] {
        assert!(log.contains(words), "{words} is not in {log}");
    }
    let mut refused = Server::spawn(&mut under_journal("run 0 --workers 1025"));
    refused.wait_exit();
    assert!(refused.log().starts_with("<3>tine: "), "{}", refused.log());
}

#[test]
fn other_streams_get_the_time_to_the_millisecond() {
    let mut server = Server::start_with(&["--workers", "1"], &[("JOURNAL_STREAM", "8:1")]);
    server.stop(Signal::SIGTERM);
    for line in server.log().lines() {
        let time = line.split(' ').next().expect("a time").as_bytes();
        let shape: String = time.iter().map(|b| if b.is_ascii_digit() { '9' } else { char::from(*b) }).collect();
        assert_eq!(shape, "9999-99-99T99:99:99.999Z", "{line}");
    }
    // A log file is not the journal's stream, even if the service has one.
    let file = scratch_folder().join("log");
    let mut server =
        Server::start_command(&mut under_journal(&format!("run 0 --workers 1 --log-file {}", file.display())));
    server.stop(Signal::SIGTERM);
    let log = std::fs::read_to_string(&file).expect("a log");
    assert!(log.lines().count() > 1 && log.lines().all(|line| line.starts_with("20")), "{log}");
}
