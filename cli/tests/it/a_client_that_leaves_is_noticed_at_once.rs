//! A client that shuts down its sending side while it waits for an answer has either left or only has nothing more to
//! send. The server probes it with bytes that change nothing: a client that has left answers with a reset and is
//! forgotten; one that is still there gets its answer.

use crate::support::{Client, Server, eventually};

const ADDRESSED: &str = "HTTP/1.1\r\nHost: t\r\n";

/// The kernel alone would notice after 65 s, when it probes an idle connection.
#[test]
fn a_client_that_has_left_is_forgotten() {
    let server = Server::start(&["--workers", "1"]);
    let before = server.sockets();
    for (request, is_streamed) in [
        (format!("GET /delay/3600000 {ADDRESSED}\r\n"), false),
        (format!("POST /delay/3600000/1 {ADDRESSED}Content-Length: 5\r\n\r\nhello"), false),
        (format!("GET /sse?every=3600000 {ADDRESSED}\r\n"), true),
    ] {
        let mut client = server.connect();
        client.send(&request);
        eventually("the request is being answered", || (server.in_flight() == 1).then_some(()));
        if is_streamed {
            // All that arrives before the first wait: a client that closes with bytes unread sends a reset by itself.
            let started = read_until(&mut client, "\n\n\r\n");
            assert!(started.contains("retry: 1000"), "{started}");
        }
        drop(client);
        eventually(&format!("{request:?}: its socket is closed"), || (server.sockets() == before).then_some(()));
        assert_eq!(server.in_flight(), 0);
    }
}

/// The request and the client's FIN have arrived before the server polls.
#[test]
fn a_client_that_left_at_once_is_forgotten() {
    let server = Server::start(&["--workers", "1"]);
    let before = server.sockets();
    let mut client = server.connect();
    client.send(format!("GET /delay/3600000 {ADDRESSED}\r\n"));
    drop(client);
    eventually("it has been and gone", || (server.get("/health").status == 200).then_some(()));
    eventually("its socket is closed", || (server.sockets() == before).then_some(()));
}

#[test]
fn a_client_that_waits_gets_its_answer() {
    let server = Server::start(&["--workers", "1"]);
    let mut client = server.connect();
    client.send(format!("GET /delay/2500 {ADDRESSED}\r\n"));
    client.finish_sending();
    // Any client discards it (RFC 9110, 15.2.1).
    assert_eq!(client.response().head, "HTTP/1.1 100 Continue\r\n\r\n");
    let response = client.response();
    assert!(response.status == 200 && response.text().contains("\"duration_ms\":2500"), "{response:?}");
    client.expect_end();

    let mut client = server.connect();
    client.send(format!("GET /sse?every=100&count=5 {ADDRESSED}\r\n"));
    client.finish_sending();
    let response = client.response();
    assert!(response.text().matches("id: ").count() == 5, "all chunks are whole: {response:?}");
    client.expect_end();
}

/// An answer that comes soon comes without a probe: some scripts read only the first line.
#[test]
fn a_fast_answer_is_not_preceded_by_a_probe() {
    let server = Server::start(&["--workers", "1"]);
    for request in [
        format!("GET /delay/200 {ADDRESSED}\r\n"),
        // HTTP/1.0 has no interim responses, and nothing else may precede its head.
        "GET /delay/1500 HTTP/1.0\r\n\r\n".to_string(),
    ] {
        let mut client = server.connect();
        client.send(&request);
        client.finish_sending();
        assert_eq!(client.response().status, 200, "{request:?}");
        client.expect_end();
    }
}

/// The bytes read until `end`, including it.
fn read_until(client: &mut Client, end: &str) -> String {
    let mut text = String::new();
    while !text.ends_with(end) {
        text.push(char::from(client.take(1).expect("a byte")[0]));
    }
    text
}
