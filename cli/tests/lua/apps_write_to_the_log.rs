//! tine.log and wsgi.errors write log lines with the worker's process and the request; no text can forge another line.

use crate::support::Server;
use crate::support::lua::{folder_with, serve, text_of};

const APP: &str = r#"
tine.log("info", "said while loading")
local calls = {}
calls.levels = function()
  for _, level in ipairs({ "error", "warn", "info", "debug" }) do tine.log(level, "at level " .. level) end
end
calls.forged = function()
  tine.log("info", "first\n2026-01-01T00:00:00Z ERROR worker 0[1] forged\r\27[31m\0")
  tine.log("info", "bytes \255")
end
calls.values = function()
  tine.log("info", 42)
  tine.log("info", nil)
  tine.log("info", setmetatable({}, { __tostring = function() return "an object" end }))
end
calls.wrong = function()
  local wrong = { "fatal", "", "INFO", 5, {}, true, print }
  for i = 1, #wrong do
    local ok, why = pcall(function() tine.log(wrong[i], "never said") end)
    assert(not ok and why:find("tine.log takes a level"), tostring(why))
  end
  local ok, why = pcall(function() tine.log(nil, "never said") end)
  assert(not ok and why:find("app.lua:%d+: tine.log takes a level"), tostring(why))
end
calls.errors = function(environ)
  local errors = environ["wsgi.errors"]
  errors:write("one line\n")
  errors:write("a ", "b ", 3)
  errors:writelines({ "first of two\n", "second of two" })
  errors:write("")
  errors:flush()
  errors:write("x\n2026-01-01 forged\n")
  assert(errors:write("chained") == errors)
end
calls.nested = function()
  coroutine.wrap(function() tine.log("warn", "from a coroutine") end)()
end
function app(environ, start_response)
  start_response("200 OK", {})
  calls[environ.PATH_INFO:sub(2)](environ)
  return "done"
end
"#;

#[test]
fn levels_are_those_of_the_log() {
    let server = serve(APP, &[]);
    let pid = server.workers()[0];
    server.wait_log(&format!("INFO worker 0[{pid}] app: said while loading"));
    assert_eq!(text_of(&server, "/levels"), "done");
    for (level, shown) in [("error", "ERROR"), ("warn", "WARN"), ("info", "INFO")] {
        server.wait_log(&format!("{shown} worker 0[{pid}] GET /levels: at level {level}"));
    }
    assert!(!server.log().contains("at level debug"), "{}", server.log());
    let folder = folder_with(&[("app.lua", APP)]);
    let path = folder.join("app.lua");
    for (level, is_said) in [("debug", true), ("error", false)] {
        let options = ["--workers", "1", path.to_str().expect("UTF-8")];
        let server = Server::start_with(&options, &[("TINE_LOG", level)]);
        assert_eq!(text_of(&server, "/levels"), "done");
        server.wait_log("at level error");
        for text in ["at level warn", "at level info", "at level debug"] {
            assert_eq!(server.log().contains(text), is_said, "{text}: {}", server.log());
        }
    }
}

#[test]
fn an_unknown_level_is_an_error_of_the_app() {
    let server = serve(APP, &[]);
    assert_eq!(text_of(&server, "/wrong"), "done");
    assert!(!server.log().contains("never said"));
}

#[test]
fn any_text_is_one_record() {
    let server = serve(APP, &[]);
    for path in ["/forged", "/values", "/nested"] {
        assert_eq!(text_of(&server, path), "done");
    }
    let log = server.log();
    assert!(
        log.contains("GET /forged: first\n  2026-01-01T00:00:00Z ERROR worker 0[1] forged\\r\\u{1b}[31m\\u{0}\n"),
        "{log}"
    );
    for text in [
        "GET /forged: bytes \u{fffd}",
        "GET /values: 42",
        "GET /values: nil",
        "GET /values: an object",
        "WARN worker 0",
    ] {
        assert!(log.contains(text), "{text}: {log}");
    }
    assert!(log.contains("GET /nested: from a coroutine"), "{log}");
    assert!(!log.lines().any(|line| line.starts_with("2026-01-01")), "{log}");
}

#[test]
fn wsgi_errors_writes_log_lines() {
    let server = serve(APP, &[]);
    let pid = server.workers()[0];
    assert_eq!(text_of(&server, "/errors"), "done", "{}", server.log());
    let log = server.log();
    for text in ["one line\n", "a b 3\n", "first of two\n", "second of two\n", "x\n  2026-01-01 forged\n", "chained\n"]
    {
        assert!(log.contains(&format!("ERROR worker 0[{pid}] GET /errors: {text}")), "{text:?}: {log}");
    }
}

/// Logging works even if the app has replaced method and path with other values.
#[test]
fn a_log_line_needs_no_method_and_no_path() {
    let server = serve(
        r#"
        function app(environ, start_response)
          environ["wsgi.errors"]:write("before")
          environ.REQUEST_METHOD, environ.PATH_INFO = false, {}
          environ["wsgi.errors"] = nil
          tine.log("warn", "without them")
          start_response("200 OK", {})
          local is_done
          return setmetatable({ close = function() error("meant to fail") end }, { __call = function()
            if not is_done then
              is_done = true
              return "all of it"
            end
          end })
        end
        "#,
        &[],
    );
    assert_eq!(text_of(&server, "/"), "all of it");
    server.wait_log("WARN");
    for message in ["GET /: before", "app: without them", "app: close failed: "] {
        server.wait_log(message);
    }
}
