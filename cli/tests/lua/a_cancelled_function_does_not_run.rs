//! timer:cancel(): what is cancelled does not run, at whatever moment that is, and does not take the place of another.

use crate::support::lua::{SAID, serve, text_of};
use crate::support::{Server, eventually};

/// /NAME calls a function of `doings`.
const HEAD: &str = r#"
local doings = {}
function app(environ, start_response)
  start_response("200 OK", {})
  return said(doings[environ.PATH_INFO:sub(2)]())
end
local notes = {}
local function note(...) notes[#notes + 1] = said(...) end
function doings.notes() return table.concat(notes, ", ") end
function doings.go() return tine.publish("go", "on") end
"#;

fn app(rest: &str) -> String {
    [SAID, HEAD, rest].concat()
}

#[track_caller]
fn wait_for(server: &Server, path: &str, text: &str) {
    eventually(&format!("{path} is {text}; the log says:\n{}", server.log()), || {
        (text_of(server, path) == text).then_some(())
    });
}

/// A thousand run; when one of them ends, the first in the queue that was not cancelled begins.
#[test]
fn one_that_waits_for_its_turn_does_not_hold_up_the_next() {
    let server = serve(
        &app(r#"
local begun, waiting = 0, nil
function doings.fill()
  for i = 1, 1000 do
    tine.after(0, function()
      begun = begun + 1
      tine.subscribe(i == 1 and "first" or "go"):receive()
    end)
  end
end
function doings.begun() return begun end
function doings.queue()
  waiting = tine.after(0, note, "cancelled")
  tine.after(0, note, "next")
end
function doings.cancel() return waiting:cancel(), waiting:cancel() end
function doings.first() return tine.publish("first", "on") end
"#),
        &[],
    );
    text_of(&server, "/fill");
    wait_for(&server, "/begun", "1000");
    text_of(&server, "/queue");
    server.wait_log("1000 functions run beside the requests of this worker");
    assert_eq!(text_of(&server, "/cancel"), "true false");
    text_of(&server, "/first");
    wait_for(&server, "/notes", "next");
    text_of(&server, "/go");
    assert_eq!(text_of(&server, "/notes"), "next");
}

#[test]
fn one_that_is_due_at_the_same_moment_does_not_run() {
    let server = serve(
        &app(r#"
local second
tine.after(0, function() note(second:cancel(), second:cancel()) end)
second = tine.after(0, note, "second")
tine.after(0, note, "third")
local later = tine.after(0.01, note, "later")
note(later:cancel())
tine.after(0.02, note, "last")
"#),
        &[],
    );
    wait_for(&server, "/notes", "true, true false, third, last");
    assert!(!server.log().contains(" ERROR "), "{}", server.log());
}

/// 10000 functions may exist.
#[test]
fn one_that_is_repeated_frees_its_place_when_its_run_has_ended() {
    let server = serve(
        &app(r#"
local timer = tine.every(0.5, function()
  note("begun")
  tine.subscribe("go"):receive()
  note("ended")
end)
function doings.cancel() return timer:cancel(), timer:cancel() end
function doings.free()
  local timers = {}
  repeat
    local timer = tine.after(3600, print)
    timers[#timers + 1] = timer
  until not timer
  for _, timer in ipairs(timers) do
    timer:cancel()
  end
  return #timers
end
"#),
        &[],
    );
    wait_for(&server, "/notes", "begun");
    assert_eq!(text_of(&server, "/cancel"), "true false");
    assert_eq!(text_of(&server, "/free"), "9999");
    text_of(&server, "/go");
    wait_for(&server, "/notes", "begun, ended");
    assert_eq!(text_of(&server, "/free"), "10000");
}
