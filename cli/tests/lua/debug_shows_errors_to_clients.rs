//! With `--debug` the page of an error has its message, its traceback with lines of the app's code, and the request without
//! its credentials, as text, JSON or HTML in which nothing runs. Without, nothing of it is shown.

use crate::support::Response;
use crate::support::Server;
use crate::support::lua::{ask, folder_with, serve_from};

const APP: &str = r#"
local part = require("part")
local calls = {}
calls["/at-once"] = function(environ) part.fail(environ.QUERY_STRING) end
calls["/later"] = function(environ) tine.sleep(0.001) part.fail(environ.QUERY_STRING) end
calls["/forged"] = function() error("x\n\t./secret.lua:1: in function 'x'\nstack traceback:\n\t./secret.lua:1: in x\n\t/etc/passwd:1: in x") end
calls["/slow"] = function() while true do end end
calls["/broken-module"] = function() require("broken") end
calls["/no-file"] = function() for line in io.lines("no/such/file") do end end
function app(environ, start_response)
  return calls[environ.PATH_INFO](environ)
end
"#;

const FILES: [(&str, &str); 4] = [
    ("app.lua", APP),
    ("part.lua", "-- <i>a comment</i>\nreturn { fail = function(text) error('failed: ' .. text) end }\n"),
    ("broken.lua", "local x = 1\nlocal y = = 2\n"),
    ("secret.lua", "password = 'hunter2'"),
];

fn serve(options: &[&str]) -> Server {
    serve_from(&folder_with(&FILES), "app.lua", &[&["--request-timeout", "300ms"], options].concat(), &[])
}

fn page(server: &Server, target: &str, accept: &str) -> Response {
    let fields =
        "Authorization: Basic aHVudGVyMg==\r\nCookie: id=hunter2\r\nX-Api-Key: hunter2\r\nX-Note: <u>\"note\"</u>";
    ask(server, &format!("GET {target} HTTP/1.1\r\nHost: t\r\nAccept: {accept}\r\n{fields}"), b"")
}

const HTML: &str = "text/html,*/*;q=0.8";

#[test]
fn a_browser_gets_a_page_in_which_nothing_runs() {
    let server = serve(&["--debug"]);
    for path in ["/at-once", "/later"] {
        let response = page(&server, &format!("{path}?<script>alert(1)</script>"), HTML);
        let text = response.text();
        assert_eq!((response.status, response.header("Content-Type")), (500, Some("text/html; charset=utf-8")));
        for words in [
            "part.lua:2: failed: &lt;script&gt;alert(1)&lt;/script&gt;",
            "&lt;i&gt;a comment&lt;/i&gt;",
            "app.lua:",
            "&lt;u&gt;&quot;note&quot;&lt;/u&gt;",
            &format!("GET {path}?&lt;script&gt;"),
            if cfg!(feature = "luajit") { "LuaJIT" } else { "Lua 5.4" },
        ] {
            assert!(text.contains(words), "{words}: {text}");
        }
        for words in ["<script", "<i>a", "<u>", "aHVudGVyMg", "hunter2", "tine:"] {
            assert!(!text.contains(words), "{words}: {text}");
        }
        let policy = response.header("Content-Security-Policy").expect("a policy");
        let nonce = policy.split('\'').find(|word| word.starts_with("nonce-")).expect("a nonce");
        assert!(
            policy.starts_with("default-src 'none'") && text.contains(&nonce.replace("nonce-", "nonce=\"")),
            "{policy}"
        );
        assert_eq!(response.header("Cache-Control"), Some("no-store"));
        assert_eq!(response.header("X-Content-Type-Options"), Some("nosniff"));
    }
}

#[test]
fn only_lines_of_code_that_is_loaded_are_shown() {
    let server = serve(&["--debug"]);
    for accept in [HTML, "*/*", "application/json"] {
        let text = page(&server, "/forged", accept).text();
        assert!(text.contains("secret.lua:1") && !text.contains("hunter2") && !text.contains("root:"), "{text}");
    }
}

#[test]
fn the_place_is_where_the_mistake_is() {
    let server = serve(&["--debug"]);
    let text = page(&server, "/broken-module", "*/*").text();
    assert!(text.contains("broken.lua:\n") && text.contains(">     2  local y = = 2"), "{text}");
    let response = page(&server, "/slow", HTML);
    assert!(response.status == 504 && response.text().contains("app.lua:"), "{}", response.text());
    // Not in the server's own code, through which it goes with --debug.
    let text = page(&server, "/no-file", "*/*").text();
    assert!(text.contains("\napp.lua:9: ") && text.contains("No such file or directory"), "{text}");
}

#[test]
fn without_debug_nothing_is_shown() {
    let server = serve(&[]);
    for path in ["/at-once", "/later", "/broken-module", "/forged"] {
        for accept in [HTML, "*/*", "application/json"] {
            let response = page(&server, path, accept);
            assert_eq!(response.text(), "500 Internal Server Error: the application failed\n", "{path}");
            assert_eq!(response.header("Content-Type"), Some("text/plain; charset=utf-8"));
        }
    }
}
