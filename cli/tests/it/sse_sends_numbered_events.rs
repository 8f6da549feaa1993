//! `/sse[?count=&every=]` sends server-sent events that a client can resume after a disconnect.

use crate::support::{Client, Response, Server};
use nix::sys::signal::Signal;
use serde_json::Value;
use std::time::{Duration, Instant, SystemTime};

/// Sends a request with these header lines.
fn ask(server: &Server, path: &str, lines: &str) -> Client {
    let mut client = server.connect();
    client.send(format!("GET {path} HTTP/1.1\r\nHost: t\r\n{lines}\r\n"));
    client
}

#[track_caller]
fn chunk(client: &mut Client) -> String {
    String::from_utf8(client.chunk().expect("a chunk")).expect("text")
}

#[track_caller]
fn expect_event(event: &str, n: u64) {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).expect("a time").as_millis() as u64;
    let data = event.strip_prefix(&format!("id: {n}\ndata: ")).and_then(|rest| rest.strip_suffix("\n\n"));
    let data: Value = serde_json::from_str(data.unwrap_or_else(|| panic!("event {n} is {event:?}"))).expect("JSON");
    assert_eq!(data["n"], n);
    assert!(data["time"].as_u64().is_some_and(|time| now - 60_000 < time && time <= now), "{data}");
}

#[track_caller]
fn expect_events(response: &Response, numbers: impl Iterator<Item = u64>) {
    assert_eq!((response.status, response.header("content-type")), (200, Some("text/event-stream")));
    assert_eq!(response.header("cache-control"), Some("no-store"));
    let text = response.text();
    let events = text.strip_prefix("retry: 1000\n\n").expect("it begins with the reconnection time");
    let mut events = events.split_inclusive("\n\n");
    for n in numbers {
        expect_event(events.next().unwrap_or_default(), n);
    }
    assert_eq!(events.next(), None);
}

#[test]
fn as_many_as_requested() {
    let server = Server::start(&["--workers", "1"]);
    for count in [1, 5] {
        let mut client = ask(&server, &format!("/sse?count={count}&every=5"), "");
        expect_events(&client.response(), 1..=count);
        client.send("GET /health HTTP/1.1\r\nHost: t\r\n\r\n");
        assert_eq!(client.response().text(), "{\"status\":\"ok\"}");
    }
}

#[test]
fn none_before_its_time() {
    let server = Server::start(&["--workers", "1"]);
    for (path, every_ms) in [("/sse?every=50", 50), ("/sse", 1000)] {
        let began = Instant::now();
        let mut client = ask(&server, path, "");
        client.head();
        assert_eq!(chunk(&mut client), "retry: 1000\n\n");
        let events = if every_ms == 50 { 5 } else { 2 };
        for n in 1..=events {
            expect_event(&chunk(&mut client), n);
            let least = Duration::from_millis(every_ms * (n - 1));
            assert!(began.elapsed() >= least, "{path}: event {n} came after {:?}", began.elapsed());
        }
    }
}

#[test]
fn resuming_after_the_last_event() {
    let server = Server::start(&["--workers", "2"]);
    for (last, first) in [("3", 4), ("0", 1), ("", 1), ("x", 1), ("-3", 1), ("18446744073709551616", 1)] {
        let response = ask(&server, "/sse?count=5&every=1", &format!("Last-Event-ID: {last}\r\n")).response();
        expect_events(&response, first..=5);
    }
    // A client that has had them all is told not to reconnect.
    for last in ["5", "6", "18446744073709551615"] {
        let response = ask(&server, "/sse?count=5&every=1", &format!("Last-Event-ID: {last}\r\n")).response();
        assert_eq!((response.status, response.header("cache-control")), (204, Some("no-store")), "{last}");
    }
    let endless = ask(&server, "/sse", "Last-Event-ID: 18446744073709551615\r\n").response();
    assert_eq!(endless.status, 204);
}

#[test]
fn until_the_server_stops() {
    let mut server = Server::start(&["--workers", "1", "--graceful-timeout", "60s"]);
    let mut client = ask(&server, "/sse?every=3600000", "");
    client.head();
    assert_eq!(chunk(&mut client), "retry: 1000\n\n");
    expect_event(&chunk(&mut client), 1);
    server.signal(Signal::SIGTERM);
    // The last chunk, and the end of the connection.
    assert_eq!(client.rest().expect("a clean end"), b"0\r\n\r\n");
    assert_eq!(server.wait_exit().code(), Some(0), "{}", server.log());
}

#[test]
fn not_to_head() {
    let server = Server::start(&["--workers", "1"]);
    let mut client = server.connect();
    client.send("HEAD /sse HTTP/1.1\r\nHost: t\r\n\r\nGET /health HTTP/1.1\r\nHost: t\r\n\r\n");
    let head = client.response_to("HEAD");
    assert_eq!((head.status, head.header("content-type")), (200, Some("text/event-stream")));
    assert_eq!(client.response().text(), "{\"status\":\"ok\"}");
}

#[test]
fn malformed_values_are_explained() {
    let server = Server::start(&["--workers", "1"]);
    for query in ["every=0", "every=-1", "every=", "every=x", "every=3600001", "count=0", "count=x", "count=1.5"] {
        let response = server.get(&format!("/sse?{query}"));
        assert_eq!((response.status, response.header("content-type")), (400, Some("text/plain; charset=utf-8")));
        assert!(response.text().starts_with("every is 1 to 3600000 milliseconds, count at least 1"), "{query}");
    }
}
