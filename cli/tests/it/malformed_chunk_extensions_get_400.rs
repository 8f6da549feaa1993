//! Chunk extensions are parsed as in RFC 9112, 7.1.1: names and values that are ambiguous are refused.

use crate::support::Server;

fn upload(line: &str) -> String {
    format!("POST /upload HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\n\r\n{line}\r\nhello\r\n0\r\n\r\n")
}

#[test]
fn malformed_chunk_extensions_get_400() {
    let server = Server::start(&["--workers", "1"]);
    for line in
        ["5;", "5; ", "5;;a", "5;a[", "5;a=", "5;a=\"x", "5;a=\"x\"y", "5;a=\"x\\\"", "5;a ", "5;=x", "5;\u{e9}"]
    {
        for is_slow in [false, true] {
            let mut client = server.connect();
            let request = upload(line);
            if is_slow {
                // The line is refused when it is complete; what follows it is not sent.
                let (start, end) = (request.find(line).expect("the line"), request.find("hello").expect("the data"));
                client.send(&request[..start]);
                request[start..end].bytes().for_each(|byte| client.send([byte]));
            } else {
                client.send(request);
            }
            let response = client.response();
            assert_eq!((response.status, response.header("connection")), (400, Some("close")), "{line:?}");
            assert!(response.text().contains("chunk"), "{line:?}: {}", response.text());
            client.expect_end();
        }
    }
}

#[test]
fn valid_ones_are_ignored() {
    let server = Server::start(&["--workers", "1"]);
    let mut client = server.connect();
    for line in ["5;a", "5;a=b", "5 ; a = \"b;\\\"c\" ;d", "5\t;\ta", "5;a=\"\"", "5;a=\"\u{e9}\""] {
        client.send(upload(line));
        let response = client.response();
        assert!(response.status == 200 && response.text().contains("\"bytes_received\":5"), "{line:?}: {response:?}");
    }
}
