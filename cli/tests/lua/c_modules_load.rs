//! C modules find the Lua in the binary: Debian's modules, in Debian's directories and without LUA_CPATH; and one that
//! is compiled here and uses every function that Lua's headers declare.

use crate::support::lua::{LUA_HEADERS, compile, folder_with, serve, serve_from};
use std::collections::BTreeSet;
use std::fmt::Write;
use std::fs;
use std::path::Path;

#[test]
fn debians_modules_load_without_a_path() {
    let server = serve(
        r#"
        local cjson, lpeg, socket = require("cjson"), require("lpeg"), require("socket")
        local sqlite = require("luasql.sqlite3").sqlite3()
        local database = sqlite:connect(":memory:")
        database:execute("CREATE TABLE words (word TEXT)")
        local word = lpeg.C(lpeg.R("az") ^ 1)
        local words = lpeg.Ct((word + 1) ^ 0)

        function app(environ, start_response)
          local asked = cjson.decode(environ["wsgi.input"]:read())
          for _, word in ipairs(words:match(asked.text)) do
            database:execute(("INSERT INTO words VALUES ('%s')"):format(word))
          end
          local cursor, sorted = database:execute("SELECT word FROM words ORDER BY word"), {}
          for word in function() return cursor:fetch() end do
            sorted[#sorted + 1] = word
          end
          cursor:close()
          assert(socket.gettime() > 0)
          start_response("200 OK", { { "Content-Type", "application/json" } })
          return cjson.encode({ sorted, asked.number, asked.none == cjson.null })
        end
        "#,
        &[],
    );
    let body = r#"{"text": "pear 1 apple, fig", "number": 1.5, "none": null}"#;
    let mut client = server.connect();
    client.send(format!("POST / HTTP/1.1\r\nHost: t\r\nContent-Length: {}\r\n\r\n{body}", body.len()));
    let response = client.response();
    assert_eq!(response.text(), r#"[["apple","fig","pear"],1.5,true]"#, "{}", server.log());
}

const COUNTER: &str = r#"
#include <lauxlib.h>
#include <lua.h>

static int count(lua_State *L) {
    lua_Integer *total = luaL_checkudata(L, 1, "counter");
    *total += luaL_checkinteger(L, 2);
    lua_pushinteger(L, *total);
    return 1;
}

static int counter(lua_State *L) {
    *(lua_Integer *)lua_newuserdata(L, sizeof(lua_Integer)) = 0;
    luaL_getmetatable(L, "counter");
    lua_setmetatable(L, -2);
    return 1;
}

static int call_twice(lua_State *L) {
    for (int i = 0; i < 2; i++) {
        lua_pushvalue(L, 1);
        lua_call(L, 0, 0);
    }
    return 0;
}

int luaopen_own_counter(lua_State *L) {
    luaL_newmetatable(L, "counter");
    lua_pushcfunction(L, count);
    lua_setfield(L, -2, "count");
    lua_pushvalue(L, -1);
    lua_setfield(L, -2, "__index");
    lua_newtable(L);
    lua_pushcfunction(L, counter);
    lua_setfield(L, -2, "new");
    lua_pushcfunction(L, call_twice);
    lua_setfield(L, -2, "call_twice");
    return 1;
}
"#;

#[test]
fn a_users_module_loads_and_its_errors_are_the_apps() {
    let app = r#"
        local counter = require("own.counter")
        local mine = counter.new()
        function app(environ, start_response)
          if environ.PATH_INFO == "/wrong" then
            mine:count("a lot")
          elseif environ.PATH_INFO == "/sleep" then
            counter.call_twice(function() tine.sleep(0.001) end)
          end
          counter.call_twice(function() mine:count(20) end)
          start_response("200 OK", {})
          return tostring(mine:count(2))
        end
    "#;
    let folder = folder_with(&[("app.lua", app), ("own/counter.c", COUNTER)]);
    compile(&folder.join("own/counter.c"));
    let server = serve_from(&folder, "app.lua", &[], &[]);
    assert_eq!(server.get("/").text(), "42");
    assert_eq!(server.get("/wrong").status, 500);
    server.wait_log("GET /wrong: app.lua:6: bad argument #1 to 'count'");
    // There is a C frame on the stack, across which Lua cannot yield.
    assert_eq!(server.get("/sleep").status, 500);
    server.wait_log("attempt to yield across");
    assert_eq!(server.get("/").text(), "84");
    drop(server);
    fs::remove_dir_all(folder).expect("the test's own folder");
}

/// Lua loads a module with all its symbols or not at all, so it is enough to name them.
#[test]
fn every_function_of_the_headers_is_there() {
    let mut names = BTreeSet::new();
    for header in ["lua.h", "lauxlib.h", "lualib.h"] {
        let path = Path::new(LUA_HEADERS).join(header);
        let text = fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        names.extend(declared(&text).map(str::to_string));
    }
    // LuaJIT declares it, as Lua 5.1 did, but does not define it.
    names.remove("lua_setlevel");
    assert!(names.len() > 100 && names.contains("luaL_newstate"), "{names:?}");
    let mut source = "#include <lua.h>\n#include <lauxlib.h>\n#include <lualib.h>\nvoid *all[] = {\n".to_string();
    for name in &names {
        writeln!(source, "    (void *){name},").expect("a string takes it");
    }
    source.push_str("};\nint luaopen_all(lua_State *L) { lua_pushinteger(L, sizeof all / sizeof *all); return 1; }\n");
    let app = r#"
        local count = require("all")
        function app(environ, start_response)
          start_response("200 OK", {})
          return tostring(count)
        end
    "#;
    let folder = folder_with(&[("app.lua", app), ("all.c", &source)]);
    compile(&folder.join("all.c"));
    let server = serve_from(&folder, "app.lua", &[], &[]);
    assert_eq!(server.get("/").text(), names.len().to_string());
    drop(server);
    fs::remove_dir_all(folder).expect("the test's own folder");
}

/// The names of the functions that a header declares, such as `LUA_API int (lua_gettop) (lua_State *L);`. Unlike those
/// of types, they begin with a lower-case letter.
fn declared(header: &str) -> impl Iterator<Item = &str> {
    let is_function = |word: &&str| {
        let suffix = ["lua_", "luaL_", "luaopen_"].iter().find_map(|prefix| word.strip_prefix(prefix));
        suffix.is_some_and(|name| name.starts_with(|c: char| c.is_ascii_lowercase()))
    };
    let declarations = header.lines().filter(|line| line.starts_with("LUA") && line.contains("_API "));
    declarations.filter_map(move |line| line.split(|c: char| !c.is_ascii_alphanumeric() && c != '_').find(is_function))
}
