//! A response to HEAD, or with a status that has no body, ends with its head: an app that would produce an endless body
//! is abandoned there, its `close` is called, and its worker serves other requests.

use crate::support::lua::serve;

const APP: &str = r#"
function app(environ, start_response)
  if environ.PATH_INFO == "/closed" then
    start_response("200 OK", {})
    return tostring(closed)
  end
  start_response(environ.PATH_INFO == "/nothing" and "204 No Content" or "200 OK", { { "X-Head", "yes" } })
  local chunks = setmetatable({}, { __call = function() return "x" end })
  function chunks:close() closed = (closed or 0) + 1 end
  return chunks
end
"#;

#[test]
fn a_body_that_is_not_sent_is_not_made() {
    let server = serve(APP, &[]);
    let mut client = server.connect();
    for (method, path, status) in [("HEAD", "/endless", 200), ("GET", "/nothing", 204), ("HEAD", "/nothing", 204)] {
        client.send(format!("{method} {path} HTTP/1.1\r\nHost: t\r\n\r\n"));
        let response = client.response_to(method);
        assert_eq!((response.status, response.header("x-head")), (status, Some("yes")), "{method} {path}");
    }
    client.send("GET /closed HTTP/1.1\r\nHost: t\r\n\r\n");
    assert_eq!(client.response().text(), "3");
}
