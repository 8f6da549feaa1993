//! `--root-path`: the application, files and the health path are served with the path before them and without it, and what the server
//! makes of its own paths has it.

use crate::support::Server;
use crate::support::site::Site;

#[test]
fn with_the_path_or_without_it() {
    let site = Site::of(&[("public/a.txt", b"a"), ("public/docs/index.html", b"<p>")]);
    let public = site.path("public");
    let options = [
        "--workers",
        "1",
        "--root-path",
        "/shop/",
        "--static",
        public.to_str().expect("UTF-8"),
        "--static-url",
        "/assets",
    ];
    let limits = ["--health-path", "/up", "--limit-client-rate", "1/min", "--limit-wait", "0"];
    let server = Server::start(&[&options[..], &limits, &["--limit-exempt", "/assets/*"]].concat());
    for prefix in ["/shop", ""] {
        let get = |path: &str| server.get(&format!("{prefix}{path}"));
        assert_eq!(get("/assets/a.txt").text(), "a", "{prefix}");
        assert_eq!(get("/assets/docs").header("location"), Some("/shop/assets/docs/"), "{prefix}");
        for _ in 0..3 {
            assert_eq!(get("/up").text(), "{\"status\":\"ok\"}", "{prefix}");
        }
    }
    assert_eq!([server.get("/shopping").status, server.get("/up2").status], [404, 429], "no other path is exempt");
}

#[test]
fn the_origins_links_and_urls_have_it() {
    let server = Server::start(&["--workers", "1", "--root-path", "/a/b"]);
    for (path, expected) in
        [("/a/b/c?d", "/a/b/c?d"), ("/c", "/a/b/c"), ("/%61/b/c", "/a/b/c"), ("/a/b", "/a/b/"), ("/a/bc", "/a/b/a/bc")]
    {
        let echo = server.get(path).text();
        assert!(echo.contains(&format!("\"uri\":\"http://t{expected}\"")), "{path}: {echo}");
    }
    for prefix in ["/a/b", ""] {
        let location = |path: &str| server.get(&format!("{prefix}{path}")).header("location").map(str::to_string);
        assert_eq!(location("/redirect/2").as_deref(), Some("/a/b/redirect/1"));
        assert_eq!(location("/redirect/1?absolute=1").as_deref(), Some("http://t/a/b/anything?absolute=1"));
    }
    let mut client = server.connect();
    client.send("GET /help HTTP/1.1\r\nHost: t\r\nAccept: text/html\r\n\r\n");
    let page = client.response().text();
    assert!(page.contains("<a href=\"/a/b/health\">"), "{page}");
}
