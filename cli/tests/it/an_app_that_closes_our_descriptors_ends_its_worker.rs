//! An app that closes a descriptor that is not its own (a double close) may hit one of the worker's: the listener, the
//! event loop, the channel to the master, the signals. That worker exits, logs the reason in one line, and is replaced.

use crate::apps;
use crate::support::eventually;
use nix::sys::signal::Signal;
use std::fs;

const SAID: &str = "this worker cannot go on";

/// A worker's descriptors and their targets, without the standard streams.
fn descriptors_of(pid: i32) -> Vec<(i32, String)> {
    let entries = fs::read_dir(format!("/proc/{pid}/fd")).expect("the worker is there").flatten();
    let all = entries.filter_map(|entry| {
        let fd = entry.file_name().to_str()?.parse().ok()?;
        Some((fd, fs::read_link(entry.path()).ok()?.to_str()?.to_string()))
    });
    let mut all: Vec<(i32, String)> = all.filter(|(fd, _)| *fd > 2).collect();
    all.sort();
    all
}

/// Makes the app close the `nth` descriptor that `leads` there; false if there are fewer.
fn close(options: &[&str], leads: &str, nth: usize) -> bool {
    let mut server = apps::serve("faults", &[&["--workers", "1", "--defer-accept", "0"], options].concat());
    let before = server.workers();
    let found = descriptors_of(before[0]);
    let Some((fd, _)) = found.into_iter().filter(|(_, target)| target.starts_with(leads)).nth(nth) else {
        return false;
    };
    let mut client = server.connect();
    client.send(format!("GET /close/{fd} HTTP/1.1\r\nHost: t\r\n\r\n"));
    // If it is the event loop, the answer may still arrive.
    let _ = client.try_response("GET");
    // A new connection: it makes the worker notice a closed listener.
    let mut waiting = server.connect();
    waiting.send("GET / HTTP/1.1\r\nHost: t\r\n\r\n");
    let line = server.wait_log(SAID);
    assert!(line.contains("ERROR worker 0") && line.contains("has the app closed a descriptor"), "{line}");
    server.wait_gone(&before);
    server.wait_replaced(&before);
    eventually("the server serves", || (server.get("/").status == 200).then_some(()));
    let log = server.log();
    assert_eq!(log.matches(SAID).count(), 1, "{log}");
    assert!(log.lines().count() < 20, "{log}");
    assert!(server.stop(Signal::SIGTERM).success());
    true
}

/// The listener, the channel, both ends of the signals' pipe: all sockets.
#[test]
fn sockets() {
    let closed = (0..).take_while(|&nth| close(&[], "socket:", nth)).count();
    assert_eq!(closed, 4);
}

#[test]
fn the_event_loop() {
    let closed = (0..).take_while(|&nth| close(&[], "anon_inode:[eventpoll]", nth)).count();
    assert_eq!(closed, 2, "the poll, and the copy by which apps watch descriptors");
}

#[test]
fn queues_of_its_own() {
    let closed = (0..).take_while(|&nth| close(&["--accept", "per-worker"], "socket:", nth)).count();
    assert_eq!(closed, 4);
    assert!(close(&["--accept", "per-worker"], "anon_inode:[eventfd]", 0));
}
