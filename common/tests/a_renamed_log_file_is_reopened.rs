//! What logrotate does: rename the file, then have it opened again. The file is this process's own standard error while
//! the first test runs; nothing else in here writes there.

use nix::unistd::dup;
use std::fs;
use std::io::Write;
use std::os::fd::AsFd;
use std::os::unix::fs::{MetadataExt, symlink};
use std::path::{Path, PathBuf};
use tine_common::log::{LogFile, reopen};

fn folder() -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("log-{}", std::process::id()));
    fs::create_dir_all(&folder).expect("a scratch folder");
    folder
}

fn say(text: &str) {
    std::io::stderr().write_all(text.as_bytes()).expect("the file takes it");
}

#[test]
fn a_renamed_log_file_is_opened_again() {
    let folder = folder();
    let (log, old) = (folder.join("log"), folder.join("log.1"));
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
        // Nothing may be made by that name: what is open goes on.
        fs::remove_file(&log).expect("removed");
        fs::rename(&old, folder.join("log.2")).expect("renamed");
        fs::create_dir(&log).expect("a folder");
        let why = reopen().expect_err("a folder is no file");
        assert!(why.contains("log") && why.contains("what was open goes on being used"), "{why}");
        say("fourth\n");
        fs::remove_dir(&log).expect("removed");
        reopen().expect("a new file");
        say("fifth\n");
        assert_eq!(fs::read_to_string(&log).expect("text"), "fifth\n");
        // Nobody reads the pipe, and nobody waits for a reader.
        fs::remove_file(&log).expect("removed");
        nix::unistd::mkfifo(&log, nix::sys::stat::Mode::S_IRWXU).expect("a pipe");
        reopen().expect_err("nobody reads");
        fs::remove_file(&log).expect("removed");
    };
    let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(check));
    nix::unistd::dup2_stderr(terminal.as_fd()).expect("standard error back");
    outcome.unwrap_or_else(|panic| std::panic::resume_unwind(panic));
    let _ = fs::remove_dir_all(&folder);
}

#[test]
fn only_a_plain_file_under_its_own_name_is_given_away() {
    let folder = folder().with_extension("given");
    fs::create_dir_all(&folder).expect("a scratch folder");
    let owner = |path: &Path| fs::metadata(path).map(|metadata| (metadata.uid(), metadata.gid())).expect("metadata");
    let (somebody, nobody) = (owner(&folder), (65534, 65534));
    if somebody.0 != 0 {
        println!("skipped: only root gives files away");
        return;
    }
    let give = |path: &Path| LogFile::open(path).and_then(|file| file.give_to(nobody.0, nobody.1)).expect("no error");
    let log = folder.join("log");
    give(&log);
    assert_eq!(owner(&log), nobody);
    let (secret, link, name) = (folder.join("secret"), folder.join("link"), folder.join("name"));
    fs::write(&secret, "").expect("a file");
    symlink(&secret, &link).expect("a link");
    give(&link);
    assert_eq!(owner(&secret), somebody, "behind a link");
    fs::hard_link(&secret, &name).expect("a second name");
    give(&name);
    assert_eq!(owner(&secret), somebody, "with a second name");
    let _ = fs::remove_dir_all(&folder);
}
