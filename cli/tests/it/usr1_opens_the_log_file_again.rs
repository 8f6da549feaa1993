//! USR1 after a rename, as logrotate does it: master and workers go on in a new file, or in the old one if there can be
//! no new one.

use crate::support::lua::folder_with;
use crate::support::{Server, TINE, eventually};
use nix::sys::signal::Signal;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Each request logs a line with the worker's process id.
const APP: &str = r#"
function app(environ, start_response)
  start_response("200 OK", {})
  tine.log("info", "asked for " .. environ.PATH_INFO)
  return tostring(environ["tine.worker"])
end
"#;

fn wait_for(path: &Path, text: &str) -> String {
    eventually(&format!("{} says {text:?}", path.display()), || {
        fs::read_to_string(path).ok().filter(|said| said.contains(text))
    })
}

/// Sends requests until every worker has logged something, and returns the processes that logged it in this file.
fn workers_in(server: &Server, log: &Path, path: &str) -> Vec<i32> {
    eventually("every worker writes to the file", || {
        assert_eq!(server.get(path).status, 200);
        let said = fs::read_to_string(log).unwrap_or_default();
        let lines = said.lines().filter(|line| line.contains(&format!("asked for {path}")));
        let pid = |line: &str| line.split_once('[')?.1.split_once(']')?.0.parse().ok();
        let mut pids: Vec<i32> = lines.filter_map(pid).collect();
        pids.sort_unstable();
        pids.dedup();
        (pids.len() == server.workers().len()).then_some(pids)
    })
}

fn start() -> (Server, PathBuf) {
    let folder = folder_with(&[("app.lua", APP)]);
    let (app, log) = (folder.join("app.lua"), folder.join("log"));
    let mut command = Command::new(TINE);
    // Each worker has a queue of its own, so that a hash chooses among them.
    command.args(["run", "0", "--workers", "2", "--accept", "per-worker", "--log-file"]).arg(&log).arg(&app);
    (Server::start_command(&mut command), folder)
}

#[test]
fn master_and_workers_go_on_in_a_new_file() {
    let (mut server, folder) = start();
    let (log, old) = (folder.join("log"), folder.join("log.1"));
    workers_in(&server, &log, "/before");
    fs::rename(&log, &old).expect("renamed");
    assert_eq!(server.get("/renamed").status, 200);
    wait_for(&old, "asked for /renamed");
    server.signal(Signal::SIGUSR1);
    wait_for(&log, "SIGUSR1");
    // The master has signalled the workers by then; each handles the signal before the next request.
    let in_old = fs::read_to_string(&old).expect("text").len();
    let mut pids = workers_in(&server, &log, "/after");
    let mut workers = server.workers();
    pids.sort_unstable();
    workers.sort_unstable();
    assert_eq!(pids, workers);
    assert_eq!(server.stop(Signal::SIGTERM).code(), Some(0));
    wait_for(&log, "drained: ");
    let said = fs::read_to_string(&old).expect("text");
    assert_eq!(said.len(), in_old, "no process writes to the old file any more: {}", &said[in_old..]);
    let _ = fs::remove_dir_all(&folder);
}

#[test]
fn a_file_that_cannot_be_opened_leaves_the_old_one() {
    let (server, folder) = start();
    let (log, old) = (folder.join("log"), folder.join("log.1"));
    fs::rename(&log, &old).expect("renamed");
    fs::create_dir(&log).expect("a folder");
    server.signal(Signal::SIGUSR1);
    let said = wait_for(&old, "cannot reopen the log file");
    assert_eq!(said.matches("cannot reopen the log file").count(), 1, "logged once: {said}");
    workers_in(&server, &old, "/later");
    let _ = fs::remove_dir_all(&folder);
}

#[test]
fn without_a_file_there_is_nothing_to_do() {
    let server = Server::start(&["--workers", "1"]);
    server.signal(Signal::SIGUSR1);
    server.wait_log("SIGUSR1");
    assert_eq!(server.get("/health").status, 200);
}
