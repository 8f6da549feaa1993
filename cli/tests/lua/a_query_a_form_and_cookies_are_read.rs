//! What clients send as a query, as a form and as cookies is a table of fields, in UTF-8, within limits.

use crate::support::Server;
use crate::support::curl::curl;
use crate::support::lua::{CONSOLE, SAID, ask, said_by, serve};

/// Shows all fields in their order; checks that the first of each name is found by it.
const APP: &str = r#"
local web = require("tine.web")
local function shown(fields)
  local text = {}
  for index, pair in ipairs(fields) do
    text[index] = ("[%s|%s]"):format(pair[1], pair[2])
    assert(fields[pair[1]] == web.all(fields, pair[1])[1])
  end
  return table.concat(text)
end
function app(environ, start_response)
  local request = web.request(environ)
  assert(request == web.request(environ) and request.method == environ.REQUEST_METHOD and request.path == environ.PATH_INFO)
  local text, status = nil, 200
  if request.path == "/query" then
    text = shown(request.query)
  elseif request.path == "/cookies" then
    text = shown(request.cookies)
  else
    local form, files, wrong = request:form(environ.HTTP_X_LIMITS and { fields_max = 3, form_bytes_max = 20 })
    text, status = form and shown(form) or files, form and 200 or wrong
    assert(form == request:form(), "the same again")
  end
  start_response(status, { { "Content-Type", "text/plain" } })
  return text
end
"#;

const QUERIES: [(&str, &str); 16] = [
    ("", ""),
    ("a=1", "[a|1]"),
    ("a=1&b=2&a=3", "[a|1][b|2][a|3]"),
    ("a", "[a|]"),
    ("a=", "[a|]"),
    ("=a", "[|a]"),
    ("=", "[|]"),
    ("&&a=1&&", "[a|1]"),
    ("a=b=c", "[a|b=c]"),
    ("a+b=c+d", "[a b|c d]"),
    ("a%20b=%2B%26%3D%25", "[a b|+&=%]"),
    ("a=%zz%4%", "[a|%zz%4%]"),
    ("a=%00%0d%0A", "[a|\0\r\n]"),
    ("a=%C3%A9", "[a|\u{e9}]"),
    ("%ff=%c3", "[\u{fffd}|\u{fffd}]"),
    ("1=x&get=y&__index=z", "[1|x][get|y][__index|z]"),
];

const COOKIES: [(&str, &str); 14] = [
    ("", ""),
    ("a=1", "[a|1]"),
    ("a=1; b=2;c=3", "[a|1][b|2][c|3]"),
    ("a=1; a=2", "[a|1][a|2]"),
    ("a=\"x y\"; b=\"", "[a|x y][b|\"]"),
    ("a=\"\"", "[a|]"),
    ("  a  =  b  ", "[a|b]"),
    ("a\t=\tb\tc", "[a|b\tc]"),
    ("a=b=c=", "[a|b=c=]"),
    ("a; =b; ;c=", "[c|]"),
    ("a=%41+b", "[a|%41+b]"),
    ("a=1,b=2", "[a|1,b=2]"),
    ("__Host-a={\"x\":1}", "[__Host-a|{\"x\":1}]"),
    ("a=\"", "[a|\"]"),
];

fn post(server: &Server, path: &str, fields: &str, body: &str) -> (u16, String) {
    let head = format!("POST {path} HTTP/1.1\r\nHost: t\r\n{fields}Content-Length: {}", body.len());
    let response = ask(server, &head, body.as_bytes());
    (response.status, response.text())
}

#[test]
fn queries_and_forms_are_alike() {
    let server = serve(APP, &[]);
    for (query, expected) in QUERIES {
        let told = ask(&server, &format!("GET /query?{query} HTTP/1.1\r\nHost: t"), b"").text();
        assert_eq!(told, expected, "{query}\n{}", server.log());
        let form = "Content-Type: application/x-www-form-urlencoded\r\n";
        assert_eq!(post(&server, "/form", form, query), (200, expected.to_string()), "{query}\n{}", server.log());
    }
}

