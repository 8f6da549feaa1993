//! tine.after and tine.every: functions that run on coroutines of no request, once or again and again, from the moment at which the
//! worker serves; in them everything waits as it does in a request. None runs in the preflight.

use crate::support::lua::{SAID, folder_with, serve, serve_from, text_of};
use crate::support::{Server, eventually, run_to_end};
use nix::sys::signal::Signal;
use std::path::Path;

/// /do/NAME calls a function of `doings`; /get/KEY tells what is in the dictionary.
const HEAD: &str = r#"
local seen = tine.shared("seen", "64K")
local doings = {}
function app(environ, start_response)
  start_response("200 OK", {})
  local what, name = environ.PATH_INFO:match("^/(%a+)/(%w+)$")
  if what == "do" then
    return tostring(doings[name]())
  end
  return tostring((seen:get(name)))
end
"#;

fn app(rest: &str) -> String {
    [SAID, HEAD, rest].concat()
}

#[track_caller]
fn wait_seen(server: &Server, key: &str, value: &str) {
    eventually(&format!("{key} is {value}; the log says:\n{}", server.log()), || {
        (text_of(server, &format!("/get/{key}")) == value).then_some(())
    });
}

#[test]
fn they_run_once_with_their_arguments_and_wait_as_requests_do() {
    let server = serve(
        &app(r#"
tine.after(0, function(...) seen:set("loaded", said(...)) end, 1, nil, "x", nil)
function doings.chain()
  tine.after(0.01, function()
    tine.sleep(0.01)
    local inbox = tine.subscribe("inbox")
    tine.after(0, function() tine.publish("inbox", "hello") end)
    local generator = coroutine.wrap(function() coroutine.yield((inbox:receive(60))) end)
    seen:set("chain", generator())
    seen:incr("chains", 1, 0)
  end)
  return "begun"
end
function doings.input()
  tine.after(0, function(environ) seen:set("input", (select(2, pcall(environ.read, environ)))) end, last_input)
end
"#),
        &[],
    );
    wait_seen(&server, "loaded", "1 nil x nil");
    assert_eq!(text_of(&server, "/do/chain"), "begun");
    wait_seen(&server, "chain", "hello");
    wait_seen(&server, "chains", "1");
}

#[test]
fn what_is_repeated_never_overlaps_goes_on_after_an_error_and_is_cancelled() {
    let server = serve(
        &app(r#"
local running, most, count = 0, 0, 0
local timer = tine.every(0.002, function()
  running, count = running + 1, count + 1
  most = math.max(most, running)
  tine.sleep(0.02)
  running = running - 1
  seen:set("most", most)
  seen:set("count", count)
end)
function doings.cancel()
  return said(timer:cancel(), timer:cancel())
end
function doings.count()
  return count
end
local number = 0
local failing = tine.every(0.001, function()
  number = number + 1
  if number == 5 then
    error({})
  end
  error("trouble " .. number)
end)
function doings.number()
  return number
end
function doings.stop()
  return said(failing:cancel())
end
function doings.cancelled()
  local timer = tine.after(3600, error)
  local done = tine.after(0, function() end)
  tine.sleep(0.05)
  local own
  own = tine.after(0, function() seen:set("own", said(own:cancel())) end)
  return said(timer:cancel(), timer:cancel(), done:cancel())
end
"#),
        &[],
    );
    eventually("it has run some times", || (text_of(&server, "/do/count").parse::<u32>().ok()? > 5).then_some(()));
    assert_eq!(text_of(&server, "/get/most"), "1");
    assert_eq!(text_of(&server, "/do/cancel"), "true false");
    // A run that has begun ends.
    let count = text_of(&server, "/do/count");
    wait_seen(&server, "count", &count);
    eventually("it goes on", || (text_of(&server, "/do/number").parse::<u32>().ok()? > 6).then_some(()));
    assert_eq!(text_of(&server, "/do/stop"), "true");
    let line = server.wait_log("trouble 1");
    let place = "/app.lua:";
    assert!(line.contains(" ERROR ") && line.contains("tine.every at ") && line.contains(place), "{line}");
    assert_eq!(text_of(&server, "/do/count"), count, "and none begins");
    assert_eq!(text_of(&server, "/do/cancelled"), "true false false");
    wait_seen(&server, "own", "false");
}

#[test]
fn no_run_of_every_begins_in_a_worker_that_leaves() {
    let server = serve(
        &app(r#"
tine.every(0.001, function()
  seen:incr(tine.is_leaving() and "late" or "runs", 1, 0)
end)
function doings.leave()
  repeat tine.sleep(0.01) until tine.is_leaving()
  for _ = 1, 20 do
    tine.sleep(0.01)
  end
  return said(seen:get("late"))
end
"#),
        &[],
    );
    let mut client = server.connect();
    client.send("GET /do/leave HTTP/1.1\r\nHost: t\r\n\r\n");
    eventually("it waits", || (server.in_flight() == 1 && text_of(&server, "/get/runs") != "nil").then_some(()));
    server.signal(Signal::SIGHUP);
    assert_eq!(client.response().text(), "nil", "{}", server.log());
}

#[test]
fn none_runs_in_the_preflight_and_wrong_arguments_are_errors() {
    let folder = folder_with(&[(
        "app.lua",
        &app(r#"
local function mark(name) io.open(name, "w"):close() end
tine.on_start(function() mark("started") end)
tine.on_stop(function() mark("stopped") end)
tine.after(0, mark, "ran")
tine.every(0.001, mark, "ran")
assert(tine.is_elected() == false)
function doings.wrong()
  local all = {}
  for i, call in ipairs({
    function() tine.after(-1, print) end,
    function() tine.after("1", print) end,
    function() tine.after(1) end,
    function() tine.every(0, print) end,
    function() tine.every(1, {}) end,
    function() tine.finish() end,
    function() tine.on_start(print) end,
    function() tine.on_stop(print) end,
  }) do
    all[i] = select(2, pcall(call))
  end
  tine.after(0, function() seen:set("finish", (select(2, pcall(tine.finish, print)))) end)
  tine.after(0, setmetatable({}, { __call = function(_, what) seen:set("called", what) end }), "as a table")
  return table.concat(all, "\n")
end
"#),
    )]);
    let file = folder.join("app.lua");
    let checked = run_to_end(&["check", file.to_str().expect("a path in UTF-8")]);
    assert!(checked.status.success(), "{checked:?}");
    let made = |name: &str| Path::new(&folder).join(name).exists();
    assert!(!made("started") && !made("stopped") && !made("ran"));
    let server = serve_from(&folder, "app.lua", &[], &[]);
    assert!(made("started"), "before the first request");
    eventually("timers run", || made("ran").then_some(()));
    let wrong = text_of(&server, "/do/wrong");
    for (line, words) in wrong.lines().zip([
        "tine.after takes a number of seconds, from 0, and a function",
        "tine.after takes",
        "tine.after takes",
        "tine.every takes a number of seconds, from 0.001, and a function",
        "tine.every takes",
        "tine.finish takes a function",
        "tine.on_start takes a function, while the app loads",
        "tine.on_stop takes a function, while the app loads",
    ]) {
        assert!(line.contains("app.lua:") && line.contains(words), "{line}");
    }
    assert_eq!(wrong.lines().count(), 8, "{wrong}");
    wait_seen(&server, "called", "as a table");
    let finish = text_of(&server, "/get/finish");
    assert!(finish.contains("tine.finish outside of a request"), "{finish}");
    assert!(!made("stopped"));
}

/// A thousand run at the same time, ten thousand exist; what is more is refused or waits, and requests are answered.
#[test]
fn a_flood_is_bounded() {
    let server = serve(
        &app(r#"
function doings.fill()
  local timers, why = {}, nil
  repeat
    timers[#timers + 1], why = tine.after(3600, print)
  until why
  local first = #timers
  for i = 1, first do
    timers[i]:cancel()
  end
  return first .. " " .. why .. " " .. said(tine.after(3600, print) ~= nil)
end
local begun, ended = 0, 0
function doings.run()
  for _ = 1, 1200 do
    tine.after(0, function()
      begun = begun + 1
      tine.subscribe("go"):receive()
      ended = ended + 1
      tine.after(0, function() end)
    end)
  end
  return "asked"
end
function doings.begun() return begun end
function doings.ended() return ended end
function doings.go() return tine.publish("go", "on") end
"#),
        &[],
    );
    assert_eq!(text_of(&server, "/do/fill"), "10000 this worker has 10000 functions that are to run already true");
    server.wait_log("tine.after at ");
    assert_eq!(text_of(&server, "/do/run"), "asked");
    let count = |what: &str| text_of(&server, &format!("/do/{what}")).parse::<u32>().expect("a count");
    eventually("as many run as may", || (count("begun") == 1000).then_some(()));
    server.wait_log("1000 functions run beside the requests of this worker");
    assert_eq!(count("ended"), 0);
    text_of(&server, "/do/go");
    eventually("the others begin", || (count("begun") == 1200).then_some(()));
    text_of(&server, "/do/go");
    eventually("all end", || (count("ended") == 1200).then_some(()));
}

#[test]
fn a_loop_without_a_wait_is_interrupted_and_harms_no_request() {
    let server = serve(
        &app(r#"
function doings.spin()
  tine.after(0, function() while true do end end)
  tine.after(0, function() tine.sleep(0.7) seen:set("slept", true) end)
  tine.after(0, function()
    local ok, why = pcall(function() while true do end end)
    seen:set("caught", why)
    tine.sleep(0)
    seen:set("after", true)
  end)
  tine.sleep(0.25)
  return "answered"
end
"#),
        &["--request-timeout", "300ms"],
    );
    assert_eq!(text_of(&server, "/do/spin"), "answered", "the time of other functions is not its own");
    let line = server.wait_log("it ran for longer than --request-timeout without a wait");
    assert!(line.contains("tine.after at "), "{line}");
    wait_seen(&server, "slept", "true");
    assert!(text_of(&server, "/get/caught").contains("timed out"));
    assert_eq!(text_of(&server, "/get/after"), "nil", "one that goes on after the interruption ends at its next wait");
    assert_eq!(server.log().matches("it ran for longer").count(), 2, "{}", server.log());
}

#[test]
fn one_that_hangs_is_named_and_its_worker_replaced() {
    let server = serve(
        &app(r#"
function doings.hang()
  tine.after(0, function()
    local function spin_for_ever() while true do end end
    spin_for_ever()
  end)
  return "begun"
end
"#),
        &["--worker-timeout", "3s"],
    );
    let before = server.workers();
    assert_eq!(text_of(&server, "/do/hang"), "begun");
    server.wait_log("has been hanging outside of any request");
    server.wait_log("spin_for_ever");
    server.wait_replaced(&before);
    assert_eq!(text_of(&server, "/get/nothing"), "nil");
}
