//! Errors of what an app does outside of requests are counted, each run by itself, in a metric that is not that of requests.

use crate::support::admin::{admin_of, get};
use crate::support::eventually;
use crate::support::lua::{serve, text_of};
use nix::sys::signal::Signal;
use std::net::SocketAddr;

const APP: &str = r#"
tine.on_stop(function() error("at the end") end)
local doings = {}
function doings.after() tine.after(0, error, "later") end
function doings.waited()
  tine.after(0, function()
    tine.sleep(0.001)
    error("after a wait")
  end)
end
function doings.every()
  local timer, count
  count = 0
  timer = tine.every(0.001, function()
    count = count + 1
    if count == 3 then
      timer:cancel()
    end
    error("again")
  end)
end
function doings.finish() tine.finish(error, "the client is gone") end
function doings.endless() tine.after(0, function() while true do end end) end
function doings.fine()
  tine.after(0, function() pcall(error, "caught") end)
  tine.after(60, error, "cancelled"):cancel()
  tine.finish(function() tine.sleep(0) end)
end
function app(environ, start_response)
  start_response("200 OK", {})
  local name = environ.PATH_INFO:sub(2)
  return doings[name](environ) or name
end
"#;

/// The errors outside of requests, and in them.
fn errors(admin: SocketAddr) -> (u32, u32) {
    let text = String::from_utf8(get(admin, "/metrics").body).expect("UTF-8");
    let value = |name: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_else(|| panic!("{name} in {text}"));
        line.trim().parse().expect("a number")
    };
    (value("tine_app_background_errors_total"), value("tine_app_errors_total"))
}

#[test]
fn each_run_that_fails_counts_once() {
    let server = serve(APP, &["--workers", "1", "--admin", "0", "--request-timeout", "200ms"]);
    let admin = admin_of(&server);
    assert_eq!(errors(admin), (0, 0));
    let mut expected = 0;
    for (path, count) in [("/fine", 0), ("/after", 1), ("/waited", 1), ("/every", 3), ("/finish", 1), ("/endless", 1)] {
        assert_eq!(text_of(&server, path), path[1..]);
        expected += count;
        eventually(path, || (errors(admin).0 >= expected).then_some(()));
        assert_eq!(errors(admin), (expected, 0), "{path}: {}", server.log());
    }
    assert_eq!(server.get("/none").status, 500);
    assert_eq!(errors(admin), (expected, 1));
    // The worker that leaves fails once more, and what it has counted stays.
    server.signal(Signal::SIGHUP);
    eventually("its end is counted", || (errors(admin) == (expected + 1, 1)).then_some(()));
}
