//! `tine.json`: every value of JSON comes back as it was, and what is none is nil and why.

use crate::support::lua::{CONSOLE, SAID, ask, said_by, serve};
use proptest::collection::{btree_map, vec};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use serde_json::Value;

#[test]
fn values_have_one_form() {
    let server = serve(&[SAID, CONSOLE].concat(), &[]);
    let lua54 = !cfg!(feature = "luajit");
    for (statements, expected) in [
        (
            "return json.encode({ b = 1, a = { true, false, json.null }, c = {}, d = json.array({}) })",
            r#"{"a":[true,false,null],"b":1,"c":{},"d":[]}"#,
        ),
        (r#"return json.encode("\0\n\"\\/\127\226\153\134")"#, "\"\\u0000\\n\\\"\\\\/\u{7f}\u{2646}\""),
        (
            "local t = {} for c in ('zyxwvutsrqponmlkjihgfedcba'):gmatch('.') do t[c] = json.null end return (json.encode(t):gsub('[^a-z]+null', ''):gsub('[^a-z]', ''))",
            "abcdefghijklmnopqrstuvwxyz",
        ),
        ("return json.encode(nil), json.encode(json.null), json.encode(true)", "null null true"),
        (
            "return json.encode(-1), json.encode(0.1), json.encode(1e300), json.encode(2^53)",
            if lua54 { "-1 0.1 1e+300 9007199254740992.0" } else { "-1 0.1 1e+300 9007199254740992" },
        ),
        (
            "return json.encode(1.0), json.encode(json.decode('1')), json.encode(json.decode('1.0'))",
            if lua54 { "1.0 1 1.0" } else { "1 1 1" },
        ),
        (
            "return json.encode(json.decode('[-9007199254740991,9007199254740991]'))",
            "[-9007199254740991,9007199254740991]",
        ),
        ("return json.decode('18446744073709551616') == 2^64, json.decode('-0.0') == 0", "true true"),
        (
            r#"return json.decode(' {"a" : [ ] } ').a[1], json.decode('[null]')[1] == json.null, json.decode("null") == json.null"#,
            "nil true true",
        ),
        (r#"return json.decode('{"a":1,"a":2}').a, json.decode('"\\u00e9\\ud83d\\ude00"')"#, "2 \u{e9}\u{1f600}"),
        ("return json.decode('false')", "false"),
        // Refused.
        ("return json.encode(0/0)", "nil JSON has no NaN"),
        ("return json.encode({ 1 / 0 })", "nil JSON has no inf"),
        (r#"return json.encode("\255")"#, "nil a string is not UTF-8"),
        (r#"return json.encode({ ["\255"] = 1 })"#, "nil a string is not UTF-8"),
        ("return json.encode({ 1, a = 2 })", "nil an array has the name \"a\""),
        ("return json.encode(json.array({ n = 3 }))", "nil an array has the name \"n\""),
        (
            "local t = json.array({ 1, 2, 3 }) t[2] = nil return json.encode(t) == nil, json.encode({ [1] = 1, [3] = 3 }) == nil",
            "true true",
        ),
        ("return json.encode({ [1.5] = 1 })", "nil the name of a value is a number; JSON has strings"),
        ("return json.encode({ [true] = 1 })", "nil the name of a value is a boolean; JSON has strings"),
        ("return json.encode({ print })", "nil a function cannot be JSON"),
        ("return json.encode(io.stdout)", "nil a userdata cannot be JSON"),
        ("local t = {} t.t = t return json.encode(t)", "nil tables are nested deeper than 127"),
        (
            "local t = {} for i = 1, 126 do t = { t } end return #json.encode(t), json.encode({ { t } })",
            "254 nil tables are nested deeper than 127",
        ),
        (
            "return json.decode(('['):rep(127) .. (']'):rep(127)) ~= nil, json.decode(('['):rep(128) .. (']'):rep(128))",
            "true nil recursion limit exceeded at line 1 column 128",
        ),
        ("return json.decode(('['):rep(1e6))", "nil recursion limit exceeded at line 1 column 128"),
        (
            "local t = ('x'):rep(1024) for i = 1, 100 do t = { t, t } end return json.encode(t)",
            "nil the text is longer than 67108864 bytes",
        ),
        ("return json.decode('')", "nil EOF while parsing a value at line 1 column 0"),
        ("return json.decode('[1,]')", "nil trailing comma at line 1 column 4"),
        ("return json.decode('1 2')", "nil trailing characters at line 1 column 3"),
        ("return json.decode('NaN')", "nil expected value at line 1 column 1"),
        ("return json.decode('1e999')", "nil number out of range at line 1 column 5"),
        (r#"return json.decode('"\255"')"#, "nil invalid unicode code point at line 1 column 2"),
        (r#"return json.decode('"\\ud800"')"#, "nil unexpected end of hex escape at line 1 column 8"),
        (
            r#"return json.decode('"\n"')"#,
            "nil control character (\\u0000-\\u001F) found while parsing a string at line 2 column 0",
        ),
    ] {
        assert_eq!(said_by(&server, statements), expected, "{statements}");
    }
}

fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        // Those that a double represents, so that both Luas do.
        (-(1i64 << 53)..1 << 53).prop_map(Value::from),
        (any::<i32>(), 1..1000i32).prop_map(|(n, by)| Value::from(f64::from(n) + f64::from(by) / 1024.0)),
        any::<String>().prop_map(Value::from),
    ];
    leaf.prop_recursive(6, 64, 8, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..8).prop_map(Value::from),
            btree_map(any::<String>(), inner, 0..8).prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

#[test]
fn any_value_comes_back() {
    let server = serve(
        r#"
        local web, json = require("tine.web"), require("tine.json")
        function app(environ, start_response)
          local value, why, status = web.request(environ):json()
          if value == nil then
            start_response(status, {})
            return why
          end
          start_response("200 OK", { { "Content-Type", "application/json" } })
          return json.encode(value)
        end
        "#,
        &[],
    );
    let send = |kind: &str, body: &[u8]| {
        let head = format!("POST / HTTP/1.1\r\nHost: t\r\nContent-Type: {kind}\r\nContent-Length: {}", body.len());
        let response = ask(&server, &head, body);
        (response.status, response.text())
    };
    let config = Config { cases: 256, failure_persistence: None, ..Config::default() };
    TestRunner::new(config)
        .run(&value(), |value| {
            let (status, text) = send("application/json", value.to_string().as_bytes());
            prop_assert_eq!(status, 200, "{}", text);
            prop_assert_eq!(serde_json::from_str::<Value>(&text).expect("JSON"), value);
            Ok(())
        })
        .unwrap_or_else(|failure| panic!("{failure}\n{}", server.log()));
    assert_eq!(send("application/problem+json; charset=utf-8", b"[]"), (200, "[]".to_string()));
    assert_eq!(send("text/plain", b"[]"), (415, "the body is not JSON".to_string()));
    assert_eq!(send("application/json", b"["), (400, "EOF while parsing a list at line 1 column 1".to_string()));
    assert_eq!(send("application/json", &[b' '; (1 << 20) + 1]), (413, "the body is too long".to_string()));
}
