//! environ has the keys of PEP 3333 and those of docs/lua.md, with the values of the request, whatever their bytes.

use crate::support::lua::{ask, serve};
use crate::support::{Client, Response, Server};
use std::collections::BTreeMap;

/// Responds with environ: one line `key=value` each, bytes other than printable ASCII as `\xx`.
const DUMP: &str = r#"
local function shown(value)
  if type(value) == "table" and value[1] then
    return "{" .. table.concat(value, ",") .. "}"
  elseif type(value) == "table" or type(value) == "function" then
    return "a " .. type(value)
  end
  return (tostring(value):gsub("[%c\128-\255\\]", function(c) return ("\\%02x"):format(c:byte()) end))
end
function app(environ, start_response)
  local lines = {}
  for key, value in pairs(environ) do
    lines[#lines + 1] = shown(key) .. "=" .. shown(value) .. "\n"
  end
  table.sort(lines)
  start_response("200 OK", { ["Content-Type"] = "text/plain" })
  return { table.concat(lines) }
end
"#;

type Keys = BTreeMap<String, String>;

#[track_caller]
fn keys(response: &Response) -> Keys {
    assert_eq!(response.status, 200, "{}", response.text());
    let text = response.text();
    text.lines()
        .map(|line| line.split_once('=').expect("a key and a value"))
        .map(|(k, v)| (k.into(), v.into()))
        .collect()
}

#[track_caller]
fn dump(server: &Server, head: &str, body: &[u8]) -> Keys {
    keys(&ask(server, head, body))
}

#[track_caller]
fn expect(keys: &Keys, expected: &[(&str, &str)]) {
    for (key, value) in expected {
        assert_eq!(keys.get(*key).map(String::as_str), Some(*value), "{key} of {keys:#?}");
    }
}

#[test]
fn every_key_has_the_requests_value() {
    let server = serve(DUMP, &[]);
    let mut client = server.connect();
    let port = client.stream.local_addr().expect("an address").port().to_string();
    let own_port = server.address().port().to_string();
    client.send("POST /a/b?c=d&e=%20f HTTP/1.1\r\nHost: h:1\r\nContent-Type: text/x\r\nContent-Length: 2\r\n\r\nhi");
    let keys = keys(&client.response());
    let expected = [
        ("REQUEST_METHOD", "POST"),
        ("SCRIPT_NAME", ""),
        ("PATH_INFO", "/a/b"),
        ("QUERY_STRING", "c=d&e=%20f"),
        ("CONTENT_TYPE", "text/x"),
        ("CONTENT_LENGTH", "2"),
        ("SERVER_NAME", "127.0.0.1"),
        ("SERVER_PORT", own_port.as_str()),
        ("SERVER_PROTOCOL", "HTTP/1.1"),
        ("REMOTE_ADDR", "127.0.0.1"),
        ("REMOTE_PORT", port.as_str()),
        ("REQUEST_URI", "/a/b?c=d&e=%20f"),
        ("HTTP_HOST", "h:1"),
        ("wsgi.version", "{1,0}"),
        ("wsgi.url_scheme", "http"),
        ("wsgi.input", "a table"),
        ("wsgi.errors", "a table"),
        ("wsgi.multithread", "false"),
        ("wsgi.multiprocess", "false"),
        ("wsgi.run_once", "false"),
        ("wsgi.input_terminated", "true"),
        ("wsgi.file_wrapper", "a function"),
        ("tine.worker", "0"),
        ("tine.unready", "false"),
        ("tine.version", env!("CARGO_PKG_VERSION")),
    ];
    expect(&keys, &expected);
    assert_eq!(keys.len(), expected.len(), "nothing else is there: {keys:#?}");
    let several = serve(DUMP, &["--workers", "2"]);
    expect(&dump(&several, "GET / HTTP/1.1\r\nHost: t", b""), &[("wsgi.multiprocess", "true")]);
}

#[test]
fn targets_of_any_form_have_a_path_and_a_query() {
    let server = serve(DUMP, &[]);
    for (target, path, query) in [
        ("/", "/", ""),
        ("/?", "/", ""),
        ("/?x=1", "/", "x=1"),
        ("/a?b?c=/d", "/a", "b?c=/d"),
        ("/a%2Fb%20c+d", "/a/b c+d", ""),
        ("/a%3Fb?q=%3f", "/a?b", "q=%3f"),
        ("/%ff%C3%a9%01", "/\\ff\\c3\\a9\\01", ""),
        ("/%2541", "/%41", ""),
        ("/../%2e%2e/x", "/../../x", ""),
        ("//double", "//double", ""),
        ("http://other:81/abs/%41?q", "/abs/A", "q"),
        ("http://other", "/", ""),
        ("http://other?q", "/", "q"),
    ] {
        let keys = dump(&server, &format!("GET {target} HTTP/1.1\r\nHost: other"), b"");
        expect(&keys, &[("PATH_INFO", path), ("QUERY_STRING", query), ("REQUEST_URI", target), ("SCRIPT_NAME", "")]);
    }
    for target in ["/%", "/%4", "/%zz%41", "/%00"] {
        assert_eq!(ask(&server, &format!("GET {target} HTTP/1.1\r\nHost: t"), b"").status, 400, "{target}");
    }
    // Bytes above ASCII arrive as they were sent.
    let (path, query) = ("/\\c3\\a9", "\\c3\\bc");
    let keys = dump(&server, "GET /\u{e9}?\u{fc} HTTP/1.1\r\nHost: t", b"");
    expect(&keys, &[("PATH_INFO", path), ("QUERY_STRING", query), ("REQUEST_URI", &format!("{path}?{query}"))]);
    let keys = dump(&server, "OPTIONS * HTTP/1.1\r\nHost: t", b"");
    expect(&keys, &[("PATH_INFO", "*"), ("REQUEST_URI", "*"), ("REQUEST_METHOD", "OPTIONS")]);
    let keys = dump(&server, "BREW /pot HTTP/1.1\r\nHost: t", b"");
    expect(&keys, &[("REQUEST_METHOD", "BREW"), ("PATH_INFO", "/pot")]);
}

#[test]
fn http_10_needs_no_host() {
    let server = serve(DUMP, &[]);
    let keys = dump(&server, "GET /old HTTP/1.0", b"");
    expect(&keys, &[("SERVER_PROTOCOL", "HTTP/1.0"), ("SERVER_NAME", "127.0.0.1"), ("CONTENT_LENGTH", "")]);
    assert!(!keys.contains_key("HTTP_HOST"));
}

#[test]
fn a_chunked_body_has_an_end_but_no_length() {
    let server = serve(DUMP, &[]);
    let keys = dump(&server, "POST / HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked", b"2\r\nhi\r\n0\r\n\r\n");
    assert!(!keys.contains_key("CONTENT_LENGTH"), "not even an empty one: {keys:#?}");
    expect(&keys, &[("HTTP_TRANSFER_ENCODING", "chunked"), ("wsgi.input_terminated", "true")]);
}

#[test]
fn headers_are_joined_and_none_can_pass_for_another() {
    let server = serve(DUMP, &[]);
    let mut client = server.connect();
    client.send(
        b"GET / HTTP/1.1\r\nHost: t\r\nX-Twice: a\r\ncookie: a=1\r\nX-TWICE:  b, c \r\nCookie: b=2\r\nX-Empty:\r\n\
          X_Real_IP: evil\r\nX-Real_IP: evil\r\nX-Bytes: caf\xe9\xff\r\nContent_Length: 7\r\nX-Tab: a\tb\r\n\
          Authorization: Basic eDp5\r\nRemote-Addr: evil\r\n\r\n",
    );
    let keys = keys(&client.response());
    expect(
        &keys,
        &[
            ("HTTP_X_TWICE", "a, b, c"),
            ("HTTP_COOKIE", "a=1; b=2"),
            ("HTTP_X_EMPTY", ""),
            ("HTTP_X_BYTES", "caf\\e9\\ff"),
            ("HTTP_X_TAB", "a\\09b"),
            ("HTTP_AUTHORIZATION", "Basic eDp5"),
            ("HTTP_REMOTE_ADDR", "evil"),
            ("REMOTE_ADDR", "127.0.0.1"),
            ("CONTENT_LENGTH", ""),
            ("CONTENT_TYPE", ""),
        ],
    );
    assert!(!keys.contains_key("HTTP_X_REAL_IP"), "a name with an underscore is dropped: {keys:#?}");
}

#[test]
fn a_hundred_headers_are_complete() {
    let server = serve(DUMP, &["--header-count-max", "200"]);
    let fields: String = (0..100).map(|i| format!("\r\nX-N-{i}: v{i}")).collect();
    let keys = dump(&server, &format!("GET / HTTP/1.1\r\nHost: t{fields}"), b"");
    for i in 0..100 {
        expect(&keys, &[(&format!("HTTP_X_N_{i}"), &format!("v{i}"))]);
    }
}

#[test]
fn a_unix_socket_has_no_addresses() {
    let folder = crate::support::scratch_folder();
    let path = folder.join("s");
    let listen = format!("unix:{}", path.display());
    let _server = serve(DUMP, &["--listen", &listen]);
    let mut client = Client::try_connect_unix(&path).expect("the server accepts");
    client.send("GET / HTTP/1.1\r\nHost: t\r\n\r\n");
    let keys = keys(&client.response());
    expect(&keys, &[("REMOTE_ADDR", ""), ("REMOTE_PORT", ""), ("SERVER_NAME", "localhost"), ("SERVER_PORT", "80")]);
}

#[test]
fn a_key_can_be_looked_up_repeatedly() {
    let server = serve(
        r#"
        function app(environ, start_response)
          local first = { environ.HTTP_X, environ.HTTP_NONE, environ.PATH_INFO }
          assert(first[1] == "1" and first[2] == nil and first[3] == "/p")
          for i = 1, 3 do
            assert(environ.HTTP_X == "1" and environ.HTTP_NONE == nil and environ.REQUEST_METHOD == "GET")
            assert(environ["wsgi.input"] == environ["wsgi.input"])
            assert(environ.CONTENT_LENGTH == "" and environ[i] == nil and environ[false] == nil)
          end
          local seen = {}
          for key, value in pairs(environ) do
            assert(type(key) == "string" and not seen[key] and environ[key] == value, tostring(key))
            seen[key] = true
          end
          assert(seen.HTTP_X and seen["wsgi.errors"] and seen.REMOTE_ADDR)
          start_response("200 OK", {})
          return "fine"
        end
        "#,
        &[],
    );
    assert_eq!(ask(&server, "GET /p HTTP/1.1\r\nHost: t\r\nX: 1", b"").text(), "fine", "{}", server.log());
}
