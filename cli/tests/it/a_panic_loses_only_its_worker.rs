//! An app that panics in a request ends its worker: it is replaced, and the connections of the other workers go on.

use crate::apps;
use crate::support::{Client, Server};

#[test]
fn a_panic_loses_only_its_worker() {
    let server = Server::start_command(apps::app("faults").args(["run", "0", "--workers", "2"]));
    let before = server.workers();
    let mut victim = server.connect();
    victim.send("GET / HTTP/1.1\r\nHost: t\r\n\r\n");
    assert_eq!(victim.response().status, 200);
    let worker = server.worker_of(&victim).expect("a worker answered");
    // Clients of the other worker.
    let mut others: Vec<Client> = Vec::new();
    while others.len() < 3 {
        let mut client = server.connect();
        client.send("GET / HTTP/1.1\r\nHost: t\r\n\r\n");
        assert_eq!(client.response().status, 200);
        if server.worker_of(&client) != Some(worker) {
            others.push(client);
        }
    }
    victim.send("GET /panic HTTP/1.1\r\nHost: t\r\n\r\n");
    assert!(victim.try_response("GET").is_err(), "no answer");

    let line = server.wait_log("exited with status 101");
    assert!(line.contains(&format!("(pid {worker})")), "{line}");
    server.wait_replaced(&before);
    assert!(server.log().contains("asked to"), "the panic's message is in the log");
    for client in &mut others {
        client.send("GET / HTTP/1.1\r\nHost: t\r\n\r\n");
        assert_eq!(client.response().status, 200);
    }
}
