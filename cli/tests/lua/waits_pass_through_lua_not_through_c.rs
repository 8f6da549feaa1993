//! docs/lua.md, "Coroutines": where an app may sleep, in each of the two languages. A row says yes or no for each.

use crate::support::lua::{folder_with, serve_from};
use crate::support::markdown::table;
use std::fs;

/// In the order of the table's rows. Each function is called in a request.
const APP: &str = r#"
local function sleep(...) tine.sleep(0) return ... end
local function meta(name) return setmetatable({}, { [name] = function() return sleep("") end }) end
package.preload.sleeps = function() return sleep(true) end
local file
local ways = {
  { function() assert(pcall(sleep)) end,
    function() assert(xpcall(sleep, print)) end,
    function() for _ in function(_, last) return not last and sleep(1) or nil end do end end,
    function() return meta("__add") + 1 end,
    function() return meta("__concat") .. "" end,
    function() return meta("__eq") == meta("__eq") end,
    function() return meta("__index").field end },
  { function() tostring(meta("__tostring")) end },
  { function() dofile(file) end },
  { function() table.sort({ 2, 1 }, function(a, b) return sleep(a < b) end) end,
    function() string.gsub("a", "a", function() return sleep("b") end) end,
    function() package.loaded.sleeps = nil require("sleeps") end },
}
function app(environ, start_response)
  file = environ.QUERY_STRING
  local answers = {}
  for row, functions in ipairs(ways) do
    for _, way in ipairs(functions) do
      local ok, message = pcall(way)
      assert(ok or message:find("attempt to yield across", 1, true), message)
      answers[#answers + 1] = row .. (ok and "yes" or "no")
    end
  end
  start_response("200 OK", {})
  return table.concat(answers, " ")
end
"#;

#[test]
fn waits_pass_through_lua_not_through_c() {
    let (headings, rows) = table("lua.md", "in");
    let column = if cfg!(feature = "luajit") { 2 } else { 1 };
    assert_eq!(headings[column], if cfg!(feature = "luajit") { "LuaJIT" } else { "Lua 5.4" });
    let folder = folder_with(&[("app.lua", APP), ("sleeps.lua", "tine.sleep(0)")]);
    let server = serve_from(&folder, "app.lua", &[], &[]);
    let response = server.get("/?sleeps.lua");
    assert_eq!(response.status, 200, "{}", server.log());
    let text = response.text();
    let answers: Vec<_> = text.split(' ').map(|answer| answer.split_at(1)).collect();
    for (index, row) in rows.iter().enumerate() {
        let number = (index + 1).to_string();
        let of_row: Vec<_> = answers.iter().filter(|(row, _)| *row == number).collect();
        assert!(!of_row.is_empty() && of_row.iter().all(|(_, result)| *result == row[column]), "{row:?}: {of_row:?}");
    }
    drop(server);
    fs::remove_dir_all(folder).expect("the test's own folder");
}
