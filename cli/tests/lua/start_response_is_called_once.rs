//! start_response has to be called once in each request, before the first chunk. Whatever else an app does, a client
//! never gets the status of another request.

use crate::support::lua::{serve, text_of};

const APP: &str = r#"
local calls = {}
local last_error
calls["/teapot"] = function(s) s("418 I'm a teapot", { ["X-Pot"] = "1" }) return "short and stout" end
calls["/never"] = function() return "no head" end
calls["/never-empty"] = function() return {} end
calls["/never-stream"] = function() return coroutine.wrap(function() coroutine.yield("a") coroutine.yield("b") end) end
calls["/never-nil"] = function() end
calls["/twice"] = function(s) s("200 OK", {}) s("201 Created", {}) return "x" end
calls["/twice-caught"] = function(s)
  s("200 OK", { ["X-First"] = "1" })
  local ok, why = pcall(function() s("201 Created", { ["X-Second"] = "1" }) return 1 end)
  return why
end
calls["/error-info"] = function(s)
  s("200 OK", { ["X-First"] = "1" })
  s("503 Sorry", { ["X-Second"] = "1" }, "an error")
  return "sorry"
end
calls["/error-info-first"] = function(s) s("503 Sorry", {}, { "an error" }) return "sorry" end
calls["/error-info-late"] = function(s)
  s("200 OK", {})
  return coroutine.wrap(function()
    coroutine.yield("begun")
    s("503 Sorry", {}, "the error after the head")
    coroutine.yield("never")
  end)
end
calls["/late"] = function(s)
  s("200 OK", {})
  return coroutine.wrap(function()
    coroutine.yield("begun,")
    local ok, why = pcall(function() s("503 Sorry", {}) return 1 end)
    coroutine.yield(why)
  end)
end
calls["/lazy"] = function(s)
  return function(state, i)
    if i == 0 then
      s("202 Accepted", { ["X-Lazy"] = "1" })
    end
    if i < 3 then return i + 1, "chunk" .. i end
  end, nil, 0
end
calls["/lazy-wrap"] = function(s)
  return coroutine.wrap(function()
    coroutine.yield("")
    tine.sleep(0.01)
    s("202 Accepted", { ["X-Lazy"] = "1" })
    coroutine.yield("chunk")
  end)
end
calls["/lazy-empty"] = function(s) return coroutine.wrap(function() s("202 Accepted", { ["X-Lazy"] = "1" }) end) end
calls["/caught"] = function(s)
  pcall(s, "200 OK", { { false, "x" } })
  s("203 Fine", {})
  return "x"
end
function app(environ, start_response)
  return calls[environ.PATH_INFO](start_response)
end
"#;

#[test]
fn without_it_the_response_is_a_500_and_not_the_previous_status() {
    let server = serve(APP, &[]);
    for path in ["/never", "/never-empty", "/never-stream", "/never-nil", "/twice"] {
        let mut client = server.connect();
        for path in ["/teapot", path, "/teapot"] {
            client.send(format!("GET {path} HTTP/1.1\r\nHost: t\r\n\r\n"));
            let response = client.response();
            let expected = if path == "/teapot" { (418, Some("1")) } else { (500, None) };
            assert_eq!((response.status, response.header("x-pot")), expected, "{path}");
        }
    }
    server.wait_log("GET /never: the app did not call start_response");
    server.wait_log("start_response is called twice");
}

#[test]
fn a_second_call_is_an_error_unless_it_passes_one() {
    let server = serve(APP, &[]);
    let response = server.get("/twice-caught");
    assert_eq!((response.status, response.header("x-first"), response.header("x-second")), (200, Some("1"), None));
    assert!(response.text().contains("app.lua:") && response.text().contains("twice"), "{}", response.text());
    let response = server.get("/error-info");
    assert_eq!((response.status, response.header("x-first"), response.header("x-second")), (503, None, Some("1")));
    assert_eq!((response.text().as_str(), server.get("/error-info-first").status), ("sorry", 503));
    assert_eq!(server.get("/caught").status, 203);
}

#[test]
fn after_the_head_it_is_too_late() {
    let server = serve(APP, &[]);
    let text = text_of(&server, "/late");
    assert!(text.starts_with("begun,") && text.contains("app.lua:") && text.contains("has begun"), "{text}");
    let mut client = server.connect();
    client.send("GET /error-info-late HTTP/1.1\r\nHost: t\r\n\r\n");
    assert!(client.try_response("GET").is_err(), "the answer is cut");
    server.wait_log("the error after the head");
}

#[test]
fn the_iterator_may_call_it() {
    let server = serve(APP, &[]);
    for (path, body) in [("/lazy", "chunk0chunk1chunk2"), ("/lazy-wrap", "chunk"), ("/lazy-empty", "")] {
        let response = server.get(path);
        assert_eq!((response.status, response.header("x-lazy")), (202, Some("1")), "{path}\n{}", server.log());
        assert_eq!(response.text(), body, "{path}");
    }
}
