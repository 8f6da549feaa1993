//! `/health` answers the same with any method and any query.

use crate::support::Server;

#[test]
fn health_is_a_fixed_text() {
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
}
