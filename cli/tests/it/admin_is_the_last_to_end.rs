//! A stop is visible at `--admin` from its order to its end: /readyz fails at once, the drain is shown, and the process ends
//! after the last worker. So is a lame duck.

use crate::support::admin::{admin_of, admin_process, get, json, workers_of};
use crate::support::{Client, Server, busy, eventually, freeze};
use nix::sys::signal::Signal;

#[track_caller]
fn wait_not_ready(server: &Server) {
    let admin = admin_of(server);
    let response = eventually("it is not ready", || {
        let response = get(admin, "/readyz");
        (response.status == 503).then_some(response)
    });
    assert_eq!(response.text(), "the server is stopping\n");
}

#[test]
fn admin_is_the_last_to_end_after_a_drain() {
    let mut server = Server::start(&["--workers", "2", "--admin", "0"]);
    let admin = admin_of(&server);
    let mut client = busy(&server).expect("a connection in use");
    let process = admin_process(server.pid());
    server.signal(Signal::SIGTERM);
    wait_not_ready(&server);
    eventually("one worker is left", || (workers_of(server.pid()).len() == 1).then_some(()));
    let seen = json(admin);
    assert_eq!((seen["state"].as_str(), seen["in_flight"].as_u64()), (Some("draining"), Some(1)));
    assert!(get(admin, "/status").text().contains("draining"));
    client.send("x");
    assert_eq!(client.response().status, 200);
    assert!(server.wait_exit().success());
    server.wait_gone(&[process]);
    assert!(Client::try_connect(admin).is_err(), "nothing listens any more");
}

#[test]
fn admin_shows_a_lame_duck_as_not_ready() {
    let server = Server::start(&["--workers", "1", "--admin", "0", "--drain-delay", "10m"]);
    eventually("it is ready", || (get(admin_of(&server), "/readyz").status == 200).then_some(()));
    server.signal(Signal::SIGTERM);
    wait_not_ready(&server);
    assert_eq!(server.get("/status/204").status, 204, "it serves all the same");
}

#[test]
fn admin_holds_up_no_stop_while_it_is_stopped_itself() {
    for signal in [Signal::SIGTERM, Signal::SIGQUIT] {
        let mut server = Server::start(&["--workers", "1", "--admin", "0"]);
        let process = admin_process(server.pid());
        freeze(process);
        assert!(server.stop(signal).success());
        server.wait_gone(&[process]);
    }
}
