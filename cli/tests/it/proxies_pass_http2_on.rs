//! With HTTP/2 on both sides of nginx (grpc_pass) and HAProxy (proto h2), clients get what they get from the server: bodies each way, calls of
//! gRPC with their statuses, the errors of streams; and the proxy keeps its connection, after a reload too.

use crate::support::Server;
use crate::support::curl::{Curl, curl};
use crate::support::proxy::{Proxy, ProxyKind};
use crate::support::python::grpcurl;
use nix::sys::signal::Signal;

const OVER_HTTP2: [(ProxyKind, &str); 2] = [
    (ProxyKind::Nginx, include_str!("../clients/nginx_http2.conf")),
    (ProxyKind::HaProxy, include_str!("../clients/haproxy_http2.cfg")),
];

fn ask(proxy: &Proxy, arguments: &[&str]) -> Curl {
    let socket = proxy.socket();
    let through = ["--http2-prior-knowledge", "--unix-socket", socket.to_str().expect("UTF-8")];
    curl(&[&through, arguments].concat())
}

/// The source port of the proxy's connection, from the echo.
fn port(proxy: &Proxy) -> String {
    let echo: serde_json::Value = serde_json::from_slice(&ask(proxy, &["http://t/any"]).body()).expect("JSON");
    echo["source_addr"].as_str().expect("an address").to_string()
}

#[test]
fn bodies_of_both_directions() {
    let server = Server::start(&["--workers", "2"]);
    let file = server.folder().join("body");
    std::fs::write(&file, vec![b'x'; 3 << 20]).expect("a file");
    let file = file.to_str().expect("UTF-8");
    for (kind, configuration) in OVER_HTTP2 {
        let proxy = Proxy::start_with(kind, configuration, &server.address().to_string());
        for path in ["/health", "/bin/3M", "/bin/1M?chunked=1", "/stream/1"] {
            let body = ask(&proxy, &[&format!("http://t{path}")]).body();
            assert!(body == server.get(path).body, "{kind:?} {path}: {} bytes", body.len());
        }
        let answer = ask(&proxy, &["-T", file, "http://t/upload"]).text();
        assert!(answer.contains("\"bytes_received\":3145728"), "{kind:?}: {answer}");
        for fault in ["reset", "reset?after=1000&code=CANCEL", "close?after=5", "te-and-length", "bad-frame?kind=hpack"]
        {
            let got = ask(&proxy, &["-o", "/dev/null", "-w", "%{http_code}", &format!("http://t/fault/{fault}")]);
            // Of a connection that ends by an error, what came before may be all.
            let may_be_whole = fault.starts_with("bad-frame");
            let has_failed = got.status != 0 || got.stdout.starts_with(b"50");
            assert!(has_failed || may_be_whole, "{kind:?} {fault} is a failure");
            let answer = ask(&proxy, &["http://t/own/answer"]).text();
            assert!(answer.contains("\"uri\":\"http://t/own/answer\""), "{kind:?} after {fault}: {answer}");
        }
    }
}

#[test]
fn calls_of_grpc() {
    let server = Server::start(&["--workers", "2"]);
    for (kind, configuration) in OVER_HTTP2 {
        let proxy = Proxy::start_with(kind, configuration, &server.address().to_string());
        let socket = proxy.socket();
        let call = |arguments: &[&str], rest: &[&str]| {
            let to = ["-plaintext", "-unix", "-authority", "t"];
            grpcurl(&[&to, arguments, &[socket.to_str().expect("UTF-8")], rest].concat())
        };
        let (list, _) = call(&[], &["list"]);
        assert!(list.contains("echo.EchoService\n") && list.contains("grpc.health.v1.Health\n"), "{kind:?}: {list}");
        let (echo, _) = call(&["-d", r#"{"message": "hello"}"#], &["echo.EchoService/Echo"]);
        assert!(echo.contains(r#""message": "hello""#), "{kind:?}: {echo}");
        let (stream, _) = call(&["-d", r#"{"message": "a"}{"message": "b"}"#], &["echo.EchoService/StreamEcho"]);
        assert!(stream.contains(r#""message": "a""#) && stream.contains(r#""message": "b""#), "{kind:?}: {stream}");
        let (_, error) = call(&["-d", r#"{"response_code": 5}"#], &["echo.EchoService/Echo"]);
        assert!(error.contains("Code: NotFound") && error.contains("requested error: NotFound"), "{kind:?}: {error}");
    }
}

#[test]
fn over_connections_that_are_kept() {
    let server = Server::start(&["--workers", "1"]);
    for (kind, configuration) in OVER_HTTP2 {
        let proxy = Proxy::start_with(kind, configuration, &server.address().to_string());
        let first = port(&proxy);
        for _ in 0..5 {
            assert_eq!(port(&proxy), first, "{kind:?} keeps its connection");
        }
        // The GOAWAY of the old worker ends it, and costs no request.
        let before = server.workers();
        server.signal(Signal::SIGHUP);
        server.wait_gone(&before);
        assert_ne!(port(&proxy), first, "{kind:?} has another connection");
    }
}
