//! `web.cookie` makes the value of a Set-Cookie header, or tells why a browser would not keep it as it is meant; nothing that a
//! client can have sent becomes a second header or attribute.

use crate::support::curl::curl;
use crate::support::lua::{CONSOLE, SAID, said_by, serve};

const TABLE: [(&str, &str); 29] = [
    (r#""a", "1""#, "a=1; Path=/"),
    (r#""a", """#, "a=; Path=/"),
    (r#""a", "!#$%&'()*+-./:<=>?@[]^_`{|}~""#, "a=!#$%&'()*+-./:<=>?@[]^_`{|}~; Path=/"),
    (r#""a", "1", { path = "/x", domain = "example.org", secure = true }"#, "a=1; Domain=example.org; Path=/x; Secure"),
    (r#""a", "1", { path = false, max_age = 60, httponly = true }"#, "a=1; Max-Age=60; HttpOnly"),
    (r#""a", "1", { max_age = 0.5 }"#, "a=1; Path=/; Max-Age=0"),
    (r#""a", "1", { max_age = -1 }"#, "a=1; Path=/; Max-Age=0"),
    (r#""a", "1", { max_age = 1 / 0 }"#, "a=1; Path=/; Max-Age=34560000"),
    (r#""a", "1", { expires = 784111777 }"#, "a=1; Path=/; Expires=Sun, 06 Nov 1994 08:49:37 GMT"),
    (r#""a", "1", { samesite = "lax", secure = false }"#, "a=1; Path=/; SameSite=Lax"),
    (
        r#""a", "1", { samesite = "None", secure = true, partitioned = true }"#,
        "a=1; Path=/; Secure; SameSite=None; Partitioned",
    ),
    (r#""__Host-a", "1", { secure = true }"#, "__Host-a=1; Path=/; Secure"),
    // Refused.
    (r#""a", "1\r\nSet-Cookie: b=2""#, "nil the value of a cookie is ASCII"),
    (r#""a", "1; Domain=example.org""#, "nil the value of a cookie is ASCII"),
    (r#""a", "\195\169""#, "nil the value of a cookie is ASCII"),
    (r#""a", nil"#, "nil the value of a cookie is ASCII"),
    (r#""a=b", "1""#, "nil the name of a cookie is made of"),
    (r#""a\n", "1""#, "nil the name of a cookie is made of"),
    (r#""", "1""#, "nil the name of a cookie is made of"),
    (r#""a", "1", { path = "/;Secure" }"#, "nil path of a cookie begins with a slash"),
    (r#""a", "1", { path = "x" }"#, "nil path of a cookie begins with a slash"),
    (r#""a", "1", { max_age = 0 / 0 }"#, "nil max_age of a cookie is a number of seconds"),
    (r#""a", "1", { domain = "a;b" }"#, "nil domain of a cookie is the name of a host"),
    (r#""a", "1", { samesite = "maybe" }"#, "nil samesite of a cookie is \"Strict\""),
    (r#""a", "1", { samesite = "none" }"#, "nil a cookie with SameSite=None or Partitioned has to be secure"),
    (
        r#""__host-a", "1", { secure = true, path = "/x" }"#,
        "nil a cookie whose name begins with __Host- has the path /",
    ),
    (r#""__Secure-a", "1""#, "nil a cookie whose name begins with __Secure- has to be secure"),
    (r#""a", "1", { maxage = 1 }"#, "nil a cookie has no option maxage"),
    (r#""a", ("x"):rep(4090)"#, "nil a cookie of 4100 bytes is longer than the 4096"),
];

#[test]
fn or_are_refused() {
    let server = serve(&[SAID, CONSOLE].concat(), &[]);
    for (arguments, expected) in TABLE {
        let said = said_by(&server, &format!("return web.cookie({arguments})"));
        let is_refused = expected.starts_with("nil");
        assert!(said == expected || is_refused && said.starts_with(expected), "{arguments}: {said}");
    }
}

/// No byte in a name or a value makes a cookie that reads as anything else.
#[test]
fn no_byte_of_a_value_ends_it() {
    let server = serve(&[SAID, CONSOLE].concat(), &[]);
    let statements = r#"
        local kept = 0
        for code = 0, 255 do
          local text = "a" .. string.char(code) .. "b"
          local cookie = web.cookie("n", text)
          kept = kept + (cookie and 1 or 0)
          assert(not cookie or cookie == "n=" .. text .. "; Path=/" and text:find("^[\33-\126]+$"))
          cookie = web.cookie(text, "v")
          assert(not cookie or not text:find("[%c=; ]"))
          local request = web.request({ HTTP_COOKIE = cookie and cookie:match("^[^;]*") })
          assert(not cookie or request.cookies[text] == "v")
        end
        return kept
    "#;
    assert_eq!(said_by(&server, statements), "90");
}

#[test]
fn curl_keeps_them_and_sends_them_back() {
    let server = serve(
        r#"
        local web = require("tine.web")
        function app(environ, start_response)
          local visits = (tonumber(web.request(environ).cookies.visits) or 0) + 1
          start_response("200 OK", { { "Set-Cookie", web.cookie("visits", tostring(visits), { max_age = 60, httponly = true }) } })
          return visits .. "\n"
        end
        "#,
        &[],
    );
    let url = server.url("/");
    assert_eq!(curl(&["-b", "", &url, &url, &url]).text(), "1\n2\n3\n");
}
