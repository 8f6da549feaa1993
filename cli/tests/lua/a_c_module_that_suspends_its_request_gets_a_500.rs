//! A C module that suspends a request on its own ends it with 500. Whatever it yields is not taken for a response, and
//! no later request continues where this one stopped.

use crate::support::Server;
use crate::support::lua::{compile, folder_with, serve_from};
use std::fs;

const SUSPENDS: &str = r#"
#include <lauxlib.h>
#include <lua.h>

static int suspend(lua_State *L) { return lua_yield(L, lua_gettop(L)); }

int luaopen_suspend(lua_State *L) {
    lua_pushcfunction(L, suspend);
    return 1;
}
"#;

/// The driver yields numbers and strings, too: kinds from 1 to 7, with or without a text.
const APP: &str = r#"
local suspend = require("suspend")
local ways = {
  nothing = function() suspend() end,
  table = function() suspend({}) end,
  text = function() suspend("text") end,
  huge = function() suspend(1e300, 1) end,
  many = function() suspend(0, 0, "a", "b", "c", "d", "e") end,
  in_pcall = function() pcall(suspend, 1, "an answer") end,
  in_iterator = function() return function() suspend(1, "an answer") return "left behind" end end,
  after_head = function()
    local count = 0
    return function()
      count = count + 1
      if count == 2 then suspend(4) end
      return count < 4 and "left behind" or nil
    end
  end,
  in_close = function() return { "a", "b", close = function() suspend(4) end } end,
}
for kind = 0, 16 do
  ways["kind" .. kind] = function() suspend(kind, "an answer") end
  ways["bare" .. kind] = function() suspend(kind) end
end
function app(environ, start_response)
  local way = ways[environ.PATH_INFO:sub(2)]
  start_response("200 OK", {})
  if way then
    return way() or "left behind"
  end
  return "hello from " .. environ.PATH_INFO
end
function names()
  local names = {}
  for name in pairs(ways) do names[#names + 1] = name end
  return table.concat(names, " ")
end
"#;

#[track_caller]
fn expect_own_answers(server: &Server, after: &str) {
    for i in 0..3 {
        let path = format!("/{i}/after/{after}");
        let response = server.get(&path);
        assert_eq!((response.status, response.text()), (200, format!("hello from {path}")), "{}", server.log());
    }
}

#[test]
fn whatever_it_yields() {
    let app = APP.replace("function names", "ways.names = function() return names() end\nfunction names");
    let folder = folder_with(&[("app.lua", &app), ("suspend.c", SUSPENDS)]);
    compile(&folder.join("suspend.c"));
    let server = serve_from(&folder, "app.lua", &[], &[]);
    let names = server.get("/names").text();
    assert!(names.split(' ').count() > 40, "{names}");
    for name in names.split(' ').filter(|name| !["names", "after_head", "in_close"].contains(name)) {
        let response = server.get(&format!("/{name}"));
        assert_eq!(response.status, 500, "{name}: {}", response.text());
        assert!(!response.text().contains("app.lua"), "{name}: a client is not shown the traceback");
        let line = format!("GET /{name}: a C module has suspended the request");
        server.wait_log(&line);
        let log = server.log();
        let (_, record) = log.split_once(&line).expect("it was waited for");
        let function = if name == "in_pcall" { "in function 'pcall'" } else { "in function 'suspend'" };
        assert!(record.contains(function), "{name}: {log}");
        expect_own_answers(&server, name);
    }
    // After the head the connection is reset, after the response it is closed.
    let mut client = server.connect();
    client.send("GET /after_head HTTP/1.1\r\nHost: t\r\n\r\n");
    assert!(client.try_response("GET").is_err());
    expect_own_answers(&server, "after_head");
    let mut client = server.connect();
    client.send("GET /in_close HTTP/1.1\r\nHost: t\r\n\r\n");
    assert_eq!(client.response().text(), "ab");
    client.expect_end();
    expect_own_answers(&server, "in_close");
    drop(server);
    fs::remove_dir_all(folder).expect("the test's own folder");
}

/// Debian's lua-cqueues has its own coroutines, and suspends the one that waits for them.
#[cfg(feature = "lua54")]
#[test]
fn as_cqueues_does() {
    let server = crate::support::lua::serve(
        r#"
        local cqueues = require("cqueues")
        function app(environ, start_response)
          start_response("200 OK", {})
          if environ.PATH_INFO == "/queue" then
            local queue = cqueues.new()
            queue:wrap(function() tine.sleep(0.1) end)
            queue:loop()
            return "left behind"
          end
          return "hello from " .. environ.PATH_INFO
        end
        "#,
        &[],
    );
    for _ in 0..3 {
        assert_eq!(server.get("/queue").status, 500);
        server.wait_log("GET /queue: a C module has suspended the request");
        expect_own_answers(&server, "queue");
    }
}
