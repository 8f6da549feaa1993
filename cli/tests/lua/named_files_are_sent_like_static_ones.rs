//! With `--sendfile-root`, the file that an app names in X-Sendfile is sent in place of its body, as the static files are:
//! with validators and ranges, and from beneath that directory only. Without the option the header is like any other.

use crate::support::lua::{ask, serve_from};
use crate::support::site::{Site, sparse_bytes};
use crate::support::{Response, Server, eventually};
use std::fs::File;

/// Names the file of the query. The path says how the app goes on.
const APP: &str = r#"
local function app(environ, start_response)
  local how = environ.PATH_INFO:sub(2)
  local function start()
    start_response(environ.HTTP_X_STATUS or "200 OK", { { "x-sendfile", environ.HTTP_X_FILE or environ.QUERY_STRING },
      { "Set-Cookie", "a=1" }, { "Content-Length", "7" }, { "ETag", '"of the app"' }, { "Vary", "Cookie" },
      environ.HTTP_X_TYPE and { "Content-Type", environ.HTTP_X_TYPE } or { "X-Type", "none" },
      environ.HTTP_X_CODING and { "Content-Encoding", environ.HTTP_X_CODING } })
  end
  if how == "late" then
    return coroutine.wrap(function() tine.sleep(0.001) start() coroutine.yield("dropped") end)
  end
  start()
  if how == "sleeps" then tine.sleep(0.001) end
  if how == "removes" then
    return { "dropped", close = function() os.remove("files/gone") tine.log("info", "removed") end }
  elseif how == "endless" then
    return setmetatable({ close = function() tine.log("info", "closed") end }, { __call = function() return "dropped" end })
  elseif how == "wraps" then
    return environ["wsgi.file_wrapper"](io.open("app.lua"))
  end
  return "dropped"
end
return { app = app }
"#;

fn site() -> Site {
    let site = Site::of(&[
        ("app.lua", APP.as_bytes()),
        ("secret", b"SECRET"),
        ("files/a.json", b"{\"a\":1}"),
        ("files/sub/b", b"0123456789"),
        ("files/.hidden", b"hidden"),
        ("files/empty", b""),
        ("more/c", b"c"),
        ("more/a.json", b"not this one"),
    ]);
    site.write_sparse("files/big", 64);
    std::os::unix::fs::symlink("../secret", site.path("files/out")).expect("a link");
    std::os::unix::fs::symlink("sub/b", site.path("files/in")).expect("a link");
    std::os::unix::fs::symlink("files", site.path("linked")).expect("a link");
    site
}

fn serve(site: &Site) -> Server {
    serve_from(&site.path(""), "app.lua", &["--sendfile-root", "files", "--sendfile-root", "more"], &[])
}

#[track_caller]
fn get(server: &Server, path: &str, headers: &str) -> Response {
    ask(server, &format!("GET {path} HTTP/1.1\r\nHost: t{headers}"), b"")
}

#[test]
fn whatever_the_app_does_after_naming_it() {
    let site = site();
    let server = serve(&site);
    for how in ["", "sleeps", "late", "endless", "wraps"] {
        let response = get(&server, &format!("/{how}?a.json"), "");
        assert_eq!((response.status, response.text().as_str()), (200, "{\"a\":1}"), "{how}\n{}", server.log());
        let fields = ["content-type", "content-length", "set-cookie", "vary", "accept-ranges", "x-sendfile"];
        let values = fields.map(|name| response.header(name));
        let expected = [Some("application/json"), Some("7"), Some("a=1"), Some("Cookie"), Some("bytes"), None];
        assert_eq!(values, expected, "{how}");
        assert!(response.header("etag").is_some_and(|tag| tag != "\"of the app\""), "{how}");
    }
    server.wait_log("closed");
    assert_eq!(get(&server, "/?a.json", "\r\nX-Type: text/x").header("content-type"), Some("text/x"));
    assert!(get(&server, "/sleeps?big", "").body == sparse_bytes(0, (64 << 20) - 1));
    // It is open before the app's `close` removes it.
    site.write("files/gone", b"gone");
    assert_eq!(get(&server, "/removes?gone", "").text(), "gone");
    server.wait_log("removed");
    assert_eq!(get(&server, "/removes?gone", "").status, 404);
}

