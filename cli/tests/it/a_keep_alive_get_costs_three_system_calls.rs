//! One small request on a keep-alive connection costs at most one epoll_wait, one recvfrom and one sendto, and nothing
//! else.

use crate::support::{Server, Trace};

const REQUESTS: usize = 300;

#[test]
fn a_keep_alive_get_costs_three_system_calls() {
    let server = Server::start(&["--workers", "1"]);
    let mut client = server.connect();
    let mut get = || {
        client.send("GET /health HTTP/1.1\r\nHost: t\r\n\r\n");
        assert_eq!(client.response().status, 200);
    };
    get();
    let Some(trace) = Trace::begin(server.workers()[0]) else { return };
    (0..REQUESTS).for_each(|_| get());
    let calls = trace.end();
    let count = |name: &str| calls.lines().filter(|line| line.starts_with(name)).count();
    // Allows for a heartbeat or two beside the requests.
    let allowed = REQUESTS + 20;
    for name in ["epoll_wait(", "recvfrom(", "sendto("] {
        assert!(count(name) <= allowed, "{} calls of {name}) for {REQUESTS} requests", count(name));
    }
    assert!(count("sendto(") >= REQUESTS, "the answers were traced");
    let all = calls.lines().count();
    assert!(all <= 3 * REQUESTS + 60, "{all} calls for {REQUESTS} requests:\n{calls:.4000}");
}
