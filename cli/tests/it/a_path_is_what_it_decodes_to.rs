//! A path is routed, looked up and refused by its decoded form, however the client spelt it; bytes above ASCII that
//! form UTF-8 are served unchanged, by files, the origin and the log alike.

use crate::support::site::Site;
use crate::support::{Response, Server};

fn ask(server: &Server, line: impl AsRef<[u8]>) -> Response {
    let mut client = server.connect();
    client.send([line.as_ref(), b" HTTP/1.1\r\nHost: t\r\n\r\n"].concat());
    client.response_to("GET")
}

#[test]
fn the_origin_knows_its_endpoints_in_any_spelling() {
    let server = Server::start(&["--workers", "1"]);
    for (plain, coded) in [
        ("/bin/1K?chunked=1", "/%62in/1%4b?%63hunked=%31"),
        ("/chunked/2?size=5", "/%63hunked/%32?size=%35"),
        ("/status/404", "/%73tatus%2F404"),
        ("/health", "/%68ealth"),
        ("/etag/v1?weak=1", "/etag/%76%31?weak=%31"),
        ("/mix?max=0&seed=5", "/mix?%6dax=0&seed=%35"),
        ("/fault/flaky?rate=1", "/%66ault/%66laky?rate=%31"),
        ("/fault/nothing", "/fault/%6eothing"),
    ] {
        let (expected, found) = (ask(&server, format!("GET {plain}")), ask(&server, format!("GET {coded}")));
        assert_eq!(found.status, expected.status, "{coded}");
        assert_eq!(found.header("content-type"), expected.header("content-type"), "{coded}");
        if !expected.text().contains("\"uri\"") {
            assert_eq!(found.body, expected.body, "{coded}");
        }
    }
    assert!(ask(&server, "GET /%2568ealth").text().contains("\"uri\":\"http://t/%2568ealth\""), "decoded once");
    let tag = ask(&server, "GET /etag/a%0d%0aX:%20y");
    assert_eq!(tag.status, 400, "{}", tag.head);
}

#[test]
fn no_spelling_of_a_fault_escapes_no_faults() {
    let server = Server::start(&["--workers", "1", "--no-faults"]);
    for path in ["/%66ault/reset", "/fault%2Freset", "/%66%61%75%6c%74", "/faul%74/no-response"] {
        let response = ask(&server, format!("GET {path}"));
        assert_eq!(response.status, 404, "{path}");
        assert!(response.text().contains("--no-faults"), "{path}: {}", response.text());
    }
}

#[test]
fn a_zero_byte_names_no_file() {
    let site = Site::of(&[("a.txt", b"a"), ("a/index.html", b"i")]);
    let server = site.serve(&[]);
    for path in ["/a.txt%00", "/a.txt%00.html", "/%00", "/a%00/"] {
        let response = ask(&server, format!("GET {path}"));
        assert_eq!((response.status, &*response.text()), (404, "404 Not Found: there is no such file\n"), "{path}");
    }
}

#[test]
fn utf_8_is_served_as_it_came() {
    let site = Site::of(&[("é.txt", b"e"), ("ü/index.html", b"u")]);
    let server = site.serve(&[]);
    for (path, expected) in [("/é.txt", "e"), ("/%C3%A9.txt", "e"), ("/ü/?ö", "u"), ("/%c3%bc/", "u")] {
        assert_eq!(ask(&server, format!("GET {path}")).text(), expected, "{path}");
    }
    let response = ask(&server, "GET /ü?ö=%20");
    assert_eq!((response.status, response.header("location")), (301, Some("/%C3%BC/?%C3%B6=%20")), "a URL is ASCII");
    let origin = Server::start(&["--workers", "1"]);
    assert!(ask(&origin, "GET /é?ü").text().contains("\"uri\":\"http://t/é?ü\""));
    assert_eq!(ask(&origin, "GET /redirect/1?x=é").header("location"), Some("/anything?x=%C3%A9"));
    for target in [&b"/\xe9.txt"[..], b"/?\xff", b"/\xc3"] {
        let response = ask(&server, [b"GET ", target].concat());
        assert_eq!(response.status, 400);
        assert!(response.text().contains("UTF-8; percent-encode"), "{}", response.text());
    }
}