#[test]
fn with_validators_and_ranges() {
    let site = site();
    let server = serve(&site);
    for how in ["", "sleeps"] {
        let path = format!("/{how}?sub/b");
        let whole = get(&server, &path, "");
        let (tag, modified) =
            (whole.header("etag").expect("a tag"), whole.header("last-modified").expect("a date").to_string());
        for (headers, status, body) in [
            (format!("If-None-Match: {tag}"), 304, ""),
            (format!("If-Modified-Since: {modified}"), 304, ""),
            ("If-Match: \"of the app\"".to_string(), 412, "412 Precondition Failed"),
            ("Range: bytes=2-4".to_string(), 206, "234"),
            ("range: bytes=-1".to_string(), 206, "9"),
            (format!("Range: bytes=2-4\r\nIf-Range: {tag}"), 206, "234"),
            ("Range: bytes=2-4\r\nIf-Range: \"other\"".to_string(), 200, "0123456789"),
            ("Range: bytes=10-".to_string(), 416, "416 Range Not Satisfiable"),
            ("Range: bytes=0-0,3-4".to_string(), 206, "--"),
        ] {
            let response = get(&server, &path, &format!("\r\n{headers}"));
            assert_eq!(response.status, status, "{how} {headers}");
            assert!(response.text().starts_with(body) && (!body.is_empty() || response.text().is_empty()), "{headers}");
        }
        let head = ask(&server, &format!("HEAD {path} HTTP/1.1\r\nHost: t"), b"");
        assert_eq!((head.status, head.header("content-length"), head.header("etag")), (200, Some("10"), Some(tag)));
    }
    // Of coded bytes one range at most: the framing of several would be taken for coded bytes.
    for (ranges, status) in [("2-4", 206), ("0-0,3-4", 200)] {
        let response = get(&server, "/?sub/b", &format!("\r\nX-Coding: gzip\r\nRange: bytes={ranges}"));
        assert_eq!((response.status, response.header("content-encoding")), (status, Some("gzip")), "{ranges}");
    }
    let large = get(&server, "/sleeps?big", "\r\nRange: bytes=1048576-3145727");
    assert_eq!(large.header("content-range"), Some("bytes 1048576-3145727/67108864"));
    assert!(large.body == sparse_bytes(1 << 20, (3 << 20) - 1));
}

/// To a POST, or with another status, it is the whole response and no representation of the URL.
#[test]
fn whole_where_it_is_not_what_the_url_names() {
    let site = site();
    let server = serve(&site);
    let posted = ask(&server, "POST /?sub/b HTTP/1.1\r\nHost: t\r\nRange: bytes=0-1\r\nContent-Length: 1", b"x");
    let missing = get(&server, "/?sub/b", "\r\nX-Status: 404 Not Found\r\nIf-Match: \"x\"");
    for (response, status) in [(posted, 200), (missing, 404)] {
        assert_eq!((response.status, response.text().as_str()), (status, "0123456789"));
        assert_eq!((response.header("etag"), response.header("set-cookie")), (None, Some("a=1")));
    }
    let unchanged = get(&server, "/?sub/b", "\r\nX-Status: 304");
    assert_eq!((unchanged.status, unchanged.body.len()), (304, 0));
}

#[test]
fn from_beneath_the_roots_alone() {
    let site = site();
    let server = serve(&site);
    let folder = site.text();
    for (file, text) in [
        ("a.json".to_string(), "{\"a\":1}"),
        ("c".to_string(), "c"),
        ("in".to_string(), "0123456789"),
        ("sub/../.hidden".to_string(), "hidden"),
        ("empty".to_string(), ""),
        (format!("{folder}/files/sub/b"), "0123456789"),
        (format!("{folder}/more/c"), "c"),
        (format!("{folder}/more//a.json"), "not this one"),
    ] {
        let response = get(&server, "/", &format!("\r\nX-File: {file}"));
        assert_eq!((response.status, response.text().as_str()), (200, text), "{file}\n{}", server.log());
    }
    for file in [
        "none",
        "",
        "sub",
        "out",
        "../secret",
        "sub/../../secret",
        "/etc/passwd",
        "/",
        "files/a.json",
        &format!("{folder}/secret"),
        &format!("{folder}/files"),
        &format!("{folder}/files/../secret"),
        &format!("{folder}/files/out"),
        &format!("{folder}/filesystem"),
        &format!("{folder}/filessub/b"),
        &format!("{folder}/app.lua"),
        &format!("{folder}/linked/a.json"), // a name of the directory that was not given
        "caf\u{e9}",
    ] {
        let response = get(&server, "/", &format!("\r\nX-File: {file}"));
        assert_eq!((response.status, response.text().starts_with("404")), (404, true), "{file}: {}", response.text());
        server.wait_log("X-Sendfile");
    }
    // The root by a link: by that name, and by its own.
    let server = serve_from(&site.path(""), "app.lua", &["--sendfile-root", "linked"], &[]);
    for name in ["linked", "files"] {
        let response = get(&server, "/", &format!("\r\nX-File: {folder}/{name}/a.json"));
        assert_eq!(response.status, 200, "{name}");
    }
}

#[test]
fn only_with_the_option() {
    let site = site();
    let server = serve_from(&site.path(""), "app.lua", &[], &[]);
    let response = get(&server, "/?a.json", "");
    let values = ["x-sendfile", "etag"].map(|name| response.header(name));
    assert_eq!((response.text().as_str(), values), ("dropped", [Some("a.json"), Some("\"of the app\"")]));
}

#[test]
fn one_that_shrinks_cuts_its_connection() {
    let site = site();
    let server = serve(&site);
    let mut client = server.connect_narrow();
    client.send("GET /sleeps?big HTTP/1.1\r\nHost: t\r\n\r\n");
    client.read_exact(&mut vec![0; 8 << 20]).expect("the first of it");
    File::options().write(true).open(site.path("files/big")).and_then(|file| file.set_len(0)).expect("it is truncated");
    // A reset ends it as well.
    let (rest, _) = client.read_to_end();
    assert!((8 << 20) + rest.len() < 64 << 20, "{} more bytes came", rest.len());
    server.wait_log("before the length that it had");
    eventually("its socket is closed", || (server.in_flight() == 0).then_some(()));
    assert_eq!(get(&server, "/?c", "").text(), "c");
}
