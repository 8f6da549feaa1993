//! `/nousage...` answers with 200 and a body in which a client that reads token usage finds none.

use crate::support::{Response, Server};
use serde_json::{Value, json};

fn post(server: &Server, path: &str) -> Response {
    let mut client = server.connect();
    client.send(format!("POST {path} HTTP/1.1\r\nHost: t\r\nContent-Length: 5\r\n\r\nhello"));
    let response = client.response();
    assert_eq!((response.status, response.header("transfer-encoding")), (200, None), "{path}");
    response
}

#[test]
fn because_the_usage_is_empty() {
    let server = Server::start(&["--workers", "1"]);
    for path in ["/nousage", "/nousagexyz", "/nousage/", "/nousage/other", "/nousage/empty/"] {
        for response in [post(&server, path), server.get(path)] {
            assert_eq!(response.header("content-type"), Some("application/json"), "{path}");
            let echo: Value = serde_json::from_slice(&response.body).expect("JSON");
            assert_eq!((&echo["usage"], &echo["uri"]), (&json!({}), &format!("http://t{path}").into()));
        }
    }
    let echo: Value = serde_json::from_slice(&post(&server, "/nousage").body).expect("JSON");
    assert_eq!((&echo["body"], &echo["body_size"]), (&"hello".into(), &5.into()));
}

/// In hpdummy it may stay away for good.
#[test]
fn the_next_echo_has_its_usage_again() {
    let server = Server::start(&["--workers", "1"]);
    let mut client = server.connect();
    for (path, total) in [("/nousage", Value::Null), ("/", 300.into()), ("/nousage", Value::Null), ("/x", 300.into())] {
        client.send(format!("GET {path} HTTP/1.1\r\nHost: t\r\n\r\n"));
        let echo: Value = serde_json::from_slice(&client.response().body).expect("JSON");
        assert_eq!(echo["usage"]["total_tokens"], total, "{path}");
    }
}

#[test]
fn because_it_is_not_json() {
    let server = Server::start(&["--workers", "1"]);
    let response = post(&server, "/nousage/badjson");
    assert_eq!(response.header("content-type"), Some("application/json"));
    let text = r#"{"_myhostname":"test","uri":"/nousage/badjson","method":"GET","invalid json truncated"#;
    assert_eq!(response.text(), text);
    assert!(serde_json::from_str::<Value>(text).is_err());
}

#[test]
fn because_nothing_says_that_it_is_json() {
    let server = Server::start(&["--workers", "1"]);
    let response = post(&server, "/nousage/wrongct?x");
    assert_eq!(response.header("content-type"), Some("text/plain; charset=utf-8"));
    let echo: Value = serde_json::from_slice(&response.body).expect("JSON all the same");
    assert_eq!((&echo["body"], &echo["usage"]), (&"hello".into(), &json!({})));
}

#[test]
fn because_it_is_empty() {
    let server = Server::start(&["--workers", "1"]);
    let response = post(&server, "/nousage/empty");
    assert_eq!(
        (response.header("content-type"), response.header("content-length")),
        (Some("application/json"), Some("0"))
    );
}
