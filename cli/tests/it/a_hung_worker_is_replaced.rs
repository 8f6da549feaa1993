//! `--worker-timeout`: a worker whose loop has stopped turning is made to write a crash report, killed and replaced;
//! the others serve.

use crate::apps;
use crate::support::{Server, eventually, freeze, send_signal};
use nix::sys::signal::Signal;

#[test]
fn a_stopped_worker_is_killed_and_replaced() {
    let server = Server::start(&["--workers", "2", "--worker-timeout", "3s"]);
    let before = server.workers();
    freeze(before[0]);
    for _ in 0..50 {
        assert_eq!(server.get("/health").status, 200, "the other one serves");
    }
    // It cannot log anything, as it is stopped.
    server.wait_log(&format!("(pid {}) does not respond after 3 s; sending it SIGABRT", before[0]));
    let line = server.wait_log(&format!("(pid {}) was killed by SIGKILL (9) ", before[0]));
    assert!(line.contains("its event loop was blocked for --worker-timeout"), "{line}");
    server.wait_replaced(&before);
    assert!(server.workers().contains(&before[1]), "the other one is not affected");
}

#[test]
fn a_worker_that_hangs_in_a_request_reports_it() {
    let server = apps::serve("faults", &["--workers", "2", "--worker-timeout", "3s"]);
    let before = server.workers();
    let mut client = server.connect();
    client.send("GET /hang?x=1 HTTP/1.1\r\nHost: t\r\n\r\n");
    let hung = eventually("the request is in a worker", || server.worker_of(&client));
    for _ in 0..50 {
        assert_eq!(server.get("/").status, 200, "the other one serves");
    }
    let line = server.wait_log(&format!("[{hung}] has been hanging in "));
    assert!(line.contains("GET /hang?x=1 for "), "{line}");
    let line = server.wait_log(&format!("(pid {hung}) was killed by SIGABRT (6) "));
    assert!(line.contains("1 request in flight"), "{line}");
    server.wait_replaced(&before);
    assert!(client.try_response("GET").is_err(), "its connection is lost");
}

#[test]
fn a_boot_that_hangs_is_ended() {
    let mut command = apps::app("faults");
    command.args(["run", "0", "--workers", "1", "--boot-timeout", "1s"]).env("FAULTS_BOOT", "hang");
    let mut server = Server::spawn(&mut command);
    assert_eq!(server.wait_exit().code(), Some(1), "{}", server.log());
    let log = server.log();
    assert!(log.contains("its app did not load within --boot-timeout"), "{log}");
    assert!(log.contains("no worker became ready"), "{log}");
}

#[test]
fn a_server_that_was_stopped_as_a_whole_kills_no_worker() {
    let mut server = Server::start(&["--workers", "2", "--worker-timeout", "3s"]);
    let (before, all) = (server.workers(), [server.workers(), vec![server.pid()]].concat());
    all.iter().for_each(|&pid| freeze(pid));
    std::thread::sleep(std::time::Duration::from_secs(5)); // longer than the timeout: what the test is about
    all.iter().rev().for_each(|&pid| send_signal(pid, Signal::SIGCONT));
    assert_eq!(server.get("/health").status, 200);
    server.ctl(&["status"]);
    assert_eq!(server.stop(Signal::SIGTERM).code(), Some(0));
    assert!(!server.log().contains("does not respond"), "{}", server.log());
    server.wait_gone(&before);
}
