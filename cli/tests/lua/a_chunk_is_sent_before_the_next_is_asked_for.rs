//! A chunk reaches the client before the app is called for the next, which may take long (PEP 3333, "Buffering and
//! Streaming"): here the app reads from a FIFO and so blocks its worker until the test has seen the previous chunk.
//! Chunks that exist already are sent together.

use crate::support::lua::{folder_with, serve_from};
use crate::support::{Client, Server, Trace};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

const APP: &str = r#"
local function wait()
  local fifo = assert(io.open("fifo"))
  fifo:read("*a") -- to the end: while the writer has the FIFO open, the next io.open would not wait for another
  fifo:close()
end
-- The first of three chunks exists; the app waits for each of the others, and for the end.
local function chunk(number)
  if number > 1 then wait() end
  return number < 4 and "chunk" .. number or nil
end
local function iterator()
  local number = 0
  return function()
    number = number + 1
    return chunk(number)
  end
end
local ways = {
  iterator = iterator,
  callable = function() return setmetatable({}, { __call = iterator() }) end,
  generator = function()
    return coroutine.wrap(function()
      for text in iterator() do coroutine.yield(text) end
    end)
  end,
  loop = function()
    return function(_, last) if chunk(last + 1) then return last + 1, "chunk" .. last + 1 end end, nil, 0
  end,
  ipairs = function()
    local lines = setmetatable({}, { __index = function(_, number)
      return type(number) == "number" and chunk(number) or nil
    end })
    if not jit then return ipairs(lines) end
    return iterator() -- of whose ipairs the metatable is not looked at
  end,
  sleeper = function()
    local step = iterator()
    return function()
      local text = step()
      tine.sleep(0)
      return text
    end
  end,
  one = function() return { "whole", close = wait } end,
  empty = function() return { close = wait } end,
  two = function() return { "chunk1", "chunk2", close = wait } end,
  long = function() return { ("x"):rep(200000), ("y"):rep(200000), close = wait } end,
  lines = function()
    return setmetatable({}, { __len = function() return 3 end, __index = function(_, number)
      return type(number) == "number" and chunk(number) or nil
    end })
  end,
  pairs_and_close = function()
    return next, setmetatable({ "chunk1" }, { __index = { close = wait } }), nil
  end,
  state = function() return ipairs({ "chunk1", "chunk2", close = wait }) end,
}
local ten = {}
for number = 1, 10 do ten[number] = "chunk" .. number end
function ways.table() return ten end
function ways.triple() return ipairs(ten) end
function ways.pairs() return pairs(ten) end
function app(environ, start_response)
  start_response("200 OK", {})
  return ways[environ.PATH_INFO:sub(2)]()
end
"#;

fn start() -> (Server, PathBuf) {
    let folder = folder_with(&[("app.lua", APP)]);
    let made = Command::new("mkfifo").arg(folder.join("fifo")).status().expect("mkfifo starts");
    assert!(made.success());
    (serve_from(&folder, "app.lua", &[], &[]), folder)
}

fn ask(server: &Server, way: &str, version: &str) -> Client {
    let mut client = server.connect();
    client.send(format!("GET /{way} HTTP/{version}\r\nHost: t\r\n\r\n"));
    client
}

/// Lets the app continue.
fn release(folder: &Path) {
    fs::write(folder.join("fifo"), "go on\n").expect("the app reads it");
}

#[test]
fn where_the_app_is_called_for_it() {
    let (server, folder) = start();
    for way in ["iterator", "callable", "generator", "loop", "ipairs", "sleeper"] {
        let mut client = ask(&server, way, "1.1");
        assert!(client.head().starts_with("HTTP/1.1 200"), "{way}");
        for number in 1..=3 {
            assert_eq!(client.chunk().expect("a chunk"), format!("chunk{number}").as_bytes(), "{way}");
            release(&folder);
        }
        assert_eq!(client.chunk().expect("the end"), b"", "{way}");
        // HTTP/1.0 has no chunks; the body ends with the connection.
        let mut client = ask(&server, way, "1.0");
        client.head();
        for number in 1..=3 {
            assert_eq!(client.take(6).expect("a chunk"), format!("chunk{number}").as_bytes(), "{way}");
            release(&folder);
        }
        assert_eq!(client.rest().expect("the end"), b"", "{way}");
    }
    // A list whose metatable makes the chunks, three of them.
    let mut client = ask(&server, "lines", "1.1");
    client.head();
    for number in 1..=3 {
        assert_eq!(client.chunk().expect("a chunk"), format!("chunk{number}").as_bytes());
        if number < 3 {
            release(&folder);
        }
    }
    assert_eq!(client.chunk().expect("the end"), b"");
    drop(server);
    fs::remove_dir_all(folder).expect("the test's own folder");
}

#[test]
fn before_close_is_called() {
    let (server, folder) = start();
    for (way, text) in [("one", "whole"), ("empty", ""), ("two", "chunk1chunk2"), ("state", "chunk1chunk2")] {
        let mut client = ask(&server, way, "1.1");
        assert_eq!(client.response().text(), text, "{way}");
        release(&folder);
        // And the connection is kept.
        client.send("GET /table HTTP/1.1\r\nHost: t\r\n\r\n");
        assert!(client.response().text().ends_with("chunk10"), "after {way}");
    }
    // The same for the last of chunks that are too long to be joined.
    let mut client = ask(&server, "long", "1.1");
    assert_eq!(client.response().body.len(), 400_000);
    release(&folder);
    // Without a body the head is sent first.
    for way in ["two", "long", "pairs_and_close"] {
        client.send(format!("HEAD /{way} HTTP/1.1\r\nHost: t\r\n\r\n"));
        assert_eq!(client.response_to("HEAD").status, 200, "{way}");
        release(&folder);
    }
    // `pairs` is called for its next value, and then closed.
    let mut client = ask(&server, "pairs_and_close", "1.1");
    client.head();
    assert_eq!(client.chunk().expect("a chunk"), b"chunk1");
    release(&folder);
    assert_eq!(client.chunk().expect("the end"), b"");
    drop(server);
    fs::remove_dir_all(folder).expect("the test's own folder");
}

#[test]
fn existing_chunks_are_sent_together() {
    let (server, folder) = start();
    for way in ["table", "triple", "pairs"] {
        let mut client = server.connect();
        client.send("GET /table HTTP/1.1\r\nHost: t\r\n\r\n");
        client.response();
        let Some(trace) = Trace::begin(server.workers()[0]) else { return };
        client.send(format!("GET /{way} HTTP/1.1\r\nHost: t\r\n\r\n"));
        assert!(client.response().text().ends_with("chunk10"), "{way}");
        let calls = trace.end();
        let sends = ["sendto(", "sendmsg(", "write(", "writev("];
        let count = calls.lines().filter(|call| sends.iter().any(|name| call.starts_with(name))).count();
        assert_eq!(count, 1, "{way}: {calls}");
    }
    drop(server);
    fs::remove_dir_all(folder).expect("the test's own folder");
}
