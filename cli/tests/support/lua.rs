//! A server with a Lua application that the test writes.

use super::{Client, Response, Server, TINE, listening, scratch_folder};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

/// The path in Debian's packages liblua5.4-dev and libluajit-5.1-dev; `scripts/test` installs both.
pub const LUA_HEADERS: &str = if cfg!(feature = "luajit") { "/usr/include/luajit-2.1" } else { "/usr/include/lua5.4" };

/// Answers with the path of the request.
pub const PATH_APP: &str = r#"
function app(environ, start_response)
  start_response("200 OK", {})
  return "the app: " .. environ.PATH_INFO
end
"#;

/// The start of an application that tells of what calls return: `said(call())` is all of it as text.
pub const SAID: &str = r##"
local function said(...)
  local all = {}
  for i = 1, select("#", ...) do
    all[i] = tostring((select(i, ...)))
  end
  return table.concat(all, " ")
end
"##;

/// A directory with these files.
pub fn folder_with(files: &[(&str, &str)]) -> PathBuf {
    let folder = scratch_folder();
    for (name, text) in files {
        let path = folder.join(name);
        fs::create_dir_all(path.parent().expect("a folder")).expect("a folder in the scratch folder");
        fs::write(path, text).expect("a file in the scratch folder");
    }
    folder
}

/// Serves `app`, the source of a function `app(environ, start_response)`, with one worker unless `options` override it.
pub fn serve(app: &str, options: &[&str]) -> Server {
    let folder = folder_with(&[("app.lua", app)]);
    serve_file(folder.join("app.lua").to_str().expect("a path in UTF-8"), options)
}

/// Serves the application in a file.
pub fn serve_file(path: &str, options: &[&str]) -> Server {
    serve_from(Path::new("."), path, options, &[])
}

/// Serves an application by its name as seen from `folder`, with these environment variables.
pub fn serve_from(folder: &Path, app: &str, options: &[&str], environment: &[(&str, &str)]) -> Server {
    let mut command = Command::new(TINE);
    command.current_dir(folder).args(["run", app]).args(listening());
    if !options.contains(&"--workers") {
        command.args(["--workers", "1"]);
    }
    // The user's own Lua paths are not searched for modules.
    for name in ["LUA_PATH", "LUA_PATH_5_4", "LUA_CPATH", "LUA_CPATH_5_4"] {
        command.env_remove(name);
    }
    Server::start_command(command.args(options).envs(environment.iter().copied()))
}

/// The answer to a request on a connection of its own; `head` lacks only its last empty line.
#[track_caller]
pub fn ask(server: &Server, head: &str, body: &[u8]) -> Response {
    let method = head.split(' ').next().unwrap_or_default();
    let mut client = server.connect();
    client.send([format!("{head}\r\n\r\n").as_bytes(), body].concat());
    client.response_to(method)
}

/// The text of the answer to a GET, which is a 200.
#[track_caller]
pub fn text_of(server: &Server, path: &str) -> String {
    let response = server.get(path);
    assert_eq!(response.status, 200, "{path}: {}\n{}", response.text(), server.log());
    response.text()
}

/// Compiles `x.c` to `x.so`, a module for Lua that is linked against no Lua library.
pub fn compile(source: &Path) {
    let output = Command::new("cc")
        .args(["-shared", "-fPIC", "-I", LUA_HEADERS, "-o"])
        .args([&source.with_extension("so"), source])
        .output()
        .expect("cc starts");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

/// The client resets its connection.
pub fn leave(client: Client) {
    socket2::SockRef::from(&client.stream).set_linger(Some(Duration::ZERO)).expect("linger");
    drop(client);
}

/// Runs the statements that it is sent, and responds with what they return. Goes after [`SAID`].
pub const CONSOLE: &str = r#"
local web, json, crypto = require("tine.web"), require("tine.json"), require("tine.crypto")
function app(environ, start_response)
  local chunk = assert((loadstring or load)("local web, json, crypto, environ = ... " .. environ["wsgi.input"]:read()))
  start_response("200 OK", {})
  return said(chunk(web, json, crypto, environ))
end
"#;

/// What the statements return, in a server of [`CONSOLE`].
#[track_caller]
pub fn said_by(server: &Server, statements: &str) -> String {
    let response = ask(
        server,
        &format!("POST / HTTP/1.1\r\nHost: t\r\nContent-Length: {}", statements.len()),
        statements.as_bytes(),
    );
    assert_eq!(response.status, 200, "{statements}: {}\n{}", response.text(), server.log());
    response.text()
}
