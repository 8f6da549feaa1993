//! `--user` and `--group`: what needs root is done as root; then the master, the workers and the preflight's process
//! are that user for good, with that user's groups and no others.

use crate::support::tls::{Pair, TlsClients};
use crate::support::{
    Client, Server, TINE, copy_program, eventually, lua, one_line_of, run_to_end, scratch_folder, within_patience,
};
use nix::sys::signal::Signal;
use nix::unistd::{Uid, User};
use serde_json::Value;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Command, Output};

/// The ids of the user `nobody`: without privileges, and in the system's tables.
fn unprivileged() -> (u32, u32) {
    let unprivileged = User::from_name("nobody").ok().flatten().expect("every system has the user `nobody`");
    (unprivileged.uid.as_raw(), unprivileged.gid.as_raw())
}

fn is_root() -> bool {
    let is_root = Uid::effective().is_root();
    if !is_root {
        println!("skipped: only root can change its user");
    }
    is_root
}

/// The fields of a line of /proc/PID/status.
fn status(pid: i32, name: &str) -> Vec<String> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).expect("the process is there");
    let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':')).expect("the line");
    line.split_whitespace().map(str::to_string).collect()
}

#[track_caller]
fn expect_is(pid: i32, uid: u32, gid: u32) {
    // Real, effective, saved, and that of the file system.
    assert_eq!(status(pid, "Uid"), vec![uid.to_string(); 4]);
    assert_eq!(status(pid, "Gid"), vec![gid.to_string(); 4]);
    assert_eq!(status(pid, "Groups"), [gid.to_string()]);
    assert_eq!(status(pid, "NoNewPrivs"), ["1"]);
    for set in ["CapEff", "CapPrm", "CapInh"] {
        assert_eq!(status(pid, set), ["0000000000000000"], "{set}");
    }
    let owner = fs::metadata(format!("/proc/{pid}/smaps_rollup")).expect("the process is there").uid();
    assert_eq!(owner, uid, "the master can read its workers' memory figures");
}

/// A directory that every user may enter, and in which only root may write.
fn folder_of_root() -> PathBuf {
    let folder = std::env::temp_dir().join(scratch_folder().file_name().expect("a name"));
    fs::create_dir(&folder).expect("a folder");
    fs::set_permissions(&folder, fs::Permissions::from_mode(0o755)).expect("its mode");
    folder
}

#[test]
fn master_and_workers_are_that_user() {
    if !is_root() {
        return;
    }
    let (uid, gid) = unprivileged();
    // The groups of root are not kept.
    let mut command = Command::new("setpriv");
    command.args(["--groups", "4,24", TINE, "run", "0", "--workers", "2", "--user", "nobody"]);
    let mut server = Server::start_command(&mut command);
    let before = server.workers();
    for pid in [&before[..], &[server.pid()]].concat() {
        expect_is(pid, uid, gid);
    }
    // A worker is not replaced as root either.
    crate::support::send_signal(before[0], Signal::SIGKILL);
    expect_is(server.wait_replaced(&before), uid, gid);
    assert_eq!(server.get("/health").status, 200);
    assert_eq!(server.stop(Signal::SIGTERM).code(), Some(0), "{}", server.log());
}

#[test]
fn a_number_is_enough_with_a_group() {
    if !is_root() {
        return;
    }
    let server = Server::start(&["--workers", "1", "--user", "54321", "--group", "54322"]);
    for pid in [server.workers()[0], server.pid()] {
        expect_is(pid, 54321, 54322);
    }
    let output = run_to_end(&["run", "0", "--user", "54321"]);
    let line = one_line_of(&output);
    assert!(output.status.code() == Some(2) && line.contains("--user 54321") && line.contains("--group"), "{line}");
}

#[test]
fn a_group_alone_leaves_root_root() {
    if !is_root() {
        return;
    }
    let server = Server::start(&["--workers", "1", "--group", "54322"]);
    let worker = server.workers()[0];
    assert_eq!((status(worker, "Uid")[0].as_str(), status(worker, "Gid")[0].as_str()), ("0", "54322"));
    assert_eq!(status(worker, "Groups"), ["54322"]);
}

