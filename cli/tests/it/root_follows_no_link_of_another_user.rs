//! What root writes at its start in a directory that another user may write to: no link in it is followed, and no
//! file's owner or content is changed through such a name.

use crate::support::{Server, TINE, one_line_of, run_to_end, scratch_folder};
use nix::sys::signal::Signal;
use nix::unistd::{Uid, User};
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// A directory that every user may enter; in it one directory of the user `nobody` and one of root, and a file of
/// root's.
struct Place {
    folder: PathBuf,
    theirs: PathBuf,
    own: PathBuf,
    victim: PathBuf,
}

impl Place {
    fn new() -> Option<Place> {
        if !Uid::effective().is_root() {
            println!("skipped: only root has more rights than other users");
            return None;
        }
        let folder = Path::new("/run").join(scratch_folder().file_name().expect("a name"));
        let [theirs, own, victim] = ["theirs", "own", "victim"].map(|name| folder.join(name));
        [&folder, &theirs, &own].iter().for_each(|folder| fs::create_dir(folder).expect("a folder"));
        [&folder, &own].iter().for_each(|folder| {
            fs::set_permissions(folder, fs::Permissions::from_mode(0o755)).expect("its mode");
        });
        let other_user = User::from_name("nobody").ok().flatten().expect("every system has the user `nobody`");
        chown(&theirs, Some(other_user.uid.as_raw()), Some(other_user.gid.as_raw())).expect("another owner");
        fs::write(&victim, "precious\n").expect("a file");
        Some(Place { folder, theirs, own, victim })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.folder);
    }
}

fn text(path: &Path) -> &str {
    path.to_str().expect("UTF-8")
}

fn check_with_log(log: &Path) -> Output {
    run_to_end(&["check", "0", "--log-file", text(log)])
}

#[test]
fn to_the_log_file() {
    let Some(place) = Place::new() else { return };
    let by_link = place.theirs.join("link");
    symlink(&place.victim, &by_link).expect("a link");
    let to_nothing = place.theirs.join("to-nothing");
    symlink(place.folder.join("made"), &to_nothing).expect("a link");
    let by_folder = place.theirs.join("folder");
    symlink(&place.own, &by_folder).expect("a link");
    let second_name = place.theirs.join("second-name");
    fs::hard_link(&place.victim, &second_name).expect("a second name");
    // Root's own link leads to a file of the other user's.
    let by_way_of_theirs = place.own.join("log");
    symlink(&by_link, &by_way_of_theirs).expect("a link");
    for log in [by_link, to_nothing, by_folder.join("log2"), second_name, by_way_of_theirs] {
        for command in ["run", "check"] {
            let output = run_to_end(&[command, "0", "--log-file", text(&log)]);
            let line = one_line_of(&output);
            assert_eq!(output.status.code(), Some(1), "{line}");
            let expected = format!("users other than root may write to {}", place.theirs.display());
            assert!(line.contains(text(&log)) && line.contains(&expected), "{line}");
        }
    }
    assert_eq!(fs::read_to_string(&place.victim).expect("it is there"), "precious\n");
    assert!(!place.folder.join("made").exists() && !place.own.join("log2").exists());
}

#[test]
fn but_its_own_links_and_their_regular_files() {
    let Some(place) = Place::new() else { return };
    let log = place.own.join("link");
    symlink(place.own.join("log"), &log).expect("a link of root's");
    for log in [log, place.theirs.join("log"), PathBuf::from("/dev/stderr"), PathBuf::from("/proc/self/fd/2")] {
        let output = check_with_log(&log);
        assert!(output.status.success(), "{}: {}", log.display(), String::from_utf8_lossy(&output.stderr));
    }
}

#[test]
fn no_owner_is_changed_by_name() {
    let Some(place) = Place::new() else { return };
    let trace = place.folder.join("trace");
    let [socket, control, log, pidfile] = ["socket", "control", "log", "pidfile"].map(|name| place.theirs.join(name));
    let listen = format!("unix:{}", socket.display());
    let as_user = ["--user", "nobody", "--log-file", text(&log), "--pidfile", text(&pidfile)];
    let as_root = ["--control", text(&control)];
    for (options, given_count) in [(&as_user[..], 3), (&as_root[..], 0)] {
        let mut command = Command::new("strace");
        command.args(["-f", "-e", "trace=chmod,fchmod,fchmodat,chown,lchown,fchown,fchownat", "-o", text(&trace)]);
        command.args([TINE, "run", "--workers", "1", "--listen", &listen]).args(options);
        let mut server = Server::start_command(&mut command);
        let mode = fs::symlink_metadata(&control).map(|file| file.mode() & 0o777).ok();
        assert_eq!(mode, (given_count == 0).then_some(0o600));
        // The master is the child of strace.
        server.workers().into_iter().for_each(|pid| crate::support::send_signal(pid, Signal::SIGTERM));
        server.wait_exit();
        let calls = fs::read_to_string(&trace).expect("the trace");
        let calls: Vec<&str> = calls.lines().filter(|line| line.contains("ch") && line.contains('(')).collect();
        let by_name: Vec<&&str> = calls.iter().filter(|call| call.contains(text(&place.theirs))).collect();
        let given: Vec<&&str> =
            calls.iter().filter(|call| call.contains(" fchown(") || call.contains("AT_EMPTY_PATH")).collect();
        assert!(by_name.is_empty(), "{by_name:#?}");
        assert_eq!(given.len(), given_count, "{given:#?}");
    }
}
