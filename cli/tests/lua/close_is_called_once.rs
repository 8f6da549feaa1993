//! `close` is called once, however the request ends. (If the client disconnects:
//! disconnected_clients_end_their_request.)

use crate::support::lua::{ask, serve, text_of};
use crate::support::{Server, eventually};
use nix::sys::signal::Signal;

/// Each call of `close` writes a log line, so it can be counted even if the worker ends.
const APP: &str = r#"
local function closing(f, how)
  return setmetatable({ close = function() tine.log("info", "closed " .. how) end }, { __call = f })
end
function app(environ, start_response)
  local how = environ.PATH_INFO:sub(2)
  start_response("200 OK", {})
  if how == "never-called" then
    return closing(function() return "x" end, how)
  elseif how == "table" then
    return { "a", "b", close = function() tine.log("info", "closed table") end }
  elseif how == "one" then
    return { "a", close = function() tine.log("info", "closed one") end }
  elseif how == "none" then
    return { close = function() tine.log("info", "closed none") end }
  elseif how == "closing-fails" then
    return { "fine", close = function() error("close is broken") end }
  elseif how == "closing-fails-stream" then
    return { "fi", "ne", close = function() error({ "close is broken" }) end }
  elseif how == "closing-sleeps" then
    return { "fi", "ne", close = function() tine.sleep(0.01) tine.log("info", "closed closing-sleeps") end }
  elseif how == "state" then
    return ipairs({ "a", close = function() tine.log("info", "closed state") end })
  end
  local count = 0
  return closing(function()
    count = count + 1
    if how == "error" then error("broken iterator") end
    if how == "late-error" and count == 2 then error("broken iterator") end
    if how == "sleeps" then
      tine.log("info", "sleeps now")
      tine.sleep(3600)
    end
    if how == "spins" then while true do end end
    if how == "not-a-chunk" then return true end
    return count < 3 and "chunk" or nil
  end, how)
end
"#;

#[track_caller]
fn expect_closed(server: &Server, how: &str) {
    server.wait_log(&format!("closed {how}"));
    // Another request comes after everything that this one could still do.
    server.get("/end");
    let count = server.log().lines().filter(|line| line.ends_with(&format!("closed {how}"))).count();
    assert_eq!(count, 1, "{how}: {}", server.log());
}

#[test]
fn at_the_end_and_after_an_error() {
    let server = serve(APP, &[]);
    for (how, status) in [
        ("whole", 200),
        ("table", 200),
        ("one", 200),
        ("none", 200),
        ("state", 200),
        ("error", 500),
        ("not-a-chunk", 500),
        ("closing-sleeps", 200),
    ] {
        assert_eq!(server.get(&format!("/{how}")).status, status, "{how}\n{}", server.log());
        expect_closed(&server, how);
    }
    let mut client = server.connect();
    client.send("GET /late-error HTTP/1.1\r\nHost: t\r\n\r\n");
    assert!(client.try_response("GET").is_err());
    expect_closed(&server, "late-error");
    ask(&server, "HEAD /head HTTP/1.1\r\nHost: t", b"");
    expect_closed(&server, "head");
}

#[test]
fn an_error_in_it_is_only_logged() {
    let server = serve(APP, &[]);
    for how in ["closing-fails", "closing-fails-stream"] {
        assert_eq!(text_of(&server, &format!("/{how}")), "fine");
        server.wait_log(&format!("GET /{how}: close failed: "));
    }
    assert!(server.log().contains("close is broken"), "{}", server.log());
    assert_eq!(text_of(&server, "/one"), "a");
}

#[test]
fn at_the_graceful_timeout() {
    let mut server = serve(APP, &["--graceful-timeout", "300ms"]);
    let mut client = server.connect();
    client.send("GET /sleeps HTTP/1.1\r\nHost: t\r\n\r\n");
    server.wait_log("sleeps now");
    assert_eq!(server.stop(Signal::SIGTERM).code(), Some(0), "{}", server.log());
    assert_eq!(server.log().matches("closed sleeps").count(), 1, "{}", server.log());
}

#[test]
fn at_the_request_timeout() {
    let server = serve(APP, &["--request-timeout", "200ms"]);
    for how in ["sleeps", "spins"] {
        assert_eq!(server.get(&format!("/{how}")).status, 504, "{how}");
        expect_closed(&server, how);
    }
}

#[test]
fn when_the_client_does_not_read() {
    let server = serve(
        r#"
        local closed = 0
        function app(environ, start_response)
          start_response("200 OK", {})
          if environ.PATH_INFO == "/closed" then return tostring(closed) end
          return setmetatable({ close = function() closed = closed + 1 end },
            { __call = function() return ("x"):rep(10000) end })
        end
        "#,
        &["--write-timeout", "300ms"],
    );
    let mut client = server.connect_narrow();
    client.send("GET / HTTP/1.1\r\nHost: t\r\n\r\n");
    eventually("the write timeout ends it", || (text_of(&server, "/closed") == "1").then_some(()));
    assert_eq!(text_of(&server, "/closed"), "1");
}
