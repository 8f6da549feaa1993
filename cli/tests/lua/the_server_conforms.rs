//! A conformance app checks the server from inside, while apps of all kinds answer requests of all kinds. Every
//! violation that it finds is a failure.

use crate::support::lua::{folder_with, serve_file};
use crate::support::{Server, eventually};

const VALIDATE: &str = include_str!("validate.lua");

const APP: &str = r#"
local validate = require("validate")
local apps = {}
local function started(f)
  return function(environ, start_response)
    start_response("200 OK", { { "Content-Type", "text/plain" } })
    return f(environ)
  end
end
local function counter(limit, before)
  local count = 0
  return function()
    if before then before() end
    count = count + 1
    return count <= limit and ("chunk %d;"):format(count) or nil
  end
end
apps.string = started(function() return "whole" end)
apps.empty = started(function() return "" end)
apps.table = started(function() return { "a", "b", "c" } end)
apps.one = started(function() return { "a" } end)
apps.none = started(function() return {} end)
apps.ipairs = started(function() return ipairs({ "a", "b", "c" }) end)
apps.pairs_like = started(function()
  return function(list, at) at = at + 1; if list[at] then return at, list[at] end end, { "a", "b", "c" }, 0
end)
apps.iterator = started(function() return counter(5) end)
apps.long = started(function() return counter(2000) end)
apps.sleeping = started(function() return counter(5, function() tine.sleep(0.005) end) end)
apps.closable = started(function() return setmetatable({ close = function() end }, { __call = counter(5) }) end)
apps.generator = started(function()
  return coroutine.wrap(function()
    for i = 1, 5 do tine.sleep(0.001); coroutine.yield("g" .. i) end
  end)
end)
apps.read_all = started(function(environ) return environ["wsgi.input"]:read() end)
apps.read_pieces = started(function(environ)
  local input, parts = environ["wsgi.input"], {}
  for part in function() return input:read(100) end do parts[#parts + 1] = part end
  return table.concat(parts)
end)
apps.read_lines = started(function(environ)
  local parts = {}
  for line in environ["wsgi.input"]:lines() do parts[#parts + 1] = line end
  return table.concat(parts, "\n")
end)
apps.read_while_streaming = started(function(environ)
  local input = environ["wsgi.input"]
  return function() return input:read(1000) end
end)
apps.lazy = function(environ, start_response)
  local is_sent = false
  return function()
    if is_sent then return nil end
    is_sent = true
    start_response("200 OK", {})
    return "lazy"
  end
end
apps.failing_iterator = started(function()
  local step = counter(3)
  return function() return step() or error("meant to fail") end
end)
apps.endless = started(function() return counter(math.huge) end)
app_names = {}
for name in pairs(apps) do app_names[#app_names + 1] = name end

local checked = {}
for name, one in pairs(apps) do checked[name] = validate.wrap(one) end
function app(environ, start_response)
  local path = environ.PATH_INFO
  if path == "/report" then
    local text, checks = validate.report()
    start_response("200 OK", { { "X-Checks", checks } })
    return text
  elseif path == "/names" then
    start_response("200 OK", {})
    return table.concat(app_names, " ")
  end
  return checked[path:match("^/([%w_]+)")](environ, start_response)
end
"#;

fn server() -> Server {
    let folder = folder_with(&[("app.lua", APP), ("validate.lua", VALIDATE)]);
    let app = folder.join("app.lua");
    serve_file(app.to_str().expect("a path in UTF-8"), &["--max-body", "1M"])
}

/// The heads that are sent to each app, without the fields of the body, and the bodies.
const HEADS: [&str; 7] = [
    "GET /APP HTTP/1.1\r\nHost: t\r\n",
    "GET /APP?query=1&x=%20 HTTP/1.1\r\nHost: t\r\nAccept: */*\r\nX-A: 1\r\nX-A: 2\r\nCookie: a=1\r\nCookie: b=2\r\n",
    "HEAD /APP HTTP/1.1\r\nHost: t\r\n",
    "POST /APP/sub%2Fpath//x;y?? HTTP/1.1\r\nHost: t\r\nContent-Type: text/plain; charset=utf-8\r\n",
    "PUT /APP/%ff%0a HTTP/1.1\r\nHost: [::1]:80\r\nX-Empty:\r\nX-Tab: a\tb\r\nX-Latin: \u{e9}\r\n",
    "OPTIONS /APP HTTP/1.1\r\nhost: t\r\nX_Underscore: no\r\nx-!#$%&'*+.^`|~: odd\r\n",
    "M-SEARCH /APP HTTP/1.1\r\nHost: t\r\n",
];

#[test]
fn the_server_conforms() {
    let server = server();
    let names = server.get("/names").text();
    let bodies = [String::new(), "one\ntwo\n\nthree".to_string(), "x".repeat(5000) + "\n" + &"y".repeat(70_000)];
    let mut client = server.connect();
    let mut asked = 0;
    for name in names.split(' ').filter(|name| !["endless", "failing_iterator"].contains(name)) {
        for head in HEADS {
            for (body, is_chunked) in bodies.iter().flat_map(|body| [(body, false), (body, true)]) {
                let head = head.replace("APP", name);
                let request = if is_chunked {
                    let (one, other) = body.split_at(body.len() / 2);
                    let chunk = |part: &str| match part.len() {
                        0 => String::new(),
                        size => format!("{size:x}\r\n{part}\r\n"),
                    };
                    format!("{head}Transfer-Encoding: chunked\r\n\r\n{}{}0\r\n\r\n", chunk(one), chunk(other))
                } else if body.is_empty() {
                    format!("{head}\r\n")
                } else {
                    format!("{head}Content-Length: {}\r\n\r\n{body}", body.len())
                };
                client.send(&request);
                let method = head.split(' ').next().expect("a method");
                let response = client.response_to(method);
                assert_eq!(response.status, 200, "{head}: {}; {}", response.text(), server.log());
                asked += 1;
                // What the app did not read is dropped, or the connection is closed.
                if response.header("connection") == Some("close") {
                    client = server.connect();
                }
            }
        }
    }
    assert!(asked > 500, "{asked}");
    expect_no_violation(&server, 100 * asked);
}

#[test]
fn the_server_conforms_when_things_go_wrong() {
    let server = server();
    for _ in 0..20 {
        let mut client = server.connect();
        client.send("GET /failing_iterator HTTP/1.1\r\nHost: t\r\n\r\n");
        client.try_response("GET").expect_err("an error after the head resets the connection");
        // Clients that disconnect in the middle of a response or of their own body.
        let mut client = server.connect();
        client.send("GET /endless HTTP/1.1\r\nHost: t\r\n\r\n");
        client.take(100_000).expect("a part of it");
        drop(client);
        for app in ["read_all", "read_pieces", "read_lines", "read_while_streaming"] {
            let mut client = server.connect();
            client.send(format!("POST /{app} HTTP/1.1\r\nHost: t\r\nContent-Length: 100000\r\n\r\nsome"));
            drop(client);
        }
    }
    eventually("all iterables are closed", || server.get("/report").text().starts_with("0 open").then_some(()));
    expect_no_violation(&server, 1000);
}

#[track_caller]
fn expect_no_violation(server: &Server, checks_least: usize) {
    let report = server.get("/report");
    assert_eq!(report.text(), "0 open\n", "violations");
    let checks: usize = report.header("x-checks").and_then(|checks| checks.parse().ok()).expect("a number");
    assert!(checks >= checks_least, "{checks} checks are too few to believe it");
}
