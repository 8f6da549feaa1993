//! `--max-body`: a request that announces a longer body gets 413 before its body is read; a chunked one when it crosses
//! the limit.

use crate::support::lua::serve;
use crate::support::{Client, Response};

const APP: &str = r#"
local asked = 0
function app(environ, start_response)
  local path, input = environ.PATH_INFO, environ["wsgi.input"]
  if path == "/asked" then
    start_response("200 OK", {})
    return tostring(asked)
  end
  asked = asked + 1
  if path == "/pieces" then
    local bytes = 0
    for piece in function() return input:read(7) end do bytes = bytes + #piece end
    start_response("200 OK", {})
    return tostring(bytes)
  elseif path == "/lines" then
    local bytes = 0
    for line in input:lines() do bytes = bytes + #line + 1 end
    start_response("200 OK", {})
    return tostring(bytes)
  elseif path == "/unread" then
    start_response("200 OK", {})
    return "unread"
  elseif path == "/streamed" then
    start_response("200 OK", {})
    local is_sent = false
    return function()
      if not is_sent then
        is_sent = true
        return "begun"
      end
      return #input:read() .. ""
    end
  end
  local body = input:read()
  start_response("200 OK", {})
  return tostring(#body)
end
"#;

fn chunked(path: &str, sizes: &[usize]) -> String {
    let chunks: String = sizes.iter().map(|size| format!("{size:x}\r\n{}\r\n", "x".repeat(*size))).collect();
    format!("POST {path} HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\n\r\n{chunks}0\r\n\r\n")
}

fn sized(path: &str, size: usize) -> String {
    format!("POST {path} HTTP/1.1\r\nHost: t\r\nContent-Length: {size}\r\n\r\n{}", "x".repeat(size))
}

#[track_caller]
fn answer(client: &mut Client, request: &str) -> Response {
    client.send(request);
    client.response()
}

#[test]
fn announced_bodies_are_refused_at_once() {
    let server = serve(APP, &["--max-body", "100"]);
    let mut client = server.connect();
    assert_eq!(answer(&mut client, &sized("/", 100)).text(), "100", "exactly the limit passes");
    // On a kept connection, before a byte of the body has been sent.
    client.send("POST / HTTP/1.1\r\nHost: t\r\nContent-Length: 101\r\n\r\n");
    let response = client.response();
    assert_eq!(response.status, 413);
    assert!(response.text().contains("longer than this server accepts"), "{}", response.text());

    let mut client = server.connect();
    client.send("POST / HTTP/1.1\r\nHost: t\r\nContent-Length: 101\r\nExpect: 100-continue\r\n\r\n");
    assert_eq!(client.response().status, 413, "and no 100 Continue is sent");
    let mut client = server.connect();
    client.send("POST / HTTP/1.1\r\nHost: t\r\nContent-Length: 100\r\nExpect: 100-continue\r\n\r\n");
    assert_eq!(client.response().status, 100);
    client.send("x".repeat(100));
    assert_eq!(client.response().text(), "100");

    let mut client = server.connect();
    client.send("POST / HTTP/1.1\r\nHost: t\r\nContent-Length: 99999999999999999999999\r\n\r\n");
    assert!(matches!(client.response().status, 400 | 413), "no number is too long to be compared");
    // Two of these reached the app.
    assert_eq!(server.get("/asked").text(), "2");
}

#[test]
fn a_client_that_sends_its_body_anyway_gets_the_413() {
    let server = serve(APP, &["--max-body", "100"]);
    for size in [101, 100_000, 4 << 20] {
        let mut client = server.connect();
        client.send(format!("POST / HTTP/1.1\r\nHost: t\r\nContent-Length: {size}\r\n\r\n"));
        // The server may end the connection while this is sent.
        let _ = client.try_send(vec![b'x'; size]);
        assert_eq!(client.response().status, 413, "{size}");
    }
    assert_eq!(server.get("/asked").text(), "0");
}

#[test]
fn chunked_bodies_are_refused_when_they_cross_the_limit() {
    let server = serve(APP, &["--max-body", "100"]);
    for path in ["/", "/pieces", "/lines"] {
        let mut client = server.connect();
        for sizes in [&[100][..], &[1; 100], &[50, 50], &[]] {
            let sum: usize = sizes.iter().sum();
            let response = answer(&mut client, &chunked(path, sizes));
            let expected = if path == "/lines" && sum > 0 { sum + 1 } else { sum };
            assert_eq!((response.status, response.text()), (200, expected.to_string()), "{path} {sizes:?}");
        }
        for sizes in [&[101][..], &[1; 101], &[50, 51], &[100, 1], &[70_000, 70_000]] {
            let mut client = server.connect();
            let _ = client.try_send(chunked(path, sizes));
            assert_eq!(client.response().status, 413, "{path} {sizes:?}");
        }
        // Before the end of the body, which may never arrive.
        let mut client = server.connect();
        client.send(format!(
            "POST {path} HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\n\r\nff\r\n{}\r\n",
            "x".repeat(255)
        ));
        assert_eq!(client.response().status, 413, "{path}");
    }
    // It is the client's error, not the app's.
    assert!(!server.log().contains("ERROR"), "{}", server.log());
}

#[test]
fn after_the_head_the_connection_is_reset() {
    let server = serve(APP, &["--max-body", "100"]);
    let mut client = server.connect();
    client.send("POST /streamed HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\n\r\n");
    assert!(client.head().starts_with("HTTP/1.1 200"));
    assert_eq!(client.chunk().expect("what was sent before"), b"begun");
    let _ = client.try_send(format!("{:x}\r\n{}\r\n0\r\n\r\n", 101, "x".repeat(101)));
    client.chunk().expect_err("neither another chunk nor the last one");
    assert!(!server.log().contains("ERROR"), "{}", server.log());
}

#[test]
fn zero_is_no_body_at_all() {
    let server = serve(APP, &["--max-body", "0"]);
    let mut client = server.connect();
    assert_eq!(answer(&mut client, &sized("/", 0)).text(), "0");
    assert_eq!(answer(&mut client, &chunked("/", &[])).text(), "0");
    assert_eq!(answer(&mut client, "GET / HTTP/1.1\r\nHost: t\r\n\r\n").text(), "0");
    assert_eq!(answer(&mut client, &sized("/", 1)).status, 413);
    assert_eq!(answer(&mut server.connect(), &chunked("/", &[1])).status, 413);
}

#[test]
fn an_unread_body_is_not_kept() {
    let server = serve(APP, &["--max-body", "100"]);
    let mut client = server.connect();
    assert_eq!(answer(&mut client, &chunked("/unread", &[50, 50])).text(), "unread");
    // A response that the app has sent is not replaced because of a body that it did not read.
    assert_eq!(answer(&mut server.connect(), &chunked("/unread", &[5000])).text(), "unread");
}

#[test]
fn the_default_is_ten_mebibytes() {
    let server = serve(APP, &[]);
    let mut client = server.connect();
    client.send(format!("POST / HTTP/1.1\r\nHost: t\r\nContent-Length: {}\r\n\r\n", (10 << 20) + 1));
    assert_eq!(client.response().status, 413);
    assert_eq!(answer(&mut server.connect(), &sized("/", 10 << 20)).text(), (10 << 20).to_string());
}
