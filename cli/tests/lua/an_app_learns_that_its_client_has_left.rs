//! `tine.connected()` tells an app that computes whether its client is still there, and `tine.on_abort` one that waits that
//! it has left.

use crate::support::lua::{ask, leave, serve, text_of};
use crate::support::{Client, Server, eventually};
use nix::sys::signal::Signal;

/// `/computes` works until its client has left, without a wait in which the server would notice. What it has seen is logged.
const APP: &str = r#"
local function computes(path)
  local check = tine.connected
  if path == "/computes-nested" then
    check = coroutine.wrap(function()
      while true do coroutine.yield(tine.connected()) end
    end)
  end
  local rounds = 0
  tine.log("info", "begins")
  while true do
    rounds = rounds + 1
    local there, how = check()
    if not there then
      tine.log("info", ("left: %s"):format(how))
      return "given up"
    elseif rounds == 1 then
      tine.log("info", "there: " .. tostring(how))
    end
    if path == "/once" then return "there" end
  end
end
function app(environ, start_response)
  local path = environ.PATH_INFO
  start_response("200 OK", {})
  if path == "/" then return "fine" end
  if path:find("^/computes") or path == "/once" then return computes(path) end
  tine.on_abort(function()
    local there, how = tine.connected()
    local ok = pcall(tine.sleep, 0)
    tine.log("info", ("aborted %s: %s %s %s"):format(path, tostring(there), how, tostring(ok)))
    if path == "/fails" then error("of the function") end
  end)
  if path == "/replaced" then tine.on_abort(function() tine.log("info", "the second " .. path) end) end
  if path == "/chunks" then
    return setmetatable({ close = function() tine.log("info", "closed " .. path) end }, { __call = function()
      tine.sleep(0.001)
      return "x"
    end })
  elseif path == "/ends" then
    return { "a", "b", close = function() end }
  elseif path == "/error" then
    error("of the app")
  elseif path == "/head" then
    return coroutine.wrap(function() coroutine.yield("a") tine.sleep(3600) end)
  end
  tine.log("info", "sleeps")
  tine.sleep(3600)
end
"#;

fn begun(server: &Server, path: &str, log: &str) -> Client {
    let mut client = server.connect();
    client.send(format!("GET {path} HTTP/1.1\r\nHost: t\r\n\r\n"));
    server.wait_log(log);
    client
}

#[test]
fn connected_is_true_while_the_client_is_there() {
    let server = serve(APP, &[]);
    assert_eq!(text_of(&server, "/once"), "there");
    server.wait_log("there: nil");
    // Also with a request that follows.
    let mut client = server.connect();
    client.send("GET /once HTTP/1.1\r\nHost: t\r\n\r\nGET / HTTP/1.1\r\nHost: t\r\n\r\n");
    assert_eq!((client.response().text().as_str(), client.response().text().as_str()), ("there", "fine"));
}

#[test]
fn connected_is_false_once_it_has_left() {
    for path in ["/computes", "/computes-nested"] {
        let server = serve(APP, &[]);
        leave(begun(&server, path, "there: nil"));
        server.wait_log("left: closed");
        drop(begun(&server, path, "begins"));
        server.wait_log("left: half-closed");
        assert_eq!(text_of(&server, "/"), "fine");
    }
}

/// It may still read, and gets what the app returns.
#[test]
fn a_half_closed_client_is_told_apart() {
    let server = serve(APP, &[]);
    let mut client = begun(&server, "/computes", "there: nil");
    client.finish_sending();
    server.wait_log("left: half-closed");
    assert_eq!(client.response().text(), "given up");
}

#[test]
fn on_abort_is_called_when_the_request_is_abandoned() {
    let mut server = serve(APP, &["--graceful-timeout", "300ms"]);
    let called = |path: &str| format!("aborted {path}: false closed false");
    for path in ["/sleeps", "/fails"] {
        leave(begun(&server, path, "sleeps"));
        server.wait_log(&called(path));
    }
    server.wait_log("GET /fails: tine.on_abort: the function failed: ");
    leave(begun(&server, "/replaced", "sleeps"));
    server.wait_log("the second /replaced");
    let mut client = server.connect();
    client.send("GET /chunks HTTP/1.1\r\nHost: t\r\n\r\n");
    client.head();
    client.chunk().expect("a chunk");
    leave(client);
    server.wait_log("closed /chunks");
    // When its worker ends, too.
    let _client = begun(&server, "/at-the-end", "sleeps");
    server.stop(Signal::SIGTERM);
    server.wait_log(&called("/at-the-end"));
    for path in ["/sleeps", "/chunks"] {
        assert_eq!(server.log().matches(&called(path)).count(), 1, "{path}: {}", server.log());
    }
    assert!(!server.log().contains("aborted /replaced"));
}

#[test]
fn on_abort_is_called_at_the_request_timeout() {
    let server = serve(APP, &["--request-timeout", "200ms"]);
    assert_eq!(server.get("/sleeps").status, 504);
    server.wait_log("aborted /sleeps");
}

#[test]
fn on_abort_is_not_called_otherwise() {
    let server = serve(APP, &[]);
    assert_eq!(text_of(&server, "/ends"), "ab");
    assert_eq!(server.get("/error").status, 500);
    assert_eq!(ask(&server, "HEAD /head HTTP/1.1\r\nHost: t", b"").status, 200);
    assert_eq!(ask(&server, "HEAD /ends HTTP/1.1\r\nHost: t", b"").status, 200);
    // Nor for a later request of the same coroutine.
    let mut client = server.connect();
    client.send("POST /computes HTTP/1.1\r\nHost: t\r\nContent-Length: 1\r\n\r\n");
    server.wait_log("begins");
    leave(client);
    server.wait_log("left: closed");
    eventually("nothing is in flight", || (server.in_flight() == 0).then_some(()));
    assert!(!server.log().contains("aborted"), "{}", server.log());
}
