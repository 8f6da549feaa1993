//! Even during the shortest sleep of an app, other requests are served.

use crate::support::lua::serve;

#[test]
fn a_short_sleep_yields_to_other_requests() {
    let server = serve(
        r#"
        function app(environ, start_response)
          start_response("200 OK", {})
          if environ.PATH_INFO == "/wait" then
            is_waiting = true
            repeat tine.sleep(0) until was_seen
          end
          was_seen = is_waiting
          return tostring(was_seen)
        end
        "#,
        &[],
    );
    let mut waiting = server.connect();
    waiting.send("GET /wait HTTP/1.1\r\nHost: t\r\n\r\n");
    crate::support::eventually("the other request is seen", || (server.get("/").text() == "true").then_some(()));
    assert_eq!(waiting.response().text(), "true");
}
