//! `--request-timeout` limits the app: the time while it waits for its client, to send a body or to read the response,
//! does not count.

use crate::support::lua::serve;
use std::time::Duration;

const APP: &str = r#"
function app(environ, start_response)
  start_response("200 OK", {})
  if environ.PATH_INFO == "/read" then
    local count = 0
    for line in environ["wsgi.input"]:lines() do
      count = count + 1
      for i = 1, 100000 do end -- some looks at the clock
    end
    return count .. " lines"
  elseif environ.PATH_INFO == "/read_and_loop" then
    environ["wsgi.input"]:read()
    while true do end
  end
  local count, chunk = 0, ("x"):rep(65536)
  return function()
    count = count + 1
    for i = 1, 100000 do end
    return count <= 200 and chunk or nil
  end
end
"#;

#[test]
fn waiting_for_a_body_is_not_the_apps_time() {
    let server = serve(APP, &["--request-timeout", "400ms"]);
    let mut client = server.connect();
    client.send("POST /read HTTP/1.1\r\nHost: t\r\nContent-Length: 16\r\n\r\n");
    for _ in 0..8 {
        std::thread::sleep(Duration::from_millis(100)); // the client's own pace
        client.send("x\n");
    }
    let response = client.response();
    assert_eq!((response.status, response.text().as_str()), (200, "8 lines"), "{}", server.log());
    // After that, the app's own time counts.
    client.send("POST /read_and_loop HTTP/1.1\r\nHost: t\r\nContent-Length: 1\r\n\r\n");
    assert!(
        !client.is_readable_within(Duration::from_millis(600)).expect("a connection"),
        "nothing is logged while the client waits"
    );
    client.send("x");
    assert_eq!(client.response().status, 504);
}

#[test]
fn waiting_for_a_reader_is_not_the_apps_time() {
    let server = serve(APP, &["--request-timeout", "2s"]);
    let mut client = server.connect_narrow();
    client.send("GET /write HTTP/1.1\r\nHost: t\r\n\r\n");
    assert!(client.head().starts_with("HTTP/1.1 200"));
    std::thread::sleep(Duration::from_millis(2500)); // the client's own pace
    let mut bytes = 0;
    loop {
        let chunk = client.chunk().unwrap_or_else(|e| panic!("after {bytes} bytes: {e}; {}", server.log()));
        if chunk.is_empty() {
            break;
        }
        bytes += chunk.len();
    }
    assert_eq!(bytes, 200 * 65536);
}
