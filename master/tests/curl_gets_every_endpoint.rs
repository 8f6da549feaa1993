//! curl as a user types it, endpoint by endpoint: what it gets, and that it finds nothing wrong with the framing.

mod support;

use support::Server;
use support::curl::curl;

#[test]
fn with_and_without_a_body() {
    let server = Server::start(&["--workers", "1"]);
    let get = |path: &str| curl(&[&server.url(path)]);
    assert_eq!(get("/health").text(), "{\"status\":\"ok\"}");
    assert!(get("/help").text().starts_with("Available endpoints:"));
    assert!(get("/any/path?a=b").text().contains("\"method\":\"GET\""));
    assert!(get("/delay/1").text().contains("\"duration_ms\":"));
    assert_eq!(get("/bin/10M").body().len(), 10 << 20);
    assert_eq!(get("/bin/10M?chunked=1").body().len(), 10 << 20);
    assert_eq!(get("/stream/3").body().len(), 3 << 20);
    let upload = curl(&["-T", env!("CARGO_BIN_EXE_tine"), &server.url("/upload")]).text();
    let size = std::fs::metadata(env!("CARGO_BIN_EXE_tine")).expect("the binary").len();
    assert!(upload.contains(&format!("\"bytes_received\":{size}")), "{upload}");
}

/// `-I` asks with HEAD and `-f` turns an error's status into curl's own.
#[test]
fn heads_and_errors() {
    let server = Server::start(&["--workers", "1"]);
    let head = curl(&["-I", &server.url("/bin/10G")]).text();
    assert!(head.starts_with("HTTP/1.1 200 OK\r\n") && head.contains("Content-Length: 10737418240\r\n"), "{head}");
    assert_eq!(curl(&["-f", &server.url("/bin/none")]).status, 22);
    let bad = curl(&["-w", "%{http_code}", &server.url("/bin/none")]).text();
    assert!(bad.starts_with("Invalid size.") && bad.ends_with("400"), "{bad}");
}

/// Several URLs on one command line are asked over one connection.
#[test]
fn many_over_one_connection() {
    let server = Server::start(&["--workers", "1"]);
    let urls = ["/bin/1M", "/stream/1", "/bin/none", "/health"].map(|path| server.url(path));
    let mut arguments = vec!["-w", "%{num_connects}\n"];
    for url in &urls {
        arguments.extend(["-o", "/dev/null", url]);
    }
    assert_eq!(curl(&arguments).text(), "1\n0\n0\n0\n");
}

/// Without chunks: the end of the connection is the end of the body.
#[test]
fn http_10_too() {
    let server = Server::start(&["--workers", "1"]);
    for path in ["/bin/1M", "/bin/1M?chunked=1", "/stream/1"] {
        assert_eq!(curl(&["--http1.0", &server.url(path)]).body().len(), 1 << 20, "{path}");
    }
}
