//! A keep-alive GET of a small file that was asked for within the second: wait, receive, send. A large one: one more to
//! compare its metadata, and sendfile(2), with its head held back for the file's first bytes. Without `--static-cache`
//! each request opens its file.

use crate::support::site::Site;
use crate::support::{Server, Trace};
use std::time::Instant;

const REQUESTS: usize = 200;

fn site() -> Site {
    Site::of(&[("small", &[b's'; 4096]), ("large", &[b'l'; 100_000])])
}

/// The system calls of the worker for [`REQUESTS`] of this path, asked for before, with these fields; and the seconds it
/// took. `None`: calls cannot be traced here.
fn calls(server: &Server, path: &str, fields: &str) -> Option<(String, usize)> {
    let mut client = server.connect();
    let mut get = || {
        client.send(format!("GET {path} HTTP/1.1\r\nHost: t\r\n{fields}\r\n"));
        assert_eq!(client.response().status, 200);
    };
    get();
    let trace = Trace::begin(server.workers()[0])?;
    let began = Instant::now();
    (0..REQUESTS).for_each(|_| get());
    let seconds = began.elapsed().as_secs() as usize + 1;
    Some((trace.end(), seconds))
}

fn count(calls: &str, name: &str) -> usize {
    calls.lines().filter(|line| line.starts_with(name)).count()
}

/// All calls. A debug build of Rust's standard library checks that a descriptor is open before closing it.
fn count_all(calls: &str) -> usize {
    calls.lines().filter(|line| !line.contains("F_GETFD")).count()
}

#[test]
fn a_small_file_costs_few_system_calls() {
    let (site, browser) = (site(), "Accept-Encoding: gzip, deflate, br, zstd\r\n");
    let server = site.serve(&[]);
    for (fields, names) in [("", 1), (browser, 4)] {
        let Some((calls, seconds)) = calls(&server, "/small", fields) else { return };
        // The file itself and, for a browser, the siblings that it does not have: again after a second.
        let opened = count(&calls, "openat2(");
        assert!(opened <= names * (seconds + 1), "{opened} files opened in {seconds} s");
        let all = count_all(&calls);
        println!("{all} calls for {REQUESTS} requests in {seconds} s");
        assert!(all <= 3 * REQUESTS + (seconds + 1) * (names + 6) + 40, "{all} calls for {REQUESTS}:\n{calls:.4000}");
    }
    let Some((calls, seconds)) = calls(&server, "/large", "") else { return };
    let heads: Vec<_> = calls.lines().filter(|line| line.starts_with("sendmsg(")).collect();
    assert!(heads.len() == REQUESTS && heads.iter().all(|head| head.contains("MSG_MORE")), "{:?}", heads.first());
    assert!(count(&calls, "sendfile(") >= REQUESTS && count(&calls, "openat2(") <= seconds + 1, "{calls:.4000}");
    assert_eq!(count(&calls, "pread64(") + count(&calls, "read("), 0, "{calls:.4000}");
    // A send that the client's window does not take is repeated.
    let repeated = 2 * (count(&calls, "sendfile(") - REQUESTS);
    let all = count_all(&calls);
    println!("{all} calls for {REQUESTS} requests in {seconds} s");
    assert!(all <= 5 * REQUESTS + repeated + (seconds + 1) * 6 + 40, "{all} calls for {REQUESTS}:\n{calls:.4000}");
}

#[test]
fn without_a_cache_each_request_opens_its_file() {
    let site = site();
    let server = site.serve(&["--static-cache", "0"]);
    let Some((calls, seconds)) = calls(&server, "/small", "") else { return };
    for name in ["recvfrom(", "openat2(", "pread64(", "close(", "epoll_wait("] {
        let count = count(&calls, name);
        assert!((REQUESTS - 1..=REQUESTS + 20 + seconds).contains(&count), "{count} calls of {name}) for {REQUESTS}");
    }
    let all = count_all(&calls);
    assert!(all <= 7 * REQUESTS + 60 + 4 * seconds, "{all} calls for {REQUESTS} requests:\n{calls:.4000}");
}
