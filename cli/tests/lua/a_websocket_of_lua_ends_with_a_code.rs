//! However a WebSocket of a Lua application ends, the client gets a code and the app gets to know: `receive` returns it, what runs
//! in other coroutines is closed, and `close` is called. The function may finish what it does.

use crate::support::lua::{leave, serve, text_of};
use crate::support::websocket::{Frame, TEXT, WebSocket};
use crate::support::{Server, eventually};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// `/seen` shows what has happened since it was last asked.
const APP: &str = r##"
local seen = {}
local function see(...)
  for i = 1, select("#", ...) do
    seen[#seen + 1] = tostring((select(i, ...)))
  end
end
local function told(ws)
  see("told", ws.code, ws.reason)
end
local routes = {}
routes["/receive"] = function(ws)
  see(ws:receive())
end
routes["/loop"] = function(ws)
  for _ in ws:messages() do
  end
  see("after", ws.code, ws.reason)
  tine.sleep(0.01)
  see("slept")
  for _, call in ipairs({ ws.send, ws.spawn }) do
    see((tostring(select(2, pcall(call, ws, call == ws.send and "x" or print))):gsub("^.*:%d+: ", "")))
  end
end
routes["/ignores"] = function(ws)
  while true do
    ws:receive(3600)
  end
end
routes["/sends"] = function(ws)
  while true do
    ws:send(("x"):rep(1000))
  end
end
routes["/spawns"] = function(ws)
  ws:spawn(function()
    tine.sleep(3600)
  end)
  ws:spawn(function()
    see(ws:receive())
  end)
  ws:receive()
  see("end")
end
routes["/close"] = function(ws)
  ws:send("last")
  ws:close(4000, "bye")
  see("closed", ws.code, ws.reason)
  see(ws:receive())
  see(pcall(ws.close, ws, 1000))
end
routes["/returns"] = function(ws)
  ws:send("last")
end
routes["/fails"] = function(ws)
  ws:receive()
  error("as the test wants it")
end
routes["/one fails"] = function(ws)
  ws:spawn(function()
    tine.sleep(0.01)
    error("as the test wants it")
  end)
  see(ws:receive())
end
routes["/computes"] = function(ws)
  tine.sleep(0.7)
  ws:send("more than the request's timeout, but not in one piece")
  ws:receive()
  while true do
  end
end
routes["/sleeps"] = function(ws)
  see("sleeps")
  tine.sleep(3600)
end
function app(environ, start_response)
  local path = environ.PATH_INFO
  if path == "/seen" then
    start_response(200, {})
    local text = table.concat(seen, ",")
    seen = {}
    return text
  end
  return tine.websocket(environ, { close = told }, routes[path])
end
"##;

#[track_caller]
fn expect_seen(server: &Server, expected: &str) {
    let mut seen = String::new();
    eventually(&format!("{expected:?} is seen\n{}", server.log()), || {
        let more = text_of(server, "/seen");
        if !seen.is_empty() && !more.is_empty() {
            seen.push(',');
        }
        seen.push_str(&more);
        (seen.len() >= expected.len()).then_some(())
    });
    assert_eq!(seen, expected);
}

#[track_caller]
fn expect_idle(server: &Server) {
    assert!(!server.log().contains("ERROR"), "{}", server.log());
}

#[test]
fn receive_returns_the_code_of_the_client() {
    let server = serve(APP, &[]);
    let mut client = WebSocket::connect(&server, "/receive");
    let bytes = client.masked(&Frame::close(4321, b"enough"));
    client.send_raw(bytes);
    assert_eq!(client.next_frame(), Some(Frame::close(4321, b"enough")));
    client.expect_end();
    expect_seen(&server, "nil,4321,enough,told,4321,enough");
    let mut client = WebSocket::connect(&server, "/receive");
    let bytes = client.masked(&Frame::new(true, 0, 8, ""));
    client.send_raw(bytes);
    expect_seen(&server, "nil,1005,,told,1005,");
    expect_idle(&server);
}

#[test]
fn the_function_may_finish_after_the_clients_close() {
    let server = serve(APP, &[]);
    let mut client = WebSocket::connect(&server, "/loop");
    client.send_frame(true, 0, TEXT, "x");
    assert_eq!(client.close(1001), Some(1001));
    expect_seen(&server, "after,1001,,slept,the WebSocket is closed,the WebSocket is closed,told,1001,");
    expect_idle(&server);
}

#[test]
fn a_connection_that_is_lost_is_1006() {
    let server = serve(APP, &[]);
    let sockets = server.sockets();
    leave(WebSocket::connect(&server, "/receive").client);
    expect_seen(&server, "nil,1006,,told,1006,");
    drop(WebSocket::connect(&server, "/receive"));
    expect_seen(&server, "nil,1006,,told,1006,");
    // Nothing can be waited for.
    leave(WebSocket::connect(&server, "/loop").client);
    expect_seen(&server, "after,1006,,told,1006,");
    let client = WebSocket::connect(&server, "/sleeps");
    expect_seen(&server, "sleeps");
    leave(client.client);
    expect_seen(&server, "told,1006,");
    eventually("its sockets are closed", || (server.sockets() == sockets).then_some(()));
    expect_idle(&server);
}

#[test]
fn what_goes_on_after_the_end_is_ended() {
    let server = serve(APP, &[]);
    for path in ["/ignores", "/sends"] {
        let mut client = WebSocket::connect(&server, path);
        assert_eq!(client.close(1000), Some(1000), "{path}");
        expect_seen(&server, "told,1000,");
    }
    leave(WebSocket::connect(&server, "/sends").client);
    expect_seen(&server, "told,1006,");
    expect_idle(&server);
}

#[test]
fn all_coroutines_end_with_the_function() {
    let server = serve(APP, &[]);
    let mut client = WebSocket::connect(&server, "/spawns");
    // One of the two that receive.
    client.send_frame(true, 0, TEXT, "x");
    expect_seen(&server, "end,told,nil,nil");
    assert_eq!(client.expect_close(), Frame::close(1000, b""));
    expect_idle(&server);
}

#[test]
fn the_app_closes_with_a_code_or_by_returning() {
    let server = serve(APP, &[]);
    for (path, close, seen) in [
        ("/close", Frame::close(4000, b"bye"), "closed,4000,bye,nil,4000,bye,true,told,4000,bye"),
        ("/returns", Frame::close(1000, b""), "told,nil,nil"),
    ] {
        let mut client = WebSocket::connect(&server, path);
        assert_eq!(client.next_message(), Some(Frame::new(true, 0, TEXT, "last")), "{path}");
        assert_eq!(client.expect_close(), close, "{path}");
        expect_seen(&server, seen);
    }
    expect_idle(&server);
}

#[test]
fn an_error_is_logged_with_its_place_and_is_1011() {
    let server = serve(APP, &[]);
    let mut client = WebSocket::connect(&server, "/fails");
    client.send_frame(true, 0, TEXT, "x");
    assert_eq!(client.expect_close(), Frame::close(1011, b""));
    server.wait_log("GET /fails: the app failed on its WebSocket:");
    let log = server.log();
    assert!(log.contains("as the test wants it\n") && log.contains("stack traceback:"), "{log}");
    assert!(!log.contains("xpcall") && !log.contains("tail calls"), "{log}");
    expect_seen(&server, "told,nil,nil");
    let mut client = WebSocket::connect(&server, "/one%20fails");
    assert_eq!(client.expect_close(), Frame::close(1011, b""));
    expect_seen(&server, "nil,1011,,told,1011,");
}

#[test]
fn the_timeout_is_that_of_each_computation() {
    let server = serve(APP, &["--request-timeout", "500ms"]);
    let mut client = WebSocket::connect(&server, "/computes");
    assert_eq!(client.next_message().expect("a message").opcode, TEXT);
    client.send_frame(true, 0, TEXT, "x");
    assert_eq!(client.expect_close(), Frame::close(1011, b""));
    server.wait_log("the request timed out (--request-timeout)");
    assert!(server.log().contains(": in function <"), "{}", server.log());
    // The worker goes on.
    assert_eq!(WebSocket::connect(&server, "/receive").close(1000), Some(1000));
}

#[test]
fn a_worker_that_leaves_says_1001() {
    let mut server = serve(APP, &[]);
    let mut client = WebSocket::connect(&server, "/loop");
    server.signal(Signal::SIGTERM);
    assert_eq!(client.expect_close(), Frame::close(1001, b"Server shutting down"));
    assert_eq!(server.wait_exit().code(), Some(0), "{}", server.log());
    assert!(!server.log().contains("cut"), "{}", server.log());
    // A worker that is killed says nothing.
    let server = serve(APP, &[]);
    let mut client = WebSocket::connect(&server, "/receive");
    kill(Pid::from_raw(server.workers()[0]), Signal::SIGKILL).expect("a worker");
    assert!(!matches!(client.try_next_frame(), Ok(Some(_))), "no frame");
}
