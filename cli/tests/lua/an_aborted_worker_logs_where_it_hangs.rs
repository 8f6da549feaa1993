//! The master sends SIGABRT to a hung worker. Before the worker dies, it logs its current request and where the app's
//! code is: in a loop, in a C function, in a finalizer or in one of the app's coroutines.

use crate::support::lua::{folder_with, serve, serve_file};
use crate::support::{Client, Server, TINE, cpu_ticks, eventually, send_signal, wait_asleep};
use nix::sys::signal::Signal;
use std::fs;
use std::process::Command;

const APP: &str = r#"
local function forever()
  local n = 0
  while true do n = n + 1 end -- LOOP
end
local hangs = {
  loop = function() forever() end,
  calls = function() local function f(n) return n end while true do f(1) end end, -- LOOP
  pcall = function() while true do pcall(forever) end end,
  coroutine = function() coroutine.wrap(forever)() end, -- CALLER
  coroutines = function()
    local inner = coroutine.create(function() forever() end)
    local outer = coroutine.create(function() coroutine.resume(inner) end)
    coroutine.resume(outer) -- CALLER
  end,
  short_coroutines = function() while true do coroutine.wrap(function() local n = 0 end)() end end, -- LOOP
  execute = function() os.execute("exec sleep 60") end, -- LOOP
  execute_in_coroutine = function() coroutine.wrap(function() os.execute("exec sleep 60") end)() end, -- LOOP
  pattern = function() local at = (("a"):rep(60)):find((".-"):rep(30) .. "b") return at end, -- LOOP
  finalizer = function()
    if newproxy then
      getmetatable(newproxy(true)).__gc = forever
    else
      setmetatable({}, { __gc = forever })
    end
    collectgarbage() -- CALLER
  end,
  later = function() tine.sleep(0.5) forever() end,
}
function app(environ, start_response)
  start_response("200 OK", {})
  local name = environ.PATH_INFO:sub(2)
  if name == "iterator" then
    return forever
  elseif name == "close" then
    return { "whole", close = forever }
  elseif hangs[name] then
    hangs[name]()
  end
  return "hello"
end
"#;

/// The source line that ends with this comment, as a traceback names it.
fn line_with(source: &str, comment: &str) -> String {
    let at = source.lines().position(|line| line.ends_with(comment)).expect("the comment");
    format!("app.lua:{}:", at + 1)
}

/// Sends a request and waits until the worker hangs in it: computing, or waiting for a child process.
fn hang(server: &Server, worker: i32, name: &str) -> Client {
    let before = cpu_ticks(worker);
    let mut client = server.connect();
    client.send(format!("GET /{name}?x=1 HTTP/1.1\r\nHost: t\r\n\r\n"));
    eventually("the worker hangs", || {
        let children = fs::read_to_string(format!("/proc/{worker}/task/{worker}/children")).unwrap_or_default();
        (cpu_ticks(worker) > before + 10 || !children.trim().is_empty()).then_some(())
    });
    client
}

/// Aborts the worker. Returns the log line that says what it hangs in, and the lines of its traceback.
#[track_caller]
fn abort(server: &Server, worker: i32) -> (String, Vec<String>) {
    send_signal(worker, Signal::SIGABRT);
    let death = server.wait_log("was killed by");
    assert!(death.contains(&format!("worker 0 (pid {worker}) was killed by SIGABRT (6)")), "{death}");
    let log = server.log();
    let message = log.lines().find(|line| line.contains(&format!("ERROR worker 0[{worker}] "))).unwrap_or_default();
    let is_time = message.len() > 24
        && message.as_bytes()[10] == b'T'
        && message[19..].starts_with('.')
        && message.as_bytes()[23] == b'Z';
    assert!(is_time, "a line like the others, not {message:?}; the log says:\n{log}");
    let trace = log.split_once("is running this Lua code:\n  stack traceback:\n").map_or("", |(_, trace)| trace);
    let trace = trace.lines().take_while(|line| line.starts_with("  \t")).map(str::to_string).collect();
    (message.to_string(), trace)
}

#[track_caller]
fn expect_trace(name: &str, lines: &[(&str, &str)], options: &[&str]) {
    eprintln!("{name}");
    let server = serve(APP, options);
    let worker = server.workers()[0];
    let _client = hang(&server, worker, name);
    let (message, trace) = abort(&server, worker);
    assert!(message.contains(&format!("] has been hanging in GET /{name}?x=1 for ")), "{name}: {message}");
    assert_eq!(name == "later", message.contains("; the request arrived "), "{name}: {message}");
    let mut rest = trace.iter();
    for (comment, what) in lines {
        let place = if comment.is_empty() { "[C]:".to_string() } else { line_with(APP, comment) };
        let is_there = |line: &String| line.contains(&place) && line.contains(what);
        assert!(rest.any(is_there), "{name}: {place} with {what:?} next; it says:\n{}", server.log());
    }
    assert!(!trace.iter().any(|line| line.contains("tine:")), "{name}: without the server's own calls, not {trace:?}");
    eventually("another worker serves", || {
        (server.workers().len() == 1 && !server.workers().contains(&worker)).then_some(())
    });
    assert_eq!(server.get("/").text(), "hello");
}