#[test]
fn cookies_are_pairs() {
    let server = serve(APP, &[]);
    for (header, expected) in COOKIES {
        let told = ask(&server, &format!("GET /cookies HTTP/1.1\r\nHost: t\r\nCookie: {header}"), b"").text();
        assert_eq!(told, expected, "{header}\n{}", server.log());
    }
}

#[test]
fn a_form_that_is_none_is_a_status() {
    let server = serve(APP, &[]);
    let form = "Content-Type: application/x-www-form-urlencoded";
    let small = format!("X-Limits: 1\r\n{form}\r\n");
    for (fields, body, expected) in [
        ("", "", (200, "")),
        ("Content-Type: Application/X-WWW-Form-URLencoded; charset=\"UTF-8\"\r\n", "a=1", (200, "[a|1]")),
        ("Content-Type: application/x-www-form-urlencoded; charset=iso-8859-1\r\n", "a=%E9%41", (200, "[a|\u{e9}A]")),
        (
            "Content-Type: application/x-www-form-urlencoded; charset=koi8-r\r\n",
            "a=1",
            (415, "the form has a character set that is not known"),
        ),
        ("Content-Type: text/plain\r\n", "a=1", (415, "the body is not a form")),
        ("Content-Type: text/plain; ;\r\n", "a=1", (415, "the body is not a form")),
        ("", "a=1", (415, "the body is not a form")),
        (&*small, "a=1&b=2&c=3", (200, "[a|1][b|2][c|3]")),
        (&*small, "a=1&b=2&c=3&d=4", (413, "too many fields")),
        (&*small, "a=123456789012345678", (200, "[a|123456789012345678]")),
        (&*small, "a=1234567890123456789", (413, "the body is too long")),
    ] {
        assert_eq!(post(&server, "/form", fields, body), (expected.0, expected.1.to_string()), "{fields} {body}");
    }
    // Without a length it is read no further than the limit.
    let mut client = server.connect();
    client.send(format!(
        "POST /form HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\n{small}\r\n15\r\na=1234567890123456789\r\n"
    ));
    assert_eq!((client.response().status, server.log().contains("ERROR")), (413, false));
    let many = "a&".repeat(1001);
    assert_eq!(post(&server, "/form", &format!("{form}\r\n"), &many), (413, "too many fields".to_string()));
    let long = "a".repeat(512 * 1024 + 1);
    assert_eq!(post(&server, "/form", &format!("{form}\r\n"), &long), (413, "the body is too long".to_string()));
}

#[test]
fn curl_encodes_what_is_read() {
    let server = serve(APP, &[]);
    let url = server.url("/form");
    let text = "tine \u{2646} +&=%\"'<>\r\n";
    let sent = curl(&["--data-urlencode", &format!("a b={text}"), "-d", "c=1", &url]).text();
    // curl encodes the value only.
    assert_eq!(sent, format!("[a b|{text}][c|1]"));
}

