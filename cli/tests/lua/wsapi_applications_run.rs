//! `tine.wsapi` runs WSAPI applications: by hand, with Debian's wsapi.request and wsapi.response, and (Lua 5.1, so under
//! LuaJIT) the samples of Debian's Orbit.

use crate::support::lua::{ask, folder_with, serve, serve_from, text_of};
use crate::support::{Response, Server};

const APP: &str = r#"
local wsapi = require("tine.wsapi")
local function once(text)
  return coroutine.wrap(function() coroutine.yield(text) end)
end
local function run(env)
  local path = env.PATH_INFO
  if path == "/env" then
    local names = { "REQUEST_METHOD", "SCRIPT_NAME", "PATH_INFO", "QUERY_STRING", "CONTENT_TYPE", "CONTENT_LENGTH",
      "SERVER_NAME", "SERVER_PROTOCOL", "REMOTE_ADDR", "HTTP_X_A", "HTTP_MISSING", "APP_PATH", "DOCUMENT_ROOT",
      "GATEWAY_INTERFACE", "SERVER_SOFTWARE", "NOTHING" }
    for i, name in ipairs(names) do
      assert(type(env[name]) == "string", name)
      names[i] = name .. "=" .. env[name] .. "\n"
    end
    return 200, { ["Content-Type"] = "text/plain" }, once(table.concat(names))
  elseif path == "/echo" then
    local first, rest, after = env.input:read(3), env.input:read(), env.input:read()
    return "200 OK", {}, once(("%s|%s|%s|%s"):format(first, rest, after, env.input.length))
  elseif path == "/headers" then
    return 404, { ["Set-Cookie"] = { "a=1", "b=2" }, ["X-Number"] = 6 / 2, ["X-True"] = true }, once("gone")
  elseif path == "/slowly" then
    return 200, {}, coroutine.wrap(function()
      for i = 1, 3 do
        tine.sleep(0.001)
        coroutine.yield(i)
      end
    end)
  elseif path == "/false" then
    local chunks, i = { "a", "b", false, "c" }, 0
    return "200", nil, function() i = i + 1 return chunks[i] end
  elseif path == "/bare" then
    return 204
  elseif path == "/error" then
    env.error:write("told ", "by the app\n")
    error("it is broken")
  elseif path == "/broken" then
    return 200, {}, function() error("the iterator is broken") end
  end
  return "200 Ok", { ["Content-Length"] = 2.0 }, once("hi")
end
return { app = wsapi(run, { app_path = "/srv/it" }), at = wsapi({ run = run }, { script_name = "/at" }) }
"#;

fn serve_at(name: &str) -> Server {
    let folder = folder_with(&[("app.lua", APP)]);
    serve_from(&folder, name, &[], &[])
}

#[test]
fn they_get_the_variables_of_cgi() {
    let server = serve_at("app.lua");
    let head = "POST /env?a=b HTTP/1.1\r\nHost: t\r\nX-A: 1\r\nX-A: 2\r\nContent-Type: text/x\r\nContent-Length: 2";
    let response = ask(&server, head, b"hi");
    let version = env!("CARGO_PKG_VERSION");
    let expected = format!(
        "REQUEST_METHOD=POST\nSCRIPT_NAME=\nPATH_INFO=/env\nQUERY_STRING=a=b\nCONTENT_TYPE=text/x\nCONTENT_LENGTH=2\n\
         SERVER_NAME=127.0.0.1\nSERVER_PROTOCOL=HTTP/1.1\nREMOTE_ADDR=127.0.0.1\nHTTP_X_A=1, 2\nHTTP_MISSING=\n\
         APP_PATH=/srv/it\nDOCUMENT_ROOT=/srv/it\nGATEWAY_INTERFACE=CGI/1.1\nSERVER_SOFTWARE=tine/{version}\nNOTHING=\n"
    );
    assert_eq!((response.status, response.text()), (200, expected), "{}", server.log());
}

#[test]
fn they_may_be_mounted_at_a_path() {
    let server = serve_at("app.lua:at");
    for (path, status, text) in [
        ("/at/env?x", 200, "SCRIPT_NAME=/at\nPATH_INFO=/env\nQUERY_STRING=x\n"),
        ("/at", 200, "hi"),
        ("/at/", 200, "hi"),
        ("/atlas", 404, "404 Not Found: the application is at /at"),
        ("/env", 404, "404 Not Found: the application is at /at"),
    ] {
        let response = server.get(path);
        assert_eq!((response.status, response.text().contains(text)), (status, true), "{path}: {}", response.text());
    }
}

