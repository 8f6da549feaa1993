//! However an app times out, its request ends: `close` is called and has time of its own, the app's to-be-closed
//! variables are closed, and if the head has been sent, the connection is reset.

use crate::support::lua::serve;
use std::time::{Duration, Instant};

const APP: &str = r#"
local function forever()
  while true do end
end
function app(environ, start_response)
  local path = environ.PATH_INFO
  local function iterable(step, close)
    start_response("200 OK", {})
    return setmetatable({ close = close }, { __call = step })
  end
  local function log_close()
    for i = 1, 30000 do end -- some looks at the clock
    tine.log("info", "closed " .. path)
  end
  if path == "/sleep" then
    tine.sleep(3600)
  elseif path == "/sleep_in_coroutine" then
    coroutine.wrap(function() tine.sleep(3600) end)()
  elseif path == "/sleep_in_iterator" then
    return iterable(function() tine.sleep(3600) end, log_close)
  elseif path == "/loop_in_iterator" then
    return iterable(forever, log_close)
  elseif path == "/loop_in_close" then
    local is_sent = false
    return iterable(function()
      is_sent = not is_sent
      return is_sent and "body" or nil
    end, forever)
  elseif path == "/loop_in_both" then
    return iterable(forever, forever)
  elseif path == "/sleep_and_loop_in_close" then
    return iterable(function() tine.sleep(3600) end, forever)
  elseif path == "/pcall_cleans_up" then
    local ok, why = pcall(forever)
    log_close()
    error(why, 0)
  elseif path == "/after_head" or path == "/sleep_after_head" then
    local count = 0
    return iterable(function()
      count = count + 1
      if count == 3 then
        if path == "/after_head" then forever() else tine.sleep(3600) end
      end
      return "chunk" .. count
    end, log_close)
  end
  start_response("200 OK", {})
  return "hello"
end
"#;

const OPTIONS: [&str; 2] = ["--request-timeout", "100ms"];

#[test]
fn sleeping_ends_in_time() {
    let server = serve(APP, &OPTIONS);
    for path in ["/sleep", "/sleep_in_coroutine", "/sleep_in_iterator"] {
        let begin = Instant::now();
        assert_eq!(server.get(path).status, 504, "{path}");
        assert!(begin.elapsed() >= Duration::from_millis(100), "{path}: not before its time");
        let message = server.wait_log(&format!("GET {path}: "));
        assert!(message.contains("--request-timeout"), "{message}");
        let log = server.log();
        let traceback = log.rsplit_once(&message).expect("the line that was found").1;
        let at = traceback.lines().skip(1).take_while(|line| line.starts_with("  "));
        assert!(at.into_iter().any(|line| line.contains("app.lua:")), "{path}: where it sleeps; {log}");
    }
    server.wait_log("closed /sleep_in_iterator");
}

#[test]
fn close_is_called_and_has_time_of_its_own() {
    let server = serve(APP, &OPTIONS);
    let worker = server.workers();
    assert_eq!(server.get("/loop_in_iterator").status, 504);
    server.wait_log("closed /loop_in_iterator");
    assert_eq!(server.get("/pcall_cleans_up").status, 504);
    server.wait_log("closed /pcall_cleans_up");
    // A `close` that does not end is interrupted, too; a response that is complete stays so.
    for (path, status, failures) in
        [("/loop_in_close", 200, 1), ("/loop_in_both", 504, 2), ("/sleep_and_loop_in_close", 504, 2)]
    {
        let response = server.get(path);
        assert_eq!(response.status, status, "{path}");
        assert_eq!(server.get("/").text(), "hello", "after {path}");
        let log = server.log();
        let count = log.lines().filter(|line| line.contains(&format!("GET {path}: "))).count();
        assert_eq!(count, failures, "{path}: {log}");
    }
    assert_eq!(server.workers(), worker);
}

#[test]
fn after_the_head_the_connection_is_reset() {
    let server = serve(APP, &OPTIONS);
    for path in ["/after_head", "/sleep_after_head"] {
        let mut client = server.connect();
        client.send(format!("GET {path} HTTP/1.1\r\nHost: t\r\n\r\n"));
        assert!(client.head().starts_with("HTTP/1.1 200"), "{path}");
        assert_eq!(client.chunk().expect("a first chunk"), b"chunk1", "{path}");
        assert_eq!(client.chunk().expect("a second chunk"), b"chunk2", "{path}");
        client.chunk().expect_err("no third one, and no last one");
        server.wait_log(&format!("closed {path}"));
        assert_eq!(server.get("/").text(), "hello", "after {path}");
    }
}

/// Only Lua 5.4 has to-be-closed variables.
#[cfg(feature = "lua54")]
#[test]
fn variables_are_closed() {
    let server = serve(
        r#"
        local function closing(f) return setmetatable({}, { __close = f }) end
        function app(environ, start_response)
          local path = environ.PATH_INFO
          local noted <close> = closing(function()
            for i = 1, 30000 do end
            tine.log("info", "closed " .. path)
          end)
          if path == "/loop" then
            while true do end
          elseif path == "/sleep" then
            tine.sleep(3600)
          elseif path == "/loop_in_both" then
            local endless <close> = closing(function() while true do end end)
            while true do end
          elseif path == "/sleep_and_loop" then
            local endless <close> = closing(function() while true do end end)
            tine.sleep(3600)
          end
          start_response("200 OK", {})
          return "hello"
        end
        "#,
        &OPTIONS,
    );
    let worker = server.workers();
    for path in ["/loop", "/sleep", "/loop_in_both", "/sleep_and_loop"] {
        assert_eq!(server.get(path).status, 504, "{path}");
        server.wait_log(&format!("closed {path}"));
        assert_eq!(server.get("/").text(), "hello", "after {path}");
    }
    assert_eq!(server.workers(), worker);
}
