//! `--lua-memory-max`: a request that needs more gets a 500, requests in flight are finished, and the worker is
//! replaced. An app that handles the error itself keeps its worker.

use crate::support::lua::serve;
use crate::support::{Server, eventually};

const APP: &str = r#"
local function hoard()
  local kept = {}
  for i = 1, math.huge do kept[i] = ("x"):rep(1000) .. i end
end
function app(environ, start_response)
  local path = environ.PATH_INFO
  if path == "/hoard" then
    hoard()
  elseif path == "/giant" then
    return ("x"):rep(2 ^ 30)
  elseif path == "/double" then
    local text = "xxxxxxxxxxxxxxxx"
    while true do text = text .. text end
  elseif path == "/coroutine" then
    coroutine.wrap(hoard)()
  elseif path == "/rethrown" then
    local ok, why = pcall(hoard)
    error(why, 0)
  elseif path == "/body" then
    environ["wsgi.input"]:read()
  elseif path == "/survived" then
    local ok, why = pcall(hoard)
    collectgarbage() -- LuaJIT fails without having tried that
    start_response("200 OK", {})
    return "survived: " .. tostring(why)
  elseif path == "/said" then
    error("not enough memory for this joke", 0)
  elseif path == "/sleep" then
    local text = ("y"):rep(100000)
    tine.sleep(0.3)
    start_response("200 OK", {})
    return text .. #environ.HTTP_HOST
  elseif path == "/stream" then
    start_response("200 OK", {})
    local count = 0
    return function()
      count = count + 1
      if count == 3 then hoard() end
      return "chunk" .. count
    end
  end
  start_response("200 OK", {})
  return "hello"
end
"#;

const OPTIONS: [&str; 2] = ["--lua-memory-max", "16M"];

/// Waits until the worker has ended and another one serves.
#[track_caller]
fn expect_replaced(server: &Server, worker: &[i32], what: &str) {
    server.wait_gone(worker);
    server.wait_replaced(worker);
    let answer = eventually("the new worker answers", || {
        let mut client = server.connect();
        client.send("GET / HTTP/1.1\r\nHost: t\r\nConnection: close\r\n\r\n");
        client.try_response("GET").ok()
    });
    assert_eq!(answer.text(), "hello", "after {what}");
    let log = server.log();
    assert!(log.contains("--lua-memory-max"), "{what}: why the worker ends; {log}");
    assert!(!log.contains("panic") && !log.contains("was killed"), "{what}: it ends in order; {log}");
}

#[test]
fn exhaustion_is_a_500_and_a_new_worker() {
    for path in ["/hoard", "/giant", "/double", "/coroutine", "/rethrown"] {
        let server = serve(APP, &OPTIONS);
        let worker = server.workers();
        let response = server.get(path);
        assert_eq!(response.status, 500, "{path}: {}", response.text());
        expect_replaced(&server, &worker, path);
    }
}

#[test]
fn requests_in_flight_are_finished() {
    let server = serve(APP, &OPTIONS);
    let worker = server.workers();
    let mut others: Vec<_> = (0..20).map(|_| server.connect()).collect();
    for client in &mut others {
        client.send("GET /sleep HTTP/1.1\r\nHost: t\r\n\r\n");
    }
    // After the others in this worker's queue.
    assert_eq!(server.get("/hoard").status, 500);
    for client in &mut others {
        let response = client.response();
        assert_eq!((response.status, response.body.len()), (200, 100_001), "{}", server.log());
    }
    expect_replaced(&server, &worker, "with others in flight");
}

#[test]
fn exhaustion_while_streaming_resets_the_connection() {
    let server = serve(APP, &OPTIONS);
    let worker = server.workers();
    let mut client = server.connect();
    client.send("GET /stream HTTP/1.1\r\nHost: t\r\n\r\n");
    assert!(client.head().starts_with("HTTP/1.1 200"));
    assert_eq!(client.chunk().expect("a first chunk"), b"chunk1");
    assert_eq!(client.chunk().expect("a second chunk"), b"chunk2");
    client.chunk().expect_err("no third one, and no last one");
    expect_replaced(&server, &worker, "in the middle of a stream");
}

/// Memory that the server itself allocates in the VM is treated the same.
#[test]
fn exhaustion_in_our_own_callbacks_is_the_same() {
    let server = serve(APP, &["--lua-memory-max", "4M", "--max-body", "64M"]);
    let worker = server.workers();
    let mut client = server.connect();
    let body = vec![b'x'; 8 << 20];
    client.send(format!("POST /body HTTP/1.1\r\nHost: t\r\nContent-Length: {}\r\n\r\n", body.len()));
    client.send(&body);
    assert_eq!(client.response().status, 500, "{}", server.log());
    expect_replaced(&server, &worker, "a body that does not fit");

    // Too little is left to complete environ; which of the many allocations fails depends on the rest.
    let filler = r#"
        local kept = {}
        function app(environ, start_response)
          if environ.PATH_INFO == "/fill" then
            for size = 12, 3, -1 do
              while pcall(function() kept[#kept + 1] = ("x"):rep(2 ^ size) .. #kept end) do end
            end
            for i = 1, 15 do
              kept[#kept + 1] = environ["HTTP_X_" .. i]
            end
            for key in pairs(environ) do end
          end
          start_response("200 OK", {})
          return "hello"
        end
    "#;
    let server = serve(filler, &["--lua-memory-max", "4M"]);
    let worker = server.workers();
    let fields: String = (1..=15).map(|i| format!("X-{i}: {}\r\n", "v".repeat(800))).collect();
    let mut client = server.connect();
    client.send(format!("GET /fill HTTP/1.1\r\nHost: t\r\n{fields}\r\n"));
    assert_eq!(client.response().status, 500, "{}", server.log());
    expect_replaced(&server, &worker, "an environ that does not fit");
}

#[test]
fn exhaustion_that_the_app_survives_ends_nothing() {
    let server = serve(APP, &OPTIONS);
    let worker = server.workers();
    for _ in 0..3 {
        let response = server.get("/survived");
        assert_eq!((response.status, response.text().as_str()), (200, "survived: not enough memory"));
        // An error is an error, whatever its text.
        assert_eq!(server.get("/said").status, 500);
        assert_eq!(server.get("/").text(), "hello");
    }
    assert_eq!(server.workers(), worker, "{}", server.log());
}

#[test]
fn garbage_alone_exhausts_nothing() {
    // Whichever allocation is the first that finds no room.
    for odd in [0, 3, 7, 11] {
        let app = r#"
            local kept = {} -- half of what there is
            for i = 1, 64 do kept[i] = ("z"):rep(65536) .. i end
            kept.odd = ("o"):rep(ODD * 1024)
            function app(environ, start_response)
              local parts = {}
              for i = 1, 200 do parts[i] = ("x"):rep(10000) .. i end
              start_response("200 OK", {})
              return "hello"
            end
        "#;
        let server = serve(&app.replace("ODD", &odd.to_string()), &["--lua-memory-max", "8M"]);
        let worker = server.workers();
        let mut client = server.connect();
        for round in 0..100 {
            client.send("GET / HTTP/1.1\r\nHost: t\r\n\r\n");
            let response = client.response();
            let answer = (response.status, response.text());
            assert_eq!(answer, (200, "hello".to_string()), "{odd} KiB more, round {round}: {}", server.log());
        }
        assert_eq!(server.workers(), worker, "{}", server.log());
    }
}
