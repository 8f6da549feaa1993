//! The body is anything that can be iterated: the triple of a generic `for`, a plain iterator, a table, a string.
//! Anything else is an error of the app.

use crate::support::lua::{folder_with, serve_file, text_of};
use crate::support::{Server, lua::ask};

const APP: &str = r##"
local here = debug.getinfo(1, "S").source:match("^@(.*)app.lua$")
local forms, closed = {}, {}
local function add(name, f) forms["/" .. name] = f end
add("ipairs", function() return ipairs({ "a", "b", "c" }) end)
add("ipairs-one", function() return ipairs({ "abc" }) end)
add("ipairs-none", function() return ipairs({}) end)
add("pairs", function() return pairs({ x = "abc" }) end)
add("next", function() return next, { x = "abc" } end)
add("triple", function()
  return function(state, i) i = i + 1 if state[i] then return i, state[i] end end, { "a", "b", "c" }, 0
end)
add("table", function() return { "a", "b", "c" } end)
add("table-one", function() return { "abc" } end)
add("table-none", function() return {} end)
add("table-empties", function() return { "", "a", "", "", "bc", "" } end)
add("table-only-empties", function() return { "", "" } end)
add("string", function() return "abc" end)
add("string-empty", function() return "" end)
add("plain", function() local i = 0 return function() i = i + 1 return ({ "a", "b", "c" })[i] end end)
add("plain-none", function() return function() end end)
add("wrap", function() return coroutine.wrap(function() for c in ("abc"):gmatch(".") do coroutine.yield(c) end end) end)
add("wrap-pairs", function() return coroutine.wrap(function() for i, c in ipairs({ "a", "bc" }) do coroutine.yield(i, c) end end) end)
add("gmatch", function() return ("abc"):gmatch(".") end)
add("lines", function() return io.lines(here .. "text") end)
add("file", function()
  local file = assert(io.open(here .. "text"))
  return function(file) local line = file:read("*l") return line, line end, file
end)
add("callable", function()
  local i = 0
  return setmetatable({ close = function() closed.callable = (closed.callable or 0) + 1 end },
    { __call = function(self) i = i + 1 return ({ "a", "b", "c" })[i] end })
end)
add("callable-list", function()
  -- A callable table is an iterator, whatever else it contains.
  local done
  return setmetatable({ "no" }, { __call = function() if not done then done = true return "abc" end end })
end)
add("closing", function()
  local i = 0
  return function() i = i + 1 return ({ "a", "b", "c" })[i] end, nil, nil,
    setmetatable({}, { __close = function() closed.closing = (closed.closing or 0) + 1 end })
end)
add("nil", function() end)
add("number", function() return 5 end)
add("numbers", function() return { 5, 6 } end)
add("numbers-stream", function() local i = 4 return function() i = i + 1 if i < 7 then return i end end end)
add("chunk-true", function() return { true } end)
add("chunk-false", function() return { false } end)
add("chunk-only-table", function() return ipairs({ {} }) end)
add("boolean", function() return true end)
add("thread", function() return coroutine.create(function() end) end)
add("userdata", function() return io.stdout end)
add("chunk-number", function() return { 5 } end)
add("chunk-table", function() return { "a", {} } end)
add("chunk-first-table", function() return { {}, "a" } end)
add("chunk-boolean", function() return function() return true end end)
add("chunk-missing", function() return function(_, i) return i + 1 end, nil, 0 end)
add("stepped-into-nothing", function() return function(s) return s.x.y end, {} end)
add("closed", function() return tostring(closed.callable) .. tostring(closed.closing) end)
function app(environ, start_response)
  start_response("200 OK", { ["X-App"] = "1" })
  return forms[environ.PATH_INFO]()
end
"##;

fn server() -> Server {
    let folder = folder_with(&[("app.lua", APP), ("text", "a\nbc\n")]);
    serve_file(folder.join("app.lua").to_str().expect("UTF-8"), &[])
}

