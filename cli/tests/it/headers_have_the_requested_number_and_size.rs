//! `/headers/{n}?size=` sends n header fields with values of `size` bytes, and explains values out of range.

use crate::support::Server;

#[test]
fn headers_have_the_requested_number_and_size() {
    let server = Server::start(&["--workers", "1"]);
    let mut client = server.connect();
    for (path, count, size) in [
        ("1", 1, 16),
        ("3?size=0", 3, 0),
        ("100?size=50", 100, 50),
        ("10000?size=80", 10_000, 80),
        ("1?size=1048562", 1, 1_048_562),
    ] {
        client.send(format!("GET /headers/{path} HTTP/1.1\r\nHost: t\r\n\r\n"));
        let response = client.response();
        assert_eq!((response.status, response.header("content-type")), (200, Some("application/json")), "{path}");
        let lines: Vec<&str> = response.head.lines().filter(|line| line.starts_with("X-Header-")).collect();
        let value: String = "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789".chars().cycle().take(size).collect();
        assert_eq!(lines.len(), count, "{path}");
        for (i, line) in (1..).zip(&lines) {
            assert!(**line == format!("X-Header-{i}: {value}"), "{path}: line {i} is {line:.100}");
        }
        let bytes: usize = lines.iter().map(|line| line.len() + 2).sum();
        assert_eq!(response.text(), format!(r#"{{"headers":{count},"value_bytes":{size},"header_bytes":{bytes}}}"#));
    }
}

#[test]
fn malformed_values_are_explained() {
    let server = Server::start(&["--workers", "1"]);
    let mut client = server.connect();
    let count = "the number of headers must be a whole number from 1 to 10000, not ";
    let size = "size must be a whole number from 0 to 1048576, not ";
    for (path, text) in [
        ("", "Please specify how many: /headers/10 "),
        ("0", count),
        ("-1", count),
        ("x", count),
        ("1/2", count),
        ("10001", count),
        ("99999999999999999999", count),
        ("1?size=", size),
        ("1?size=1K", size),
        ("1?size=1048577", size),
        (
            "1?size=1048563",
            "1 headers with values of 1048563 bytes are 1048577 bytes of header; at most 1048576 are sent\n",
        ),
        ("10000?size=1000", "10000 headers with values of 1000 bytes are "),
    ] {
        client.send(format!("GET /headers/{path} HTTP/1.1\r\nHost: t\r\n\r\n"));
        let response = client.response();
        assert_eq!((response.status, response.header("connection")), (400, None), "{path}");
        assert!(response.text().starts_with(text) && response.text().ends_with('\n'), "{path}: {}", response.text());
    }
}
