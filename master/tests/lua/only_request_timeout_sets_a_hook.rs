//! Watching an app costs: nobody is watched without `--request-timeout`, and with it every coroutine is.

use crate::support::lua::serve;

const APP: &str = r#"
local function hooks()
  local own = coroutine.wrap(function() return debug.gethook() end)
  return ("%s %s %s"):format(debug.gethook() and "hook" or "none", own() and "hook" or "none",
    jit and (jit.status() and "compiled" or "interpreted") or "PUC")
end
function app(environ, start_response)
  start_response("200 OK", {})
  return hooks()
end
"#;

#[test]
fn only_request_timeout_sets_a_hook() {
    let (compiled, interpreted) = if cfg!(feature = "luajit") { ("compiled", "interpreted") } else { ("PUC", "PUC") };
    assert_eq!(serve(APP, &[]).get("/").text(), format!("none none {compiled}"));
    assert_eq!(serve(APP, &["--request-timeout", "1m"]).get("/").text(), format!("hook hook {interpreted}"));
}
