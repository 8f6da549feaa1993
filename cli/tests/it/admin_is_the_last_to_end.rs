//! A stop is visible at `--admin` from its order to its end: /readyz fails at once, the drain is shown, and the process ends
//! after the last worker. So is a lame duck.

use crate::support::admin::{admin_of, admin_process, get, json, workers_of};
use crate::support::{Client, Server, busy, eventually, freeze, send_signal};
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;

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
fn admin_shows_the_drain_although_the_whole_group_gets_the_order() {
    let mut server = Server::start(&["--workers", "2", "--admin", "0"]);
    let (admin, process) = (admin_of(&server), admin_process(server.pid()));
    let mut client = busy(&server).expect("a connection in use");
    // As timeout(1) and a service manager do it; before the master has its own, or after.
    send_signal(process, Signal::SIGTERM);
    killpg(Pid::from_raw(server.pid()), Signal::SIGTERM).expect("the group is there");
    // Workers that have theirs before the master leave by themselves: for a moment no worker is ready, which is said first.
    eventually("the server is stopping", || (get(admin, "/readyz").text() == "the server is stopping\n").then_some(()));
    eventually("one worker is left", || (workers_of(server.pid()).len() == 1).then_some(()));
    assert_eq!(json(admin)["state"].as_str(), Some("draining"));
    client.send("x");
    assert_eq!(client.response().status, 200);
    assert!(server.wait_exit().success());
    server.wait_gone(&[process]);
    assert!(!server.log().contains("the process of --admin"), "{}", server.log());
}

#[test]
fn admin_that_dies_in_a_drain_is_not_replaced() {
    let mut server = Server::start(&["--workers", "1", "--admin", "0"]);
    let process = admin_process(server.pid());
    let mut client = busy(&server).expect("a connection in use");
    server.signal(Signal::SIGTERM);
    wait_not_ready(&server);
    send_signal(process, Signal::SIGKILL);
    server.wait_log("the server is stopping, and it is not replaced");
    client.send("x");
    assert_eq!(client.response().status, 200);
    assert!(server.wait_exit().success());
}

#[test]
fn the_address_is_free_as_soon_as_ctl_stop_has_returned() {
    let port = "127.88.3.4:0";
    let mut server = Server::start(&["--workers", "2", "--admin", port]);
    let admin = admin_of(&server).to_string();
    for _ in 0..3 {
        let mut client = busy(&server).expect("a connection in use");
        let seen = get(admin_of(&server), "/readyz");
        assert_eq!(seen.status, 200);
        client.send("x");
        assert_eq!(client.response().status, 200);
        assert_eq!(server.ctl(&["stop"]).status.code(), Some(0));
        // At once, and it is not refused.
        server = Server::start(&["--workers", "2", "--admin", &admin]);
    }
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
