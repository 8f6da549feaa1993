//! A client that reads nothing of its response for `--write-timeout` is cut off; one that reads slowly is not.

use crate::support::{Server, eventually};
use std::time::{Duration, Instant};

#[test]
fn clients_that_never_read_are_cut() {
    let server = Server::start(&["--workers", "1", "--write-timeout", "400ms"]);
    let sockets = server.sockets();
    for path in ["/stream/1000", "/bin/1G", "/bin/1M"] {
        let began = Instant::now();
        let mut client = server.connect_narrow();
        client.send(format!("GET {path} HTTP/1.1\r\nHost: t\r\n\r\n"));
        eventually("the connection is reset", || client.is_hung_up().then_some(()));
        assert!(began.elapsed() >= Duration::from_millis(400));
        assert!(client.try_response("GET").is_err(), "the response is incomplete");
    }
    eventually("the sockets are closed", || (server.sockets() == sockets).then_some(()));
}

#[test]
fn clients_that_read_slowly_are_not() {
    let server = Server::start(&["--workers", "1", "--write-timeout", "2s"]);
    let mut client = server.connect_narrow();
    client.send("GET /bin/10M HTTP/1.1\r\nHost: t\r\n\r\n");
    let began = Instant::now();
    let mut read = 0;
    while began.elapsed() < Duration::from_millis(4000) {
        read += client.take(4000).expect("more").len();
        // Being slow is the point: a block of the response, 256 KiB, takes longer than the timeout.
        std::thread::sleep(Duration::from_millis(50));
    }
    let rest = 10 << 20;
    assert!(read < rest, "not slow");
    client.take(rest - read).expect("the rest");
}
