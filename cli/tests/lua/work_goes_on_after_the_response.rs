//! tine.finish: functions that run once the response is complete. The client has it by then and can go on, a drain waits for them,
//! and one that is not done at the graceful timeout is cut.

use crate::support::lua::{leave, serve, text_of};
use crate::support::{Client, Server, eventually};
use nix::sys::signal::Signal;

const APP: &str = r#"
local seen = tine.shared("seen", "64K")
local doings = {}
function doings.work(environ)
  tine.finish(function(name)
    seen:set("begun", name .. " " .. tostring(environ.REMOTE_PORT ~= ""))
    tine.subscribe("go"):receive(600)
    tine.sleep(0.2)
    seen:set("done", name)
  end, "one")
  tine.finish(function() seen:incr("second", 1, 0) end)
  environ.REMOTE_PORT = environ.REMOTE_PORT -- looked up while the request lasts
  return "response"
end
function doings.stream()
  return coroutine.wrap(function()
    tine.finish(function() seen:set("streamed", true) end)
    coroutine.yield("part one, ")
    coroutine.yield(tostring((seen:get("streamed"))))
    tine.sleep(0.05)
    coroutine.yield(", " .. tostring((seen:get("streamed"))))
  end)
end
function doings.fail()
  tine.finish(function() seen:set("failed", true) end)
  error("on purpose")
end
function doings.wait()
  tine.finish(function() seen:set("left", true) end)
  tine.sleep(3600)
end
function doings.stuck()
  tine.finish(function()
    local guard <close> = setmetatable({}, { __close = function() print("closed") end })
    seen:set("stuck", true)
    tine.sleep(3600)
  end)
  return "response"
end
function doings.go()
  return tostring(tine.publish("go", "on"))
end
function app(environ, start_response)
  start_response("200 OK", {})
  local what, name = environ.PATH_INFO:match("^/(%a+)/(%w+)$")
  if what == "do" then
    return doings[name](environ)
  end
  return tostring((seen:get(name)))
end
"#;

fn app() -> String {
    // LuaJIT has no variables that are closed.
    if cfg!(feature = "luajit") { APP.replace(" <close>", "") } else { APP.to_string() }
}

#[track_caller]
fn wait_seen(server: &Server, key: &str, value: &str) {
    eventually(&format!("{key} is {value}; the log says:\n{}", server.log()), || {
        (text_of(server, &format!("/get/{key}")) == value).then_some(())
    });
}

fn request(client: &mut Client, path: &str) -> String {
    client.send(format!("GET {path} HTTP/1.1\r\nHost: t\r\n\r\n"));
    client.response().text()
}

#[test]
fn the_client_has_its_response_and_goes_on_at_once() {
    let server = serve(&app(), &[]);
    let mut client = server.connect();
    assert_eq!(request(&mut client, "/do/work"), "response");
    eventually("it has begun", || (request(&mut client, "/get/begun") == "one true").then_some(()));
    assert_eq!(request(&mut client, "/get/done"), "nil", "and is still going on");
    assert_eq!(request(&mut client, "/get/second"), "1");
    assert_eq!(request(&mut client, "/do/go"), "true");
    eventually("it ends", || (request(&mut client, "/get/done") == "one").then_some(()));
    assert_eq!(request(&mut client, "/do/stream"), "part one, nil, nil");
    wait_seen(&server, "streamed", "true");
}

#[test]
fn they_run_however_the_request_has_ended() {
    let server = serve(&app(), &[]);
    assert_eq!(server.get("/do/fail").status, 500);
    wait_seen(&server, "failed", "true");
    let mut client = server.connect();
    client.send("GET /do/wait HTTP/1.1\r\nHost: t\r\n\r\n");
    eventually("it is in flight", || (server.in_flight() == 1).then_some(()));
    assert_eq!(text_of(&server, "/get/left"), "nil");
    leave(client);
    wait_seen(&server, "left", "true");
}

#[test]
fn a_drain_waits_for_them() {
    let server = serve(&app(), &["--workers", "1"]);
    assert_eq!(text_of(&server, "/do/work"), "response");
    wait_seen(&server, "begun", "one true");
    let before = server.workers();
    assert!(server.ctl(&["reload"]).status.success());
    // Its wait for a message ends with the drain, and the sleep after that is waited for.
    wait_seen(&server, "done", "one");
    server.wait_gone(&before);
    assert!(!server.log().contains("cut "), "{}", server.log());
}

#[test]
fn the_graceful_timeout_ends_them() {
    let mut server = serve(&app(), &["--graceful-timeout", "500ms"]);
    assert_eq!(text_of(&server, "/do/stuck"), "response");
    wait_seen(&server, "stuck", "true");
    // A worker that is replaced has no deadline for requests, but one for this.
    let before = server.workers();
    assert!(server.ctl(&["reload"]).status.success());
    server.wait_gone(&before);
    server.wait_log("cut 1 background task of the app, by the graceful timeout");
    assert_eq!(text_of(&server, "/do/stuck"), "response");
    assert!(server.stop(Signal::SIGTERM).success());
    assert_eq!(server.log().matches("cut 1 background task of the app").count(), 2, "{}", server.log());
    if !cfg!(feature = "luajit") {
        assert_eq!(server.stdout().matches("closed\n").count(), 2, "its variables are closed");
    }
}
