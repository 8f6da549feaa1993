//! A response that the server or its app could not complete is counted as cut and not as answered; one whose client left is
//! neither.

use crate::support::lua;
use crate::support::site::Site;
use crate::support::{Server, eventually, send_signal};
use nix::sys::signal::Signal;
use serde_json::Value;
use std::fs::File;

/// Requests answered, and responses cut.
fn counted(server: &Server) -> (u64, u64) {
    let output = server.ctl(&["status", "--json"]);
    let said: Value = serde_json::from_slice(&output.stdout).expect("one line of JSON");
    let count = |name: &str| said["status"][name].as_u64().expect("a count");
    (count("requests"), count("responses_cut"))
}

#[track_caller]
fn wait_counted(server: &Server, answered: u64, cut: u64) {
    eventually(&format!("{answered} are answered and {cut} cut, not {:?}", counted(server)), || {
        (counted(server) == (answered, cut)).then_some(())
    });
}

#[test]
fn a_file_that_becomes_shorter() {
    let site = Site::of(&[("y", b"y")]);
    // Two of these sizes are queued whole before the first byte is sent, and in parts.
    for mebibytes in [4, 64] {
        site.write_sparse("x", mebibytes);
        let mut server = site.serve(&[]);
        assert_eq!(server.get("/y").text(), "y");
        let mut client = server.connect_narrow();
        client.send("GET /x HTTP/1.1\r\nHost: t\r\n\r\n");
        client.head();
        File::options().write(true).open(site.path("x")).and_then(|file| file.set_len(0)).expect("it is truncated");
        // A reset ends it as well.
        client.read_to_end();
        wait_counted(&server, 1, 1);
        assert_eq!(server.stop(Signal::SIGTERM).code(), Some(0));
        server.wait_log("drained: 1 request answered in all, 1 response cut");
    }
}

#[test]
fn an_app_that_fails_after_its_head() {
    let app = r#"
function app(environ, start_response)
  start_response("200 OK", {{"Content-Length", "10"}})
  return coroutine.wrap(function()
    coroutine.yield("first")
    if environ.PATH_INFO == "/fails" then error("asked to fail") end
    coroutine.yield(" half")
  end)
end
"#;
    let server = lua::serve(app, &[]);
    assert_eq!(server.get("/").text(), "first half");
    let mut client = server.connect();
    client.send("GET /fails HTTP/1.1\r\nHost: t\r\n\r\n");
    client.head();
    let _ = client.rest();
    wait_counted(&server, 1, 1);
}

#[test]
fn a_client_that_reads_nothing_and_one_that_leaves() {
    let server = Server::start(&["--workers", "1", "--write-timeout", "300ms"]);
    assert_eq!(server.get("/health").status, 200);
    let mut silent = server.connect_narrow();
    silent.send("GET /bin/64M HTTP/1.1\r\nHost: t\r\n\r\n");
    wait_counted(&server, 1, 1);
    let mut leaving = server.connect();
    leaving.send("GET /delay/3600000 HTTP/1.1\r\nHost: t\r\n\r\n");
    eventually("the request is in flight", || (server.in_flight() == 1).then_some(()));
    lua::leave(leaving);
    eventually("it has gone", || (server.in_flight() == 0).then_some(()));
    assert_eq!(counted(&server), (1, 1));
}

#[test]
fn a_worker_that_is_killed() {
    let server = Server::start(&["--workers", "1"]);
    let before = server.workers();
    let mut client = server.connect();
    client.send("GET /delay/3600000 HTTP/1.1\r\nHost: t\r\n\r\n");
    eventually("the request is in flight", || (server.in_flight() == 1).then_some(()));
    send_signal(before[0], Signal::SIGKILL);
    server.wait_replaced(&before);
    wait_counted(&server, 0, 1);
}

/// A client that reads slower than it asks: the output is never empty, and each response counts as soon as it is sent.
#[test]
fn responses_are_counted_one_by_one_while_others_are_queued() {
    let server = Server::start(&["--workers", "1", "--write-timeout", "1h"]);
    let mut client = server.connect_narrow();
    client.send("GET /bin/4M HTTP/1.1\r\nHost: t\r\n\r\n".repeat(3));
    for answered in 1..=2 {
        assert_eq!(client.response().body.len(), 4 << 20);
        eventually(&format!("{answered} of 3 are answered"), || (counted(&server).0 >= answered).then_some(()));
        assert!(counted(&server).0 <= answered + 1, "{:?}", counted(&server));
    }
    assert_eq!(client.response().body.len(), 4 << 20);
    wait_counted(&server, 3, 0);
}
