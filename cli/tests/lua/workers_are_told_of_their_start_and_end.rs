//! tine.on_start is called in each worker before its first request, and its error is a failed start; tine.on_stop is called when a
//! worker leaves, for whatever reason, after its last request.

use crate::support::lua::{folder_with, serve, serve_from, text_of};
use crate::support::{Server, TINE, eventually, send_signal};
use nix::sys::signal::Signal;
use std::fs;
use std::process::Command;

/// Each worker logs what happens to it; /wait is a request that lasts until /go.
const APP: &str = r#"
local started
local function say(text) tine.log("info", text) end
tine.on_start(function()
  tine.sleep(0.01)
  started = "started"
  say("start " .. tine.worker)
end)
tine.on_stop(function()
  tine.sleep(0.01)
  say("stop " .. tine.worker .. " " .. tostring(tine.is_leaving()))
end)
tine.on_stop(function()
  tine.after(0, say, "after stop " .. tine.worker)
  tine.after(3600, say, "never")
  error("trouble at the end")
end)
function app(environ, start_response)
  start_response("200 OK", {})
  if environ.PATH_INFO == "/wait" then
    tine.shared("seen", "64K"):set("waits", true)
    while not tine.shared("seen", "64K"):get("go") do
      tine.sleep(0.01)
    end
    say("end of the request")
  elseif environ.PATH_INFO == "/go" then
    tine.shared("seen", "64K"):set("go", true)
  elseif environ.PATH_INFO == "/waits" then
    return tostring(tine.shared("seen", "64K"):get("waits"))
  end
  return started or "not started"
end
tine.shared("seen", "64K")
"#;

fn count(server: &Server, line: &str) -> usize {
    let line = format!(" app: {line}");
    server.log().lines().filter(|said| said.ends_with(&line)).count()
}

#[test]
fn each_worker_is_started_and_stopped_once() {
    let mut server = serve(APP, &["--workers", "2"]);
    let counts = |server: &Server| {
        ["start 0", "start 1", "stop 0 true", "stop 1 true", "after stop 0"].map(|line| count(server, line))
    };
    assert_eq!((text_of(&server, "/"), counts(&server)), ("started".to_string(), [1, 1, 0, 0, 0]));
    let before = server.workers();
    assert!(server.ctl(&["reload"]).status.success());
    server.wait_gone(&before);
    assert_eq!(counts(&server), [2, 2, 1, 1, 1]);
    server.wait_log("trouble at the end");
    // One that is told to leave by itself.
    let before = server.workers();
    send_signal(before[0], Signal::SIGTERM);
    server.wait_gone(&before[..1]);
    assert_eq!(counts(&server)[2] + counts(&server)[3], 3);
    // One that is killed says nothing.
    let before = eventually("both serve", || Some(server.workers()).filter(|workers| workers.len() == 2));
    send_signal(before[0], Signal::SIGKILL);
    server.wait_replaced(&before);
    eventually("it is started", || (counts(&server)[0] + counts(&server)[1] == 6).then_some(()));
    assert!(server.stop(Signal::SIGTERM).success());
    assert_eq!(counts(&server)[2] + counts(&server)[3], 5, "{}", server.log());
    assert_eq!(count(&server, "never"), 0);
}

#[test]
fn a_worker_is_stopped_after_its_last_request() {
    let mut server = serve(APP, &[]);
    let mut client = server.connect();
    client.send("GET /wait HTTP/1.1\r\nHost: t\r\n\r\n");
    eventually("it is in flight", || (text_of(&server, "/waits") == "true").then_some(()));
    let before = server.workers();
    assert!(server.ctl(&["reload"]).status.success());
    text_of(&server, "/go");
    assert_eq!(client.response().text(), "started");
    server.wait_gone(&before);
    let said = server.log();
    let at = |text: &str| said.find(text).unwrap_or_else(|| panic!("{text:?} in {said}"));
    assert!(at("end of the request") < at("stop 0"), "{said}");
    assert!(server.stop(Signal::SIGTERM).success());
}

/// One client that does not end holds up no clean-up.
#[test]
fn a_worker_whose_connections_are_cut_is_stopped_all_the_same() {
    let mut server = serve(APP, &["--graceful-timeout", "300ms"]);
    let mut client = server.connect();
    client.send("GET /wait HTTP/1.1\r\nHost: t\r\n\r\n");
    eventually("it is in flight", || (text_of(&server, "/waits") == "true").then_some(()));
    assert!(server.stop(Signal::SIGTERM).success());
    server.wait_log("cut 1 connection in use");
    assert_eq!((count(&server, "stop 0 true"), count(&server, "end of the request")), (1, 0), "{}", server.log());
}

#[test]
fn an_end_that_does_not_come_is_cut() {
    let never =
        "tine.on_stop(function() tine.sleep(3600) end)\nfunction app(_, start) start('200 OK', {}) return 'x' end";
    let mut server = serve(never, &["--graceful-timeout", "300ms"]);
    let before = server.workers();
    assert!(server.ctl(&["reload"]).status.success());
    server.wait_gone(&before);
    server.wait_log("cut 1 background task of the app, by the graceful timeout");
    assert!(server.stop(Signal::SIGTERM).success());
}

#[test]
fn an_error_at_the_start_is_a_failed_start() {
    let good = "function app(_, start) start('200 OK', {}) return 'x' end";
    let folder = folder_with(&[("app.lua", good)]);
    let bad = format!("tine.on_start(function()\nerror('no database')\nend)\n{good}");
    let server = serve_from(&folder, "app.lua", &["--workers", "2"], &[]);
    let before = server.workers();
    fs::write(folder.join("app.lua"), &bad).expect("the app");
    let output = server.ctl(&["reload"]);
    let message = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{message}");
    assert!(message.contains("app.lua:2: no database") && message.contains("continue to serve"), "{message}");
    assert_eq!((text_of(&server, "/"), server.workers()), ("x".to_string(), before));
    let mut command = Command::new(TINE);
    command.current_dir(&folder).args(["run", "app.lua", "0", "--workers", "2"]);
    let mut failing = Server::spawn(&mut command);
    assert!(!failing.wait_exit().success());
    assert!(failing.log().contains("app.lua:2: no database"), "{}", failing.log());
}
