//! A conversation during a drain: the last response has `Connection: close`, and answers the last request that had been
//! read.

use super::test_client::*;
use crate::protocol::Closing::{Flushed, Lingering};
use crate::protocol::Next::{Close, Wait};
use std::time::Duration;

const SECOND: Duration = Duration::from_secs(1);
const HOUR: Duration = Duration::from_secs(3600);

fn streamed(more: &str) -> String {
    STREAMED.replace("\r\n\r\n3\r\none", &format!("\r\n{more}\r\n3\r\none"))
}

fn draining() -> Client<Paths> {
    let mut client = Client::new(Paths);
    client.drain(HOUR);
    client
}

#[test]
fn the_response_has_connection_close() {
    for (path, output) in
        [("/text", text("200 OK", CLOSE, "hi")), ("/stream", streamed(CLOSE)), ("/fails", failed(CLOSE))]
    {
        let mut client = draining();
        assert_eq!((client.send(get(path).as_bytes()), client.text()), (Close(Lingering), output), "{path}");
    }
    // A client that announces its last request is not waited for.
    let last = get("/text").replace("\r\n\r\n", "\r\nConnection: close\r\n\r\n");
    assert_eq!(draining().send(last.as_bytes()), Close(Flushed));
    // So with one that began before the drain.
    for (path, output) in [("/echo", sized("200 OK", CLOSE, "x")), ("/fails/push", failed(CLOSE))] {
        let mut client = Client::new(Paths);
        assert_eq!(client.send(post(path, "Content-Length: 1\r\n", "").as_bytes()), Wait);
        client.drain(HOUR);
        assert_eq!((client.send(b"x"), client.text()), (Close(Lingering), output), "{path}");
    }
    // An idle connection is closed at the time that the drain sets.
    let mut client = Client::new(Paths);
    client.send(get("/text").as_bytes());
    client.drain(SECOND);
    assert_eq!((client.later(SECOND / 2), client.later(SECOND / 2)), (Wait, Close(Lingering)));
    // So is one whose request body is not complete and not read, even if the client keeps sending it.
    let mut client = Client::new(Paths);
    client.send(post("/text", "Content-Length: 100\r\n", "").as_bytes());
    client.drain(SECOND);
    assert_eq!((client.later(SECOND / 2), client.send(b"x")), (Wait, Wait));
    assert_eq!((client.later(SECOND / 2), client.text()), (Close(Lingering), hi()));
}

#[test]
fn every_request_that_has_arrived_is_answered_and_only_the_last_with_close() {
    let cl = |n: usize| format!("Content-Length: {n}\r\n");
    let kinds = [
        (get("/text"), [hi(), text("200 OK", CLOSE, "hi")]),
        (get("/stream"), [STREAMED.to_string(), streamed(CLOSE)]),
        (get("/fails"), [failed(""), failed(CLOSE)]),
        (post("/text", &cl(5), "hello"), [hi(), text("200 OK", CLOSE, "hi")]),
        (post("/echo", &cl(5), "hello"), [sized("200 OK", "", "hello"), sized("200 OK", CLOSE, "hello")]),
    ];
    for (first, [first_kept, first_last]) in &kinds {
        for (second, [second_kept, second_last]) in &kinds {
            let mut client = draining();
            let next = client.send((first.clone() + second).as_bytes());
            assert_eq!((next, client.text()), (Close(Lingering), first_kept.clone() + second_last));
            let mut client = draining();
            let next = client.send((first.clone() + second + first).as_bytes());
            assert_eq!((next, client.text()), (Close(Lingering), first_kept.clone() + second_kept + first_last));
            // An incomplete request is not waited for.
            let mut client = draining();
            let next = client.send((first.clone() + &second[..second.len() - 1]).as_bytes());
            assert_eq!((next, client.text()), (Close(Lingering), first_last.clone()));
        }
        let mut client = draining();
        let next = client.send((first.clone() + "nonsense\r\n\r\n").as_bytes());
        assert_eq!((next, client.text()), (Close(Lingering), first_last.clone()));
    }
}

/// The client has always sent more than was read; a read takes 64 KiB.
#[test]
fn a_client_that_never_stops_sending_is_closed() {
    let one = get("/text");
    let there = (64 << 10) / one.len();
    let mut client = draining();
    let next = client.send(one.repeat(there * 20).as_bytes());
    let said = client.text();
    assert_eq!(next, Close(Lingering));
    let answers = said.matches("HTTP/1.1 200 OK").count();
    assert_eq!(answers, there, "the requests of one read");
    assert!(said.ends_with(&text("200 OK", CLOSE, "hi")));
    assert_eq!(said.matches(CLOSE).count(), 1);
    // As above, but the drain begins in between.
    let mut client = Client::new(Paths);
    client.takes_bytes = 0;
    client.send(one.repeat(there * 20).as_bytes());
    client.drain(HOUR);
    client.takes_bytes = usize::MAX;
    assert_eq!(client.run(), Close(Lingering));
    let said = client.text();
    assert!(said.matches("HTTP/1.1 200 OK").count() <= 3 * there, "{}", said.matches("HTTP/1.1 200 OK").count());
    assert_eq!(said.matches(CLOSE).count(), 1);
}
