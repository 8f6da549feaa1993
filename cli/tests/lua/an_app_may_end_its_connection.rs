//! `Connection: close` from an app closes the connection after the response, whatever the form of the response. All
//! other connection headers belong to the server.

use crate::support::lua::serve;

const APP: &str = r#"
local forms = {
  ["/whole"] = function() return "abc" end,
  ["/list"] = function() return { "a", "b", "c" } end,
  ["/stream"] = function() return coroutine.wrap(function() coroutine.yield("ab") coroutine.yield("c") end) end,
  ["/slept"] = function() tine.sleep(0) return "abc" end,
}
function app(environ, start_response)
  start_response("200 OK", { { environ.HTTP_NAME or "X-Any", environ.HTTP_VALUE or "close" } })
  return forms[environ.PATH_INFO]()
end
"#;

fn request(path: &str, name: &str, value: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: t\r\nName: {name}\r\nValue: {value}\r\n\r\n")
}

#[test]
fn the_connection_ends_after_the_response() {
    let server = serve(APP, &[]);
    for path in ["/whole", "/list", "/stream", "/slept"] {
        for (name, value) in [("Connection", "close"), ("connection", "Close")] {
            // Twice: a head that was seen before takes another code path.
            for _ in 0..2 {
                let mut client = server.connect();
                client.send([request(path, name, value), request("/whole", "X-Any", "1")].concat());
                let response = client.response();
                assert_eq!((response.status, response.text().as_str()), (200, "abc"), "{path}\n{}", server.log());
                assert_eq!(response.headers("connection").collect::<Vec<_>>(), ["close"], "{path}: {}", response.head);
                client.expect_end();
            }
        }
    }
    // The next connection is kept as usual.
    let mut client = server.connect();
    for _ in 0..2 {
        client.send(request("/whole", "X-Any", "1"));
        assert_eq!(client.response().header("connection"), None);
    }
    assert!(!server.log().contains("ERROR"), "{}", server.log());
}

#[test]
fn other_connection_headers_are_refused() {
    let server = serve(APP, &[]);
    for (name, value) in [
        ("Connection", "keep-alive"),
        ("Connection", "close, X"),
        ("Keep-Alive", "timeout=5"),
        ("Transfer-Encoding", "close"),
    ] {
        let mut client = server.connect();
        client.send(request("/whole", name, value));
        assert_eq!(client.response().status, 500, "{name}: {value}");
        server.wait_log(&format!("{name} belongs to the connection"));
    }
}
