//! OPTIONS is answered where files are served, whatever the path: HAProxy's `option httpchk` sends `OPTIONS /
//! HTTP/1.0`.

use crate::support::site::Site;
use crate::support::{Response, Server};

fn options(server: &Server, target: &str, version: &str) -> Response {
    let mut client = server.connect();
    client.send(format!("OPTIONS {target} {version}\r\nHost: t\r\n\r\n"));
    client.response()
}

fn expect_allowed(server: &Server, target: &str, version: &str) {
    let response = options(server, target, version);
    assert_eq!((response.status, response.header("allow")), (200, Some("GET, HEAD, OPTIONS")), "{target}");
    assert_eq!(response.header("content-length"), Some("0"), "{target}");
}

#[test]
fn by_files_alone_for_every_path_and_for_all_of_them() {
    let site = Site::of(&[("x.txt", b"x")]);
    let server = site.serve(&[]);
    for target in ["/", "*", "/x.txt", "/none", "/.hidden", "http://t"] {
        expect_allowed(&server, target, "HTTP/1.1");
    }
    expect_allowed(&server, "/", "HTTP/1.0");
}

#[test]
fn at_and_below_their_prefix_only() {
    let site = Site::of(&[("x.txt", b"x")]);
    let alone = site.serve(&["--static-url", "/files"]);
    for target in ["/files", "/files/x.txt", "*"] {
        expect_allowed(&alone, target, "HTTP/1.1");
    }
    assert_eq!(options(&alone, "/", "HTTP/1.1").status, 404);
    // Beside an app, all other paths are the app's.
    let beside = Server::start(&["--workers", "1", "builtin", "--static", site.text()]);
    expect_allowed(&beside, "/static/x.txt", "HTTP/1.1");
    assert!(options(&beside, "*", "HTTP/1.1").text().contains("\"method\":\"OPTIONS\""));
}
