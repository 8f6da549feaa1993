//! The process of `--admin` is watched like a worker: it is replaced when it dies or hangs, at once and then with back-off. It
//! is none of the workers: neither they nor their numbers change by it.

use crate::support::admin::{admin_of, admin_process, get, json, try_admin_process, workers_of};
use crate::support::{Server, eventually, freeze, send_signal};
use nix::sys::signal::Signal;

#[track_caller]
fn wait_other(server: &Server, before: i32) -> i32 {
    eventually("another process serves --admin", || try_admin_process(server.pid()).filter(|&pid| pid != before))
}

#[test]
fn the_process_of_admin_is_replaced_after_kill_9() {
    let server = Server::start(&["--workers", "2", "--admin", "0"]);
    let (admin, first) = (admin_of(&server), admin_process(server.pid()));
    eventually("it has a sample", || get(admin, "/status").text().contains("class=\"line\" d=\"M").then_some(()));
    let workers = workers_of(server.pid());
    send_signal(first, Signal::SIGKILL);
    let second = wait_other(&server, first);
    server.wait_log(&format!("the process of --admin (pid {first}) was killed by SIGKILL"));
    // What it has sampled is in memory that outlives it.
    assert!(get(admin, "/status").text().contains("class=\"line\" d=\"M"));
    let seen = eventually("the death is an event", || {
        let seen = json(admin);
        seen["events"].to_string().contains("the process of --admin").then_some(seen)
    });
    assert_eq!((seen["last_cause"].as_str(), seen["workers_ready"].as_u64()), (None, Some(2)));
    assert_eq!((seen["requests"].as_u64(), seen["accepted"].as_u64()), (Some(0), Some(0)), "its own do not count");
    assert_eq!(workers_of(server.pid()), workers);
    send_signal(second, Signal::SIGKILL);
    wait_other(&server, second);
    server.wait_log("replacing it in 0.");
}

#[test]
fn the_process_of_admin_is_replaced_when_it_hangs() {
    let server = Server::start(&["--workers", "1", "--admin", "0", "--worker-timeout", "3s"]);
    let (admin, first) = (admin_of(&server), admin_process(server.pid()));
    eventually("it answers", || (get(admin, "/readyz").status == 200).then_some(()));
    freeze(first);
    let second = wait_other(&server, first);
    server.wait_log(&format!("the process of --admin (pid {first}) does not respond"));
    assert_eq!((get(admin, "/readyz").status, admin_process(server.pid())), (200, second));
}

#[test]
fn the_process_of_admin_stays_over_a_reload() {
    let server = Server::start(&["--workers", "1", "--admin", "0"]);
    let (admin, first) = (admin_of(&server), admin_process(server.pid()));
    server.signal(Signal::SIGHUP);
    eventually("the reload is shown", || (json(admin)["generation"] == 2).then_some(()));
    assert_eq!(admin_process(server.pid()), first);
}

#[test]
fn the_process_of_admin_does_not_outlive_its_master() {
    let server = Server::start(&["--workers", "1", "--admin", "0"]);
    let process = admin_process(server.pid());
    eventually("it answers", || (get(admin_of(&server), "/readyz").status == 200).then_some(()));
    server.signal(Signal::SIGKILL);
    server.wait_gone(&[process]);
}
