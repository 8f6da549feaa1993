//! A body that has arrived with its head is read at once, also where nothing could wait; and whatever follows it on the
//! connection is the next request.

use crate::support::lua::{ask, serve};
use crate::support::{Client, eventually};

/// Reads where Lua cannot wait, in a function that C calls; then does what the query says.
const APP: &str = r#"
function app(environ, start_response)
  local input, what = environ["wsgi.input"], environ.QUERY_STRING
  local read = function() return input:read(tonumber(what:match("count=(%d+)"))) end
  local ok, text = pcall(string.gsub, "x", "x", read)
  if what:find("sleep") then
    tine.sleep(0.01)
  end
  if not ok then
    text = "waits: " .. tostring(input:read())
  elseif input:read() ~= "" or input:read(1) ~= nil or input:read_line() ~= nil then
    text = "more than the body"
  end
  start_response("200 OK", {})
  return text
end
"#;

#[test]
fn all_that_has_arrived_is_there_at_once() {
    let server = serve(APP, &[]);
    for (query, body, expected) in [
        ("", "hello", "hello"),
        ("count=5", "hello", "hello"),
        ("count=6", "hello", "hello"),
        // What follows is for later reads.
        ("count=4", "hello", "waits: hello"),
        ("sleep", "hello", "hello"),
        ("", "", ""),
    ] {
        let head = format!("POST /?{query} HTTP/1.1\r\nHost: t\r\nContent-Length: {}", body.len());
        assert_eq!(ask(&server, &head, body.as_bytes()).text(), expected, "{query}: {}", server.log());
    }
}

#[test]
fn one_that_is_not_whole_is_waited_for() {
    let server = serve(APP, &[]);
    for (head, pieces) in [
        ("Content-Length: 5", ["hel", "lo"]),
        ("Transfer-Encoding: chunked", ["3\r\nhel\r\n2\r\n", "lo\r\n0\r\n\r\n"]),
        ("Transfer-Encoding: chunked", ["5\r\nhello\r\n0\r\n", "\r\n"]),
    ] {
        let mut client = server.connect();
        client.send(format!("POST / HTTP/1.1\r\nHost: t\r\n{head}\r\n\r\n{}", pieces[0]));
        eventually("the request has begun", || (server.in_flight() == 1).then_some(()));
        client.send(pieces[1]);
        assert_eq!(client.response().text(), "waits: hello", "{head}: {}", server.log());
        get_after(&mut client);
    }
}

/// The connection is where its next request begins.
fn get_after(client: &mut Client) {
    client.send("GET /?count=1 HTTP/1.1\r\nHost: t\r\n\r\n");
    let response = client.response();
    assert_eq!((response.status, response.text().as_str()), (200, "x"), "{response:?}");
}

#[test]
fn the_next_request_begins_after_it() {
    let server = serve(APP, &[]);
    let post = |query: &str, body: &str| {
        format!("POST /?{query} HTTP/1.1\r\nHost: t\r\nContent-Length: {}\r\n\r\n{body}", body.len())
    };
    let mut client = server.connect();
    let long = "y".repeat(60_000);
    client.send([post("", "one"), post("sleep", "two"), post("count=1", "three"), post("", &long)].concat());
    for expected in ["one", "two", "waits: three", &long] {
        assert_eq!(client.response().text(), expected);
    }
    get_after(&mut client);
}
