//! Log rotation: the file is renamed and then reopened. The file is this process's own standard error while the first
//! test runs; nothing else here writes to it.

use nix::unistd::dup;
use std::fs;
use std::io::Write;
use std::os::fd::AsFd;
use std::os::unix::fs::{MetadataExt, symlink};
use std::path::{Path, PathBuf};
use tine_common::log::{LogFile, reopen};

fn directory() -> PathBuf {
    let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("log-{}", std::process::id()));
    fs::create_dir_all(&directory).expect("a scratch directory");
    directory
}

fn say(text: &str) {
    std::io::stderr().write_all(text.as_bytes()).expect("the file takes it");
}

#[test]
fn a_renamed_log_file_is_reopened() {
    let directory = directory();
    let (log, old) = (directory.join("log"), directory.join("log.1"));
    let terminal = dup(std::io::stderr()).expect("a descriptor");
    let check = || {
        reopen().expect("nothing to do without a file");
        fs::write(&log, "from before\n").expect("a file");
        LogFile::open(&log).expect("a file").put_in_place().expect("in place");
        say("first\n");
        fs::rename(&log, &old).expect("renamed");
        say("second\n");
        assert_eq!(fs::read_to_string(&old).expect("text"), "from before\nfirst\nsecond\n");
        reopen().expect("a new file");
        say("third\n");
        assert_eq!(fs::read_to_string(&log).expect("text"), "third\n");
        // No file can be created by that name: the open one is still used.
        fs::remove_file(&log).expect("removed");
        fs::rename(&old, directory.join("log.2")).expect("renamed");
        fs::create_dir(&log).expect("a directory");
        let why = reopen().expect_err("a directory is not a file");
        assert!(why.contains("log") && why.contains("still writing to the old one"), "{why}");
        say("fourth\n");
        fs::remove_dir(&log).expect("removed");
        reopen().expect("a new file");
        say("fifth\n");
        assert_eq!(fs::read_to_string(&log).expect("text"), "fifth\n");
        // The pipe has no reader, and opening it does not wait for one.
        fs::remove_file(&log).expect("removed");
        nix::unistd::mkfifo(&log, nix::sys::stat::Mode::S_IRWXU).expect("a pipe");
        reopen().expect_err("it has no reader");
        fs::remove_file(&log).expect("removed");
    };
    let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(check));
    nix::unistd::dup2_stderr(terminal.as_fd()).expect("standard error back");
    outcome.unwrap_or_else(|panic| std::panic::resume_unwind(panic));
    let _ = fs::remove_dir_all(&directory);
}

#[test]
fn only_a_regular_file_under_its_own_name_is_given_away() {
    let directory = directory().with_extension("given");
    fs::create_dir_all(&directory).expect("a scratch directory");
    let owner = |path: &Path| fs::metadata(path).map(|metadata| (metadata.uid(), metadata.gid())).expect("metadata");
    let (own, other) = (owner(&directory), (65534, 65534));
    if own.0 != 0 {
        println!("skipped: only root gives files away");
        return;
    }
    let give = |path: &Path| LogFile::open(path).and_then(|file| file.give_to(other.0, other.1)).expect("no error");
    let log = directory.join("log");
    give(&log);
    assert_eq!(owner(&log), other);
    let (secret, link, name) = (directory.join("secret"), directory.join("link"), directory.join("name"));
    fs::write(&secret, "").expect("a file");
    symlink(&secret, &link).expect("a link");
    give(&link);
    assert_eq!(owner(&secret), own, "the target of a link");
    fs::hard_link(&secret, &name).expect("a second name");
    give(&name);
    assert_eq!(owner(&secret), own, "with a second name");
    let _ = fs::remove_dir_all(&directory);
}
