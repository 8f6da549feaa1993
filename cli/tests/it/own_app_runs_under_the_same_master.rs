//! A user's own application (the example `own_app`) has the same master, workers and command line as the built-in one.

use crate::apps;
use crate::support::{eventually, send_signal};
use nix::sys::signal::Signal;
use std::time::{Duration, Instant};

#[test]
fn own_app_runs_under_the_same_master() {
    let mut server = apps::serve("own_app", &["--workers", "2"]);
    assert_eq!(server.workers().len(), 2);
    let mut client = server.connect();
    let began = Instant::now();
    client.send("GET /?from=2 HTTP/1.1\r\nHost: t\r\n\r\n");
    let mut start = Vec::new();
    while !start.ends_with(b"2\r\n2\n\r\n") {
        start.extend(client.take(1).expect("the first line comes before the others"));
    }
    assert!(String::from_utf8_lossy(&start).contains("Transfer-Encoding: chunked\r\n"));
    let rest = b"2\r\n1\n\r\n2\r\n0\n\r\n0\r\n\r\n";
    assert_eq!(client.take(rest.len()).expect("the other lines"), rest);
    assert!(began.elapsed() >= Duration::from_millis(400), "the lines come with a pause between them");

    let mut old = server.connect();
    old.send("GET /?from=1 HTTP/1.0\r\n\r\n");
    let response = old.response();
    assert_eq!((response.header("transfer-encoding"), response.text().as_str()), (None, "1\n0\n"));

    let workers = server.workers();
    send_signal(workers[0], Signal::SIGKILL);
    eventually("the worker is replaced", || {
        let now = server.workers();
        (now.len() == 2 && !now.contains(&workers[0])).then_some(())
    });
    assert_eq!(server.get("/?from=0").text(), "0\n");
    assert!(server.stop(Signal::SIGTERM).success());
}
