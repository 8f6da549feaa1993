//! `--request-timeout` works whatever an app does to its hooks: for itself, for later requests, and in coroutines of
//! any origin. The app's own hooks work, too.

use crate::support::Server;
use crate::support::lua::{compile, folder_with, serve, serve_from};
use std::fs;

const APP: &str = r#"
local function forever() while true do end end
local function counting(most)
  local count = 0
  while count < most do count = count + 1 end
  return count
end
counting(1e6) -- which LuaJIT compiles
local function own_hook()
  debug.sethook(function() end, "", 1000)
  for i = 1, 100000 do end
  debug.sethook()
end
local kept
local ways = {
  none = function() end,
  own = own_hook,
  own_stays = function() debug.sethook(function() end, "", 1000) end,
  own_rare = function() debug.sethook(function() end, "", 1e9) end,
  own_lines = function() debug.sethook(function() end, "l") end,
  taken = function() debug.sethook() end,
  taken_by_thread = function() debug.sethook((coroutine.running())) end,
  restored = function() debug.sethook(debug.gethook()) end,
  own_in_coroutine = function() coroutine.wrap(own_hook)() end,
  of_coroutine = function()
    kept = coroutine.create(function()
      debug.sethook()
      coroutine.yield()
      forever()
    end)
    coroutine.resume(kept)
    debug.sethook(kept)
  end,
  sleeping = function()
    debug.sethook()
    tine.sleep(0)
    debug.sethook()
  end,
  compiled = function() if jit then jit.on() end end,
}
function app(environ, start_response)
  local path = environ.PATH_INFO
  start_response("200 OK", {})
  if path == "/forever" then
    forever()
  elseif path == "/counting" then
    counting(math.huge)
  elseif path == "/in_coroutine" then
    coroutine.wrap(forever)()
  elseif path == "/in_kept" then
    local thread = kept or coroutine.create(forever)
    kept = nil
    coroutine.resume(thread)
  elseif path == "/names" then
    local names = {}
    for name in pairs(ways) do names[#names + 1] = name end
    return table.concat(names, " ")
  else
    ways[path:sub(2)]()
    if environ.QUERY_STRING == "forever" then forever() end
  end
  return "done"
end
"#;

#[track_caller]
fn expect_timeout(server: &Server, path: &str, after: &str) {
    let response = server.get(path);
    assert_eq!(response.status, 504, "{path} after {after}: {}", response.text());
}

#[test]
fn neither_for_itself_nor_for_others() {
    let server = serve(APP, &["--request-timeout", "100ms"]);
    let worker = server.workers();
    let names = server.get("/names").text();
    assert!(names.split(' ').count() > 10, "{names}");
    for name in names.split(' ') {
        eprintln!("{name}");
        assert_eq!(server.get(&format!("/{name}")).text(), "done", "{name}");
        for path in ["/forever", "/counting", "/in_coroutine", "/in_kept"] {
            expect_timeout(&server, path, name);
        }
        expect_timeout(&server, &format!("/{name}?forever"), name);
        assert_eq!(server.get("/none").text(), "done", "after {name}");
    }
    assert_eq!(server.workers(), worker, "the worker serves on");
}

#[test]
fn the_apps_own_hooks_work() {
    let app = r#"
        local function count_of(hook_count, turns)
          local events, kinds = 0, {}
          local function hook(event, line)
            events = events + 1
            kinds[event] = line or true
          end
          debug.sethook(hook, "", hook_count)
          for i = 1, turns do end
          local same, mask, count = debug.gethook()
          debug.sethook()
          assert(same == hook and mask == "" and count == hook_count)
          assert(debug.gethook() == nil)
          assert(kinds.count and not kinds.line and not kinds.call)
          return events
        end
        function app(environ, start_response)
          -- The hook's own instructions are counted, too.
          local function close(a, b) return math.abs(a - b) <= b / 10 end
          assert(close(count_of(1000, 100000), 100))
          assert(close(count_of(10000, 100000), 10))
          assert(close(count_of(15000, 150000), 10))
          assert(close(count_of(25000, 100000), 4))
          -- Lines and calls, and their place: level 2 is the running function.
          local lines, calls, names = 0, 0, {}
          debug.sethook(function(event, line)
            if event == "line" then
              assert(line == debug.getinfo(2, "l").currentline)
              lines = lines + 1
            else
              calls = calls + 1
              names[debug.getinfo(2, "n").name or "?"] = true
            end
          end, "lc")
          local function called()
            local a = 1
            return a
          end
          called()
          local _, mask, count = debug.gethook()
          debug.sethook()
          assert(lines >= 4 and calls >= 2 and names.called, lines .. " lines, " .. calls .. " calls")
          assert(mask == "cl" and count == 0)
          assert(not pcall(debug.sethook, 1) and not pcall(debug.sethook, function() end))
          -- An error in the hook is raised in the app.
          debug.sethook(function() error("enough", 0) end, "", 100)
          local ok, message = pcall(function() while true do end end)
          debug.sethook()
          assert(not ok and message == "enough")
          start_response("200 OK", {})
          return "done"
        end
    "#;
    // As without the option, in interpreted code.
    for options in [&["--request-timeout", "1m"][..], &[]] {
        let app = if options.is_empty() { format!("if jit then jit.off() end\n{app}") } else { app.to_string() };
        let server = serve(&app, options);
        for _ in 0..3 {
            let response = server.get("/");
            assert_eq!((response.status, response.text().as_str()), (200, "done"), "{}", server.log());
        }
    }
}

const HOOKS: &str = r#"
#include <lauxlib.h>
#include <lua.h>

static int forever(lua_State *L) {
    lua_State *thread = lua_newthread(L);
    luaL_loadstring(thread, "while true do end");
#if LUA_VERSION_NUM >= 504
    int results;
    lua_resume(thread, L, 0, &results);
#else
    lua_resume(thread, 0);
#endif
    lua_xmove(thread, L, 1);
    return lua_error(L);
}

static int take(lua_State *L) {
    lua_sethook(L, NULL, 0, 0);
    return 0;
}

int luaopen_hooks(lua_State *L) {
    lua_newtable(L);
    lua_pushcfunction(L, forever);
    lua_setfield(L, -2, "forever");
    lua_pushcfunction(L, take);
    lua_setfield(L, -2, "take");
    return 1;
}
"#;

/// A C module creates coroutines without `coroutine.create`, and can remove any hook; but not for the next request, or
/// after a wait.
#[test]
fn not_even_from_c() {
    let app = r#"
        local hooks = require("hooks")
        function app(environ, start_response)
          start_response("200 OK", {})
          if environ.PATH_INFO == "/coroutine" then
            hooks.forever()
          elseif environ.PATH_INFO == "/take" then
            hooks.take()
          elseif environ.PATH_INFO == "/wait" then
            hooks.take()
            tine.sleep(0)
            while true do end
          elseif environ.PATH_INFO == "/forever" then
            while true do end
          end
          return "done"
        end
    "#;
    let folder = folder_with(&[("app.lua", app), ("hooks.c", HOOKS)]);
    compile(&folder.join("hooks.c"));
    let server = serve_from(&folder, "app.lua", &["--request-timeout", "100ms"], &[]);
    for _ in 0..3 {
        expect_timeout(&server, "/coroutine", "");
        assert_eq!(server.get("/take").text(), "done");
        expect_timeout(&server, "/forever", "/take");
        expect_timeout(&server, "/wait", "");
    }
    drop(server);
    fs::remove_dir_all(folder).expect("the test's own folder");
}
