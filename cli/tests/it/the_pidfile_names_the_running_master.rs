//! The pidfile names the master while it runs, and is removed at its end; one that names a running process is refused.

use crate::support::pidfile::{named_by, pidfile, start_with};
use crate::support::{Server, one_line_of, run_to_end, scratch_folder};
use nix::sys::signal::Signal;
use std::fs;
use std::path::Path;
use std::process::Command;

/// Stops the server and checks that its directory is empty again.
fn expect_removed(mut server: Server, pidfile: &Path, signal: Signal) {
    assert_eq!(server.stop(signal).code(), Some(0));
    fs::remove_dir(pidfile.parent().expect("a folder")).expect("nothing is left in the folder");
}

#[test]
fn written_and_removed() {
    for signal in [Signal::SIGTERM, Signal::SIGINT, Signal::SIGQUIT] {
        let pidfile = pidfile();
        let server = start_with(&pidfile);
        assert_eq!(named_by(&pidfile), Some(server.pid()));
        expect_removed(server, &pidfile, signal);
    }
}

#[test]
fn one_that_names_a_running_process_is_refused_and_kept() {
    let pidfile = pidfile();
    let server = start_with(&pidfile);
    let output = run_to_end(&["run", "0", "--pidfile", pidfile.to_str().expect("UTF-8")]);
    let line = one_line_of(&output);
    assert_eq!(output.status.code(), Some(1), "{line}");
    assert!(line.contains(&format!("names process {}, which is running", server.pid())), "{line}");
    assert!(line.contains("stop it or give another file"), "{line}");
    assert_eq!(named_by(&pidfile), Some(server.pid()));
    expect_removed(server, &pidfile, Signal::SIGTERM);
}

#[test]
fn a_stale_one_is_replaced() {
    // The process id of a process that is gone, and text that is not a process id at all.
    let mut gone = Command::new("true").spawn().expect("true");
    gone.wait().expect("it ends");
    for text in [gone.id().to_string(), String::new(), "nonsense".to_string(), "0".to_string(), "-1".to_string()] {
        let pidfile = pidfile();
        fs::write(&pidfile, &text).expect("a file of the test");
        let server = start_with(&pidfile);
        assert_eq!(named_by(&pidfile), Some(server.pid()), "{text:?} is replaced");
        expect_removed(server, &pidfile, Signal::SIGTERM);
    }
}

#[test]
fn a_killed_masters_pidfile_is_replaced() {
    let pidfile = pidfile();
    let mut first = start_with(&pidfile);
    first.stop(Signal::SIGKILL);
    assert_eq!(named_by(&pidfile), Some(first.pid()));
    let second = start_with(&pidfile);
    assert_eq!(named_by(&pidfile), Some(second.pid()));
    expect_removed(second, &pidfile, Signal::SIGTERM);
}

#[test]
fn a_successors_is_not_removed() {
    let pidfile = pidfile();
    let mut server = start_with(&pidfile);
    fs::write(&pidfile, "1\n").expect("another process's now");
    assert_eq!(server.stop(Signal::SIGTERM).code(), Some(0));
    assert_eq!(named_by(&pidfile), Some(1));
    fs::remove_dir_all(pidfile.parent().expect("a folder")).expect("the folder is ours");
}

#[test]
fn without_its_directory_it_is_refused() {
    let pidfile = scratch_folder();
    let path = pidfile.join("no/such/pid");
    let output = run_to_end(&["run", "0", "--pidfile", path.to_str().expect("UTF-8")]);
    let line = one_line_of(&output);
    assert_eq!(output.status.code(), Some(1), "{line}");
    assert!(line.contains("--pidfile") && line.contains("create it or give another file"), "{line}");
    fs::remove_dir(&pidfile).expect("nothing was made");
}

#[test]
fn where_no_file_can_be_written_it_is_refused_by_check_too() {
    let folder = scratch_folder();
    let folder_text = folder.to_str().expect("UTF-8");
    for command in ["run", "check"] {
        for (path, words) in [("/proc/nope", "no file can be written to /proc"), (folder_text, "is a directory")] {
            let output = run_to_end(&[command, "0", "--pidfile", path]);
            let line = one_line_of(&output);
            assert_eq!(output.status.code(), Some(1), "{line}");
            assert!(line.contains("--pidfile") && line.contains(words), "{line}");
        }
    }
    fs::remove_dir(&folder).expect("nothing was made");
}

#[test]
fn a_check_leaves_none() {
    let pidfile = pidfile();
    let output = run_to_end(&["check", "0", "--pidfile", pidfile.to_str().expect("UTF-8")]);
    assert!(output.status.success(), "{output:?}");
    fs::remove_dir(pidfile.parent().expect("a folder")).expect("nothing is left in the folder");
}
