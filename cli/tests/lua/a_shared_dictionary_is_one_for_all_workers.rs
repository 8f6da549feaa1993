//! tine.shared: what one worker stores, all have; it outlives workers and reloads; and a worker that is killed or stopped in the
//! middle of a change leaves neither a lock nor a half of it.

use crate::support::lua::{SAID, folder_with, serve, serve_from, text_of};
use crate::support::{Client, Server, TINE, eventually, patience, send_signal};
use nix::sys::signal::Signal;
use std::fs;
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

/// Each line of /methods is what one call returned.
const METHODS: &str = r##"
local d = tine.shared("all", "64k")
local small = tine.shared("small", 16384)
local function calls()
  return {
    said(d:get("a")),
    said(d:set("a", "text\0", 0, 7)),
    said(#d:get("a"), select(2, d:get("a"))),
    said(d:add("a", 1)),
    said(d:add("b", 1)),
    said(d:replace("c", 1)),
    said(d:replace("b", 2)),
    said(d:get("b")),
    said(d:incr("b", 0.5)),
    said(d:incr("n", 1)),
    said(d:incr("n", 1, 10, 60)),
    said(d:incr("a", 1)),
    said(d:set("t", true), d:get("t")),
    said(d:set("f", false), d:get("f")),
    said(d:set("t", nil), d:get("t")),
    said(d:set("x", {})),
    said(d:set(nil, 1)),
    said(d:set("", 1)),
    said(d:set(("k"):rep(65536), 1)),
    said(d:set("x", 1, -1)),
    said(d:set("x", ("x"):rep(65536))),
    said(d:set(5, "five"), d:get("5")),
    said(d:ttl("n") > 50, d:ttl("b"), d:ttl("c")),
    said(d:expire("b", 60), d:ttl("b") > 50, d:expire("c", 1)),
    said(d:delete("b"), d:get("b")),
    said(small:get("a"), small:set("a", "small"), d:get("a") == "text\0"),
    said(d:count(), #d:get_keys(), #d:get_keys(2)),
    said(d:capacity() > 50000 and d:free_space() < d:capacity()),
    said(small:safe_set("big", ("x"):rep(9000)), small:safe_set("more", ("x"):rep(9000))),
    said(small:set("more", ("x"):rep(9000))),
    said(small:get("big"), #small:get("more")),
    said(d:flush_all(), d:count(), d:free_space() == d:capacity()),
    said(d:set("e", 1, 0.001), d:set("l", 1)),
  }
end
function app(environ, start_response)
  start_response("200 OK", {})
  local lines = calls()
  tine.sleep(0.05)
  lines[#lines + 1] = said(d:get("e"), d:flush_expired(), d:count())
  lines[#lines + 1] = said(tine.shared("all", "64K"):get("l"))
  return table.concat(lines, "\n")
end
"##;

#[test]
fn its_methods_are_those_of_nginx() {
    let server = serve(&format!("{SAID}{METHODS}"), &[]);
    let said = text_of(&server, "/methods");
    let expected = [
        "nil",
        "true nil false",
        "5 7",
        "false exists",
        "true nil false",
        "false not found",
        "true nil false",
        "2",
        "2.5 nil false",
        "nil not found",
        "11 nil false",
        "nil not a number",
        "true true",
        "true false",
        "true nil",
        "false bad value",
        "false nil key",
        "false empty key",
        "false key too long",
        "false bad time",
        "false no memory",
        "true five",
        "true 0.0 nil not found",
        "true true false not found",
        "true nil",
        "nil true true",
        "4 4 2",
        "true",
        "true false no memory",
        "true nil true",
        "nil 9000",
        "true 0 true",
        "true true nil false",
        "nil 0 1",
        "1",
    ];
    // LuaJIT shows 0.0 as 0.
    let said: Vec<String> = said.lines().map(|line| line.replace("true 0 nil not", "true 0.0 nil not")).collect();
    for (line, (said, expected)) in said.iter().zip(expected).enumerate() {
        assert_eq!(said, expected, "call {}", line + 1);
    }
    assert_eq!(said.len(), expected.len());
}

#[test]
fn a_wrong_name_or_size_is_an_error_of_the_app_at_its_line() {
    for (source, options, words) in [
        ("tine.shared()", &[][..], "app.lua:1: tine.shared takes a name and a size"),
        ("tine.shared('a')", &[], "app.lua:1: tine.shared takes a name and a size"),
        ("tine.shared('a', '10 apples')", &[], "app.lua:1: \"10 apples\" is not a size"),
        ("tine.shared('', '1M')", &[], "app.lua:1: the name of a shared dictionary has 1 to 100 bytes"),
        ("tine.shared('a', 100)", &[], "app.lua:1: the shared dictionary \"a\" cannot have 100; give it at least 16K"),
        (
            "tine.shared('a', '1M') tine.shared('a', '2M')",
            &[],
            "app.lua:1: the shared dictionary \"a\" has 1M and cannot have 2M",
        ),
        (
            "tine.shared('a', '2M')",
            &["--shared-max", "1M"],
            "no room for the shared dictionary \"a\" of 2M: 1M are left",
        ),
        ("tine.shared('a', '2M')", &["--shared-max", "0"], "--shared-max is 0"),
    ] {
        let folder = folder_with(&[("app.lua", &format!("{source}\nreturn {{ app = print }}\n"))]);
        let output = Command::new(TINE).args(["check", "app.lua"]).args(options).current_dir(folder).output();
        let output = output.expect("it runs");
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success() && said.contains(words), "{source}: {said}");
    }
}

#[test]
fn it_survives_workers_and_reloads_and_its_size_does_not_change() {
    let app = |size: &str| {
        format!(
            "local d = tine.shared('d', '{size}')
             return {{ app = function(environ, start)
               start('200 OK', {{}})
               return tostring(d:incr('n', 1, 0))
             end }}"
        )
    };
    let folder = folder_with(&[("app.lua", &app("1M"))]);
    let server = serve_from(&folder, "app:app", &["--workers", "2"], &[]);
    assert_eq!(text_of(&server, "/"), "1");
    let before = server.workers();
    before.iter().for_each(|&worker| send_signal(worker, Signal::SIGKILL));
    server.wait_gone(&before);
    let before = eventually("new workers", || Some(server.workers()).filter(|workers| workers.len() == 2));
    assert_eq!(text_of(&server, "/"), "2");
    assert!(server.ctl(&["reload"]).status.success());
    server.wait_gone(&before);
    assert_eq!(text_of(&server, "/"), "3");
    fs::write(folder.join("app.lua"), app("2M")).expect("the app");
    let output = server.ctl(&["reload"]);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(
        !output.status.success() && said.contains("\"d\" has 1M and cannot have 2M before the server is restarted"),
        "{said}"
    );
    assert_eq!(text_of(&server, "/"), "4");
}

/// Requests that change a small dictionary, so that entries are evicted all the time. The value of a key is the key over and
/// over; /check reads all of them.
const STORM: &str = r#"
local d, counts = tine.shared("storm", "64K"), tine.shared("counts", "64K")
math.randomseed(tine.worker)
function app(environ, start_response)
  start_response("200 OK", {})
  local path = environ.PATH_INFO
  if path == "/once" then
    return tostring(counts:incr("once", 1, 0))
  elseif path == "/storm" then
    for _ = 1, 2000 do
      local key = tostring(math.random(300))
      local ok, why = d:set(key, key:rep(math.random(300)), math.random(4) == 1 and 0.01 or 0)
      if not ok then return why end
      d:incr("n", 1, 0)
      d:get(tostring(math.random(300)))
      d:delete(tostring(math.random(300)))
    end
    return "done"
  end
  local keys, why = d:get_keys(0)
  if not keys then return why end
  for _, key in ipairs(keys) do
    local value = d:get(key)
    if key ~= "n" and value and value ~= key:rep(#value / #key) then
      return "torn: " .. key .. " " .. value
    end
  end
  return d:set("a", "a") and d:get("a") == "a" and "whole" or "lost"
end
"#;

/// Runs `during` while this many clients send requests of this path; returns how many were answered with each of these texts.
fn under_load<const N: usize>(
    server: &Server,
    clients: usize,
    path: &'static str,
    texts: [&'static str; N],
    during: impl FnOnce(),
) -> [u64; N] {
    let is_over = AtomicBool::new(false);
    let counts = [const { AtomicU64::new(0) }; N];
    std::thread::scope(|scope| {
        for _ in 0..clients {
            scope.spawn(|| {
                while !is_over.load(Relaxed) {
                    let Ok(mut client) = Client::try_connect(server.address()) else { continue };
                    while !is_over.load(Relaxed) {
                        let sent = client.try_send(format!("GET {path} HTTP/1.1\r\nHost: t\r\n\r\n"));
                        // A worker was killed.
                        let Ok(response) = sent.and_then(|()| client.try_response("GET")) else { break };
                        let text = response.text();
                        let place = texts.iter().position(|known| *known == text);
                        counts[place.unwrap_or_else(|| panic!("{text}"))].fetch_add(1, Relaxed);
                    }
                }
            });
        }
        during();
        is_over.store(true, Relaxed);
    });
    counts.map(AtomicU64::into_inner)
}

#[test]
fn increments_of_eight_workers_are_exact() {
    let server = serve(STORM, &["--workers", "8"]);
    let mut expected = 0;
    std::thread::scope(|scope| {
        let clients: Vec<_> = (0..8)
            .map(|_| {
                scope.spawn(|| {
                    let mut client = server.connect();
                    let ask = |_| {
                        client.send("GET /once HTTP/1.1\r\nHost: t\r\n\r\n");
                        client.response().text().parse::<u64>().expect("a number")
                    };
                    (0..500).map(ask).collect::<Vec<u64>>()
                })
            })
            .collect();
        let mut all: Vec<u64> =
            clients.into_iter().flat_map(|client| client.join().expect("it has no fault")).collect();
        all.sort_unstable();
        for number in all {
            expected += 1;
            assert_eq!(number, expected, "each number is given out once");
        }
    });
    assert_eq!(expected, 4000);
}

#[test]
fn killed_workers_leave_no_lock_and_no_torn_value() {
    let server = serve(STORM, &["--workers", "8"]);
    let mut killed = 0;
    let until = Instant::now() + Duration::from_secs(6);
    let [done] = under_load(&server, 8, "/storm", ["done"], || {
        while Instant::now() < until || killed < 50 {
            for worker in server.workers() {
                // It may be gone already.
                if nix::sys::signal::kill(nix::unistd::Pid::from_raw(worker), Signal::SIGKILL).is_ok() {
                    killed += 1;
                }
                std::thread::sleep(Duration::from_millis(3));
            }
            assert!(Instant::now() < until + patience(), "{killed} were killed");
        }
    });
    assert!(done > 0, "storms were interrupted, and others were not");
    eventually("a worker answers", || {
        (server.connect().try_send("").is_ok() && !server.workers().is_empty()).then_some(())
    });
    assert_eq!(text_of(&server, "/check"), "whole", "after {killed} deaths");
}

/// It may be stopped anywhere, in most cases outside of the lock. Where it holds it, the others answer that the dictionary is busy.
#[test]
fn a_stopped_worker_does_not_hang_the_others() {
    let server = serve(STORM, &["--workers", "4"]);
    let [done, busy] = under_load(&server, 8, "/storm", ["done", "busy"], || {
        for _ in 0..20 {
            let worker = server.workers()[0];
            send_signal(worker, Signal::SIGSTOP);
            std::thread::sleep(Duration::from_millis(20));
            send_signal(worker, Signal::SIGCONT);
            std::thread::sleep(Duration::from_millis(10));
        }
    });
    assert!(done > 0, "{done} and {busy}");
    assert_eq!(text_of(&server, "/check"), "whole");
}