#[test]
fn any_form_is_accepted() {
    let server = server();
    let mut client = server.connect();
    for (name, body) in [
        ("ipairs", "abc"),
        ("ipairs-one", "abc"),
        ("ipairs-none", ""),
        ("pairs", "abc"),
        ("next", "abc"),
        ("triple", "abc"),
        ("table", "abc"),
        ("table-one", "abc"),
        ("table-none", ""),
        ("table-empties", "abc"),
        ("table-only-empties", ""),
        ("string", "abc"),
        ("string-empty", ""),
        ("plain", "abc"),
        ("plain-none", ""),
        ("wrap", "abc"),
        ("wrap-pairs", "abc"),
        ("gmatch", "abc"),
        ("lines", "abc"),
        ("file", "abc"),
        ("callable", "abc"),
        ("callable-list", "abc"),
        ("closing", "abc"),
    ] {
        client.send(format!("GET /{name} HTTP/1.1\r\nHost: t\r\n\r\n"));
        let response = client.response();
        assert_eq!((response.status, response.text().as_str()), (200, body), "{name}\n{}", server.log());
        assert_eq!(response.header("x-app"), Some("1"), "{name}");
        let is_chunked = response.header("transfer-encoding") == Some("chunked");
        assert_ne!(is_chunked, response.header("content-length").is_some(), "{name}: {}", response.head);
        assert!(body.len() == 3 || !is_chunked, "{name}: nothing is sent in no chunks");
        // The same on HTTP/1.0, and without a body to HEAD.
        assert_eq!(ask(&server, &format!("GET /{name} HTTP/1.0"), b"").text(), body, "{name}");
        client.send(format!("HEAD /{name} HTTP/1.1\r\nHost: t\r\n\r\n"));
        assert_eq!(client.response_to("HEAD").status, 200, "{name}");
    }
    assert_eq!(text_of(&server, "/closed"), "33");
    assert!(!server.log().contains("ERROR"), "{}", server.log());
}

#[test]
fn anything_else_is_an_error() {
    let server = server();
    for (name, why) in [
        ("nil", "the app returned a nil"),
        ("boolean", "the app returned a boolean"),
        ("thread", "the app returned a thread"),
        ("userdata", "the app returned a userdata"),
        ("chunk-true", "a chunk of the response is a string, not a boolean"),
        ("chunk-false", "a chunk of the response is a string, not a boolean"),
        ("chunk-only-table", "a chunk of the response is a string, not a table"),
        ("chunk-table", "a chunk of the response is a string, not a table"),
        ("chunk-first-table", "a chunk of the response is a string, not a table"),
        ("chunk-boolean", "a chunk of the response is a string, not a boolean"),
        ("chunk-missing", "a chunk of the response is a string, not a nil"),
        ("stepped-into-nothing", "attempt to index"),
    ] {
        assert_eq!(server.get(&format!("/{name}")).status, 500, "{name}");
        let log = server.log();
        let line = log.lines().find(|line| line.contains(&format!("GET /{name}: ")));
        assert!(line.is_some_and(|line| line.contains(why)), "{name}: {log}");
    }
}

/// As the `..` operator converts them.
#[test]
fn numbers_are_sent_as_text() {
    let server = server();
    for (name, body) in [("number", "5"), ("chunk-number", "5"), ("numbers", "56"), ("numbers-stream", "56")] {
        assert_eq!(text_of(&server, &format!("/{name}")), body, "{name}");
    }
}

/// An iterator's file is closed with the response.
#[test]
fn the_state_is_closed() {
    let server = server();
    let worker = server.workers()[0];
    let files = || {
        let open = std::fs::read_dir(format!("/proc/{worker}/fd")).expect("a folder of descriptors").flatten();
        open.filter(|entry| std::fs::read_link(entry.path()).is_ok_and(|path| path.ends_with("text"))).count()
    };
    assert_eq!(text_of(&server, "/file"), "abc");
    assert_eq!(files(), 0);
    if cfg!(feature = "lua54") {
        assert_eq!(text_of(&server, "/lines"), "abc");
        assert_eq!(files(), 0);
    }
}
