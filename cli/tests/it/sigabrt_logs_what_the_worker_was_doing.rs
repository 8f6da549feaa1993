//! SIGABRT ends a worker as usual, after a line that says what it was doing.

use crate::support::{Server, send_signal, wait_asleep};
use nix::sys::signal::Signal;

#[test]
fn sigabrt_logs_what_the_worker_was_doing() {
    let server = Server::start(&["--workers", "2"]);
    let before = server.workers();
    wait_asleep(before[1]);
    send_signal(before[1], Signal::SIGABRT);
    let said = server.wait_log(&format!("ERROR worker 1[{}] ", before[1]));
    assert!(said.ends_with("] received SIGABRT while waiting for events"), "{said}");
    let death = server.wait_log("was killed by");
    assert!(death.contains(&format!("worker 1 (pid {}) was killed by SIGABRT (6)", before[1])), "{death}");
    server.wait_replaced(&before);
    assert_eq!(server.get("/health").status, 200);
}
