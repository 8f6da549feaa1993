//! When no descriptor is left to open a file, the client gets a 503 with a Retry-After, the connection is kept, and
//! files are served again as soon as there are descriptors.

use crate::support::site::Site;
use std::process::Command;

/// Lowers a running process's soft limit to `count` descriptors; the hard limit stays.
fn limit_descriptors(pid: i32, count: usize) {
    let status = Command::new("prlimit").args(["--pid", &pid.to_string(), &format!("--nofile={count}:")]).status();
    assert!(status.expect("prlimit is part of util-linux").success());
}

#[test]
fn exhausted_descriptors_refuse_files_with_503() {
    let site = Site::of(&[("x", b"x"), ("x.gz", b"coded")]);
    let server = site.serve(&["--static-cache", "0"]);
    let worker = server.workers()[0];
    let mut client = server.connect();
    let mut get = || {
        client.send("GET /x HTTP/1.1\r\nHost: t\r\nAccept-Encoding: gzip\r\n\r\n");
        client.response()
    };
    assert_eq!(get().text(), "coded");
    // The next descriptor gets the lowest free number, which has to be below the limit.
    let is_free = |fd: &usize| std::fs::symlink_metadata(format!("/proc/{worker}/fd/{fd}")).is_err();
    let mut free = (0..).filter(is_free);
    let (first, second) = (free.next().expect("a number"), free.next().expect("a number"));
    limit_descriptors(worker, first);
    for _ in 0..3 {
        let response = get();
        assert_eq!((response.status, response.header("retry-after")), (503, Some("5")));
    }
    // Room for the file, but not for its sibling.
    limit_descriptors(worker, first + 1);
    assert_eq!(get().text(), "x");
    limit_descriptors(worker, second + 1);
    assert_eq!(get().text(), "coded");
}
