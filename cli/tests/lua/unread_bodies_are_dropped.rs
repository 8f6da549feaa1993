//! A body that the app does not read, or not to its end, is dropped, and the next request on the connection is served.
//! A client that waits for 100 Continue gets it when the app reads, and not before.

use crate::support::lua::{ask, serve};
use std::time::Duration;

const APP: &str = r#"
function app(environ, start_response)
  local path, input = environ.PATH_INFO, environ["wsgi.input"]
  if path == "/two" then
    start_response("200 OK", {})
    return input:read(2)
  elseif path == "/late" then
    start_response("200 OK", {})
    return coroutine.wrap(function()
      coroutine.yield("a")
      coroutine.yield("b")
    end)
  elseif path == "/sleep" then
    tine.sleep(0.3)
    start_response("200 OK", {})
    return "slept"
  elseif path == "/all" then
    start_response("200 OK", {})
    return input:read()
  elseif path == "/sleep-all" then
    tine.sleep(0.3)
    start_response("200 OK", {})
    return input:read()
  end
  start_response("200 OK", {})
  return "unread"
end
"#;

#[test]
fn the_connection_is_kept_after_a_small_body() {
    let server = serve(APP, &[]);
    for framed in ["Content-Length: 5\r\n\r\nhello", "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"] {
        // In one packet, so that all of it arrives with the head.
        for (path, expected) in
            [("/", "unread"), ("/two", "he"), ("/late", "ab"), ("/sleep", "slept"), ("/all", "hello")]
        {
            let mut client = server.connect();
            let request = format!("POST {path} HTTP/1.1\r\nHost: t\r\n{framed}");
            client.send(request.repeat(3) + "GET / HTTP/1.1\r\nHost: t\r\n\r\n");
            for _ in 0..3 {
                assert_eq!(client.response().text(), expected, "{path} {framed:?}");
            }
            assert_eq!(client.response().text(), "unread", "{path} {framed:?}");
        }
    }
}

#[test]
fn a_large_body_gets_a_response_too() {
    let server = serve(APP, &[]);
    let body = vec![b'x'; 5 << 20];
    let coded = [format!("{:x}\r\n", body.len()).as_bytes(), &body, b"\r\n0\r\n\r\n"].concat();
    for (path, expected) in [("/", "unread"), ("/two", "xx"), ("/late", "ab"), ("/sleep", "slept")] {
        let known = format!("POST {path} HTTP/1.1\r\nHost: t\r\nContent-Length: {}", body.len());
        assert_eq!(ask(&server, &known, &body).text(), expected, "{path}");
        let chunked = format!("POST {path} HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked");
        assert_eq!(ask(&server, &chunked, &coded).text(), expected, "{path} chunked");
    }
}

fn expecting(path: &str) -> String {
    format!("POST {path} HTTP/1.1\r\nHost: t\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n")
}

#[test]
fn an_app_that_reads_causes_a_100() {
    let server = serve(APP, &[]);
    for (path, expected) in [("/all", "hello"), ("/two", "he"), ("/sleep-all", "hello")] {
        let mut client = server.connect();
        client.send(expecting(path));
        assert_eq!(client.response().head, "HTTP/1.1 100 Continue\r\n\r\n", "{path}");
        client.send("hello");
        assert_eq!(client.response().text(), expected, "{path}");
    }
}

#[test]
fn an_app_that_does_not_read_causes_no_100() {
    let server = serve(APP, &[]);
    for (path, expected) in [("/", "unread"), ("/late", "ab"), ("/sleep", "slept")] {
        let mut client = server.connect();
        client.send(expecting(path));
        let response = client.response();
        assert_eq!((response.status, response.text().as_str()), (200, expected), "{path}");
        // It is unknown now whether the body will follow.
        assert_eq!(response.header("connection"), Some("close"), "{path}");
        client.expect_end();
    }
}

/// The client need not send anything before the app reads.
#[test]
fn a_body_that_was_not_requested_does_not_time_out() {
    let server = serve(&APP.replace("0.3", "1.5"), &["--body-timeout", "500ms"]);
    let mut client = server.connect();
    client.send("POST /sleep-all HTTP/1.1\r\nHost: t\r\nContent-Length: 5\r\n\r\n");
    assert!(!client.is_readable_within(Duration::from_millis(1000)).expect("the connection is there"));
    client.send("hello");
    assert_eq!(client.response().text(), "hello");
}
