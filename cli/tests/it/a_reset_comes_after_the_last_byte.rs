//! `/fault/reset` and `/fault/close`: the client gets every byte that it was to get, however slowly it reads, and only
//! then the reset or the end.

use crate::support::{Client, Ending, Server, eventually};
use nix::sys::signal::Signal;
use std::time::Duration;

/// The head, and this many bytes of the pattern.
fn expected(after: usize) -> Vec<u8> {
    let declared = after + 1024;
    let head = format!("HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: {declared}\r\n\r\n");
    head.into_bytes().into_iter().chain((b'A'..=b'Z').chain(b'0'..=b'9').cycle().take(after)).collect()
}

fn ask(client: &mut Client, what: &str, after: usize) {
    client.send(format!("GET /fault/{what}?after={after} HTTP/1.1\r\nHost: t\r\n\r\n"));
}

#[track_caller]
fn expect(client: &mut Client, after: usize, ending: Ending) {
    let (bytes, ended) = client.read_to_end();
    assert_eq!((bytes.len(), ended), (expected(after).len(), ending), "after {after}");
    assert!(bytes == expected(after), "the bytes of {after} differ");
}

#[test]
fn for_all_sizes() {
    let server = Server::start(&["--workers", "1"]);
    for after in [0, 1, 35, 36, 37, 4096, 65_536, 65_537, 1_000_000, 30_000_000] {
        for (what, ending) in [("reset", Ending::Reset), ("close", Ending::Fin)] {
            let mut client = server.connect();
            ask(&mut client, what, after);
            expect(&mut client, after, ending);
        }
    }
    let mut client = server.connect();
    client.send("GET /fault/reset?after=64K HTTP/1.1\r\nHost: t\r\n\r\n");
    expect(&mut client, 65_536, Ending::Reset);
}

/// Longer than the 2 s that a connection lingers: the reset waits for as long as the client goes on reading.
#[test]
fn for_a_client_that_reads_slowly() {
    let server = Server::start(&["--workers", "1"]);
    for (what, ending) in [("reset", Ending::Reset), ("close", Ending::Fin)] {
        let mut client = server.connect_narrow();
        ask(&mut client, what, 120_000);
        let mut start = vec![0; 110_000];
        for part in start.chunks_mut(2_000) {
            client.read_exact(part).expect("more comes");
            std::thread::sleep(Duration::from_millis(60)); // the client's slowness
        }
        let (rest, ended) = client.read_to_end();
        assert!([start, rest].concat() == expected(120_000), "{what}: not all bytes came");
        assert_eq!(ended, ending, "{what}");
    }
}

/// A client that does not read at all is waited for as long as for any other output, and no longer.
#[test]
fn no_longer_than_the_write_timeout() {
    let server = Server::start(&["--workers", "1", "--write-timeout", "500ms"]);
    let before = server.sockets();
    let mut client = server.connect_narrow();
    ask(&mut client, "reset", 100_000);
    eventually("the server has its connection", || (server.sockets() > before).then_some(()));
    eventually("the connection is reset", || client.is_hung_up().then_some(()));
    eventually("its socket is closed", || (server.sockets() == before).then_some(()));
    assert!(client.read_to_end().0.len() < 100_000, "the kernel buffered all of it: the test shows nothing");
}

#[test]
fn while_the_server_stops() {
    let mut server = Server::start(&["--workers", "1"]);
    let mut clients = ["reset", "close"].map(|what| {
        let mut client = server.connect_narrow();
        ask(&mut client, what, 300_000);
        assert_eq!(client.take(1).expect("the answer begins"), b"H");
        client
    });
    server.signal(Signal::SIGTERM);
    server.wait_log("draining");
    for (client, ending) in clients.iter_mut().zip([Ending::Reset, Ending::Fin]) {
        let (bytes, ended) = client.read_to_end();
        assert!([b"H", &bytes[..]].concat() == expected(300_000), "{ending:?}: not all bytes came");
        assert_eq!(ended, ending);
    }
    assert_eq!(server.wait_exit().code(), Some(0), "{}", server.log());
}

/// One worker: connections that wait to send their last bytes do not block the others.
#[test]
fn while_the_worker_serves_others() {
    let server = Server::start(&["--workers", "1"]);
    let waiting: Vec<Client> = (0..20)
        .map(|_| {
            let mut client = server.connect_narrow();
            ask(&mut client, "reset", 100_000);
            client.peek().expect("the answer begins");
            client
        })
        .collect();
    for _ in 0..20 {
        assert_eq!(server.get("/health").status, 200);
    }
    for mut client in waiting {
        expect(&mut client, 100_000, Ending::Reset);
    }
}
