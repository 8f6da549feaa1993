//! The memory of a worker and of its VM is the same after many requests as after a few: whole responses, apps that read
//! all of environ, bodies, streams, sleeps, coroutines, errors, clients that disconnect.
//!
//! Here 60 000; `SOAK_REQUESTS=1000000 cargo test --release -p tine-cli --test lua memory_does_not_grow` is the long form.

use crate::support::lua::serve;
use crate::support::{Server, proportional_bytes};

const APP: &str = r#"
local count = 0
function app(environ, start_response)
  count = count + 1
  local path = environ.PATH_INFO
  if path == "/fail" then
    error("meant to fail " .. count)
  elseif path == "/used" then
    collectgarbage()
    collectgarbage()
    start_response("200 OK", {})
    return ("%d"):format(collectgarbage("count") * 1024)
  end
  start_response("200 OK", { { "Content-Type", "text/plain" }, { "X-Count", count } })
  if path == "/environ" then
    local keys = 0
    for key, value in pairs(environ) do keys = keys + 1 end
    return keys .. " keys"
  elseif path == "/echo" then
    return environ["wsgi.input"]:read()
  elseif path == "/sleep" then
    tine.sleep(0.0001)
  elseif path == "/coroutine" then
    return coroutine.wrap(function() for i = 1, 3 do tine.sleep(0); coroutine.yield("part" .. i) end end)
  elseif path == "/stream" or path == "/leave" then
    local left = path == "/leave" and math.huge or 5
    return setmetatable({ close = function() end }, { __call = function()
      left = left - 1
      return left >= 0 and ("x"):rep(1000) or nil
    end })
  end
  return "hello"
end
"#;

/// The requests that a connection sends, in this order, over and over.
const MIX: [&str; 12] =
    ["/", "/environ", "/echo", "/", "/stream", "/", "/sleep", "/echo", "/coroutine", "/environ", "/", "/fail"];
const CLIENTS: usize = 4;

/// Sends this many requests; failures are answered with 500, all others with 200.
fn ask(server: &Server, requests: usize) {
    std::thread::scope(|scope| {
        for first in 0..CLIENTS {
            scope.spawn(move || {
                let mut client = server.connect();
                for number in 0..requests / CLIENTS {
                    let path = MIX[(first * 3 + number) % MIX.len()];
                    let (method, body) =
                        if path == "/echo" { ("POST", "x".repeat(500)) } else { ("GET", String::new()) };
                    // A path and a field that occur only once.
                    client.send(format!(
                        "{method} {path}?{number} HTTP/1.1\r\nHost: t\r\nX-Once-{number}: {number}\r\n\
                         Content-Length: {}\r\n\r\n{body}",
                        body.len()
                    ));
                    let status = if path == "/fail" { 500 } else { 200 };
                    assert_eq!(client.response().status, status, "{path}");
                    if number % 500 == 0 {
                        let mut client = server.connect();
                        client.send("GET /leave HTTP/1.1\r\nHost: t\r\n\r\n");
                        client.take(5000).expect("a part of it");
                    }
                }
            });
        }
    });
}

/// The memory of the worker, and that of its VM as Lua reports it.
fn held(server: &Server) -> (u64, u64) {
    let used = server.get("/used").text().parse().expect("a number of bytes");
    (proportional_bytes(server.workers()[0]), used)
}

#[test]
fn memory_does_not_grow() {
    let requests = std::env::var("SOAK_REQUESTS").map_or(60_000, |text| text.parse().expect("a number of requests"));
    let server = serve(APP, &[]);
    ask(&server, requests / 2);
    let before = held(&server);
    ask(&server, requests);
    let after = held(&server);
    eprintln!("after {} requests {before:?}, after {requests} more {after:?} bytes (worker, VM)", requests / 2);
    // A leak of 8 bytes per request would be detected; fragmentation is less than that.
    let allowed = 256 * 1024 + requests as u64 / 2;
    assert!(after.0 <= before.0 + allowed, "the worker: {before:?}, {after:?}");
    assert!(after.1 <= before.1 + 32 * 1024, "the VM: {before:?}, {after:?}");
    let log = server.log();
    let strange = log.lines().find(|line| line.contains(" ERROR ") && !line.contains("meant to fail"));
    assert_eq!(strange, None);
}

/// Heads of many headers, each with few values, that are never kept: the last value is a list.
const HEADS: &str = r#"
local count = 0
function app(environ, start_response)
  if environ.PATH_INFO == "/used" then
    collectgarbage()
    collectgarbage()
    start_response("200 OK", {})
    return ("%d"):format(collectgarbage("count") * 1024)
  end
  count = count + 1
  local headers, rest = {}, count
  for i = 1, 6 do
    headers[i], rest = { "X-" .. i, "value " .. rest % 10 }, math.floor(rest / 10)
  end
  headers[7] = { "X-List", { "a" } }
  start_response("200 OK", headers)
  return "hello"
end
"#;

#[test]
fn heads_that_cannot_be_kept_do_not_leak() {
    let server = serve(HEADS, &[]);
    let mut client = server.connect();
    let mut ask = |requests| {
        for _ in 0..requests {
            client.send("GET / HTTP/1.1\r\nHost: t\r\n\r\n");
            assert_eq!(client.response().status, 200);
        }
        server.get("/used").text().parse::<u64>().expect("a number of bytes")
    };
    let (before, after) = (ask(100), ask(3000));
    assert!(after <= before + 64 * 1024, "{before}, {after}");
}
