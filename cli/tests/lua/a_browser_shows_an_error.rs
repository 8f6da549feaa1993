//! A browser, headless Chromium, opens the page of an error with `--reload`: it fits a telephone and a desk, runs nothing that
//! a client sends, and shows the app once that is mended. What it must see is in tests/clients/error_page.py.

use crate::support::lua::{folder_with, serve_from};
use crate::support::python::run_python;

const APP: &str = r#"
local function fail(environ)
  error("failed: " .. environ.HTTP_X_LONG .. environ.QUERY_STRING .. ("long"):rep(100))
end
function app(environ, start_response)
  environ.HTTP_X_LONG = "<img src=x onerror=alert(1)>"
  fail(environ)
  return {}
end
"#;

#[test]
fn a_browser_shows_an_error() {
    let folder = folder_with(&[("app.lua", APP)]);
    let server = serve_from(&folder, "app.lua", &["--reload"], &[]);
    run_python("error_page.py", &[&server.url(""), folder.join("app.lua").to_str().expect("UTF-8")]);
}
