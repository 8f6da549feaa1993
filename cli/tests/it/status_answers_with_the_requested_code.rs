//! `/status/{code}` answers with that status, framed as the status requires.

use crate::support::{Client, Response, Server};
use serde_json::Value;

fn json(response: &Response) -> Value {
    assert_eq!(response.header("content-type"), Some("application/json"), "{}", response.head);
    serde_json::from_slice(&response.body).expect("JSON")
}

/// The connection is kept, and no bytes are left on it.
#[track_caller]
fn expect_health(client: &mut Client, after: &str) {
    client.send("GET /health HTTP/1.1\r\nHost: t\r\n\r\n");
    assert_eq!(client.response().text(), "{\"status\":\"ok\"}", "after {after}");
}

#[test]
fn with_every_code_that_ends_a_request() {
    let server = Server::start(&["--workers", "1"]);
    let mut client = server.connect();
    for code in 200..600 {
        client.send(format!("GET /status/{code} HTTP/1.1\r\nHost: t\r\n\r\n"));
        let response = client.response();
        assert_eq!(response.status, code);
        match code {
            // No body, and no field that gives its length.
            204 | 304 => {
                let framing = (response.header("content-length"), response.header("transfer-encoding"));
                assert_eq!(framing, (None, None), "{code}");
            }
            205 => assert_eq!(response.header("content-length"), Some("0")),
            _ => {
                let json = json(&response);
                assert_eq!((&json["status_code"], &json["method"]), (&code.into(), &"GET".into()));
                assert_ne!(json["status_message"].as_str().unwrap_or_default(), "", "{code}");
            }
        }
    }
    expect_health(&mut client, "all of them");
}

#[test]
fn with_the_message_of_the_code() {
    let server = Server::start(&["--workers", "1"]);
    for (code, line, message) in [
        (201, "201 Created", "Created"),
        (404, "404 Not Found", "Not Found"),
        (418, "418 I'm a teapot", "I'm a teapot"),
        (599, "599 ", "Unknown Status Code"),
    ] {
        let response = server.get(&format!("/status/{code}"));
        assert!(response.head.starts_with(&format!("HTTP/1.1 {line}\r\n")), "{}", response.head);
        assert_eq!(json(&response)["status_message"], message);
    }
}

#[test]
fn with_the_body_of_the_request() {
    let server = Server::start(&["--workers", "1"]);
    let mut client = server.connect();
    for code in [200, 404, 503] {
        client.send(format!("PUT /status/{code} HTTP/1.1\r\nHost: t\r\nContent-Length: 5\r\n\r\nhello"));
        let response = client.response();
        let json = json(&response);
        assert_eq!((response.status, &json["body"], &json["status_code"]), (code, &"hello".into(), &code.into()));
    }
    for code in [204, 205, 304] {
        client.send(format!("PUT /status/{code} HTTP/1.1\r\nHost: t\r\nContent-Length: 5\r\n\r\nhello"));
        assert_eq!(client.response().status, code);
    }
    expect_health(&mut client, "bodies");
}

#[test]
fn with_interim_codes_before_a_200() {
    let server = Server::start(&["--workers", "1"]);
    let mut client = server.connect();
    for (code, message) in [(100, "Continue"), (102, "Processing"), (103, "Early Hints"), (199, "Unknown Status Code")]
    {
        for method in ["GET", "HEAD"] {
            client.send(format!("{method} /status/{code} HTTP/1.1\r\nHost: t\r\n\r\n"));
            let interim = client.response();
            assert_eq!(interim.status, code);
            let framing = (interim.header("content-length"), interim.header("transfer-encoding"));
            assert_eq!(framing, (None, None), "{}", interim.head);
            let end = client.response_to(method);
            assert_eq!((end.status, end.header("connection")), (200, None));
            if method == "GET" {
                let json = json(&end);
                assert_eq!((&json["status_code"], &json["status_message"]), (&code.into(), &message.into()));
            }
        }
        expect_health(&mut client, "an interim response");
    }
    // It does not wait for the body.
    client.send("POST /status/102 HTTP/1.1\r\nHost: t\r\nContent-Length: 5\r\n\r\n");
    assert_eq!(client.response().status, 102);
    client.send("hello");
    assert_eq!(json(&client.response())["body"], "hello");
    // HTTP/1.0 has no interim responses.
    client.send("GET /status/103 HTTP/1.0\r\n\r\n");
    let end = client.response();
    assert_eq!((end.status, &json(&end)["status_code"]), (200, &103.into()));
}

#[test]
fn a_malformed_code_is_explained() {
    let server = Server::start(&["--workers", "1"]);
    let mut client = server.connect();
    let range = "status code must be between 100 and 599";
    let invalid = "invalid status code - must be a valid HTTP status code";
    for (code, error) in [
        ("", "status code is required"),
        ("abc", invalid),
        ("404/x", invalid),
        ("99", range),
        ("600", range),
        ("-1", range),
        ("101", "status code 101 switches protocols - a WebSocket handshake to /ws does that"),
    ] {
        client.send(format!("GET /status/{code} HTTP/1.1\r\nHost: t\r\n\r\n"));
        let response = client.response();
        let json = json(&response);
        assert_eq!((response.status, &json["error"]), (400, &error.into()), "{code}");
        assert!(json["example"].as_str().is_some_and(|path| path.starts_with('/')), "{json}");
    }
}
