//! tine.sleep suspends its request and no other, from wherever the app calls it.

use crate::support::lua::{folder_with, serve, serve_file, text_of};
use crate::support::{Client, eventually};

#[test]
fn a_thousand_requests_sleep_at_the_same_time() {
    // No request continues before all have arrived: the app sleeps until it has counted a thousand, so requests that
    // slept one after another would never end.
    let server = serve(
        r#"
        local asleep, most = 0, 0
        function app(environ, start_response)
          start_response("200 OK", {})
          if environ.PATH_INFO == "/most" then return tostring(most) end
          asleep = asleep + 1
          most = math.max(most, asleep)
          repeat tine.sleep(1) until most == 1000
          asleep = asleep - 1
          return environ.QUERY_STRING
        end
        "#,
        &["--max-connections", "2000", "--idle-timeout", "60s"],
    );
    let began = std::time::Instant::now();
    let mut clients: Vec<Client> = (0..1000)
        .map(|i| {
            let mut client = server.connect();
            client.send(format!("GET /?{i} HTTP/1.1\r\nHost: t\r\n\r\n"));
            client
        })
        .collect();
    for (i, client) in clients.iter_mut().enumerate() {
        assert_eq!(client.response().text(), i.to_string());
    }
    assert_eq!(text_of(&server, "/most"), "1000");
    println!("1 000 sleeps of a second: {:?}", began.elapsed());
}

const APP: &str = r#"
local flag = false
local calls = {}
calls.nested = function()
  local inner = coroutine.wrap(function()
    local deep = coroutine.create(function(a)
      tine.sleep(0.01)
      local b = coroutine.yield(a + 1)
      tine.sleep(0.01)
      return b * 2
    end)
    local _, x = coroutine.resume(deep, 1)
    coroutine.yield(x)
    local _, y = coroutine.resume(deep, 10)
    coroutine.yield(y)
    assert(coroutine.status(deep) == "dead")
  end)
  return inner() .. " " .. inner()
end
calls.pcall = function()
  local ok, value = pcall(function() tine.sleep(0.01) return "slept" end)
  local not_ok, why = pcall(function() tine.sleep(0.01) error("woken", 0) end)
  local handled, text = xpcall(function() tine.sleep(0.01) error("x", 0) end, function(e) return e .. "y" end)
  return tostring(ok) .. value .. tostring(not_ok) .. why .. text
end
calls.iterator = function()
  return coroutine.wrap(function()
    for i = 1, 3 do tine.sleep(0.01) coroutine.yield(tostring(i)) end
  end)
end
calls.metamethod = function()
  local ok, value = pcall(function() return setmetatable({}, { __index = function(_, k) tine.sleep(0.01) return k end }).key end)
  return ok and value or "refused"
end
calls.wrong = function()
  local out = {}
  local wrong = { -1, 0 / 0, -1e300, -1 / 0, "x", {}, false }
  for i = 1, #wrong do
    local ok, why = pcall(function() tine.sleep(wrong[i]) end)
    assert(not ok and why:find("app.lua:%d+: tine.sleep takes a number"), tostring(why))
  end
  local ok, why = pcall(function() tine.sleep() end)
  assert(not ok and why:find("tine.sleep takes a number"), tostring(why))
  return "all refused"
end
calls.sort = function()
  local ok, why = pcall(table.sort, { 3, 1, 2 }, function(a, b) tine.sleep(0.01) return a < b end)
  return tostring(ok) .. " " .. tostring(why)
end
calls.huge = function(environ)
  tine.sleep(tonumber(environ.QUERY_STRING))
  return "woken"
end
-- Sleeps for zero seconds, and other requests get their turn.
calls.spin = function()
  flag = false
  repeat tine.sleep(0) until flag
  return "freed"
end
calls.free = function() flag = true return "free" end
calls.time = function()
  local before = tine.time()
  tine.sleep(0.05)
  local after = tine.time()
  assert(before > 1.6e9 and before < 1e11 and after - before >= 0.05)
  return "later"
end
calls.loaded = function() return tostring(loaded) end
function app(environ, start_response)
  start_response("200 OK", {})
  local answer = calls[environ.PATH_INFO:sub(2)](environ)
  return answer
