//! A keep-alive GET of a small file: receive, open, stat, read, close, send. A large one is sent by sendfile(2), with
//! its head held back for the file's first bytes.

use crate::support::Trace;
use crate::support::site::Site;

const REQUESTS: usize = 200;

#[test]
fn a_small_file_costs_few_system_calls() {
    let site = Site::of(&[("small", &[b's'; 4096]), ("large", &[b'l'; 100_000])]);
    let server = site.serve(&[]);
    let mut client = server.connect();
    let mut get = |path: &str| {
        client.send(format!("GET {path} HTTP/1.1\r\nHost: t\r\n\r\n"));
        assert_eq!(client.response().status, 200);
    };
    get("/small");
    let Some(trace) = Trace::begin(server.workers()[0]) else { return };
    (0..REQUESTS).for_each(|_| get("/small"));
    let calls = trace.end();
    let count = |name: &str| calls.lines().filter(|line| line.starts_with(name)).count();
    for name in ["recvfrom(", "openat2(", "pread64(", "close(", "epoll_wait("] {
        assert!(
            (REQUESTS - 1..=REQUESTS + 20).contains(&count(name)),
            "{} calls of {name}) for {REQUESTS}",
            count(name)
        );
    }
    // A debug build of Rust's standard library checks that a descriptor is open before closing it.
    let all = calls.lines().filter(|line| !line.contains("F_GETFD")).count();
    println!("{all} calls for {REQUESTS} requests");
    assert!(all <= 7 * REQUESTS + 60, "{all} calls for {REQUESTS} requests:\n{calls:.4000}");

    let Some(trace) = Trace::begin(server.workers()[0]) else { return };
    get("/large");
    let calls = trace.end();
    let lines = |name: &str| calls.lines().filter(|line| line.starts_with(name)).collect::<Vec<_>>();
    let heads = lines("sendmsg(");
    assert!(heads.len() == 1 && heads[0].contains("MSG_MORE"), "{heads:?}");
    assert!(!lines("sendfile(").is_empty() && lines("pread64(").is_empty() && lines("read(").is_empty(), "{calls}");
}
