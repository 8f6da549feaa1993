//! Hooks cost time: without `--request-timeout` no coroutine has one, and with it every coroutine has.

use crate::support::lua::{compile, folder_with, serve_from};
use std::fs;

const HAS_HOOK: &str = r#"
#include <lauxlib.h>
#include <lua.h>

static int has_hook(lua_State *L) {
    lua_pushstring(L, lua_gethook(L) ? "hook" : "none");
    return 1;
}

int luaopen_has_hook(lua_State *L) {
    lua_pushcfunction(L, has_hook);
    return 1;
}
"#;

const APP: &str = r#"
local has_hook = require("has_hook")
function app(environ, start_response)
  start_response("200 OK", {})
  return ("%s %s %s"):format(has_hook(), coroutine.wrap(has_hook)(),
    jit and (jit.status() and "compiled" or "interpreted") or "PUC")
end
"#;

#[test]
fn only_request_timeout_sets_a_hook() {
    let folder = folder_with(&[("app.lua", APP), ("has_hook.c", HAS_HOOK)]);
    compile(&folder.join("has_hook.c"));
    let (compiled, interpreted) = if cfg!(feature = "luajit") { ("compiled", "interpreted") } else { ("PUC", "PUC") };
    let hooks = |options: &[&str]| serve_from(&folder, "app.lua", options, &[]).get("/").text();
    assert_eq!(hooks(&[]), format!("none none {compiled}"));
    assert_eq!(hooks(&["--request-timeout", "1m"]), format!("hook hook {interpreted}"));
    fs::remove_dir_all(folder).expect("the test's own folder");
}
