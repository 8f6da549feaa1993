//! A fault that does not exist is a 404 that lists those that do; a parameter out of its bounds is a 400 that gives the
//! bounds. Neither costs the connection.

use crate::support::Server;

#[test]
fn parameters_have_bounds() {
    let server = Server::start(&["--workers", "1"]);
    let mut client = server.connect();
    let (bytes, whole) =
        ("a number of bytes from 0 to 1073741824, such as 512, 64K or 1M", "a whole number from 0 to 86400000");
    for (path, expected) in [
        ("reset?after=", bytes),
        ("reset?after=-1", bytes),
        ("reset?after=1.5", bytes),
        ("reset?after=1073741825", bytes),
        ("reset?after=2G", bytes),
        ("reset?after=99999999999999999999", bytes),
        ("close?after=x", bytes),
        ("stall?after=2G", bytes),
        ("stall?for=x", whole),
        ("stall?for=86400001", whole),
        ("dribble-head?every=-1", whole),
        ("wrong-length?declared=x", bytes),
        ("wrong-length?sent=2G", bytes),
        ("wrong-length?then=wait", "then must be one of close, keep, not \"wait\""),
        ("extra-body?as=x", "as must be one of bytes, response, not \"x\""),
        ("duplicate-length?same=x", "same must be 1 or 0, not \"x\""),
        ("short-chunked?inside=2", "inside must be 1 or 0"),
        ("huge-header?size=65M", "a number of bytes from 0 to 67108864"),
        ("bad-status-line?kind=", "kind must be one of no-status, protocol, version"),
        ("bad-chunk?kind=LETTERS", "kind must be one of letters, negative, prefix"),
        ("100s?count=100001", "a whole number from 0 to 100000"),
        ("flaky?rate=1.1", "rate must be a number from 0 to 1, such as 0.1, not \"1.1\""),
        ("flaky?rate=-0", "a number from 0 to 1"),
        ("flaky?rate=1e-3", "a number from 0 to 1"),
        ("flaky?rate=nan", "a number from 0 to 1"),
        ("flaky?rate=", "a number from 0 to 1"),
        ("flaky?seed=-1", "seed must be a whole number"),
        ("flaky?n=0", "n must be a whole number from 1"),
    ] {
        client.send(format!("POST /fault/{path} HTTP/1.1\r\nHost: t\r\nContent-Length: 2\r\n\r\nhi"));
        let response = client.response();
        let text = response.text();
        assert_eq!(
            (response.status, response.header("content-type")),
            (400, Some("text/plain; charset=utf-8")),
            "{path}"
        );
        let usage = format!("\nusage: /fault/{}", path.split('?').next().unwrap_or_default());
        assert!(text.contains(expected) && text.contains(&usage), "{path}: {text}");
    }
}

#[test]
fn unknown_faults_are_not_an_echo() {
    let server = Server::start(&["--workers", "1"]);
    let mut client = server.connect();
    for path in ["/fault", "/fault/", "/fault/resets", "/fault/reset/", "/fault/Reset"] {
        client.send(format!("GET {path} HTTP/1.1\r\nHost: t\r\n\r\n"));
        let response = client.response();
        assert_eq!(response.status, 404, "{path}");
        assert!(response.text().contains("  /fault/reset?after=1000 "), "{path}: {}", response.text());
    }
}
