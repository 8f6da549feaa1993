//! With room for a single byte of output, the head already fills it: the rest waits, and arrives.

use crate::support::Server;

#[test]
fn the_smallest_watermarks_serve_every_endpoint() {
    let roomy = Server::start(&["--workers", "1"]);
    let narrow = Server::start(&["--workers", "1", "--write-high-watermark", "1", "--write-low-watermark", "1"]);
    for path in [
        "/health",
        "/bin/300K",
        "/bin/300K?chunked=1",
        "/stream/1",
        "/random/300K",
        "/random/300K?length=1",
        "/range/300K",
        "/etag/v1",
        "/headers/100",
        "/cookies/3",
        "/mix?max=1",
    ] {
        let (one, other) = (roomy.get(path), narrow.get(path));
        assert_eq!((one.status, other.status), (200, 200), "{path}");
        assert!(one.body == other.body, "{path}: {} bytes, not {}", other.body.len(), one.body.len());
        assert_eq!(one.trailers, other.trailers, "{path}");
    }
    for range in ["1-", "1-5,270000-,9-9"] {
        let request = format!("GET /range/300K HTTP/1.1\r\nHost: t\r\nRange: bytes={range}\r\n\r\n");
        let [one, other] = [&roomy, &narrow].map(|server| {
            let mut client = server.connect();
            client.send(&request);
            client.response()
        });
        assert!(one.status == 206 && one.body == other.body, "{range}");
    }
    for path in ["/", "/delay/1", "/gzip", "/brotli", "/zstd"] {
        let mut client = narrow.connect();
        client.send(format!("POST {path} HTTP/1.1\r\nHost: t\r\nContent-Length: 100000\r\n\r\n{}", "é".repeat(50_000)));
        let response = client.response();
        assert_eq!(response.status, 200, "{path}");
        let coded = response.header("content-encoding").is_some();
        assert!(coded || response.text().contains(&"é".repeat(50_000)), "{path}");
    }
}
