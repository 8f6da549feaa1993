//! A request that ends before its app has finished leaves nothing half-done: under Lua 5.4 the to-be-closed variables
//! of its coroutines are closed, nested ones first, and under both Luas everything becomes garbage. What does not
//! belong to the request continues. (The request's own coroutine: disconnected_clients_end_their_request.)

use crate::support::eventually;
use crate::support::lua::{leave, serve, text_of};

#[cfg(feature = "lua54")]
const APP: &str = r#"
local closed, stage = {}, "none"
local function guard(name)
  return setmetatable({}, { __close = function() closed[#closed + 1] = name end })
end
local function sleep()
  stage = "sleeps"
  tine.sleep(3600)
end
local function send_for_ever()
  stage = "sends"
  local chunk = ("x"):rep(65536)
  while true do coroutine.yield(chunk) end
end
local function generator(name, body)
  return coroutine.wrap(function()
    local variable <close> = guard(name)
    body()
  end)
end
local function pass_on(step)
  for chunk in step do coroutine.yield(chunk) end
end
local ways = {
  sends = function() return generator("inner", send_for_ever) end,
  sleeps = function() return generator("inner", sleep) end,
  chunk_then_sleeps = function()
    return generator("inner", function() coroutine.yield("x") sleep() end)
  end,
  nested_sends = function()
    return generator("outer", function() pass_on(generator("inner", send_for_ever)) end)
  end,
  nested_sleeps = function()
    return generator("outer", function() pass_on(generator("inner", sleep)) end)
  end,
  nested_local = function()
    return generator("outer", function()
      local inner = generator("inner", send_for_ever)
      while true do coroutine.yield(inner()) end
    end)
  end,
  nested_thread = function()
    return generator("outer", function()
      local inner = coroutine.create(function()
        local variable <close> = guard("inner")
        send_for_ever()
      end)
      while true do coroutine.yield(select(2, coroutine.resume(inner))) end
    end)
  end,
  filtered = function()
    local inner = generator("inner", send_for_ever)
    local function filter() return inner() end
    return function() return filter():upper() end
  end,
  with_state = function()
    local inner = generator("inner", send_for_ever)
    return function(_, last) return last + 1, inner() end, nil, 0
  end,
  in_handler = function()
    local variable <close> = guard("outer")
    generator("inner", sleep)()
  end,
  in_loop_of_handler = function()
    local variable <close> = guard("outer")
    for _ in generator("inner", function() while true do coroutine.yield(1) end end) do sleep() end
  end,
  resumed = function()
    local variable <close> = guard("outer")
    coroutine.resume(coroutine.create(function()
      local variable <close> = guard("inner")
      sleep()
    end))
  end,
  in_pcall = function()
    local variable <close> = guard("outer")
    pcall(generator("inner", function() pcall(sleep) end))
  end,
  wrong_chunk = function() return generator("inner", function() coroutine.yield({}) end) end,
  closing_fails = function()
    return coroutine.wrap(function()
      local outer <close> = guard("outer")
      local inner <close> = setmetatable({}, { __close = function() closed[#closed + 1] = "inner" error("broken") end })
      send_for_ever()
    end)
  end,
}
-- Created while the app loads, and by a request for all requests.
local ticks, lazy = coroutine.wrap(function()
  local variable <close> = guard("ticks")
  while true do
    coroutine.yield("tick")
    sleep()
  end
end)
function ways.shared() return function() return ticks() end end
function ways.shared_loop() for tick in ticks do end end
function ways.lazy()
  lazy = generator("lazy", function() while true do coroutine.yield("tick") end end)
  lazy()
  sleep()
end
function app(environ, start_response)
  local path = environ.PATH_INFO:sub(2)
  start_response("200 OK", {})
  if path == "closed" then return table.concat(closed, " ") end
  if path == "stage" then return stage end
  if path == "reset" then closed, stage = {}, "none" return "" end
  if path == "ticks" then return ticks() end
  if path == "lazy_again" then return lazy() end
  return ways[path]()
end
"#;

#[cfg(feature = "lua54")]
#[track_caller]
fn expect_closed(server: &crate::support::Server, way: &str, names: &str) {
    eventually(&format!("{way}: {names} closed; {}", server.log()), || {
        (text_of(server, "/closed") == names).then_some(())
    });
}

#[cfg(feature = "lua54")]
#[test]
fn when_the_client_disconnects() {
    let server = serve(APP, &[]);
    for (way, stage, names) in [
        ("sends", "sends", "inner"),
        ("sleeps", "sleeps", "inner"),
        ("chunk_then_sleeps", "sleeps", "inner"),
        ("nested_sends", "sends", "inner outer"),
        ("nested_sleeps", "sleeps", "inner outer"),
        ("nested_local", "sends", "inner outer"),
        ("nested_thread", "sends", "inner outer"),
        ("filtered", "sends", "inner"),
        ("with_state", "sends", "inner"),
        ("in_handler", "sleeps", "inner outer"),
        ("in_loop_of_handler", "sleeps", "inner outer"),
        ("resumed", "sleeps", "inner outer"),
        ("in_pcall", "sleeps", "inner outer"),
        ("closing_fails", "sends", "inner outer"),
    ] {
        text_of(&server, "/reset");
        let mut client = server.connect_narrow();
        client.send(format!("GET /{way} HTTP/1.1\r\nHost: t\r\n\r\n"));
        eventually(&format!("{way} {stage}"), || (text_of(&server, "/stage") == stage).then_some(()));
        leave(client);
        expect_closed(&server, way, names);
    }
    server.wait_log("GET /closing_fails: closing failed: ");
    assert_eq!(server.log().matches("ERROR").count(), 1, "{}", server.log());
}

#[cfg(feature = "lua54")]
#[test]
fn when_no_body_is_sent_and_when_the_app_fails() {
    let server = serve(APP, &["--request-timeout", "300ms"]);
    for (method, way, status, names) in [
        ("HEAD", "sends", 200, "inner"),
        ("HEAD", "nested_sends", 200, "inner outer"),
        ("HEAD", "filtered", 200, "inner"),
        ("GET", "wrong_chunk", 500, "inner"),
        ("GET", "sleeps", 504, "inner"),
        ("GET", "nested_sleeps", 504, "inner outer"),
        ("GET", "in_handler", 504, "inner outer"),
    ] {
        text_of(&server, "/reset");
        let response = crate::support::lua::ask(&server, &format!("{method} /{way} HTTP/1.1\r\nHost: t"), b"");
        assert_eq!(response.status, status, "{method} {way}: {}", server.log());
        expect_closed(&server, way, names);
    }
}

#[cfg(feature = "lua54")]
#[test]
fn but_not_what_is_shared() {
    let server = serve(APP, &[]);
    for (way, again) in [("shared", "/ticks"), ("shared_loop", "/ticks"), ("lazy", "/lazy_again")] {
        text_of(&server, "/reset");
        let mut client = server.connect();
        client.send(format!("GET /{way} HTTP/1.1\r\nHost: t\r\n\r\n"));
        eventually(way, || (text_of(&server, "/stage") == "sleeps").then_some(()));
        let sockets = server.sockets();
        leave(client);
        eventually("its socket is closed", || (server.sockets() < sockets).then_some(()));
        assert_eq!(text_of(&server, again), "tick", "{way}");
        assert_eq!(text_of(&server, "/closed"), "", "{way}");
    }
}

#[test]
fn everything_becomes_garbage() {
    let server = serve(
        r#"
        local finalized, stage = 0, "none"
        local function finalizer()
          local object, meta
          if newproxy then
            object = newproxy(true)
            meta = getmetatable(object)
          else
            object, meta = {}, {}
          end
          function meta.__gc() finalized = finalized + 1 end
          return setmetatable and not newproxy and setmetatable(object, meta) or object
        end
        function app(environ, start_response)
          local path = environ.PATH_INFO
          start_response("200 OK", {})
          if path == "/stage" then return stage end
          if path == "/reset" then finalized, stage = 0, "none" return "" end
          if path == "/finalized" then
            collectgarbage()
            collectgarbage()
            return tostring(finalized)
          end
          local own = finalizer()
          local generator = coroutine.wrap(function()
            local inner = finalizer()
            if path == "/sleeps" then
              stage = "runs"
              tine.sleep(3600)
            end
            while inner do
              stage = "runs"
              coroutine.yield(("x"):rep(65536))
            end
          end)
          return function() return own and generator() end
        end
        "#,
        &[],
    );
    for (method, path) in [("GET", "/sends"), ("GET", "/sleeps"), ("HEAD", "/sends")] {
        text_of(&server, "/reset");
        let mut client = server.connect_narrow();
        client.send(format!("{method} {path} HTTP/1.1\r\nHost: t\r\n\r\n"));
        eventually("it runs", || (text_of(&server, "/stage") == "runs").then_some(()));
        leave(client);
        eventually(&format!("{method} {path}: both are finalized"), || {
            (text_of(&server, "/finalized") == "2").then_some(())
        });
    }
}
