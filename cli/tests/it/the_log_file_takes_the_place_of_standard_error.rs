//! `--log-file`: lines of all processes, panics and the output of apps go there; errors at the start go to the
//! terminal, and a full disk stops no process.

use crate::apps;
use crate::support::lua::folder_with;
use crate::support::{Server, TINE, eventually, one_line_of, run_to_end, scratch_folder};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

fn wait_for(path: &Path, text: &str) -> String {
    eventually(&format!("{} says {text:?}", path.display()), || {
        fs::read_to_string(path).ok().filter(|said| said.contains(text))
    })
}

fn start(mut program: Command, log: &Path, options: &[&str]) -> Server {
    Server::start_command(program.args(["run", "0", "--log-file"]).arg(log).args(options))
}

#[test]
fn the_lines_of_all_processes() {
    let folder = scratch_folder();
    let log = folder.join("log");
    fs::write(&log, "what was there stays\n").expect("a file");
    let server = start(apps::app("faults"), &log, &["--workers", "2"]);
    let said = wait_for(&log, "serving ");
    assert!(said.starts_with("what was there stays\n"), "{said}");
    let mut client = server.connect();
    client.send("GET /panic HTTP/1.1\r\nHost: t\r\n\r\n");
    assert!(client.try_response("GET").is_err(), "no answer");
    wait_for(&log, "asked to");
    wait_for(&log, "exited with status 101");
    assert_eq!(server.log(), "", "the terminal gets nothing");
    let _ = fs::remove_dir_all(&folder);
}

#[test]
fn the_output_of_apps() {
    let app = "function app(environ, start_response)\n  start_response('200 OK', {})\n  io.stderr:write('printed ', environ.PATH_INFO)\n  return 'done'\nend\n";
    let folder = folder_with(&[("app.lua", app)]);
    let (path, log) = (folder.join("app.lua"), folder.join("log"));
    let server = start(Command::new(TINE), &log, &["--workers", "1", path.to_str().expect("UTF-8")]);
    assert_eq!(server.get("/here").text(), "done");
    wait_for(&log, "printed /here");
    let _ = fs::remove_dir_all(&folder);
}

#[test]
fn with_a_relative_name() {
    let folder = scratch_folder();
    let mut command = Command::new(TINE);
    command.current_dir(&folder).args(["run", "0", "--workers", "1", "--log-file", "log"]);
    let server = Server::start_command(&mut command);
    assert_eq!(server.get("/health").status, 200);
    wait_for(&folder.join("log"), "serving ");
    let _ = fs::remove_dir_all(&folder);
}

#[test]
fn a_full_disk_stops_no_process() {
    let server = start(apps::app("faults"), Path::new("/dev/full"), &["--workers", "2", "--mem-interval", "100ms"]);
    let before = server.workers();
    let mut client = server.connect();
    client.send("GET /panic HTTP/1.1\r\nHost: t\r\n\r\n");
    assert!(client.try_response("GET").is_err(), "no answer");
    server.wait_replaced(&before);
    for _ in 0..20 {
        assert_eq!(server.get("/").status, 200);
    }
    let mut server = server;
    assert_eq!(server.stop(nix::sys::signal::Signal::SIGTERM).code(), Some(0));
}

#[test]
fn errors_at_the_start_go_to_the_terminal() {
    let folder = scratch_folder();
    let log = folder.join("log");
    let text = |path: &PathBuf| path.to_str().expect("UTF-8").to_string();
    let first = Server::start(&["--workers", "1"]);
    let port = first.address().port().to_string();
    let output = run_to_end(&["run", &port, "--log-file", &text(&log)]);
    let line = one_line_of(&output);
    assert!(line.contains("another program listens there"), "{line}");
    for wrong in [text(&folder), text(&folder.join("none/log")), "/proc/log".to_string(), String::new()] {
        for command in ["run", "check"] {
            let output = run_to_end(&[command, "0", "--log-file", &wrong]);
            let line = one_line_of(&output);
            let expected = if wrong.is_empty() { 2 } else { 1 };
            assert_eq!(output.status.code(), Some(expected), "{line}");
            assert!(line.contains(&format!("--log-file {wrong}")), "{line}");
            assert!(expected == 2 || line.contains("give a file in a directory that you may write to"), "{line}");
        }
    }
    fs::remove_file(&log).expect("left by the first");
    let output = run_to_end(&["check", "0", "--log-file", &text(&log)]);
    assert!(output.status.success(), "{output:?}");
    assert!(!log.exists(), "check leaves no file");
    let _ = fs::remove_dir_all(&folder);
}
