//! If a full disk does not take a help text, a version or an answer, that is a failure: a script that saves it would go
//! on with half of it.

use crate::support::{Server, TINE};
use std::fs::File;
use std::process::{Command, Stdio};

#[test]
fn a_full_disk_is_status_1() {
    let server = Server::start(&["--workers", "1"]);
    let port = server.address().port().to_string();
    for arguments in [
        &["--help"][..],
        &["--version"],
        &["run", "--help"],
        &["check", "0"],
        &["ctl", "status", "--control", &port],
        &["ctl", "workers", "--json", "--control", &port],
    ] {
        let full = File::options().write(true).open("/dev/full").expect("/dev/full");
        let mut command = Command::new(TINE);
        command.args(arguments).env("XDG_RUNTIME_DIR", server.folder()).stdin(Stdio::null()).stdout(full);
        let output = command.output().expect("tine runs");
        let line = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{arguments:?}: {line}");
        assert!(line.contains("cannot write to standard output: No space left"), "{arguments:?}: {line}");
    }
}

/// As in `tine --help | head -1`.
#[test]
fn a_reader_that_closes_the_pipe_is_not_a_failure() {
    let mut command = Command::new("sh");
    command.args(["-c", &format!("{{ sleep 0.2; {TINE} run --help; echo $? >&2; }} | true")]);
    let output = command.output().expect("sh runs");
    assert_eq!(String::from_utf8_lossy(&output.stderr).trim(), "0");
}