#[test]
fn they_read_the_body() {
    let server = serve_at("app.lua");
    let text = |response: Response| response.text();
    let echo = "POST /echo HTTP/1.1\r\nHost: t\r\n";
    assert_eq!(text(ask(&server, &format!("{echo}Content-Length: 5"), b"abcde")), "abc|de|nil|5");
    assert_eq!(text(ask(&server, &format!("{echo}Content-Length: 0"), b"")), "nil|nil|nil|0");
    // A chunked body has no length that WSAPI could tell, so it is read first.
    let chunked = ask(&server, &format!("{echo}Transfer-Encoding: chunked"), b"2\r\nab\r\n3\r\ncde\r\n0\r\n\r\n");
    assert_eq!(text(chunked), "abc|de|nil|5");
    let env = ask(&server, "POST /env HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked", b"2\r\nab\r\n0\r\n\r\n");
    assert!(text(env).contains("\nCONTENT_LENGTH=2\n"));
}

#[test]
fn what_they_return_is_sent() {
    let server = serve_at("app.lua");
    let response = server.get("/");
    assert_eq!((response.text().as_str(), response.header("content-length")), ("hi", Some("2")));
    let response = server.get("/headers");
    assert_eq!((response.status, response.text().as_str()), (404, "gone"));
    assert_eq!(response.headers("set-cookie").collect::<Vec<_>>(), ["a=1", "b=2"]);
    assert_eq!((response.header("x-number"), response.header("x-true")), (Some("3"), Some("true")));
    assert_eq!(text_of(&server, "/slowly"), "123");
    assert_eq!(text_of(&server, "/false"), "ab");
    assert_eq!(server.get("/bare").status, 204);
    assert_eq!(server.get("/error").status, 500);
    server.wait_log("GET /error: told by the app");
    server.wait_log("it is broken");
    assert_eq!(server.get("/broken").status, 500);
    server.wait_log("the iterator is broken");
}

#[test]
fn a_vm_without_them_has_nothing_of_it() {
    let app = r#"
        function app(environ, start_response)
          start_response(200, {})
          return tostring(package.loaded["tine.wsapi"]) .. " " .. type(package.preload["tine.wsapi"])
        end
    "#;
    assert_eq!(text_of(&serve(app, &[]), "/"), "nil function");
}

/// A launcher of WSAPI's, and what cannot be one.
#[test]
fn a_file_ws_is_one() {
    let module = "return { run = function(env) return 200, {}, coroutine.wrap(function() coroutine.yield(env.APP_PATH) end) end }";
    let folder = folder_with(&[
        ("there/hello.ws", "#!/usr/bin/env wsapi.cgi\nreturn require(\"hello\")\n"),
        ("there/hello.lua", module),
        ("there/wrong.ws", "return 42\n"),
        ("there/other.ws", "return { go = function() return 202 end }\n"),
    ]);
    assert_eq!(text_of(&serve_from(&folder.join("there"), "hello.ws", &[], &[]), "/"), ".");
    assert_eq!(text_of(&serve_from(&folder, "there/hello.ws", &[], &[]), "/"), "there");
    assert_eq!(serve_from(&folder, "there/other.ws:go", &[], &[]).get("/").status, 202);
    let wrong = crate::support::run_to_end(&["check", folder.join("there/wrong.ws").to_str().expect("UTF-8")]);
    assert!(String::from_utf8_lossy(&wrong.stderr).contains("a WSAPI application is a function"), "{wrong:?}");
}

/// The path of Debian's modules for the other Lua, which are the same files. They find the app's own first.
const MODULES: &str = "/usr/share/lua/5.2/?.lua;;";

fn serve_debian(app: &str) -> Server {
    let folder = folder_with(&[("app.lua", app)]);
    let environment = if cfg!(feature = "luajit") { &[][..] } else { &[("LUA_PATH_5_4", MODULES)] };
    serve_from(&folder, "app.lua", &[], environment)
}

