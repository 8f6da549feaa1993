//! `app.js.br`, `.zst` and `.gz` beside `app.js` are sent to clients that accept them, each with its own validators.

use crate::support::curl::curl;
use crate::support::site::Site;
use std::io::Write;
use std::time::Duration;

const TEXT: &[u8] = b"console.log('the same, and the same, and the same')\n";

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut coder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    coder.write_all(bytes).expect("memory");
    coder.finish().expect("memory")
}

/// All three siblings; their contents tell them apart.
fn site() -> Site {
    Site::of(&[("app.js", TEXT), ("app.js.br", b"brotli"), ("app.js.zst", b"zstandard"), ("app.js.gz", &gzip(TEXT))])
}

fn get(client: &mut crate::support::Client, path: &str, fields: &str) -> crate::support::Response {
    client.send(format!("GET {path} HTTP/1.1\r\nHost: t\r\n{fields}\r\n"));
    client.response()
}

#[test]
fn what_the_client_accepts_decides() {
    let site = site();
    let server = site.serve(&[]);
    let mut client = server.connect();
    for (fields, status, coding) in [
        ("", 200, None),
        ("Accept-Encoding:\r\n", 200, None),
        ("Accept-Encoding: identity\r\n", 200, None),
        ("Accept-Encoding: gzip, deflate, br, zstd\r\n", 200, Some("br")),
        ("Accept-Encoding: gzip, zstd\r\n", 200, Some("zstd")),
        ("Accept-Encoding: gzip\r\n", 200, Some("gzip")),
        ("Accept-Encoding: x-gzip\r\n", 200, Some("gzip")),
        ("Accept-Encoding: br;q=0.5, gzip\r\n", 200, Some("gzip")),
        ("Accept-Encoding: *\r\n", 200, Some("br")),
        ("Accept-Encoding: gzip;q=0, *;q=0.1\r\n", 200, Some("br")),
        ("Accept-Encoding: gzip;q=0.1, identity;q=0.9\r\n", 200, None),
        ("Accept-Encoding: compress\r\n", 200, None),
        ("Accept-Encoding: compress, identity;q=0\r\n", 406, None),
    ] {
        let response = get(&mut client, "/app.js", fields);
        assert_eq!((response.status, response.header("content-encoding")), (status, coding), "{fields}");
        assert_eq!(response.header("vary"), Some("Accept-Encoding"), "{fields}");
        if status == 200 {
            assert_eq!(response.header("content-type"), Some("text/javascript; charset=utf-8"), "{fields}");
        }
    }
    let fields = "Accept-Encoding: gzip\r\nRange: bytes=0-1,4-5\r\n";
    let several = get(&mut client, "/app.js", fields);
    assert_eq!((several.status, several.body.len()), (200, gzip(TEXT).len()), "several parts would be taken for coded");
    let one = get(&mut client, "/app.js", "Accept-Encoding: br\r\nRange: bytes=1-2\r\n");
    assert_eq!((one.status, one.text().as_str(), one.header("content-encoding")), (206, "ro", Some("br")));
}

#[test]
fn each_has_a_tag_of_its_own() {
    let site = site();
    let server = site.serve(&[]);
    let mut client = server.connect();
    let accepts = ["", "Accept-Encoding: br\r\n", "Accept-Encoding: zstd\r\n", "Accept-Encoding: gzip\r\n"];
    let tags: Vec<String> = accepts
        .iter()
        .map(|fields| get(&mut client, "/app.js", fields).header("etag").expect("a tag").to_string())
        .collect();
    for (tag, fields) in tags.iter().flat_map(|tag| accepts.iter().map(move |fields| (tag, *fields))) {
        let expected =
            if tags[accepts.iter().position(|a| *a == fields).expect("it is there")] == *tag { 304 } else { 200 };
        let response = get(&mut client, "/app.js", &format!("{fields}If-None-Match: {tag}\r\n"));
        assert_eq!(response.status, expected, "{tag} with {fields:?}");
    }
}

#[test]
fn a_sibling_that_is_older_or_missing_or_not_a_file_is_skipped() {
    let site = site();
    site.age("app.js.br", Duration::from_secs(7200));
    std::fs::remove_file(site.path("app.js.zst")).expect("it was there");
    std::fs::create_dir(site.path("app.js.zst")).expect("a directory");
    site.write("lonely.css.gz", b"no file of that name");
    let server = site.serve(&["--static-cache", "0"]);
    let mut client = server.connect();
    let all = "Accept-Encoding: br, zstd, gzip\r\n";
    assert_eq!(get(&mut client, "/app.js", all).header("content-encoding"), Some("gzip"));
    site.age("app.js.br", Duration::from_secs(60));
    assert_eq!(get(&mut client, "/app.js", all).header("content-encoding"), Some("br"), "a newer one is current");
    assert_eq!(get(&mut client, "/lonely.css", all).status, 404);
    let itself = get(&mut client, "/lonely.css.gz", all);
    assert_eq!((itself.header("content-type"), itself.header("content-encoding")), (Some("application/gzip"), None));
}

#[test]
fn curl_decodes_what_it_gets() {
    let site = Site::of(&[("page.html", TEXT), ("page.html.gz", &gzip(TEXT))]);
    let server = site.serve(&[]);
    let url = server.url("/page.html");
    assert_eq!(curl(&["--compressed", &url]).body(), TEXT);
    assert_eq!(curl(&["-H", "Accept-Encoding: gzip", &url]).body(), gzip(TEXT), "it was sent compressed");
    assert_eq!(curl(&[&url]).body(), TEXT);
}