#[test]
fn files_are_created_as_root_and_chowned() {
    if !is_root() {
        return;
    }
    let (uid, gid) = unprivileged();
    for may_write in [true, false] {
        let folder = folder_of_root();
        if may_write {
            chown(&folder, Some(uid), Some(gid)).expect("another owner");
        }
        let file = |name: &str| folder.join(name);
        let [socket, pidfile, log] = ["socket", "pidfile", "log"].map(file);
        let listen = format!("unix:{}", socket.display());
        let options = ["--workers", "1", "--user", "nobody", "--umask", "077", "--listen", &listen, "--pidfile"];
        let mut command = Command::new(TINE);
        command.args(["run", "0"]).args(options).arg(&pidfile).arg("--log-file").arg(&log);
        let mut server = Server::start_command(&mut command);
        for path in [&socket, &pidfile, &log] {
            let found = fs::symlink_metadata(path).expect("the file");
            assert_eq!((found.uid(), found.gid()), (uid, gid), "{}", path.display());
            assert_eq!(found.mode() & 0o077, 0, "{}: {:o}", path.display(), found.mode());
        }
        assert_eq!(fs::read_to_string(&pidfile).expect("the pidfile"), format!("{}\n", server.pid()));
        assert!(Client::try_connect_unix(&socket).is_ok());
        assert_eq!(server.stop(Signal::SIGTERM).code(), Some(0), "{}", server.log());
        let left = fs::read_to_string(&pidfile).ok();
        assert_eq!(left.as_deref(), if may_write { None } else { Some("") }, "an empty one names no process");
        assert_eq!(socket.exists(), !may_write);
        // A file that could not be removed does not prevent the next start.
        drop(Server::start_command(&mut command));
        fs::remove_dir_all(folder).expect("the folder");
    }
}

#[test]
fn a_preflight_is_that_user_as_well() {
    if !is_root() {
        return;
    }
    let folder = folder_of_root();
    let app = "local id = io.popen('id -u; id -G; grep NoNewPrivs /proc/self/status')
        error('I am ' .. id:read('a'):gsub('%s+', ' '))";
    fs::write(folder.join("app.lua"), app).expect("an app");
    let mut command = within_patience(TINE);
    command.args(["check", "app.lua", "--user", "nobody"]).current_dir(&folder);
    let output = command.output().expect("tine runs");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    let (uid, gid) = unprivileged();
    assert!(said.contains(&format!("I am {uid} {gid} NoNewPrivs: 1")), "{said}");
    assert!(!said.contains("may not enter"), "{said}");
    // What it may not enter is not found, and the message explains it.
    fs::set_permissions(&folder, fs::Permissions::from_mode(0o700)).expect("its mode");
    let said = String::from_utf8_lossy(&command.output().expect("tine runs").stderr).into_owned();
    assert!(
        said.contains("Permission denied") && said.contains("this user may not enter the working directory"),
        "{said}"
    );
    fs::remove_dir_all(folder).expect("the folder");
}

/// Keys are read before root is given up. Then the kernel shows the memory of these processes to root alone.
#[test]
fn keys_that_only_root_can_read_are_served_and_hidden() {
    if !is_root() {
        return;
    }
    let folder = folder_of_root();
    let pair = Pair { cert: folder.join("cert.pem"), key: folder.join("key.pem") };
    pair.become_like(&Pair::of(&["localhost"]));
    for (mode, is_warned) in [(0o600, true), (0o644, false)] {
        fs::set_permissions(&pair.key, fs::Permissions::from_mode(mode)).expect("its mode");
        let server = Server::start_https(&pair, &["--workers", "4", "--user", "nobody"]);
        assert!(TlsClients::trusting(&pair).get(server.https(), "localhost", "/health").contains("200 OK"));
        let warning = format!("{} is not readable for the user of the server any more", pair.key.display());
        assert_eq!(server.log().contains(&warning), is_warned, "{}", server.log());
        assert_eq!(server.log().contains("LoadCredential="), is_warned, "{}", server.log());
        assert_eq!(server.ctl(&["reload"]).status.success(), !is_warned, "{}", server.log());
        let processes = [&server.workers()[..], &[server.pid()]].concat();
        for pid in &processes {
            let owner = fs::metadata(format!("/proc/{pid}/smaps_rollup")).expect("the process is there").uid();
            assert_eq!((status(*pid, "Uid")[0].as_str(), owner), (unprivileged().0.to_string().as_str(), 0));
        }
        // The master, which may not look at them either, counts the memory of all.
        let shown: Value = serde_json::from_slice(&server.ctl(&["status", "--json"]).stdout).expect("JSON");
        let bytes = shown["status"]["memory_bytes"].as_u64().expect("bytes");
        let own_kib = |pid: &i32| status(*pid, "RssAnon")[0].parse::<u64>().expect("KiB");
        let of_workers: u64 = server.workers().iter().map(own_kib).sum();
        assert!(bytes > of_workers * 1024, "{bytes} bytes are shown, the workers have {of_workers} KiB");
    }
    fs::remove_dir_all(folder).expect("the folder");
}

