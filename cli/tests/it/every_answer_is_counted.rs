//! The master's last log line counts every request that was answered, however its connection went on or ended.

use crate::support::Server;
use nix::sys::signal::Signal;

#[test]
fn every_answer_is_counted() {
    let mut server = Server::start(&["--workers", "2"]);
    let get = "GET /health HTTP/1.1\r\nHost: t\r\n\r\n";
    let mut client = server.connect();
    client.send(get.repeat(3)); // kept
    (0..3).for_each(|_| assert_eq!(client.response().status, 200));
    assert_eq!(server.get("/health").status, 200); // closed
    for (request, status) in [
        ("GET / HTTP/1.1\r\n\r\n".to_string(), 400), // refused, lingering
        (format!("{get}GET nowhere HTTP/1.1\r\nHost: t\r\n\r\n"), 200), // answered, then refused
        ("POST /bin/1K HTTP/1.0\r\nContent-Length: 3\r\n\r\nabc".to_string(), 200), // an exchange
        ("POST /health HTTP/1.1\r\nHost: t\r\nContent-Length: 9000000\r\n\r\n".into(), 200), // answered early
    ] {
        let mut client = server.connect();
        client.send(request);
        assert_eq!(client.response().status, status);
        let _ = client.rest(); // whichever end it has
    }
    server.stop(Signal::SIGTERM);
    server.wait_log("drained: 9 requests answered in all");
}
