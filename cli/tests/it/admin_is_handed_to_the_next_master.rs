//! An upgrade hands the address of `--admin` to the next master: no connection to it is refused, and the old process ends.

use crate::support::admin::{admin_of, admin_process, json};
use crate::support::masters::{adopt_orphans, master_of, reap};
use crate::support::{Client, Server, eventually, scratch_folder, send_signal};
use nix::sys::signal::Signal;

#[test]
fn admin_is_handed_to_the_next_master() {
    adopt_orphans();
    let pidfile = scratch_folder().join("pid");
    let server =
        Server::start(&["--workers", "1", "--admin", "0", "--pidfile", pidfile.to_str().expect("a path in UTF-8")]);
    let (admin, process) = (admin_of(&server), admin_process(server.pid()));
    server.signal(Signal::SIGUSR2);
    let old = server.pid();
    let new = eventually("another master serves", || {
        drop(Client::try_connect(admin).expect("a connection to --admin"));
        Some(master_of(&pidfile)).filter(|&pid| pid != old)
    });
    eventually("the new master's is shown", || {
        drop(Client::try_connect(admin).expect("a connection to --admin"));
        let mut client = Client::connect(admin);
        client.send("GET /status.json HTTP/1.1\r\nHost: t\r\nConnection: close\r\n\r\n");
        // The old process may be told to end just now.
        let seen = client.try_response("GET").ok()?;
        let seen: serde_json::Value = serde_json::from_slice(&seen.body).expect("JSON");
        (seen["pid"] == new).then_some(())
    });
    server.wait_gone(&[process]);
    assert_ne!(admin_process(new), process);
    assert_eq!(json(admin)["workers_ready"], 1);
    send_signal(new, Signal::SIGTERM);
    eventually("the new master ends", || reap(new).then_some(()));
    assert!(Client::try_connect(admin).is_err());
}