/// Patterns of Lua can take quadratic time. Of values four times as long, that would be sixteen times as much.
#[test]
fn long_values_of_one_character_take_linear_time() {
    let server = serve(&[SAID, CONSOLE].concat(), &[]);
    let statements = r#"
        local signer = web.signer({ keys = { ("k"):rep(16) }, purpose = "x" })
        local function work(value)
          local request = web.request({ HTTP_COOKIE = value, CONTENT_TYPE = value, HTTP_HOST = value, SERVER_NAME = "a",
            SERVER_PORT = "1", ["wsgi.url_scheme"] = "http", HTTP_IF_NONE_MATCH = value })
          assert(request.cookies)
          request:form()
          request:url("/")
          web.has_current(request.environ, '"a"')
          web.filename(value)
          web.is_local(value)
          web.url_decode(value)
          signer:verify(value)
        end
        local function time_of(size)
          collectgarbage()
          local began = os.clock()
          for _, text in ipairs({ " ", "1", "a", ":", "=", ";", "&", "%", "+", "\"", "\\", "a=", "; ", "a ", "%4", "\\\"", "\t ", ".", "'" }) do
            local long = text:rep(size / #text)
            for _, value in ipairs({ long, "a=" .. long, "a=\"" .. long, "a=" .. long .. "x", "a=b" .. long .. "x", "text/x; a=\"" .. long }) do
              work(value)
            end
          end
          return os.clock() - began
        end
        local ratio = time_of(40000) / time_of(10000)
        return ratio < 9 and "linear" or ratio
    "#;
    assert_eq!(said_by(&server, statements), "linear");
}

#[test]
fn helpers_answer() {
    let server = serve(&[SAID, CONSOLE].concat(), &[]);
    for (statements, expected) in [
        (r#"return web.escape("<a href='x'>&\"")"#, "&lt;a href=&#39;x&#39;&gt;&amp;&quot;"),
        ("return web.escape(nil), web.escape(1)", " 1"),
        (r#"return web.url_encode("a b/\195\169~"), web.url_decode("%41%zz+%C3")"#, "a%20b%2F%C3%A9~ A%zz+\u{fffd}"),
        (
            r#"return web.to_query({ b = 1, a = "x y&" }), web.to_query({ { "b", 1 }, { "a", 2 }, { "b", 3 } })"#,
            "a=x+y%26&b=1 b=1&a=2&b=3",
        ),
        (
            r#"return web.is_local("/a?b"), web.is_local("/"), web.is_local("//x"), web.is_local("/\\x"), web.is_local("http://x"), web.is_local("/\tx"), web.is_local(nil)"#,
            "true true false false false false false",
        ),
        (
            r#"return web.filename("C:\\dir\\a.txt"), web.filename("../../etc/passwd"), web.filename("..")"#,
            "a.txt passwd nil",
        ),
        (
            r#"return web.filename("a/"), web.filename("a\r\nb\0:c"), web.filename(".htaccess"), #web.filename(("\195\169"):rep(200) .. ".jpeg")"#,
            "nil abc htaccess 199",
        ),
        (r#"return web.date(784111777.9), web.date(-1)"#, "Sun, 06 Nov 1994 08:49:37 GMT nil not a time"),
        (
            r#"return web.etag(""), #web.token(), web.token() ~= web.token(), web.equal("a", "a"), web.equal("a", "b"), web.equal(nil, nil)"#,
            "\"47DEQpj8HBSa-_TImW-5JC\" 24 true true false false",
        ),
        (
            r#"local etag = '"a"' local function has(known) return web.has_current({ HTTP_IF_NONE_MATCH = known }, etag) end return has(nil), has("*"), has('W/"a"'), has('"b", "a"'), has('"b"'), has("a")"#,
            "false true true true false false",
        ),
        (r#"return web.has_current({ HTTP_IF_NONE_MATCH = '"a"' }, 'W/"a"')"#, "true"),
        (
            r#"local function url(host, path, origin) return web.request({ HTTP_HOST = host, SERVER_NAME = "s", SERVER_PORT = "1", ["wsgi.url_scheme"] = "http" }):url(path, origin) end return url("h:2", "/a"), url("[::1]:3", "/"), url("h/x", "/"), url("h@x", "/"), url(nil, "/"), url("h", "/", "https://o")"#,
            "http://h:2/a http://[::1]:3/ http://s:1/ http://s:1/ http://s:1/ https://o/",
        ),
        (
            r#"local seen; local body = web.redirect(function(status, headers) seen = status .. headers[1][2] .. headers[3][2] end, "/a\r\nX: \195\169", { { "X", "y" } }) return seen, #body"#,
            "303/a%0D%0AX:%20%C3%A9y 20",
        ),
    ] {
        assert_eq!(said_by(&server, statements), expected, "{statements}");
    }
}
