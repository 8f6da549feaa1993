//! A worker that is killed is named in the log and replaced at once; only the connections that it held are lost.

use crate::support::{Client, Server, eventually, send_signal};
use nix::sys::signal::Signal;

fn killed_worker_is_replaced(accept: &str) {
    let server = Server::start(&["--workers", "3", "--accept", accept]);
    let before = server.workers();
    assert_eq!(before.len(), 3);
    // Keep-alive connections on at least two workers.
    let mut clients: Vec<(Client, i32)> = Vec::new();
    while clients.len() < 6 || clients.iter().all(|(_, worker)| *worker == clients[0].1) {
        let mut client = server.connect();
        client.send("GET /health HTTP/1.1\r\nHost: t\r\n\r\n");
        assert_eq!(client.response().status, 200);
        let worker = server.worker_of(&client).expect("a worker holds the connection it answered on");
        clients.push((client, worker));
        assert!(clients.len() < 200, "one worker accepts all connections");
    }
    let victim = clients[0].1;
    let slot = std::fs::read_to_string(format!("/proc/{victim}/comm")).unwrap().trim().replace("tine: ", "");
    send_signal(victim, Signal::SIGKILL);

    let line = server.wait_log("was killed by");
    assert!(line.contains(&format!("{slot} (pid {victim}) was killed by SIGKILL (9) after ")), "{line}");
    assert!(line.contains(" s, ") && line.contains("replacing it now"), "{line}");
    let new = server.wait_replaced(&before);
    eventually("the new worker is named like the old one", || {
        let name = std::fs::read_to_string(format!("/proc/{new}/comm")).unwrap_or_default();
        (name.trim() == format!("tine: {slot}")).then_some(())
    });
    for (client, worker) in &mut clients {
        if *worker == victim {
            assert!(client.rest().is_ok_and(|rest| rest.is_empty()), "its own connections end");
        } else {
            client.send("GET /health HTTP/1.1\r\nHost: t\r\n\r\n");
            assert_eq!(client.response().status, 200, "the connections of the others go on");
        }
    }
    // The new worker serves; in both modes it gets a share of new connections.
    eventually("the new worker takes a connection", || {
        let mut client = server.connect();
        client.send("GET /health HTTP/1.1\r\nHost: t\r\n\r\n");
        assert_eq!(client.response().status, 200);
        let worker = server.worker_of(&client);
        clients.push((client, 0));
        (worker == Some(new)).then_some(())
    });
    assert_eq!(server.workers().len(), 3);
}

#[test]
fn a_killed_worker_is_replaced_shared() {
    killed_worker_is_replaced("shared");
}

#[test]
fn a_killed_worker_is_replaced_per_worker() {
    killed_worker_is_replaced("per-worker");
}
