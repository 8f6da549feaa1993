//! `--admin` is served by a process of its own: it answers while all workers are stopped, while one hangs in a request, and
//! while the master is stopped; and it says so.

use crate::support::admin::{admin_of, get, json, workers_of};
use crate::support::{Server, eventually, freeze, send_signal};
use nix::sys::signal::Signal;

#[test]
fn admin_answers_while_all_workers_are_stopped() {
    let server = Server::start(&["--workers", "2", "--admin", "0"]);
    let admin = admin_of(&server);
    eventually("it is ready", || (get(admin, "/readyz").status == 200).then_some(()));
    let workers = workers_of(server.pid());
    assert_eq!(workers.len(), 2);
    workers.iter().for_each(|&pid| freeze(pid));
    // A worker is shown as hung after 3 s without a heartbeat, long before it is replaced.
    let response = eventually("no worker responds", || {
        let response = get(admin, "/readyz");
        (response.status == 503).then_some(response)
    });
    assert_eq!(response.text(), "none of 2 workers responds\n");
    assert_eq!(get(admin, "/livez").status, 200, "the master will replace them");
    for path in ["/status", "/status.json", "/stub_status", "/"] {
        assert_eq!(get(admin, path).status, 200, "{path}");
    }
    let page = get(admin, "/status").text();
    assert!(page.contains("hung for") && page.contains("no worker responds"), "{page}");
    workers.iter().for_each(|&pid| send_signal(pid, Signal::SIGCONT));
    eventually("it is ready again", || (get(admin, "/readyz").status == 200).then_some(()));
}

#[test]
fn admin_shows_a_request_in_which_a_worker_is_while_the_master_is_stopped() {
    let server = Server::start(&["--workers", "1", "--admin", "0"]);
    let admin = admin_of(&server);
    eventually("the worker is known", || (json(admin)["workers_ready"] == 1).then_some(()));
    freeze(server.pid());
    let mut client = server.connect();
    client.send("GET /delay/600000?secret=%00 HTTP/1.1\r\nHost: t\r\n\r\n");
    let seen = eventually("the request is shown", || {
        let seen = json(admin);
        (seen["in_flight"] == 1).then_some(seen)
    });
    let request = &seen["workers"][0]["in_flight_requests"][0];
    assert_eq!(
        (request["method"].as_str(), request["target"].as_str()),
        (Some("GET"), Some("/delay/600000?secret=%00"))
    );
    assert!(get(admin, "/status").text().contains("/delay/600000?secret=%00"));
    eventually("the page says that the master does not respond", || {
        get(admin, "/status").text().contains("The master has not responded for").then_some(())
    });
    assert_eq!(get(admin, "/readyz").status, 200, "its worker serves all the same");
    send_signal(server.pid(), Signal::SIGCONT);
    eventually("the master responds", || (!get(admin, "/status").text().contains("has not responded")).then_some(()));
}

#[test]
fn admin_answers_while_the_server_is_at_its_limits() {
    let options =
        ["--workers", "1", "--admin", "0", "--limit-concurrency", "1", "--limit-wait", "0s", "--max-connections", "2"];
    let server = Server::start(&options);
    let admin = admin_of(&server);
    let mut client = server.connect();
    client.send("GET /delay/600000 HTTP/1.1\r\nHost: t\r\n\r\n");
    eventually("the limit is reached", || (json(admin)["in_flight"] == 1).then_some(()));
    assert_eq!(server.get("/status/200").status, 503, "it is refused");
    let seen = eventually("the refusal is shown", || {
        let page = get(admin, "/status").text();
        page.contains("1 refused (concurrency 1)").then_some(page)
    });
    assert!(seen.contains("1 of 1"), "{seen}");
    for path in ["/metrics", "/readyz"] {
        assert_eq!(get(admin, path).status, 200, "{path}");
    }
}
