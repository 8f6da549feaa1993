//! An error of the app is answered with a 500 that shows nothing of the app, and logged with method, path, worker and
//! traceback; the worker keeps serving. After the head the connection is reset.

use crate::support::lua::{ask, serve, text_of};
use crate::support::{Ending, Server};

const APP: &str = r#"
local calls = {}
calls["/string"] = function() error("a secret string") end
calls["/table"] = function() error({ code = 7, secret = "inside" }) end
calls["/tostring"] = function() error(setmetatable({}, { __tostring = function() return "a secret object" end })) end
calls["/bad-tostring"] = function() error(setmetatable({}, { __tostring = function() error("secret again") end })) end
calls["/nil"] = function() error(nil) end
calls["/none"] = function() error() end
calls["/false"] = function() error(false) end
calls["/number"] = function() error(42) end
calls["/function"] = function() error(print) end
calls["/call-nil"] = function() local x; x.secret() end
calls["/arithmetic"] = function() return 1 + {} end
calls["/nested"] = function()
  coroutine.wrap(function() coroutine.wrap(function() error("a secret deep inside") end)() end)()
end
calls["/resume"] = function()
  local ok, why = coroutine.resume(coroutine.create(function() error("a secret in a coroutine") end))
  error(why, 0)
end
calls["/rethrown"] = function()
  local ok, why = pcall(error, { "secret" })
  error(why)
end
calls["/newlines"] = function()
  error("first\n2026-01-01T00:00:00Z ERROR worker 0[1] forged\r\n\27[31mred\0nul\8\127end")
end
calls["/overflow"] = function() local function f() return 1 + f() end return f() end
calls["/overflow-string"] = function() local s = "(" return load("return " .. s:rep(100000))() end
calls["/overflow-tostring"] = function()
  local t = setmetatable({}, {}) getmetatable(t).__index = function(t, k) return t[k .. "x"] end
  return t.x
end
calls["/long"] = function() error(("long "):rep(100000)) end
calls["/yield"] = function() coroutine.yield("secret") end
calls["/bytes"] = function() error("bad \255\254 bytes") end
calls["/fine"] = function(s) s("200 OK", {}) return "fine" end
calls["/late"] = function(s)
  s("200 OK", {})
  return coroutine.wrap(function() coroutine.yield("begun") error("secret after the head") end)
end
function app(environ, start_response)
  local body = calls[environ.PATH_INFO](start_response)
  return body
end
"#;

const FAILING: [(&str, &str); 22] = [
    ("/string", "app.lua:3: a secret string"),
    ("/table", "table"),
    ("/tostring", "a secret object"),
    ("/bad-tostring", "an error that is a table"),
    ("/nil", "nil"),
    ("/none", "nil"),
    ("/false", "false"),
    ("/number", "42"),
    ("/function", "function"),
    ("/call-nil", "app.lua:12: attempt to index"),
    ("/arithmetic", "app.lua:13: attempt to perform arithmetic"),
    ("/nested", "app.lua:15: a secret deep inside"),
    ("/resume", "app.lua:18: a secret in a coroutine"),
    ("/rethrown", "table"),
    ("/newlines", "first"),
    ("/overflow", "overflow"),
    ("/overflow-string", ""),
    ("/overflow-tostring", "overflow"),
    ("/long", "long long"),
    ("/yield", "attempt to yield"),
    ("/bytes", "bad \u{fffd}"),
    ("/missing", "attempt to call"),
];

#[track_caller]
fn logged(server: &Server, path: &str) -> String {
    let log = server.log();
    let mut lines = log.lines().skip_while(|line| !line.contains(&format!("GET {path}: ")));
    let first = lines.next().unwrap_or_else(|| panic!("no line of {path}: {log}"));
    let rest = lines.take_while(|line| line.starts_with("  "));
    std::iter::once(first).chain(rest).collect::<Vec<_>>().join("\n")
}

#[test]
fn whatever_is_raised_the_client_learns_nothing_and_the_worker_continues() {
    let server = serve(APP, &[]);
    let workers = server.workers();
    let mut client = server.connect();
    for (path, why) in FAILING {
        client.send(format!("GET {path} HTTP/1.1\r\nHost: t\r\n\r\nGET /fine HTTP/1.1\r\nHost: t\r\n\r\n"));
        let response = client.response();
        assert_eq!(
            (response.status, response.text().as_str()),
            (500, "500 Internal Server Error: the application failed\n")
        );
        assert_eq!(response.header("content-type"), Some("text/plain; charset=utf-8"));
        assert_eq!(client.response().text(), "fine", "after {path}");
        let line = logged(&server, path);
        let first = line.lines().next().unwrap_or_default();
        assert!(first.contains(&format!("ERROR worker 0[{}] GET {path}: ", workers[0])), "{line}");
        assert!(line.contains(why), "{path} should say {why:?}: {line}");
        assert!(!line.contains("\ttine:") && !line.contains(" tine:"), "nothing of ours is in it: {line}");
    }
    assert_eq!(server.workers(), workers);
}

#[test]
fn the_log_has_the_lines_of_the_app() {
    let server = serve(APP, &[]);
    for path in ["/string", "/table", "/nil", "/call-nil", "/nested", "/yield"] {
        server.get(path);
        let line = logged(&server, path);
        assert!(line.contains("\n  stack traceback:\n") && line.contains("app.lua:43: in"), "{path}: {line}");
    }
}

#[test]
fn no_line_of_the_log_can_be_forged() {
    let server = serve(APP, &[]);
    server.get("/newlines");
    server.get("/x%0a2026-01-01T00:00:00Z%20ERROR%20forged");
    server.get("/%1b%5b31m");
    let log = server.log();
    assert!(log.lines().any(|line| line.starts_with("  2026-01-01") && line.contains("forged")), "{log}");
    assert!(!log.lines().any(|line| line.starts_with("2026-01-01")), "{log}");
    assert!(!log.chars().any(|c| c.is_control() && c != '\n' && c != '\t'), "{log:?}");
}

#[test]
fn with_debug_the_client_gets_the_traceback() {
    let server = serve(APP, &["--debug"]);
    let text = ask(&server, "GET /string HTTP/1.1\r\nHost: t", b"").text();
    assert!(text.contains("app.lua:3: a secret string") && text.contains("app.lua:43: in"), "{text}");
    assert!(!text.contains("tine:"), "{text}");
    assert_eq!(text_of(&server, "/fine"), "fine");
}

#[test]
fn after_the_head_the_connection_is_reset() {
    let server = serve(APP, &[]);
    for (request, ending) in [
        ("GET /late HTTP/1.1\r\nHost: t\r\n\r\n", None),
        // A close would mark the end of the body, so only a reset shows that it is incomplete.
        ("GET /late HTTP/1.0\r\n\r\n", Some(Ending::Reset)),
    ] {
        let mut client = server.connect();
        client.send(request);
        let (bytes, ended) = client.read_to_end();
        let text = String::from_utf8_lossy(&bytes);
        assert!(!text.contains("secret") && !text.ends_with("0\r\n\r\n"), "{text}");
        assert!(ending.is_none_or(|ending| ending == ended), "{request}: {ended:?}");
    }
    let line = server.wait_log("secret after the head");
    assert!(line.contains("GET /late") && line.contains("app.lua:"), "{line}");
    assert_eq!(text_of(&server, "/fine"), "fine");
}
