//! curl as a user types it, endpoint by endpoint: what it gets, and that it does not complain about the framing.

use crate::support::Server;
use crate::support::curl::curl;

/// What curl should get.
enum Is {
    Text(&'static str),
    Bytes(usize),
}
use Is::{Bytes, Text};

#[rustfmt::skip] // a table
const ENDPOINTS: &[(&str, &[&str], u16, Is)] = &[
    ("/", &[], 200, Text("\"method\":\"GET\"")),
    ("/any/path?a=b", &["-d", "sent"], 200, Text("\"body\":\"sent\"")),
    ("/anything/else", &[], 200, Text("/anything/else\"")),
    ("/health", &[], 200, Text("{\"status\":\"ok\"}")),
    ("/help", &[], 200, Text("Available endpoints:\n")),
    ("/delay/1", &[], 200, Text("\"duration_ms\":")),
    ("/mix?p50=1&p99=2&max=3", &[], 200, Text("ms")),
    ("/nousage", &[], 200, Text("\"usage\":{}")),
    ("/status/418", &[], 418, Text("\"status_code\":418")),
    ("/status/103", &[], 200, Text("\"status_code\":103")),
    ("/upload", &["-d", "hello"], 200, Text("\"bytes_received\":5")),
    ("/bin/10M", &[], 200, Bytes(10 << 20)),
    ("/bin/10M?chunked=1", &[], 200, Bytes(10 << 20)),
    ("/chunked/20?size=100&delay=1", &[], 200, Bytes(2000)),
    ("/random/100K?seed=1", &[], 200, Bytes(100 << 10)),
    ("/stream/3", &[], 200, Bytes(3 << 20)),
    ("/sse?count=3&every=1", &["-N"], 200, Text("id: 3\ndata: ")),
    ("/trickle/20?every=1", &["-N"], 200, Bytes(20)),
    ("/range/1M", &["-r", "100-199"], 206, Bytes(100)),
    ("/etag/v1", &["-H", "If-None-Match: \"v1\""], 304, Bytes(0)),
    ("/gzip", &["--compressed"], 200, Text("\"gzipped\":true")),
    ("/brotli", &["-H", "Accept-Encoding: identity"], 200, Text("\"brotli\":false")),
    ("/zstd", &["-H", "Accept-Encoding: identity"], 200, Text("\"zstd\":false")),
    ("/headers/50?size=100", &[], 200, Text("\"headers\":50")),
    ("/cookies/3", &["-b", "a=b"], 200, Text("\"a\":\"b\"")),
    ("/redirect/5", &["-L"], 200, Text("/anything\"")),
    ("/redirect/5?absolute=1", &["-L", "--post302", "-d", "sent"], 200, Text("\"body\":\"sent\"")),
    ("/ip", &[], 200, Text("127.0.0.1")),
    ("/uuid", &[], 200, Text("-4")),
    ("/ws", &[], 400, Text("Not a websocket handshake")),
    ("/ws/close", &[], 400, Text("Not a websocket handshake")),
    ("/ws/ticker", &[], 400, Text("Not a websocket handshake")),
];

#[test]
fn curl_does_not_complain() {
    let server = Server::start(&["--workers", "1"]);
    let versions = ["--http1.1", "--http2-prior-knowledge"];
    for (version, (path, options, status, is)) in
        versions.into_iter().flat_map(|v| ENDPOINTS.iter().map(move |e| (v, e)))
    {
        // curl 7.88 cannot use a connection again that began with HTTP/2 (its bug 10634, mended in 8.0).
        if version == "--http2-prior-knowledge" && options.contains(&"-L") {
            continue;
        }
        let got = curl(&[&[version], &options[..], &["-w", "%{http_code}", &server.url(path)]].concat()).body();
        let (body, code) = got.split_at(got.len() - 3);
        let text = String::from_utf8_lossy(&body[..body.len().min(2000)]);
        assert_eq!(code, status.to_string().as_bytes(), "{path}: {text}");
        match is {
            Text(part) => assert!(text.contains(part), "{path}: {text}"),
            Bytes(bytes) => assert_eq!(body.len(), *bytes, "{path}"),
        }
    }
}

/// Each endpoint that /help lists is in the table above; the faults have a test of their own.
#[test]
fn none_is_left_out() {
    let server = Server::start(&["--workers", "1"]);
    let help = curl(&[&server.url("/help")]).text();
    let listed: Vec<&str> = help.lines().filter_map(|line| line.strip_prefix("  /")).collect();
    assert!(listed.len() > 20, "{help}");
    for line in listed.into_iter().filter(|line| !line.starts_with("fault/")) {
        let path = line.split(['{', '[', '?', ' ']).next().unwrap_or_default();
        let is_asked =
            ENDPOINTS.iter().any(|(asked, ..)| asked[1..].starts_with(path) && (asked.len() > 1 || path.is_empty()));
        assert!(is_asked, "/{path} is not requested");
    }
}

#[test]
fn what_it_uploads_is_counted() {
    let server = Server::start(&["--workers", "1"]);
    let upload = curl(&["-T", env!("CARGO_BIN_EXE_tine"), &server.url("/upload")]).text();
    let size = std::fs::metadata(env!("CARGO_BIN_EXE_tine")).expect("the binary").len();
    assert!(upload.contains(&format!("\"bytes_received\":{size}")), "{upload}");
}

/// What curl keeps in files: cookies, entity tags, and the part of a download that it already has.
#[test]
fn what_it_keeps_between_requests() {
    let server = Server::start(&["--workers", "1"]);
    let file = |name: &str| server.folder().join(name).to_str().expect("UTF-8").to_string();
    let (jar, tag, part) = (file("cookies"), file("tag"), file("part"));
    curl(&["-c", &jar, &server.url("/cookies/2")]).body();
    let told = curl(&["-b", &jar, &server.url("/cookies/0")]).text();
    assert!(told.contains("\"cookie-1\":\"value-1\",\"cookie-2\":\"value-2\""), "{told}");
    curl(&["--etag-save", &tag, &server.url("/etag/v1")]).body();
    let again = |path: &str| curl(&["--etag-compare", &tag, "-w", "%{http_code}", &server.url(path)]).text();
    assert_eq!(again("/etag/v1"), "304");
    assert!(again("/etag/v2").ends_with("200"));
    let whole = curl(&[&server.url("/bin/1M")]).body();
    std::fs::write(&part, &whole[..300_000]).expect("a part");
    curl(&["-C", "-", "-o", &part, &server.url("/range/1M")]).body();
    assert!(std::fs::read(&part).expect("the whole") == whole, "the rest begins where the part ended");
}

/// The trailer fields that curl appends to the header fields, and the digest as computed by sha256sum.
#[test]
fn trailers_have_the_digest_of_the_body() {
    let server = Server::start(&["--workers", "1"]);
    let file = |name: &str| server.folder().join(name).to_str().expect("UTF-8").to_string();
    let (head, body) = (file("head"), file("body"));
    curl(&["-D", &head, "-o", &body, &server.url("/random/3M?seed=7")]).body();
    let head = std::fs::read_to_string(&head).expect("the head");
    let told = head.lines().find_map(|line| line.strip_prefix("X-SHA256: ")).unwrap_or_else(|| panic!("{head}"));
    let output = std::process::Command::new("sha256sum").arg(&body).output().expect("sha256sum runs");
    assert_eq!(Some(told), String::from_utf8_lossy(&output.stdout).split(' ').next());
}

/// `-I` sends HEAD, and `-f` turns an error status into curl's own exit status.
#[test]
fn heads_and_errors() {
    let server = Server::start(&["--workers", "1"]);
    let head = curl(&["-I", &server.url("/bin/10G")]).text();
    assert!(head.starts_with("HTTP/1.1 200 OK\r\n") && head.contains("Content-Length: 10737418240\r\n"), "{head}");
    assert_eq!(curl(&["-f", &server.url("/bin/none")]).status, 22);
    let bad = curl(&["-w", "%{http_code}", &server.url("/bin/none")]).text();
    assert!(bad.starts_with("Invalid size.") && bad.ends_with("400"), "{bad}");
}

/// Several URLs on one command line go over one connection.
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
