//! HEAD is answered with the head of GET, and without a body, at every endpoint.

use crate::support::{Response, Server};

/// The head without its date.
fn dateless(response: &Response) -> String {
    response.head.lines().filter(|line| !line.starts_with("Date: ")).collect::<Vec<_>>().join("\n")
}

#[test]
fn head_is_answered_like_get_without_a_body() {
    let server = Server::start(&["--workers", "1"]);
    for path in [
        "/health",
        "/help",
        "/bin/100",
        "/bin/1M",
        "/bin/10?chunked=1",
        "/random/100",
        "/random/1M?seed=5&length=1",
        "/random/",
        "/bin/",
        "/bin/bad",
        "/stream/1",
        "/stream",
        "/delay/0",
        "/mix?max=2",
        "/range/1M",
        "/range/0",
        "/etag/v1",
        "/etag/",
        "/headers/20?size=200",
        "/headers/",
        "/cookies/5",
        "/redirect/3",
        "/redirect/x",
        "/ip",
        "/uuid",
        "/mix",
        "/delay/x",
        "/chunked/3",
        "/chunked/x",
        "/status/404",
        "/status/204",
        "/status/x",
        "/nousage",
        "/nousage/empty",
        "/sse?count=1",
        "/trickle/1",
        "/",
        "/unknown?x=y",
        "/upload",
        "/delay/1",
    ] {
        let mut client = server.connect();
        client.send(format!("GET {path} HTTP/1.1\r\nHost: t\r\n\r\nHEAD {path} HTTP/1.1\r\nHost: t\r\n\r\n"));
        client.send("GET /health HTTP/1.1\r\nHost: t\r\n\r\n");
        let get = client.response();
        let head = client.response_to("HEAD");
        assert_eq!(client.response().text(), "{\"status\":\"ok\"}", "{path}");
        let mut expected = dateless(&get);
        if get.text().contains("\"method\":\"GET\"") {
            // The echoed method is one letter longer.
            let length = get.body.len();
            expected =
                expected.replace(&format!("Content-Length: {length}"), &format!("Content-Length: {}", length + 1));
        }
        assert_eq!(dateless(&head), expected, "{path}");
    }
}

/// The body of GET is not made for HEAD: it would take minutes.
#[test]
fn head_of_a_huge_answer_is_immediate() {
    let server = Server::start(&["--workers", "1"]);
    let mut client = server.connect();
    for path in [
        "/bin/8388607T",
        "/bin/8388607T?chunked=1",
        "/random/8388607T",
        "/stream/1000",
        "/chunked/9999999",
        "/sse",
        "/trickle/1G",
    ] {
        client.send(format!("HEAD {path} HTTP/1.1\r\nHost: t\r\n\r\n"));
        assert_eq!(client.response_to("HEAD").status, 200);
        client.send("GET /health HTTP/1.1\r\nHost: t\r\n\r\n");
        assert_eq!(client.response().text(), "{\"status\":\"ok\"}", "after {path}");
    }
}
