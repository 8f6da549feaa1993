//! A client that disconnects ends its request: `close` is called once, and the worker keeps nothing of the request.

use crate::support::lua::{leave, serve, text_of};
use crate::support::{Server, eventually};

/// `/closed` reports how often `close` was called, `/state` what the app had done by then.
const APP: &str = r#"
local closed, stage = 0, "none"
local function closing(f)
  return setmetatable({ close = function() closed = closed + 1 end }, { __call = f })
end
function app(environ, start_response)
  local path, input = environ.PATH_INFO, environ["wsgi.input"]
  start_response("200 OK", {})
  if path == "/closed" then
    return tostring(closed)
  elseif path == "/stage" then
    return stage
  elseif path == "/sleep" then
    return closing(function()
      stage = "sleeps"
      tine.sleep(3600)
    end)
  elseif path == "/nested" then
    local inner = coroutine.wrap(function()
      stage = "sleeps"
      tine.sleep(3600)
    end)
    return closing(function() return inner() end)
  elseif path == "/body" then
    return closing(function()
      stage = "reads"
      return input:read(100)
    end)
  elseif path == "/room" then
    local chunk = ("x"):rep(65536)
    return closing(function()
      stage = "writes"
      return chunk
    end)
  elseif path == "/body-sleep" then
    -- With a body that has arrived and is not read.
    return closing(function()
      stage = "sleeps"
      tine.sleep(3600)
    end)
  end
end
"#;

#[track_caller]
fn expect_closed(server: &Server, request: &str, stage: &str, count: usize, sockets: usize) {
    let mut client = server.connect();
    client.send(request);
    eventually(&format!("{request:?}: the app {stage}"), || (text_of(server, "/stage") == stage).then_some(()));
    leave(client);
    eventually(&format!("{request:?}: close is called\n{}", server.log()), || {
        (text_of(server, "/closed") == count.to_string()).then_some(())
    });
    eventually("its socket is closed", || (server.sockets() == sockets).then_some(()));
    // And not called again.
    assert_eq!(text_of(server, "/closed"), count.to_string());
}

#[test]
fn while_the_app_sleeps_reads_or_waits_for_room() {
    let server = serve(APP, &["--defer-accept", "0"]);
    let sockets = server.sockets();
    let requests = [
        ("GET /sleep HTTP/1.1\r\nHost: t\r\n\r\n", "sleeps"),
        ("POST /body HTTP/1.1\r\nHost: t\r\nContent-Length: 100\r\n\r\nhalf", "reads"),
        ("GET /nested HTTP/1.1\r\nHost: t\r\n\r\n", "sleeps"),
        ("GET /room HTTP/1.1\r\nHost: t\r\n\r\n", "writes"),
        ("POST /body-sleep HTTP/1.1\r\nHost: t\r\nContent-Length: 100\r\n\r\nhalf", "sleeps"),
        ("POST /body HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\n\r\n10\r\nhalf", "reads"),
    ];
    for (i, (request, stage)) in requests.into_iter().enumerate() {
        expect_closed(&server, request, stage, i + 1, sockets);
    }
    assert!(!server.log().contains("ERROR"), "{}", server.log());
}

/// Also a client that closes with FIN in the middle of its body.
#[test]
fn at_the_end_of_an_incomplete_body() {
    let server = serve(APP, &[]);
    let sockets = server.sockets();
    let mut client = server.connect();
    client.send("POST /body HTTP/1.1\r\nHost: t\r\nContent-Length: 100\r\n\r\nhalf");
    eventually("the app reads", || (text_of(&server, "/stage") == "reads").then_some(()));
    drop(client);
    eventually("close is called", || (text_of(&server, "/closed") == "1").then_some(()));
    eventually("its socket is closed", || (server.sockets() == sockets).then_some(()));
}

/// Also with a FIN when the whole request has been read, so that the server waits for no more of it.
#[test]
fn by_fin_while_the_app_sleeps() {
    let server = serve(APP, &["--defer-accept", "0"]);
    let sockets = server.sockets();
    for (count, path) in [(1, "/sleep"), (2, "/nested")] {
        let mut client = server.connect();
        client.send(format!("GET {path} HTTP/1.1\r\nHost: t\r\n\r\n"));
        eventually("the app sleeps", || (text_of(&server, "/stage") == "sleeps").then_some(()));
        drop(client);
        eventually("close is called", || (text_of(&server, "/closed") == count.to_string()).then_some(()));
        eventually("its socket is closed", || (server.sockets() == sockets).then_some(()));
    }
}

/// A drain waits for the requests in flight.
#[test]
fn and_do_not_delay_a_drain() {
    let mut server = serve(APP, &["--graceful-timeout", "1h"]);
    for request in
        ["GET /sleep HTTP/1.1\r\nHost: t\r\n\r\n", "POST /body HTTP/1.1\r\nHost: t\r\nContent-Length: 9\r\n\r\nhalf"]
    {
        let mut client = server.connect();
        client.send(request);
        eventually("it is being answered", || (text_of(&server, "/stage") != "none").then_some(()));
        leave(client);
    }
    eventually("both are closed", || (text_of(&server, "/closed") == "2").then_some(()));
    assert_eq!(server.stop(nix::sys::signal::Signal::SIGTERM).code(), Some(0), "{}", server.log());
}

#[cfg(feature = "lua54")]
#[test]
fn to_be_closed_variables_are_closed_while_the_app_runs() {
    let server = serve(
        r#"
        local closed, stage = 0, "none"
        function app(environ, start_response)
          start_response("200 OK", {})
          if environ.PATH_INFO == "/closed" then return tostring(closed) end
          if environ.PATH_INFO == "/stage" then return stage end
          local guard <close> = setmetatable({}, { __close = function() closed = closed + 1 end })
          stage = "sleeps"
          tine.sleep(3600)
        end
        "#,
        &[],
    );
    let sockets = server.sockets();
    expect_closed(&server, "GET / HTTP/1.1\r\nHost: t\r\n\r\n", "sleeps", 1, sockets);
}