#[test]
fn in_plain_loops() {
    expect_trace("loop", &[("-- LOOP", "forever")], &[]);
    expect_trace("calls", &[("while true do f(1) end end, -- LOOP", " in ")], &[]);
    expect_trace("pcall", &[("-- LOOP", " in ")], &[]);
    expect_trace("iterator", &[("-- LOOP", " in ")], &[]);
    expect_trace("close", &[("-- LOOP", " in ")], &[]);
    expect_trace("later", &[("-- LOOP", "forever")], &[]);
    // With the --request-timeout hook.
    expect_trace("loop", &[("-- LOOP", "forever")], &["--request-timeout", "5m"]);
}

#[test]
fn in_the_apps_own_coroutines() {
    expect_trace("coroutine", &[("-- LOOP", " in "), ("coroutine.wrap(forever)() end, -- CALLER", " in ")], &[]);
    expect_trace("coroutines", &[("-- LOOP", "forever"), ("coroutine.resume(outer) -- CALLER", " in ")], &[]);
    expect_trace("short_coroutines", &[("local n = 0 end)() end end, -- LOOP", " in ")], &[]);
}

#[test]
fn in_c_functions_and_finalizers() {
    let execute = "os.execute(\"exec sleep 60\") end, -- LOOP";
    expect_trace("execute", &[("", "'execute'"), (execute, " in ")], &[]);
    let execute = "os.execute(\"exec sleep 60\") end)() end, -- LOOP";
    expect_trace("execute_in_coroutine", &[("", "'execute'"), (execute, " in ")], &[]);
    expect_trace("pattern", &[("", "'find'"), ("\"b\") return at end, -- LOOP", " in ")], &[]);
    // LuaJIT runs finalizers on a separate stack, which cannot be seen.
    let finalizer =
        &[("-- LOOP", " in "), ("collectgarbage() -- CALLER", " in ")][usize::from(cfg!(feature = "luajit"))..];
    expect_trace("finalizer", finalizer, &[]);
}

#[test]
fn between_requests() {
    let server = serve(APP, &[]);
    assert_eq!(server.get("/").text(), "hello");
    let worker = server.workers()[0];
    wait_asleep(worker);
    let (message, trace) = abort(&server, worker);
    assert!(message.contains("] received SIGABRT while waiting for events"), "{message}");
    assert_eq!(trace, [""; 0]);
}

/// An app that loads in the preflight, and hangs in the workers after it.
#[test]
fn while_the_app_is_loaded() {
    const APP: &str = r#"
local file = io.open("built")
if file then
  while true do end -- LOOP
end
io.open("built", "w"):close()
function app() end
"#;
    let folder = folder_with(&[("app.lua", APP)]);
    let mut command = Command::new(TINE);
    command.current_dir(&folder).args(["run", "app.lua", "0", "--workers", "1"]);
    let mut server = Server::spawn(&mut command);
    let worker = eventually("the worker is in the loop", || {
        let worker = *server.workers().first()?;
        let name = fs::read_to_string(format!("/proc/{worker}/comm")).ok()?;
        (name.trim() == "tine: worker 0" && cpu_ticks(worker) > 20).then_some(worker)
    });
    let (message, trace) = abort(&server, worker);
    assert!(message.contains("] has been hanging while building its app for "), "{message}");
    assert!(trace[0].contains(&line_with(APP, "-- LOOP")), "{trace:?}");
    // No worker was ever ready, so the server gives up.
    assert!(!server.wait_exit().success());
}

/// abort(3) called by a C library is not a hang, but the place of the call is as useful.
#[cfg(feature = "luajit")]
#[test]
fn where_a_library_aborts() {
    const APP: &str = r#"
local ffi = require "ffi"
ffi.cdef "void abort(void);"
function app(environ, start_response)
  ffi.C.abort() -- HERE
end
"#;
    let server = serve(APP, &[]);
    let worker = server.workers()[0];
    let mut client = server.connect();
    client.send("GET /x HTTP/1.1\r\nHost: t\r\n\r\n");
    let death = server.wait_log("was killed by");
    assert!(death.contains(&format!("worker 0 (pid {worker}) was killed by SIGABRT (6)")), "{death}");
    server.wait_log("] aborts in GET /x, ");
    server.wait_log(&line_with(APP, "-- HERE"));
}

/// A second SIGABRT does not log a second report.
#[test]
fn a_second_signal_ends_it_at_once() {
    let folder = folder_with(&[("app.lua", APP)]);
    let server = serve_file(folder.join("app.lua").to_str().expect("a path in UTF-8"), &[]);
    let worker = server.workers()[0];
    let _client = hang(&server, worker, "execute");
    send_signal(worker, Signal::SIGABRT);
    server.wait_log("] has been hanging in GET /execute?x=1 for ");
    send_signal(worker, Signal::SIGABRT);
    server.wait_log("was killed by SIGABRT (6)");
    assert_eq!(server.log().matches("] has been hanging in ").count(), 1, "{}", server.log());
}
