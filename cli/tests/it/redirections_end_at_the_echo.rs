//! `/redirect/{n}` leads through n redirections to the echo, and keeps its parameters on the way.

use crate::support::Server;
use serde_json::Value;
use std::process::Command;

#[test]
fn redirections_end_at_the_echo() {
    let server = Server::start(&["--workers", "1"]);
    let mut client = server.connect();
    let host = "h.test:81";
    for (path, status, base) in [
        ("/redirect/3", 302, ""),
        ("/redirect/2?code=301", 301, ""),
        ("/redirect/2?code=302&x=%20y", 302, ""),
        ("/redirect/2?code=303&absolute=0", 303, ""),
        ("/redirect/4?absolute=1&code=307", 307, "http://h.test:81"),
        ("/redirect/1?x&code=308&absolute=yes", 308, "http://h.test:81"),
    ] {
        let (start, query) =
            path.split_once('?').map_or((path, String::new()), |(path, query)| (path, format!("?{query}")));
        let hops: u64 = start["/redirect/".len()..].parse().expect("a number");
        let mut target = path.to_string();
        for left in (0..hops).rev() {
            client.send(format!("GET {target} HTTP/1.1\r\nHost: {host}\r\n\r\n"));
            let response = client.response();
            assert_eq!(response.status, status, "{target}");
            let next = if left == 0 { "/anything".to_string() } else { format!("/redirect/{left}") };
            let location = format!("{base}{next}{query}");
            assert_eq!(response.header("location"), Some(location.as_str()), "{target}");
            assert!(response.text().starts_with(&status.to_string()) && response.text().contains(&location));
            target = location.strip_prefix(base).expect("as above").to_string();
        }
        client.send(format!("GET {target} HTTP/1.1\r\nHost: {host}\r\n\r\n"));
        let echo: Value = serde_json::from_slice(&client.response().body).expect("JSON");
        assert_eq!(echo["uri"], format!("http://{host}/anything{query}"));
    }
}

/// A client that follows redirections: method and body are kept with 307, and become GET without a body with 303.
#[test]
fn a_client_follows() {
    let server = Server::start(&["--workers", "1"]);
    for (query, method, body) in [
        ("code=307", "POST", "hello"),
        ("code=308&absolute=1", "POST", "hello"),
        ("code=303", "GET", ""),
        ("", "GET", ""),
    ] {
        let output = Command::new("curl")
            .args(["-sSL", "--max-time", "20", "--max-redirs", "7", "--data", "hello"])
            .args(["-w", " %{num_redirects}", &server.url(&format!("/redirect/7?{query}"))])
            .output()
            .expect("curl runs");
        let text = String::from_utf8_lossy(&output.stdout);
        let (json, count) = text.rsplit_once(' ').unwrap_or_else(|| panic!("{output:?}"));
        let echo: Value = serde_json::from_str(json).expect("JSON");
        assert_eq!((&echo["method"], &echo["body"], count), (&method.into(), &body.into(), "7"), "{query}");
    }
}

#[test]
fn malformed_values_are_explained() {
    let server = Server::start(&["--workers", "1"]);
    let hops = "the number of redirections must be a whole number from 1 to 10000, not ";
    for (path, text) in [
        ("", "Please specify how many: /redirect/3 "),
        ("0", hops),
        ("x", hops),
        ("-1", hops),
        ("3/", hops),
        ("10001", hops),
        ("1?code=200", "code must be 301, 302, 303, 307 or 308, not \"200\"\n"),
        ("1?code=", "code must be 301, 302, 303, 307 or 308, not \"\"\n"),
        ("1?absolute=maybe", "absolute must be 1 or 0, not \"maybe\"\n"),
    ] {
        let response = server.get(&format!("/redirect/{path}"));
        assert_eq!(response.status, 400, "{path}");
        assert!(response.text().starts_with(text) && response.text().ends_with('\n'), "{path}: {}", response.text());
    }
    let mut client = server.connect();
    client.send("GET /redirect/1?absolute=1 HTTP/1.0\r\n\r\n");
    assert_eq!(client.response().text(), "absolute=1 needs a Host header to build URLs from\n");
}
