//! start_response takes the status as text or number and headers in the three forms that apps use. Anything that could
//! split or break the response is refused with a 500 and a log line that names the line of the app.

use crate::support::Server;
use crate::support::lua::{ask, serve, text_of};

/// `/NAME` calls start_response with the arguments of that name.
fn serve_calls(calls: &[(&str, &str)]) -> Server {
    let table: String =
        calls.iter().map(|(name, call)| format!("  [\"/{name}\"] = function(s) {call} end,\n")).collect();
    serve(
        &format!(
            "local calls = {{\n{table}}}\nfunction app(environ, start_response)\n  \
             calls[environ.PATH_INFO](start_response)\n  return \"body\"\nend\n"
        ),
        &[],
    )
}

#[test]
fn headers_are_pairs_a_map_or_a_map_of_lists() {
    let server = serve_calls(&[
        ("pairs", r#"s("200 OK", { { "Content-Type", "a/b" }, { "Set-Cookie", "a=1" }, { "Set-Cookie", "b=2" } })"#),
        ("map", r#"s("200 OK", { ["Content-Type"] = "a/b", ["Set-Cookie"] = { "a=1", "b=2" } })"#),
        ("lists", r#"s("200 OK", { ["Content-Type"] = { "a/b" }, ["Set-Cookie"] = { "a=1", "b=2" } })"#),
        ("mixed", r#"s("200 OK", { { "Content-Type", "a/b" }, { "Set-Cookie", { "a=1", "b=2" } } })"#),
    ]);
    for form in ["pairs", "map", "lists", "mixed"] {
        let response = server.get(&format!("/{form}"));
        assert_eq!((response.status, response.text().as_str()), (200, "body"), "{form}\n{}", server.log());
        assert_eq!(response.header("content-type"), Some("a/b"), "{form}");
        assert_eq!(response.headers("set-cookie").collect::<Vec<_>>(), ["a=1", "b=2"], "{form}");
    }
}

#[test]
fn values_may_be_numbers_and_headers_none() {
    let server = serve_calls(&[
        ("number", r#"s("200 OK", { { "X-Int", 42 }, { "Content-Length", 4 } })"#),
        ("map", r#"s("200 OK", { ["X-Int"] = 42, ["Content-Length"] = 4 })"#),
        ("none", r#"s("200 OK")"#),
        ("empty", r#"s("200 OK", {})"#),
        ("empty-list", r#"s("200 OK", { ["X-None"] = {}, ["X-Empty"] = "" })"#),
        ("bytes", r#"s("200 OK", { { "X-Bytes", "a\tb \233" } })"#),
    ]);
    for form in ["number", "map"] {
        let response = server.get(&format!("/{form}"));
        assert_eq!((response.status, response.header("x-int")), (200, Some("42")), "{}", server.log());
        assert_eq!(response.headers("content-length").collect::<Vec<_>>(), ["4"]);
    }
    for form in ["none", "empty", "empty-list", "bytes"] {
        let response = server.get(&format!("/{form}"));
        assert_eq!((response.status, response.text().as_str()), (200, "body"), "{form}: {}", server.log());
    }
    let response = server.get("/empty-list");
    assert_eq!((response.header("x-none"), response.header("x-empty")), (None, Some("")));
}

#[test]
fn a_status_is_a_number_with_or_without_a_phrase() {
    let calls = [
        ("a", r#"s("200 OK", {})"#, "HTTP/1.1 200 OK"),
        ("b", r#"s("200", {})"#, "HTTP/1.1 200 OK"),
        ("c", r#"s(200, {})"#, "HTTP/1.1 200 OK"),
        ("d", r#"s(404.0, {})"#, "HTTP/1.1 404 Not Found"),
        ("e", r#"s("404 Gone fishing", {})"#, "HTTP/1.1 404 Gone fishing"),
        ("f", r#"s("299 ", {})"#, "HTTP/1.1 299 "),
        ("g", r#"s(599, {})"#, "HTTP/1.1 599 "),
        ("h", r#"s("503 S\233", {})"#, "HTTP/1.1 503 S\u{fffd}"),
        ("i", r#"s("200 All right", {})"#, "HTTP/1.1 200 All right"),
    ];
    let server = serve_calls(&calls.map(|(name, call, _)| (name, call)));
    for (name, call, line) in calls {
        assert_eq!(server.get(&format!("/{name}")).head.split("\r\n").next(), Some(line), "{call}\n{}", server.log());
    }
}

const REFUSED: [(&str, &str); 39] = [
    ("crlf", r#"s("200 OK", { { "X", "a\r\nSet-Cookie: evil=1" } })"#),
    ("lf", r#"s("200 OK", { X = "a\nb" })"#),
    ("cr", r#"s("200 OK", { X = { "a", "a\rb" } })"#),
    ("nul", r#"s("200 OK", { X = "a\0b" })"#),
    ("nul-split", r#"s("200 OK", { { "X", "a\0Y" }, { "Z", "b" } })"#),
    ("nul-name", r#"s("200 OK", { ["X\0Y"] = "b" })"#),
    ("nul-pairs", r#"s("200 OK", { { "A\0", "b" }, { "C", "d" } })"#),
    ("del", r#"s("200 OK", { X = "a\127b" })"#),
    ("name-space", r#"s("200 OK", { ["X Y"] = "b" })"#),
    ("name-colon", r#"s("200 OK", { ["X:"] = "b" })"#),
    ("name-empty", r#"s("200 OK", { [""] = "b" })"#),
    ("name-crlf", r#"s("200 OK", { ["X\r\nY"] = "b" })"#),
    ("name-bytes", r#"s("200 OK", { ["X\233"] = "b" })"#),
    ("connection", r#"s("200 OK", { Connection = "keep-alive" })"#),
    ("keep-alive", r#"s("200 OK", { { "keep-alive", "5" } })"#),
    ("te", r#"s("200 OK", { ["Transfer-Encoding"] = "chunked" })"#),
    ("upgrade", r#"s("200 OK", { Upgrade = "h2c" })"#),
    ("trailer", r#"s("200 OK", { Trailer = "X" })"#),
    ("two-lengths", r#"s("200 OK", { { "Content-Length", "4" }, { "content-length", "5" } })"#),
    ("length-sign", r#"s("200 OK", { ["Content-Length"] = "+4" })"#),
    ("length-text", r#"s("200 OK", { ["Content-Length"] = "4 bytes" })"#),
    ("length-negative", r#"s("200 OK", { ["Content-Length"] = -4 })"#),
    ("length-huge", r#"s("200 OK", { ["Content-Length"] = "99999999999999999999" })"#),
    ("value-nil", r#"s("200 OK", { { "X" } })"#),
    ("value-boolean", r#"s("200 OK", { X = true })"#),
    ("value-function", r#"s("200 OK", { X = print })"#),
    ("name-number", r#"s("200 OK", { { 5, "x" } })"#),
    ("name-nil", r#"s("200 OK", { {} })"#),
    ("key-boolean", r#"s("200 OK", { [true] = "x" })"#),
    ("flat", r#"s("200 OK", { "Content-Type", "text/plain" })"#),
    ("hole", r#"s("200 OK", { [2] = { "X", "a" } })"#),
    ("headers-string", r#"s("200 OK", "X: a")"#),
    ("headers-function", r#"s("200 OK", print)"#),
    ("100", r#"s("100 Continue", {})"#),
    ("101", r#"s(101, {})"#),
    ("600", r#"s("600 X", {})"#),
    ("phrase-crlf", r#"s("200 OK\r\nX: y", {})"#),
    ("phrase-nul", r#"s("200 O\0K", {})"#),
    ("no-space", r#"s("200OK", {})"#),
];

#[test]
fn what_cannot_be_sent_is_a_500_that_names_the_line() {
    let server = serve_calls(&REFUSED);
    for (name, call) in REFUSED {
        let response = server.get(&format!("/{name}"));
        assert_eq!(response.status, 500, "{call}: {}", response.head);
        assert!(!response.head.contains("evil") && !response.head.contains("X:"), "{call}: {}", response.head);
    }
    for (i, call) in [
        r#"s("", {})"#,
        "s(nil)",
        "s({})",
        "s(true, {})",
        "s(20, {})",
        "s(2000)",
        "s(-1)",
        "s(200.5)",
        "s(0/0)",
        "s(1/0)",
        "s(1e300)",
        "s()",
        "s('OK', {})",
        "s(' 200', {})",
    ]
    .into_iter()
    .enumerate()
    {
        let name = format!("status-{i}");
        let server = serve_calls(&[(&name, call)]);
        assert_eq!(server.get(&format!("/{name}")).status, 500, "{call}");
        assert!(server.log().contains("start_response"), "{call}: {}", server.log());
    }
}

#[test]
fn an_error_is_raised_at_the_apps_call() {
    let server = serve(
        r#"
        function app(environ, start_response)
          local wrong = {
            { "200 OK", { { "X" } } },
            { "200 OK", { X = true } },
            { "200 OK", { [true] = "x" } },
            { "200 OK", { X = { "a", {false} } } },
            { "200 OK", { "flat" } },
            { "200 OK", "text" },
            { {}, {} },
          }
          for i, arguments in ipairs(wrong) do
            local ok, why = pcall(function() start_response(arguments[1], arguments[2]); return 1 end)
            assert(not ok and why:find("app.lua:%d+: start_response"), tostring(why))
          end
          start_response("200 OK", {})
          return "all refused"
        end
        "#,
        &[],
    );
    assert_eq!(text_of(&server, "/"), "all refused");
}

/// A remembered head is not confused with another whose values are equal as table keys.
#[test]
fn a_remembered_head_is_sent_exactly() {
    let server = serve_calls(&[
        ("a", r#"s("200 OK", { { "X", 1.5 - 0.5 } })"#),
        ("b", r#"s("200 OK", { { "X", 1 } })"#),
        ("c", r#"s("200 OK", { { "X", "1" } })"#),
        ("d", r#"s("200 OK", { { "X", "1" }, { "Y", "2" } })"#),
        ("e", r#"s("200 OK", { { "Y", "2" }, { "X", "1" } })"#),
        ("f", r#"s(200, { { "X", "3" } })"#),
        ("g", r#"s("200", { { "X", "4" } })"#),
        ("h", r#"s("200 OK", {})"#),
        ("i", r#"s("200 OK")"#),
        ("j", r#"s("200 OK", { { "X", "1", "Y", "2" } })"#),
    ]);
    let heads = || -> Vec<Vec<String>> {
        let head = |name: char| server.get(&format!("/{name}")).head;
        let own = |line: &&str| line.starts_with("X:") || line.starts_with("Y:");
        ('a'..='j').map(|name| head(name).lines().filter(own).map(str::to_string).collect()).collect()
    };
    let first = heads();
    assert_eq!((first[1].join(";"), first[2].join(";")), ("X: 1".to_string(), "X: 1".to_string()));
    let again = heads();
    assert_eq!(again[1..], first[1..]);
    assert_eq!((first[3].join(";"), first[4].join(";")), ("X: 1;Y: 2".to_string(), "Y: 2;X: 1".to_string()));
}

#[test]
fn date_and_server_can_be_replaced_and_are_sent_once() {
    let server = serve_calls(&[
        ("own", r#"s("200 OK", { Date = "Thu, 01 Jan 1970 00:00:00 GMT", SERVER = "mine" })"#),
        ("ours", r#"s("200 OK", {})"#),
    ]);
    let response = server.get("/own");
    assert_eq!(response.headers("date").collect::<Vec<_>>(), ["Thu, 01 Jan 1970 00:00:00 GMT"]);
    assert_eq!(response.headers("server").collect::<Vec<_>>(), ["mine"]);
    let response = server.get("/ours");
    assert_eq!((response.headers("date").count(), response.headers("server").count()), (1, 1));
    assert!(response.header("date").is_some_and(|date| date.ends_with("GMT") && !date.contains("1970")));
}

#[test]
fn a_length_that_the_app_declares_is_enforced() {
    let server = serve(
        r#"
        function app(environ, start_response)
          local length, form = environ.PATH_INFO:match("^/(%d+)/(%a+)$")
          start_response("200 OK", { ["Content-Length"] = length })
          if form == "whole" then return "hello" end
          if form == "table" then return { "he", "llo" } end
          if form == "empty" then return {} end
          return coroutine.wrap(function() coroutine.yield("he") tine.sleep(0.01) coroutine.yield("llo") end)
        end
        "#,
        &[],
    );
    for form in ["whole", "table", "stream"] {
        let response = server.get(&format!("/5/{form}"));
        assert_eq!((response.text().as_str(), response.header("content-length")), ("hello", Some("5")), "{form}");
        assert_eq!(response.header("transfer-encoding"), None, "{form}");
        // For HEAD the body need not be produced.
        for length in ["5", "99"] {
            let response = ask(&server, &format!("HEAD /{length}/{form} HTTP/1.1\r\nHost: t"), b"");
            assert_eq!((response.status, response.header("content-length")), (200, Some(length)), "{form}");
        }
    }
    let response = ask(&server, "HEAD /99/empty HTTP/1.1\r\nHost: t", b"");
    assert_eq!((response.status, response.header("content-length")), (200, Some("99")));
    // The whole body is known, so a 500 is still possible.
    for path in ["/4/whole", "/6/whole", "/4/table", "/9/table", "/1/empty"] {
        assert_eq!(server.get(path).status, 500, "{path}");
    }
    // Too late: the connection is reset, and never more is sent than was declared.
    for path in ["/4/stream", "/9/stream"] {
        let mut client = server.connect();
        client.send(format!("GET {path} HTTP/1.1\r\nHost: t\r\n\r\n"));
        let head = client.head();
        let body = client.rest().unwrap_or_default();
        assert!(head.starts_with("HTTP/1.1 200") && "hello".as_bytes().starts_with(&body), "{path}: {head}{body:?}");
        assert!(body.len() <= 5 && (path.starts_with("/9") || body.len() <= 4), "{path}: {body:?}");
    }
    server.wait_log("longer than declared");
    server.wait_log("short of what was declared");
}

/// Heads that were sent before are recognised by their text: none is taken for another that has the same bytes elsewhere.
#[test]
fn a_head_is_not_taken_for_another() {
    let server = serve_calls(&[
        ("two", r#"s("200 OK", { { "A", "b" }, { "C", "d" } })"#),
        ("zero", r#"s("200 OK", { { "A\0b", "C\0d" } })"#),
        ("zero-status", r#"s("200 OK\0A", { { "b", "C" } })"#),
        ("one", r#"s("200 OK", { { "A", "b" } })"#),
        ("integer", r#"s("200 OK", { { "A", 1 } })"#),
        ("float", r#"s("200 OK", { { "A", 1.5 } })"#),
        ("large", r#"s("200 OK", { { "A", 2^60 } })"#),
        ("negative", r#"s("200 OK", { { "A", -1 } })"#),
        ("status", r#"s("200 A", { { "A", "b" } })"#),
    ]);
    for _ in 0..3 {
        for (name, a, c) in [
            ("two", "b", Some("d")),
            ("one", "b", None),
            ("integer", "1", None),
            ("float", "1.5", None),
            ("large", "1.1529215046068e+18", None),
            ("negative", "-1", None),
            ("status", "b", None),
        ] {
            let response = server.get(&format!("/{name}"));
            assert_eq!((response.status, response.header("a"), response.header("c")), (200, Some(a), c), "{name}");
        }
        for name in ["zero", "zero-status"] {
            assert_eq!(server.get(&format!("/{name}")).status, 500, "{name}");
        }
    }
}
