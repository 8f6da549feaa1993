//! environ is the app's table: what it sets there stays, whether other keys were looked up before or not.

use crate::support::lua::{ask, serve};

#[test]
fn what_is_set_before_the_first_lookup_stays() {
    let server = serve(
        r#"
        function app(environ, start_response)
          local input = { read = function() return "mine" end }
          environ.HTTP_X, environ.SCRIPT_NAME, environ.PATH_INFO = "mine", "/mount", "/rest"
          environ["wsgi.input"], environ["wsgi.url_scheme"], environ.REMOTE_ADDR = input, "https", "1.2.3.4"
          environ["tine.worker"], environ["app.user"], environ.QUERY_STRING = "w", { name = "u" }, false
          for i = 1, 2 do
            assert(environ.HTTP_HOST == "t", "the rest is there")
            assert(environ.HTTP_X == "mine" and environ.SCRIPT_NAME == "/mount" and environ.PATH_INFO == "/rest")
            assert(environ["wsgi.input"] == input and environ["wsgi.url_scheme"] == "https")
            assert(environ.REMOTE_ADDR == "1.2.3.4" and environ["tine.worker"] == "w")
            assert(environ["app.user"].name == "u" and environ.QUERY_STRING == false)
          end
          local count = 0
          for key in pairs(environ) do count = key == "HTTP_X" and count + 1 or count end
          assert(count == 1)
          start_response("200 OK", {})
          return environ["wsgi.input"]:read()
        end
        "#,
        &[],
    );
    for _ in 0..2 {
        let response = ask(&server, "POST / HTTP/1.1\r\nHost: t\r\nX: client\r\nContent-Length: 2", b"no");
        assert_eq!(response.text(), "mine", "{}", server.log());
    }
}

/// A wrapper strips what a client must not send; the wrapped app may read environ in any way.
#[test]
fn what_is_removed_stays_removed() {
    let server = serve(
        r#"
        local strip = {
          ["/looked-up"] = function(environ) if environ.HTTP_X then environ.HTTP_X = nil end end,
          ["/unseen"] = function(environ) environ.HTTP_X = nil end,
          ["/listed"] = function(environ) for key in pairs(environ) do end environ.HTTP_X = nil end,
        }
        function app(environ, start_response)
          local path, way = environ.PATH_INFO, environ.QUERY_STRING
          strip[path](environ)
          local found = "none"
          if way ~= "pairs" and environ.HTTP_X then found = environ.HTTP_X end
          for key, value in pairs(environ) do
            if key == "HTTP_X" then found = "listed" end
          end
          if environ.HTTP_X or environ.HTTP_Y ~= "2" or environ.HTTP_HOST ~= "t" then found = "afterwards" end
          start_response("200 OK", {})
          return found
        end
        "#,
        &[],
    );
    let mut client = server.connect();
    for _ in 0..2 {
        for path in ["/looked-up", "/unseen", "/listed"] {
            for way in ["pairs", "key"] {
                client.send(format!("GET {path}?{way} HTTP/1.1\r\nHost: t\r\nX: evil\r\nY: 2\r\n\r\n"));
                assert_eq!(client.response().text(), "none", "{path} {way}\n{}", server.log());
            }
        }
    }
}

#[test]
fn what_is_removed_before_the_first_lookup_stays_removed() {
    let server = serve(
        r#"
        function app(environ, start_response)
          environ.QUERY_STRING, environ.HTTP_X = nil, nil
          local host = environ.HTTP_HOST
          environ.HTTP_HOST = nil
          start_response("200 OK", {})
          return tostring(environ.QUERY_STRING) .. host .. tostring(environ.HTTP_HOST)
        end
        "#,
        &[],
    );
    assert_eq!(ask(&server, "GET /?q HTTP/1.1\r\nHost: t\r\nX: 1", b"").text(), "niltnil", "{}", server.log());
}

#[test]
fn a_wrapper_may_pass_on_a_copy() {
    let server = serve(
        r#"
        local function inner(environ, start_response)
          start_response("200 OK", {})
          return environ.HTTP_X .. environ["wsgi.input"]:read()
        end
        function app(environ, start_response)
          local copy = {}
          for key, value in pairs(environ) do copy[key] = value end
          copy.HTTP_X = copy.HTTP_X .. "!"
          return inner(copy, start_response)
        end
        "#,
        &[],
    );
    let response = ask(&server, "POST / HTTP/1.1\r\nHost: t\r\nX: a\r\nContent-Length: 2", b"hi");
    assert_eq!(response.text(), "a!hi", "{}", server.log());
}

#[test]
fn an_input_that_was_removed_from_environ_can_still_be_read() {
    let server = serve(
        r#"
        function app(environ, start_response)
          local input = environ["wsgi.input"]
          environ["wsgi.input"] = nil
          for key in pairs(environ) do end
          assert(environ["wsgi.input"] == nil)
          start_response("200 OK", {})
          return input:read()
        end
        "#,
        &[],
    );
    let response = ask(&server, "POST / HTTP/1.1\r\nHost: t\r\nContent-Length: 2", b"hi");
    assert_eq!(response.text(), "hi", "{}", server.log());
}
