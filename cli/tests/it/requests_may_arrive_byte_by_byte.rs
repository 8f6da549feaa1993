//! However a request is split into pieces, it is parsed in the same way.

use crate::support::{Client, Server};

const REQUESTS: &str = "POST /a?b=c HTTP/1.1\r\nHost: t\r\nX-Long: 0123456789\r\nTransfer-Encoding: chunked\r\n\r\n\
    5\r\nhello\r\n7;ext=\"v\"\r\n, world\r\n0\r\nTrailer: x\r\n\r\n\
    \r\nPUT /b HTTP/1.1\r\nHost: t\r\nContent-Length: 11\r\n\r\nhello again\
    POST /health HTTP/1.1\r\nHost: t\r\nContent-Length: 3\r\n\r\nabc\
    GET /help HTTP/1.1\r\nHost: t\r\nConnection: close\r\n\r\n";

/// The answers, without what differs between two connections.
fn answers(mut client: Client) -> Vec<(u16, String)> {
    let answers = (0..4).map(|_| {
        let response = client.response();
        let Ok(mut json) = serde_json::from_slice::<serde_json::Value>(&response.body) else {
            return (response.status, response.text());
        };
        json["source_addr"] = "".into();
        (response.status, json.to_string())
    });
    let answers = answers.collect();
    client.expect_end();
    answers
}

#[test]
fn requests_may_arrive_byte_by_byte() {
    let server = Server::start(&["--workers", "1"]);
    let mut whole = server.connect();
    whole.send(REQUESTS);
    let expected = answers(whole);
    assert!(expected[0].1.contains("hello, world") && expected[1].1.contains("hello again"), "{expected:?}");
    assert!(expected[2].1.contains("ok") && expected[3].1.contains("Available"), "{expected:?}");
    let mut bytewise = server.connect();
    for byte in REQUESTS.as_bytes() {
        bytewise.send([*byte]);
    }
    assert_eq!(answers(bytewise), expected);
    for at in (1..REQUESTS.len()).step_by(7) {
        let mut halves = server.connect();
        halves.send(&REQUESTS[..at]);
        halves.send(&REQUESTS[at..]);
        assert_eq!(answers(halves), expected, "split at {at}");
    }
}
