//! `/` and every path that is not an endpoint describe the request as JSON.

use crate::support::{Client, Server};
use serde_json::{Value, json};

fn echo(client: &mut Client) -> Value {
    let response = client.response();
    assert_eq!((response.status, response.header("content-type")), (200, Some("application/json")));
    serde_json::from_slice(&response.body).expect("JSON")
}

#[test]
fn echo_describes_the_request() {
    let server = Server::start(&["--workers", "1"]);
    let mut client = server.connect();
    client.send(
        "PATCH /any/path?q=1&r=%20 HTTP/1.1\r\nhOST: example.test:81\r\ncontent-type: text/x; a=b\r\n\
         X-TWICE: first\r\nx-twice: last\r\nETag-like: \"e\"\r\nContent-Length: 5\r\n\r\nhello",
    );
    let echo = echo(&mut client);
    let hostname = std::fs::read_to_string("/proc/sys/kernel/hostname").expect("a host name");
    assert_eq!(
        echo,
        json!({
            "_myhostname": hostname.trim(),
            "uri": "http://example.test:81/any/path?q=1&r=%20",
            "method": "PATCH",
            "headers": {
                "Host": "example.test:81",
                "Content-Type": "text/x; a=b",
                "X-Twice": "last",
                "Etag-Like": "\"e\"",
                "Content-Length": "5",
            },
            "content_type": "text/x; a=b",
            "body": "hello",
            "body_size": 5,
            "usage": {
                "prompt_tokens": 1, "completion_tokens": 2, "input_tokens": 100, "output_tokens": 200, "total_tokens": 300
            },
            "source_addr": client.stream.local_addr().expect("an address").to_string(),
            "destination_addr": server.address().to_string(),
        })
    );
}

#[test]
fn for_every_path_that_is_not_an_endpoint() {
    let server = Server::start(&["--workers", "1"]);
    let mut client = server.connect();
    for path in [
        "/",
        "/?x",
        "/unknown",
        "/healthy",
        "/health/",
        "/stream/x",
        "/stream/",
        "/stream/1K",
        "/bin",
        "/delay",
        "/uploads",
        "/anything",
        "/anything/at/all?x=y",
        "/headers",
        "/ip/",
    ] {
        client.send(format!("GET {path} HTTP/1.1\r\nHost: t\r\n\r\n"));
        let echo = echo(&mut client);
        assert_eq!(echo["uri"], format!("http://t{path}"));
        assert_eq!((&echo["method"], &echo["body"], &echo["body_size"]), (&"GET".into(), &"".into(), &0.into()));
        assert_eq!(echo.get("body_truncated"), None);
    }
}

#[test]
fn with_its_body_up_to_a_mebibyte() {
    const MIB: usize = 1 << 20;
    let server = Server::start(&["--workers", "1"]);
    let mut client = server.connect();
    for size in [MIB - 1, MIB, MIB + 1, 5 * MIB] {
        let body = "0123456789abcdef".repeat(size / 16 + 1)[..size].to_string();
        client.send(format!("POST / HTTP/1.1\r\nHost: t\r\nContent-Length: {size}\r\n\r\n{body}"));
        let echo = echo(&mut client);
        assert_eq!(echo["body_size"], size);
        let text = echo["body"].as_str().expect("text");
        if size <= MIB {
            assert!(text == body && echo.get("body_truncated").is_none());
        } else {
            assert_eq!(text.strip_suffix("...[TRUNCATED]"), Some(&body[..MIB]));
            assert_eq!(echo["body_truncated"], true);
        }
    }
}

#[test]
fn an_asterisk_is_the_server_itself() {
    let server = Server::start(&["--workers", "1"]);
    let mut client = server.connect();
    client.send("OPTIONS * HTTP/1.1\r\nHost: example.test:81\r\n\r\n");
    let echo: serde_json::Value = serde_json::from_slice(&client.response_to("OPTIONS").body).expect("JSON");
    assert_eq!((&echo["method"], &echo["uri"]), (&"OPTIONS".into(), &"http://example.test:81".into()));
}
