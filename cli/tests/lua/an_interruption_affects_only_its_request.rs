//! When a request is interrupted, others in flight in the same VM continue, and later ones can still time out.

use crate::support::lua::serve;
use std::time::{Duration, Instant};

const APP: &str = r#"
function app(environ, start_response)
  if environ.PATH_INFO == "/loop" then
    while true do pcall(function() while true do end end) end
  elseif environ.PATH_INFO == "/plain" then
    while true do end
  elseif environ.PATH_INFO == "/sleep" then
    tine.sleep(0.5)
    local sum = 0
    for i = 1, 200000 do sum = sum + i end -- some instructions more than between two looks at the clock
  elseif environ.PATH_INFO == "/stream" then
    start_response("200 OK", {})
    local count = 0
    return function()
      count = count + 1
      tine.sleep(0.02)
      return count <= 20 and ("%d,"):format(count) or nil
    end
  end
  start_response("200 OK", {})
  return "done"
end
"#;

#[test]
fn an_interruption_affects_only_its_request() {
    let server = serve(APP, &["--request-timeout", "2s"]);
    let get = |path: &str| format!("GET {path} HTTP/1.1\r\nHost: t\r\n\r\n");
    let mut sleeping: Vec<_> = (0..5).map(|_| server.connect()).collect();
    let mut streaming: Vec<_> = (0..5).map(|_| server.connect()).collect();
    for (path, clients) in [("/sleep", &mut sleeping), ("/stream", &mut streaming)] {
        for client in clients {
            client.send(get(path));
        }
    }
    // They are in flight once the heads of the streams have arrived.
    for client in &mut streaming {
        assert!(client.head().starts_with("HTTP/1.1 200"));
    }
    let mut looping = server.connect();
    looping.send(get("/loop"));
    assert_eq!(looping.response().status, 504);
    // The loop has blocked them for longer than their timeout, but that does not count as their own time.
    for client in &mut sleeping {
        let response = client.response();
        assert_eq!((response.status, response.text().as_str()), (200, "done"));
    }
    for client in &mut streaming {
        let mut body = Vec::new();
        loop {
            let chunk = client.chunk().expect("the stream goes on");
            if chunk.is_empty() {
                break;
            }
            body.extend(chunk);
        }
        let expected: String = (1..=20).map(|count| format!("{count},")).collect();
        assert_eq!(String::from_utf8_lossy(&body), expected);
    }
    assert_eq!(server.log().matches("--request-timeout").count(), 1, "{}", server.log());
}

#[test]
fn later_requests_still_time_out() {
    let server = serve(APP, &["--request-timeout", "20ms"]);
    let worker = server.workers();
    let mut client = server.connect();
    for round in 0..100 {
        let begin = Instant::now();
        let path = if round % 10 == 0 { "loop" } else { "plain" };
        client.send(format!("GET /{path} HTTP/1.1\r\nHost: t\r\n\r\n"));
        assert_eq!(client.response().status, 504, "round {round}");
        assert!(begin.elapsed() >= Duration::from_millis(20), "round {round}: not before its time");
        client.send("GET / HTTP/1.1\r\nHost: t\r\n\r\n");
        assert_eq!(client.response().text(), "done", "round {round}");
    }
    assert_eq!(server.workers(), worker);
}
