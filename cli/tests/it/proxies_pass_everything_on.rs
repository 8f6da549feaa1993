//! Behind nginx and HAProxy a client gets the same answers as from the server itself, and the proxy keeps its
//! connection to the server.

use crate::support::curl::curl;
use crate::support::proxy::{Proxy, ProxyKind};
use crate::support::{Client, Response, Server};

fn ask(client: &mut Client, request: &str) -> Response {
    client.send(request);
    client.response_to(request.split(' ').next().expect("a method"))
}

/// The source port of the proxy, from the echo.
fn port(client: &mut Client) -> String {
    let echo = ask(client, "GET / HTTP/1.1\r\nHost: t\r\n\r\n");
    let echo: serde_json::Value = serde_json::from_slice(&echo.body).expect("the echo is JSON");
    echo["source_addr"].as_str().expect("an address").to_string()
}

#[test]
fn bodies_of_both_directions() {
    let server = Server::start(&["--workers", "2"]);
    for kind in ProxyKind::ALL {
        let proxy = Proxy::start(kind, &server);
        let mut client = proxy.connect();
        for path in ["/health", "/help", "/bin/3M", "/bin/3M?chunked=1", "/stream/2", "/bin/none", "/delay/1"] {
            let direct = server.get(path);
            let passed = ask(&mut client, &format!("GET {path} HTTP/1.1\r\nHost: t\r\n\r\n"));
            assert_eq!(passed.status, direct.status, "{kind:?} {path}");
            assert_eq!(passed.header("content-type"), direct.header("content-type"), "{kind:?} {path}");
            // The echo differs in the addresses, and in what the proxy adds to the request.
            let is_same = passed.body == direct.body || path == "/delay/1";
            assert!(is_same, "{kind:?} {path}: {} bytes instead of {}", passed.body.len(), direct.body.len());
        }
        let socket = proxy.socket();
        let through = ["--unix-socket", socket.to_str().expect("UTF-8"), "http://t/upload", "-T"];
        let file = server.folder().join("body");
        std::fs::write(&file, vec![b'x'; 5 << 20]).expect("a file");
        let file = file.to_str().expect("UTF-8");
        for framing in [&[file][..], &[file, "-H", "Transfer-Encoding: chunked"], &[file, "-H", "Expect: 100-continue"]]
        {
            let answer = curl(&[&through, framing].concat()).text();
            assert!(answer.contains("\"bytes_received\":5242880"), "{kind:?} {framing:?}: {answer}");
        }
    }
}

#[test]
fn over_connections_that_are_kept() {
    let server = Server::start(&["--workers", "1"]);
    for kind in ProxyKind::ALL {
        let proxy = Proxy::start(kind, &server);
        let mut client = proxy.connect();
        let first = port(&mut client);
        for _ in 0..20 {
            assert_eq!(port(&mut client), first, "{kind:?} keeps its connection");
        }
    }
}
