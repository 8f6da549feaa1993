//! Many requests on one connection of HTTP/2: all are answered, each counts by itself.

use crate::support::{Server, within_patience};

/// The line of h2load's report with the outcomes of all requests.
#[track_caller]
fn h2load(arguments: &[&str]) -> String {
    let output = within_patience("h2load").args(arguments).output();
    let output = output.unwrap_or_else(|e| panic!("h2load cannot be run ({e}); scripts/test installs it"));
    let report = String::from_utf8_lossy(&output.stdout).into_owned();
    let line = report.lines().find(|line| line.starts_with("requests: "));
    line.unwrap_or_else(|| panic!("{report}")).to_string()
}

fn all_of(count: u32) -> String {
    format!("requests: {count} total, {count} started, {count} done, {count} succeeded, 0 failed, 0 errored, 0 timeout")
}

#[test]
fn all_are_answered_whatever_they_are() {
    let server = Server::start(&["--workers", "1"]);
    let body = server.folder().join("body");
    std::fs::write(&body, vec![b'x'; 100_000]).expect("a file");
    let body = body.to_str().expect("UTF-8");
    for (path, more) in [
        ("/health", &[][..]),
        ("/bin/100K", &[]),
        ("/bin/30K?chunked=1", &[]),
        ("/random/5K", &[]),
        ("/delay/20", &[]),
        ("/upload", &["-d", body]),
        // Windows of a kilobyte.
        ("/bin/20K", &["-w", "10", "-W", "10"]),
    ] {
        let url = server.url(path);
        let arguments = [&["-n", "300", "-c", "3", "-m", "50"], more, &[&url]].concat();
        assert_eq!(h2load(&arguments), all_of(300), "{path}");
    }
}

#[test]
fn each_is_limited_by_itself() {
    let server = Server::start(&["--workers", "1", "--limit-concurrency", "2", "--limit-wait", "20s"]);
    assert_eq!(h2load(&["-n", "40", "-c", "1", "-m", "20", &server.url("/delay/5")]), all_of(40));
    let server = Server::start(&["--workers", "1", "--limit-concurrency", "1", "--limit-wait", "0s"]);
    let line = h2load(&["-n", "10", "-c", "1", "-m", "10", &server.url("/delay/2000")]);
    assert!(line.contains(" 1 succeeded, 9 failed"), "{line}");
}