end
loaded = tine.time()
tine.sleep(0.05)
loaded = tine.time() - loaded >= 0.05
"#;

#[test]
fn from_anywhere_in_the_app() {
    let server = serve(APP, &[]);
    for (path, expected) in [
        ("/nested", "2 20"),
        ("/pcall", "truesleptfalsewokenxy"),
        ("/iterator", "123"),
        ("/wrong", "all refused"),
        ("/time", "later"),
        ("/loaded", "true"),
    ] {
        let text = text_of(&server, path);
        assert!(text.starts_with(expected), "{path}: {text}");
    }
    assert_eq!(text_of(&server, "/metamethod"), "key");
    let text = text_of(&server, "/sort");
    assert!(text.starts_with("false ") && text.contains("attempt to yield across"), "{text}");
    assert!(!server.log().contains("ERROR"), "{}", server.log());
}

#[test]
fn a_sleep_of_zero_seconds_lets_others_run() {
    let server = serve(APP, &[]);
    let mut client = server.connect();
    client.send("GET /spin HTTP/1.1\r\nHost: t\r\n\r\n");
    eventually("it is freed", || {
        text_of(&server, "/free");
        client.is_readable_within(std::time::Duration::from_millis(10)).expect("it is there").then_some(())
    });
    assert_eq!(client.response().text(), "freed");
}

#[test]
fn an_endless_sleep_is_cut_to_a_year() {
    let server = serve(APP, &[]);
    for seconds in ["1e9", "1e300", "1e19"] {
        let mut client = server.connect();
        client.send(format!("GET /huge?{seconds} HTTP/1.1\r\nHost: t\r\n\r\n"));
        eventually("it sleeps", || server.worker_of(&client));
        assert_eq!(text_of(&server, "/free"), "free");
        assert!(!client.is_readable_within(std::time::Duration::from_millis(50)).expect("it is there"));
    }
}

#[test]
fn the_module_can_be_required() {
    let folder = folder_with(&[(
        "app.lua",
        r#"
        local t = require("tine")
        assert(t == tine and type(t.version) == "string")
        return function(environ, start_response)
          start_response("200 OK", {})
          return t.version
        end
        "#,
    )]);
    let server = serve_file(folder.join("app.lua").to_str().expect("UTF-8"), &[]);
    assert_eq!(text_of(&server, "/"), env!("CARGO_PKG_VERSION"));
}

#[test]
fn a_request_cannot_resume_another() {
    let server = serve(
        r#"
        local sleeper
        function app(environ, start_response)
          local text = "slept"
          if environ.PATH_INFO == "/sleep" then
            sleeper = coroutine.running()
            start_response("200 OK", {})
            return function()
              local copy = text
              tine.sleep(text and 0.3 or 0)
              text = nil
              return copy
            end
          end
          local ok, why = coroutine.resume(sleeper)
          start_response("200 OK", {})
          return tostring(ok) .. ": " .. tostring(why)
        end
        "#,
        &[],
    );
    let mut client = server.connect();
    client.send("GET /sleep HTTP/1.1\r\nHost: t\r\n\r\n");
    // It has begun by the time the next request begins.
    let answer = server.get("/resume");
    assert_eq!(
        answer.text(),
        "false: cannot resume a request: the server resumes it when its wait is over",
        "{}",
        server.log()
    );
    let answer = client.response();
    assert_eq!((answer.status, answer.text().as_str()), (200, "slept"), "{}", server.log());
}

#[test]
fn a_generator_that_resumes_itself_gets_an_error() {
    let server = serve(
        r#"
        function app(environ, start_response)
          local generate
          generate = coroutine.wrap(function()
            coroutine.yield(select(2, pcall(generate)))
            coroutine.yield("goes on")
          end)
          start_response("200 OK", {})
          return generate() .. ", " .. generate()
        end
        "#,
        &[],
    );
    let text = server.get("/").text();
    // Lua 5.4 and LuaJIT word it differently.
    let messages = ["cannot resume non-suspended coroutine, goes on", "cannot resume running coroutine, goes on"];
    assert!(messages.iter().any(|message| text.ends_with(message)), "{text}\n{}", server.log());
}