#[test]
fn requests_and_responses_of_wsapi_work() {
    let server = serve_debian(
        r#"
        local request, response = require("wsapi.request"), require("wsapi.response")
        local function run(env)
          local req, res = request.new(env), response.new()
          if req.path_info == "/redirect" then
            return res:redirect("/there")
          end
          local file = req.POST.file
          res:set_cookie("a", "1")
          res:set_cookie("b", { value = "2", path = "/" })
          res:write(tostring(req.params.x), " ", tostring(req.cookies.seen), " ", file and file.contents or "none")
          return res:finish()
        end
        return { app = require("tine.wsapi")(run) }
        "#,
    );
    let response = ask(&server, "GET /?x=1+2 HTTP/1.1\r\nHost: t\r\nCookie: seen=%41", b"");
    assert_eq!((response.text().as_str(), response.header("content-length")), ("1 2 A none", Some("10")));
    assert_eq!(response.headers("set-cookie").collect::<Vec<_>>(), ["a=1", "b=2; path=/"]);
    let form = |body: &str, content_type: &str| {
        let length = body.len();
        let head = format!("POST / HTTP/1.1\r\nHost: t\r\nContent-Type: {content_type}\r\nContent-Length: {length}");
        ask(&server, &head, body.as_bytes()).text()
    };
    assert_eq!(form("x=%C3%A9&y", "application/x-www-form-urlencoded"), "\u{e9} nil none");
    let upload = "--B\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a.txt\"\r\n\r\nof a file\r\n\
                  --B\r\nContent-Disposition: form-data; name=\"x\"\r\n\r\n7\r\n--B--\r\n";
    assert_eq!(form(upload, "multipart/form-data; boundary=B"), "7 nil of a file");
    let redirected = server.get("/redirect");
    assert_eq!((redirected.status, redirected.header("location")), (302, Some("/there")));
}

#[cfg(feature = "luajit")]
mod orbit {
    use super::*;
    use std::path::{Path, PathBuf};
    use std::process::Command;

    /// A copy of one of Debian's samples.
    fn sample(name: &str) -> PathBuf {
        let (from, to) = (Path::new("/usr/share/doc/lua-orbit").join(name), folder_with(&[]));
        for entry in std::fs::read_dir(&from).expect("Debian's lua-orbit").flatten() {
            std::fs::copy(entry.path(), to.join(entry.file_name())).expect("a copy");
        }
        to
    }

    #[test]
    fn hello_greets() {
        let server = serve_from(&sample("hello"), "hello.ws", &[], &[]);
        assert_eq!(
            text_of(&server, "/"),
            "<html ><head ><title>Hello</title></head><body ><p class=\"hello\">Hello World!</p></body></html>"
        );
        assert!(text_of(&server, "/say/Ada?greeting=Hi%2C+").contains("<p class=\"hello\">Hi, Ada!</p>"));
        let missing = server.get("/nowhere");
        assert_eq!((missing.status, missing.text().contains("Not found!")), (404, true));
    }

    /// With posts and comments in SQLite, its page cache and its static files. Under any server this sample needs `orbit` as
    /// a global, and tables without the prefix of its schema.
    #[test]
    fn blog_shows_posts_and_takes_comments() {
        let folder = sample("blog");
        let fill = "import sqlite3; db = sqlite3.connect('blog.db'); \
                    db.executescript(open('blog_schema.sql').read().replace('blog_', '')); \
                    db.execute(\"insert into post values (1, 'First', 'Some *words*', 0, '2007-09-17 05:33:20')\"); \
                    db.commit()";
        let filled = Command::new("python3").args(["-c", fill]).current_dir(&folder).status();
        assert!(filled.is_ok_and(|status| status.success()));
        let launcher = "orbit = require(\"orbit\")\nreturn require(\"blog\")\n";
        std::fs::write(folder.join("launcher.ws"), launcher).expect("it is written");
        let server = serve_from(&folder, "launcher.ws", &["--workers", "2"], &[]);
        for _ in 0..3 {
            let index = text_of(&server, "/");
            assert!(index.contains("First") && index.contains("<em>words</em>"), "{index}");
        }
        assert!(text_of(&server, "/archive/2007/09").contains("First"));
        let style = server.get("/style.css");
        assert_eq!((style.status, style.header("content-type")), (200, Some("text/css")));
        assert_eq!(style.body, std::fs::read(folder.join("style.css")).expect("it is there"));
        let body = "author=Ada&email=&url=&comment=I+%2Aagree%2A";
        let length = body.len();
        let head = format!(
            "POST /post/1/addcomment HTTP/1.1\r\nHost: t\r\nContent-Type: application/x-www-form-urlencoded\r\n\
             Content-Length: {length}"
        );
        let posted = ask(&server, &head, body.as_bytes());
        assert_eq!((posted.status, posted.header("location")), (302, Some("/post/1")), "{}", posted.text());
        for _ in 0..3 {
            let post = text_of(&server, "/post/1");
            assert!(post.contains("I <em>agree</em>") && post.contains("Written by Ada"), "{post}");
        }
        assert!(text_of(&server, "/").contains("Comments (1)"));
    }
}
