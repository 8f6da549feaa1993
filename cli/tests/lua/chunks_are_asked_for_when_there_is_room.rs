//! Each chunk is requested from the app only when there is room for it, and none if no body is sent; no other request
//! waits.

use crate::support::eventually;
use crate::support::lua::{ask, serve, text_of};

/// `/count` reports how many chunks were requested, and how often `close` was called.
const APP: &str = r#"
local asked, closed = 0, 0
local function endless(size, most)
  local chunk = ("x"):rep(size)
  return setmetatable({ close = function() closed = closed + 1 end }, { __call = function()
    asked = asked + 1
    if asked <= most then return chunk end
  end })
end
function app(environ, start_response)
  local path = environ.PATH_INFO
  if path == "/count" then
    start_response("200 OK", {})
    return asked .. " " .. closed
  elseif path == "/reset" then
    asked, closed = 0, 0
    start_response("200 OK", {})
    return "0"
  elseif path == "/204" or path == "/304" then
    start_response(tonumber(path:sub(2)), {})
  else
    start_response("200 OK", {})
  end
  return endless(path == "/small" and 10 or 1000, path == "/small" and 100000 or math.huge)
end
"#;

#[test]
fn many_small_chunks_wait_for_a_slow_reader() {
    let server = serve(APP, &[]);
    text_of(&server, "/reset");
    let before = server.memory_bytes();
    let mut client = server.connect_narrow();
    client.send("GET /small HTTP/1.1\r\nHost: t\r\n\r\n");
    let head = client.head();
    assert!(head.contains("chunked"), "{head}");
    let mut last = String::new();
    // The count stops once the buffers are full, including the kernel's, whose size depends on the system.
    let stands = eventually("nothing more is asked for", || {
        std::thread::sleep(std::time::Duration::from_millis(100));
        let now = text_of(&server, "/count");
        (std::mem::replace(&mut last, now.clone()) == now).then_some(now)
    });
    let asked: usize = stands.strip_suffix(" 0").and_then(|n| n.parse().ok()).expect("close was not called");
    assert!(asked < 50_000, "{asked} chunks were asked for");
    let mut body = 0;
    for i in 0.. {
        let chunk = client.chunk().expect("a chunk");
        body += chunk.len();
        if i % 10_000 == 0 {
            let grown = server.memory_bytes().saturating_sub(before);
            assert!(grown < 3 << 20, "grew by {grown} bytes");
        }
        if chunk.is_empty() {
            break;
        }
    }
    assert_eq!(body, 1_000_000);
    assert_eq!(text_of(&server, "/count"), "100001 1");
}

#[test]
fn without_a_body_hardly_any_is_requested() {
    let server = serve(APP, &[]);
    for (head, status) in [
        ("HEAD / HTTP/1.1\r\nHost: t", 200),
        ("GET /204 HTTP/1.1\r\nHost: t", 204),
        ("GET /304 HTTP/1.1\r\nHost: t", 304),
        ("HEAD / HTTP/1.0", 200),
        ("HEAD / HTTP/1.1\r\nHost: t\r\nContent-Length: 2", 200),
    ] {
        text_of(&server, "/reset");
        let body: &[u8] = if head.contains("Length") { b"hi" } else { b"" };
        assert_eq!(ask(&server, head, body).status, status, "{head}");
        assert_eq!(text_of(&server, "/count"), "1 1", "{head}");
    }
}

/// Also while the request's body is still arriving.
#[test]
fn an_endless_response_to_head_does_not_block_others() {
    let server = serve(APP, &[]);
    let mut client = server.connect();
    client.send("HEAD / HTTP/1.1\r\nHost: t\r\nContent-Length: 2\r\n\r\n");
    assert_eq!(client.response_to("HEAD").status, 200);
    assert!(text_of(&server, "/count").ends_with(" 1"));
    client.send("hiGET /count HTTP/1.1\r\nHost: t\r\n\r\n");
    assert_eq!(client.response().text(), "1 1");
}
