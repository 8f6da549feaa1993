//! `tine run --static DIR` serves the files in a directory: types, lengths, index.html, redirections, HEAD; 405 for
//! other methods.

use crate::support::curl::curl;
use crate::support::site::Site;
use std::fs;
use std::os::unix::ffi::OsStrExt;

fn site() -> Site {
    let site = Site::of(&[
        ("index.html", b"<h1>home</h1>\n"),
        ("style.css", b"body {}\n"),
        ("a b/cä.txt", b"hi"),
        ("empty", b""),
        ("docs/index.html", b"<h1>docs</h1>\n"),
        ("bare/x.json", b"{}"),
        ("odd/index.html/x", b"a directory of that name"),
        ("large.bin", &vec![b'L'; 3_000_000]),
        (".well-known/security.txt", b"Contact: x\n"),
    ]);
    fs::write(site.path("").join(std::ffi::OsStr::from_bytes(b"\xff.txt")), b"no text").expect("a name of any bytes");
    std::os::unix::fs::symlink("style.css", site.path("link.css")).expect("a link");
    site
}

#[test]
fn every_kind_of_path_has_its_answer() {
    let site = site();
    let server = site.serve(&[]);
    // Path, status, type, body.
    for (path, status, content_type, body) in [
        ("/", 200, "text/html; charset=utf-8", &b"<h1>home</h1>\n"[..]),
        ("/?x=%zz", 200, "text/html; charset=utf-8", b"<h1>home</h1>\n"),
        ("/index.html", 200, "text/html; charset=utf-8", b"<h1>home</h1>\n"),
        ("/style.css?v=2", 200, "text/css; charset=utf-8", b"body {}\n"),
        ("/link.css", 200, "text/css; charset=utf-8", b"body {}\n"),
        ("/a%20b/c%C3%A4.txt", 200, "text/plain; charset=utf-8", b"hi"),
        ("/%FF.txt", 200, "text/plain; charset=utf-8", b"no text"),
        ("/empty", 200, "application/octet-stream", b""),
        ("/docs/", 200, "text/html; charset=utf-8", b"<h1>docs</h1>\n"),
        ("/bare/x.json", 200, "application/json", b"{}"),
        ("/.well-known/security.txt", 200, "text/plain; charset=utf-8", b"Contact: x\n"),
        ("http://elsewhere/style.css", 200, "text/css; charset=utf-8", b"body {}\n"),
        ("/bare/", 404, "text/plain; charset=utf-8", b"404 Not Found: there is no such file\n"),
        ("/odd/", 404, "text/plain; charset=utf-8", b"404 Not Found: there is no such file\n"),
        ("/none", 404, "text/plain; charset=utf-8", b"404 Not Found: there is no such file\n"),
        ("/style.css/", 404, "text/plain; charset=utf-8", b"404 Not Found: there is no such file\n"),
        ("/style.css/x", 404, "text/plain; charset=utf-8", b"404 Not Found: there is no such file\n"),
    ] {
        let response = server.get(path);
        assert_eq!((response.status, response.text()), (status, String::from_utf8_lossy(body).into_owned()), "{path}");
        assert_eq!(response.header("content-type"), Some(content_type), "{path}");
        assert_eq!(response.header("content-length"), Some(body.len().to_string().as_str()), "{path}");
        if status == 200 {
            assert_eq!(response.header("accept-ranges"), Some("bytes"), "{path}");
            assert_eq!(response.header("vary"), Some("Accept-Encoding"), "{path}");
            assert!(response.header("last-modified").is_some() && response.header("etag").is_some(), "{path}");
        }
    }
    assert!(server.get("/large.bin").body == vec![b'L'; 3_000_000]);
}

#[test]
fn a_directory_is_redirected_to_its_slash_and_never_elsewhere() {
    let site = site();
    site.write("\\evil.example/index.html", b"a directory of that name");
    let server = site.serve(&[]);
    for (path, location) in [
        ("/docs", "/docs/"),
        ("/docs?a=b&c", "/docs/?a=b&c"),
        ("/docs?", "/docs/?"),
        ("/bare", "/bare/"),
        ("/a%20b", "/a%20b/"),
        ("/%64ocs", "/docs/"),
        ("/\\evil.example", "/%5Cevil.example/"),
        ("/%5cevil.example", "/%5Cevil.example/"),
        ("http://elsewhere/docs", "/docs/"),
    ] {
        let response = server.get(path);
        assert_eq!((response.status, response.header("location")), (301, Some(location)), "{path}");
    }
    for path in ["//docs", "//evil.example", "//evil.example/..", "/docs//", "//evil.example/%2e%2e/docs"] {
        let response = server.get(path);
        assert_eq!((response.status, response.header("location")), (404, None), "{path}");
    }
}

#[test]
fn head_has_the_head_of_get_and_other_methods_are_refused() {
    let site = site();
    let server = site.serve(&[]);
    let mut client = server.connect();
    for path in ["/style.css", "/large.bin", "/empty", "/docs", "/none"] {
        client.send(format!("HEAD {path} HTTP/1.1\r\nHost: t\r\n\r\n"));
        let head = client.response_to("HEAD");
        client.send(format!("GET {path} HTTP/1.1\r\nHost: t\r\n\r\n"));
        let got = client.response();
        let undated = |head: &str| head.lines().filter(|line| !line.starts_with("Date")).collect::<Vec<_>>().join("\n");
        assert_eq!(undated(&head.head), undated(&got.head), "{path}");
    }
    for method in ["POST", "PUT", "DELETE", "PATCH", "X"] {
        for path in ["/style.css", "/none", "/docs"] {
            client.send(format!("{method} {path} HTTP/1.1\r\nHost: t\r\nContent-Length: 4\r\n\r\nbody"));
            let response = client.response();
            assert_eq!(
                (response.status, response.header("allow")),
                (405, Some("GET, HEAD, OPTIONS")),
                "{method} {path}"
            );
        }
    }
    client.send("OPTIONS * HTTP/1.1\r\nHost: t\r\n\r\n");
    let response = client.response();
    assert_eq!((response.status, response.header("allow")), (200, Some("GET, HEAD, OPTIONS")));
}

#[test]
fn a_request_body_is_dropped_and_the_connection_kept() {
    let site = site();
    let server = site.serve(&[]);
    let mut client = server.connect();
    for path in ["/style.css", "/large.bin", "/none"] {
        client.send(format!("GET {path} HTTP/1.1\r\nHost: t\r\nContent-Length: 100000\r\n\r\n{}", "x".repeat(100_000)));
        let first = client.response();
        client.send(format!("GET {path} HTTP/1.1\r\nHost: t\r\n\r\n"));
        assert!(client.response().body == first.body, "{path}");
    }
}

#[test]
fn curl_mirrors_the_directory() {
    let site = site();
    let server = site.serve(&[]);
    for (path, file) in
        [("/", "index.html"), ("/large.bin", "large.bin"), ("/docs", "docs/index.html"), ("/empty", "empty")]
    {
        let got = curl(&["-L", "--compressed", &server.url(path)]).body();
        assert!(got == fs::read(site.path(file)).expect("the file"), "{path}");
    }
    let went_on = curl(&["-C", "2999990", &server.url("/large.bin")]);
    assert_eq!(went_on.text(), "L".repeat(10));
    let refused = curl(&["-f", &server.url("/none")]);
    assert_eq!(refused.status, 22, "{}", refused.stderr);
}
