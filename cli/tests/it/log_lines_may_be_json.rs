//! `--log-format json`: each line of the server's own log is an object, also that of a panic or of a crash report.

use crate::apps;
use crate::support::{Server, eventually, run_to_end, send_signal};
use nix::sys::signal::Signal;

fn parsed(log: &str) -> Vec<serde_json::Value> {
    log.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|e| panic!("{line}: {e}"))).collect()
}

#[test]
fn each_line_is_an_object() {
    let mut command = apps::app("faults");
    command.args(["run", "0", "--workers", "1", "--log-format", "json"]);
    let mut server = Server::start_command(&mut command);
    let before = server.workers();
    let mut client = server.connect();
    client.send("GET /panic HTTP/1.1\r\nHost: t\r\n\r\n");
    assert!(client.try_response("GET").is_err(), "no answer");
    let worker = server.wait_replaced(&before);
    assert_eq!(server.get("/").status, 200);
    send_signal(worker, Signal::SIGABRT);
    eventually("a crash report", || server.log().contains("SIGABRT").then_some(()));
    assert_eq!(server.stop(Signal::SIGTERM).code(), Some(0));
    let lines = parsed(&server.log());
    let of = |process: &str, text: &str| {
        lines
            .iter()
            .any(|line| line["process"] == process && line["message"].as_str().is_some_and(|said| said.contains(text)))
    };
    assert!(of("worker 0", "asked to") && of("master", "drained"), "{lines:?}");
    // The signal may find it at the end of the request.
    assert!(of("worker 0", "received SIGABRT") || of("worker 0", "has been hanging in GET /"), "{lines:?}");
    for line in &lines {
        assert!(line["time"].as_str().is_some_and(|time| time.ends_with('Z')) && line["pid"].is_u64(), "{line}");
        assert!(["error", "warn", "info"].contains(&line["level"].as_str().unwrap_or_default()), "{line}");
    }
}

#[test]
fn the_last_line_of_a_server_that_cannot_start_is_one_as_well() {
    let output = run_to_end(&["run", "0", "--log-format", "json", "--pidfile", "/no/such/folder/x"]);
    let lines = parsed(&String::from_utf8_lossy(&output.stderr));
    let last = lines.last().expect("a line");
    assert_eq!(last["level"], "error");
    assert!(last["message"].as_str().is_some_and(|said| said.contains("--pidfile")), "{last}");
}
