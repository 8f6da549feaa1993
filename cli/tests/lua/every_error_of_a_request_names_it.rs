//! Each log line about a failed request has its method and path, whenever the failure is noticed: in the app, at the
//! end of a body with a wrong length, in `close`. A long path is truncated.

use crate::support::lua::serve;

const APP: &str = r#"
local calls = {}
calls["/raised"] = function() error("raised") end
calls["/short"] = function(start)
  start("200 OK", { { "Content-Length", "8" } })
  return coroutine.wrap(function() coroutine.yield("four") end)
end
calls["/long"] = function(start)
  start("200 OK", { { "Content-Length", "8" } })
  return coroutine.wrap(function() coroutine.yield("twelve bytes") end)
end
calls["/late"] = function(start)
  start("200 OK", {})
  return coroutine.wrap(function() coroutine.yield("four") error("too\nlate") end)
end
calls["/close"] = function(start)
  start("200 OK", {})
  return { "a", "b", close = function() error("not closed") end }
end
function app(environ, start_response)
  return calls[environ.PATH_INFO:match("^/%w+")](start_response)
end
"#;

#[test]
fn method_and_path_are_in_each_line() {
    let server = serve(APP, &[]);
    for (target, message) in [
        ("/raised?q=1", "POST /raised?q=1: "),
        ("/short?q=1", "POST /short?q=1: the body ended 4 bytes short"),
        ("/long?q=1", "POST /long?q=1: the body is 4 bytes longer"),
        ("/late?q=1", "POST /late?q=1: "),
        ("/close?q=1", "POST /close: close failed: "),
    ] {
        let mut client = server.connect();
        client.send(format!("POST {target} HTTP/1.1\r\nHost: t\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"));
        client.read_to_end();
        let line = server.wait_log(message);
        assert!(line.contains(" ERROR worker 0["), "{line}");
    }
    let log = server.log();
    assert_eq!(log.matches("POST /late?q=1").count(), 1, "logged once: {log}");
    assert!(log.contains("too\n  late"), "one entry: {log}");
}

#[test]
fn a_long_path_is_truncated() {
    let server = serve(APP, &[]);
    let rest = "x".repeat(2000);
    for path in ["raised", "late", "close"] {
        let mut client = server.connect();
        client.send(format!("GET /{path}/{rest} HTTP/1.1\r\nHost: t\r\nConnection: close\r\n\r\n"));
        client.read_to_end();
        let line = server.wait_log(&format!("GET /{path}/xxx"));
        assert!(line.contains("xxx...: ") && line.len() < 300, "{line}");
    }
}
