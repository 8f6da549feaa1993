//! A framework like nibiru's: it reads from `nibiru.boot_parameters` which module the server was started with and loads
//! `config.lua` beside that module; its application is a callable table, and its routes use each form of headers that
//! WSGI applications in Lua have.

use crate::support::TINE;
use crate::support::lua::{folder_with, serve_from};
use std::fs;
use std::path::PathBuf;
use std::process::Command;

const FRAMEWORK: &str = r#"
local parameters = require("nibiru.boot_parameters")

local Site = {}
Site.__index = Site

function Site.__call(site, environ, start_response)
  local route = site.routes[environ.PATH_INFO]
  if not route then
    start_response("404 Not Found", {})
    return ipairs({ "no such page" })
  end
  if not route[environ.REQUEST_METHOD] then
    start_response("405 Method Not Allowed", { Allow = { "GET" } })
    return ipairs({ "not so" })
  end
  local headers, text = route[environ.REQUEST_METHOD](site.config)
  start_response("200 OK", headers)
  return ipairs({ text })
end

return function(routes)
  local file = parameters.app_module:gsub("%.", "/"):gsub("[^/]+$", "config.lua")
  local site = setmetatable({ routes = routes, config = assert(loadfile(file))() }, Site)
  site.app = site
  return site
end
"#;

const APP: &str = r#"
local site = require("framework")
return site({
  ["/"] = { GET = function(config) return {}, config.title end },
  ["/pairs"] = { GET = function() return { { "X-Form", "pairs" }, { "X-Two", "a" }, { "X-Two", "b" } }, "1" end },
  ["/values"] = { GET = function() return { ["X-Form"] = { "values" }, ["X-Two"] = { "a", "b" } }, "2" end },
  ["/strings"] = { GET = function() return { ["X-Form"] = "strings", ["X-Two"] = "a, b" }, "3" end },
})
"#;

fn folder() -> PathBuf {
    folder_with(&[
        ("lua/nibiru/boot_parameters.lua", "return {}"),
        ("lua/framework.lua", FRAMEWORK),
        ("site/app.lua", APP),
        ("site/config.lua", r#"return { title = "a title" }"#),
    ])
}

#[test]
fn a_framework_finds_its_app() {
    let folder = folder();
    let server = serve_from(&folder, "site.app:app", &["--app-dir", "lua", "--workers", "2"], &[]);
    for (path, status, text) in
        [("/", 200, "a title"), ("/?x=1", 200, "a title"), ("/nope", 404, "no such page"), ("/pairs", 200, "1")]
    {
        let response = server.get(path);
        assert_eq!((response.status, response.text().as_str()), (status, text), "{path}");
    }
    for (path, two) in [("/pairs", &["a", "b"][..]), ("/values", &["a", "b"]), ("/strings", &["a, b"])] {
        let response = server.get(path);
        assert_eq!(response.header("x-form"), Some(&path[1..]), "{}", response.head);
        assert_eq!(response.headers("x-two").collect::<Vec<_>>(), two, "{}", response.head);
    }
    let mut client = server.connect();
    client.send("POST / HTTP/1.1\r\nHost: t\r\nContent-Length: 0\r\n\r\n");
    let response = client.response();
    assert_eq!((response.status, response.header("allow")), (405, Some("GET")), "{}", response.head);
    drop(server);
    fs::remove_dir_all(folder).expect("the test's own folder");
}

#[test]
fn its_directory_may_be_in_lua_path_and_its_module_may_be_the_app() {
    let folder = folder();
    let server = serve_from(&folder, "site.app", &[], &[("LUA_PATH", "./lua/?.lua;;")]);
    assert_eq!(server.get("/").text(), "a title");
    drop(server);
    fs::remove_dir_all(folder).expect("the test's own folder");
}

/// A file gets the name by which `require` would find it.
#[test]
fn its_app_may_be_a_file() {
    let folder = folder();
    let absolute = folder.join("site/app.lua").display().to_string();
    for app in ["site/app.lua", "./site/app.lua:app", "site/app", "site/app:app", &absolute] {
        let server = serve_from(&folder, app, &["--app-dir", "lua"], &[]);
        assert_eq!(server.get("/").text(), "a title", "{app}");
    }
    let output = Command::new(TINE).args(["check", "site/none:app"]).current_dir(&folder).output().expect("tine runs");
    let message = String::from_utf8_lossy(&output.stderr);
    let words = format!("tine: no file site/none or site/none.lua in {}; give", folder.display());
    assert!(message.starts_with(&words), "{message}");
    fs::remove_dir_all(folder).expect("the test's own folder");
}
