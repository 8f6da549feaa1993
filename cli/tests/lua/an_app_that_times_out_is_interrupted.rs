//! `--request-timeout`: an app that does not yield is interrupted wherever it is; the response is 504, the log says
//! where the app was, and the worker keeps serving.

use crate::support::lua::serve;

const APP: &str = r#"
local function forever()
  while true do end -- LOOP
end
local function chain(depth, f)
  return function() return coroutine.wrap(depth == 1 and f or chain(depth - 1, f))() end
end
local loops = {
  plain = forever,
  calls = function() local function f() end while true do f() end end, -- LOOP
  tail = function() local function f() return f() end return f() end, -- LOOP
  pcall = function() while true do pcall(forever) end end,
  nested_pcall = function()
    local function f() while true do pcall(pcall, pcall, forever) end end
    while true do pcall(f) end
  end,
  xpcall = function() while true do xpcall(forever, function() while true do end end) end end,
  xpcall_in_gsub = function()
    return (("x"):gsub("x", function() xpcall(forever, function() while true do end end) end))
  end,
  xpcall_erring = function() while true do xpcall(forever, function() error("x") end) end end,
  error_with_tostring = function()
    while true do
      xpcall(forever, function(e) return setmetatable({}, { __tostring = forever }) end)
    end
  end,
  coroutine = function() coroutine.wrap(forever)() end,
  resume = function() coroutine.resume(coroutine.create(forever)) end,
  coroutines = function() while true do coroutine.resume(coroutine.create(forever)) end end,
  deep_coroutines = function() while true do pcall(chain(8, forever)) end end,
  coroutine_in_pcall = function() while true do pcall(coroutine.wrap(forever)) end end,
  pcall_in_coroutine = function() coroutine.wrap(function() while true do pcall(forever) end end)() end,
  generator = function()
    local step = coroutine.wrap(function() while true do coroutine.yield(1) end end)
    while true do step() end -- LOOP
  end,
  index = function() return setmetatable({}, { __index = forever }).x end,
  concat = function() return setmetatable({}, { __concat = forever }) .. "" end,
  tostring = function() return tostring(setmetatable({}, { __tostring = forever })) end,
  sort = function() table.sort({ 1, 2, 3 }, forever) end,
  gsub = function() return (("x"):gsub("x", forever)) end,
  gsub_in_pcall = function() while true do pcall(string.gsub, "x", "x", forever) end end,
  load = function() return load(forever) end,
  require = function()
    package.preload.forever = forever
    while true do pcall(require, "forever") end
  end,
}
function app(environ, start_response)
  local name = environ.PATH_INFO:sub(2)
  if name == "iterator" then
    start_response("200 OK", {})
    return forever
  elseif name == "swallowed" then
    -- The app's own coroutine is interrupted, and the app says that all is well.
    coroutine.resume(coroutine.create(forever))
    start_response("200 OK", {})
    return "all is well"
  elseif name ~= "" then
    loops[name]()
  end
  start_response("200 OK", {})
  return "hello"
end
function names()
  local names = {}
  for name in pairs(loops) do names[#names + 1] = name end
  return table.concat(names, " ")
end
"#;

/// The names of the loops above.
fn names() -> Vec<&'static str> {
    let loops = APP.split_once("local loops = {\n").expect("the table").1.split_once("\n}\n").expect("its end").0;
    let name = |line: &'static str| line.strip_prefix("  ")?.split_once(" = ").filter(|(name, _)| !name.contains(' '));
    loops.lines().filter_map(name).map(|(name, _)| name).chain(["iterator", "swallowed"]).collect()
}

#[test]
fn an_app_that_times_out_is_interrupted() {
    let names = names();
    assert!(names.len() > 20, "{names:?}");
    let server = serve(APP, &["--request-timeout", "100ms"]);
    let worker = server.workers();
    for name in names {
        eprintln!("{name}");
        let response = server.get(&format!("/{name}"));
        assert_eq!(response.status, 504, "{name}: {}", response.text());
        assert!(!response.text().contains("app.lua"), "{name}: a client is not shown the traceback");
        // The request, the reason, and a line of the loop.
        let message = server.wait_log(&format!("GET /{name}: "));
        assert!(message.contains("--request-timeout"), "{name}: {message}");
        let log = server.log();
        let (_, traceback) = log.rsplit_once(&message).expect("the line that was found");
        assert!(
            traceback.lines().skip(1).take_while(|line| line.starts_with("  ")).any(|line| line.contains("app.lua:")),
            "{name}: a traceback; the log says:\n{log}"
        );
        let response = server.get("/");
        assert_eq!((response.status, response.text().as_str()), (200, "hello"), "after {name}");
    }
    assert_eq!(server.workers(), worker, "the worker serves on");
}
