//! Lua 5.4's collector is generational while a VM is small.
#![cfg(not(feature = "luajit"))]

use crate::support::lua::{serve, text_of};

/// Says which collector it found, and leaves it as it was.
const APP: &str = r#"
local kept
function app(environ, start_response)
  start_response("200 OK", {})
  if environ.PATH_INFO == "/grow" then
    kept = {}
    for number = 1, 200000 do kept[number] = { number } end
    return "grown"
  end
  if environ.PATH_INFO ~= "/collector" then return "" end
  local collector = collectgarbage("incremental")
  if collector == "generational" then collectgarbage("generational") end
  return collector
end
"#;

#[test]
fn a_large_vm_is_collected_step_by_step() {
    let server = serve(APP, &["--workers", "1"]);
    assert_eq!(text_of(&server, "/collector"), "generational");
    (0..300).for_each(|_| assert_eq!(text_of(&server, "/"), ""));
    assert_eq!(text_of(&server, "/collector"), "generational", "it is still small");
    assert_eq!(text_of(&server, "/grow"), "grown");
    (0..300).for_each(|_| assert_eq!(text_of(&server, "/"), ""));
    assert_eq!(text_of(&server, "/collector"), "incremental");
}

#[test]
fn with_a_limit_it_is_incremental_from_the_start() {
    let server = serve(APP, &["--workers", "1", "--lua-memory-max", "64M"]);
    assert_eq!(text_of(&server, "/collector"), "incremental");
}

#[test]
fn an_app_may_choose() {
    let server = serve(&format!("collectgarbage(\"incremental\")\n{APP}"), &["--workers", "1"]);
    (0..300).for_each(|_| assert_eq!(text_of(&server, "/"), ""));
    assert_eq!(text_of(&server, "/collector"), "incremental");
}