#[test]
fn an_app_that_runs_as_root_is_warned_of() {
    if !is_root() {
        return;
    }
    let folder = folder_of_root();
    let app = "return function(environ, start_response) start_response('200 OK', {}) return { 'hello' } end";
    fs::write(folder.join("app.lua"), app).expect("an app");
    let warning = "app.lua runs as root; --user USER runs it as another user, --allow-root hides";
    for (options, is_warned) in [(&[][..], true), (&["--allow-root"], false), (&["--user", "nobody"], false)] {
        let server = lua::serve_from(&folder, "app.lua", options, &[("TINE_ALLOW_ROOT", "false")]);
        assert_eq!(server.get("/").text(), "hello");
        assert_eq!(server.log().contains(warning), is_warned, "{options:?}: {}", server.log());
        let path = folder.join("app.lua");
        let output = run_to_end(&[&["check", path.to_str().unwrap()], options].concat());
        assert_eq!(String::from_utf8_lossy(&output.stdout).contains("runs as root"), is_warned, "{options:?}");
    }
    // The origin and files are not code of the user's.
    assert!(!Server::start(&["--workers", "1"]).log().contains("runs as root"));
    fs::remove_dir_all(folder).expect("the folder");
}

#[test]
fn a_user_other_than_root_keeps_its_identity() {
    if !is_root() {
        return;
    }
    let (uid, gid) = unprivileged();
    let as_nobody = |options: &[&str]| -> std::io::Result<Output> {
        let mut command = Command::new(TINE);
        command.args(["check", "0"]).args(options).uid(uid).gid(gid).current_dir("/").output()
    };
    match as_nobody(&["--user", "root"]) {
        Err(e) => println!("skipped: the user `nobody` may not run the binary: {e}"),
        Ok(output) => {
            let line = one_line_of(&output);
            assert_eq!(output.status.code(), Some(1), "{line}");
            assert!(line.contains("--user root (0): only root can change its user"), "{line}");
            let output = as_nobody(&["--user", "nobody"]).expect("as before");
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
            let output = as_nobody(&["--group", "0"]).expect("as before");
            assert!(one_line_of(&output).contains("--group root (0): only root can change its user"));
        }
    }
}

#[test]
fn a_binary_that_takes_over_is_that_user_too() {
    if !is_root() {
        return;
    }
    let (uid, gid) = unprivileged();
    let folder = folder_of_root();
    chown(&folder, Some(uid), Some(gid)).expect("another owner");
    let [binary, pidfile] = ["tine", "pidfile"].map(|name| folder.join(name));
    copy_program(TINE, &binary);
    let mut command = Command::new(&binary);
    command.args(["run", "0", "--workers", "1", "--user", "nobody", "--pidfile"]).arg(&pidfile);
    let mut server = Server::start_command(&mut command);
    let read = || fs::read_to_string(&pidfile).ok().and_then(|text| text.trim().parse::<i32>().ok());
    server.signal(Signal::SIGUSR2);
    let successor = eventually("another process has taken over", || read().filter(|&pid| pid != server.pid()));
    assert_eq!(server.wait_exit().code(), Some(0), "{}", server.log());
    expect_is(successor, uid, gid);
    assert_eq!(server.get("/health").status, 200);
    crate::support::send_signal(successor, Signal::SIGTERM);
    server.wait_gone(&[successor]);
    fs::remove_dir_all(folder).expect("the folder");
}
