//! `/health` and `/help`, with any method and any query.

mod support;

use support::Server;

#[test]
fn health_and_help_are_fixed_texts() {
    let server = Server::start(&["--workers", "1"]);
    let mut client = server.connect();
    for method in ["GET", "POST", "DELETE"] {
        client.send(format!("{method} /health?x=y HTTP/1.1\r\nHost: t\r\n\r\n"));
        let health = client.response();
        assert_eq!((health.status, health.header("content-type")), (200, Some("application/json")));
        assert_eq!(health.text(), "{\"status\":\"ok\"}");
        assert!(health.header("server").is_some_and(|server| server.starts_with("tine/")));
        assert!(
            health.header("date").is_some_and(|date| date.len() == 29 && date.ends_with(" GMT")),
            "{}",
            health.head
        );
    }
    client.send("GET /help HTTP/1.1\r\nHost: t\r\n\r\n");
    let help = client.response();
    assert_eq!((help.status, help.header("content-type")), (200, Some("text/plain; charset=utf-8")));
    let text = help.text();
    assert!(text.starts_with("Available endpoints:\n"));
    for path in ["/", "/health", "/help", "/bin/{size}", "/stream", "/delay/{ms}", "/upload"] {
        assert!(text.lines().any(|line| line.trim_start().starts_with(path)), "{path} is not in {text}");
    }
}
