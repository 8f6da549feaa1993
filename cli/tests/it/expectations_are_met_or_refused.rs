//! `Expect: 100-continue`: the client gets a 100 exactly when its body will be read; every other expectation is refused
//! with 417.

use crate::support::Server;
use crate::support::curl::trust;
use std::process::{Command, Stdio};

const EXPECT: &str = "HTTP/1.1\r\nHost: t\r\nExpect: 100-continue\r\n";

#[test]
fn the_client_gets_a_100() {
    let server = Server::start(&["--workers", "1"]);
    let mut client = server.connect();
    for framed in ["Content-Length: 5\r\n\r\n|hello", "Transfer-Encoding: chunked\r\n\r\n|5\r\nhello\r\n0\r\n\r\n"] {
        let (head, body) = framed.split_once('|').expect("a head and a body");
        client.send(format!("POST /upload {EXPECT}{head}"));
        let interim = client.response();
        assert_eq!(interim.head, "HTTP/1.1 100 Continue\r\n\r\n");
        client.send(body);
        let response = client.response();
        assert!(response.status == 200 && response.text().contains("\"bytes_received\":5"), "{response:?}");
        assert_eq!(response.header("connection"), None);
    }
}

#[test]
fn not_when_there_is_nothing_to_continue_with() {
    let server = Server::start(&["--workers", "1"]);
    let mut client = server.connect();
    for request in [
        // The body has already arrived, or there is none.
        format!("POST /upload {EXPECT}Content-Length: 5\r\n\r\nhello"),
        format!("POST /upload {EXPECT}Content-Length: 0\r\n\r\n"),
        format!("GET /upload {EXPECT}\r\n"),
        // HTTP/1.0 has no interim responses (RFC 9110, 10.1.1).
        "POST /upload HTTP/1.0\r\nConnection: keep-alive\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\nhello"
            .to_string(),
    ] {
        client.send(&request);
        let response = client.response();
        assert!(response.status == 200 && response.text().contains("bytes_received"), "{request}: {response:?}");
    }
}

/// No body is held back, so nothing prevents the connection from going on.
#[test]
fn the_connection_is_kept_where_nothing_is_held_back() {
    let server = Server::start(&["--workers", "1"]);
    let mut client = server.connect();
    for path in ["/health", "/bin/bad", "/bin/100", "/delay/1", "/upload"] {
        for framed in [
            "\r\n",
            "Content-Length: 0\r\n\r\n",
            "Content-Length: 5\r\n\r\nhello",
            "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
            "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        ] {
            client.send(format!("POST {path} {EXPECT}{framed}"));
            let response = client.response();
            let status = if path == "/bin/bad" { 400 } else { 200 };
            assert_eq!((response.status, response.header("connection")), (status, None), "{path} {framed:?}");
        }
    }
}

/// A list, empty or with the same member throughout (RFC 9110, 5.6.1 and 10.1.1).
#[test]
fn expectations_are_a_list() {
    let server = Server::start(&["--workers", "1"]);
    let mut client = server.connect();
    for (expectation, continues) in [("", false), (",", false), ("100-continue, 100-continue", true)] {
        client.send(format!("POST /upload HTTP/1.1\r\nHost: t\r\nExpect: {expectation}\r\nContent-Length: 5\r\n\r\n"));
        if continues {
            assert_eq!(client.response().status, 100, "{expectation:?}");
        }
        client.send("hello");
        let response = client.response();
        assert!(response.status == 200 && response.text().contains("\"bytes_received\":5"), "{response:?}");
    }
}

/// A final answer instead: the body may or may not come, so the connection closes, and the head announces it.
#[test]
fn not_when_the_body_is_not_wanted() {
    let server = Server::start(&["--workers", "1"]);
    for (path, status) in [("/health", 200), ("/bin/bad", 400), ("/bin/100", 200)] {
        let mut client = server.connect();
        client.send(format!("POST {path} {EXPECT}Content-Length: 5\r\n\r\n"));
        let response = client.response();
        assert_eq!((response.status, response.header("connection")), (status, Some("close")), "{path}");
        client.expect_end();
    }
}

#[test]
fn other_expectations_are_refused() {
    let server = Server::start(&["--workers", "1"]);
    for expectation in ["200-ok", "100-continue, else", "100-continue=1"] {
        let mut client = server.connect();
        client.send(format!("POST /upload HTTP/1.1\r\nHost: t\r\nExpect: {expectation}\r\nContent-Length: 5\r\n\r\n"));
        let response = client.response();
        assert_eq!((response.status, response.header("connection")), (417, Some("close")), "{expectation:?}");
        client.expect_end();
    }
}

#[test]
fn curl_gets_a_100() {
    let server = Server::start(&["--workers", "1"]);
    let body = "x".repeat(3 << 20);
    let mut command = Command::new("curl");
    command
        .args(["-sSv", "--http1.1", "--max-time", "20", "-H", "Expect: 100-continue", "--data-binary", "@-"])
        .args(trust());
    command.arg(server.url("/upload")).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let Ok(mut curl) = command.spawn() else {
        println!("skipped: curl is not installed");
        return;
    };
    std::io::Write::write_all(&mut curl.stdin.take().expect("a pipe"), body.as_bytes()).expect("curl reads");
    let output = curl.wait_with_output().expect("curl ends");
    let (said, answer) = (String::from_utf8_lossy(&output.stderr), String::from_utf8_lossy(&output.stdout));
    assert!(said.contains("HTTP/1.1 100 Continue"), "{said}");
    assert!(answer.contains("\"bytes_received\":3145728"), "{answer}");
}
