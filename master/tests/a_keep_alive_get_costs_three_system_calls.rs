//! One small request on a kept connection costs at most one epoll_wait, one recvfrom and one sendto, and nothing else.

mod support;

use nix::sys::signal::Signal;
use std::process::{Command, Stdio};
use support::{Server, eventually, scratch_folder, send_signal};

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
    let folder = scratch_folder();
    let trace = folder.join("trace");
    let worker = server.workers()[0].to_string();
    let strace = Command::new("strace").args(["-p", &worker, "-o"]).arg(&trace).stderr(Stdio::null()).spawn();
    let Ok(mut strace) = strace else {
        println!("skipped: strace is not installed");
        return;
    };
    let status = || std::fs::read_to_string(format!("/proc/{worker}/status")).unwrap_or_default();
    let attached = eventually("strace is attached or has given up", || {
        let ended = strace.try_wait().expect("strace can be waited for").is_some();
        let is_traced = status().lines().any(|line| line.starts_with("TracerPid:") && !line.ends_with("\t0"));
        (ended || is_traced).then_some(!ended)
    });
    if !attached {
        println!("skipped: strace may not trace here");
        return;
    }
    (0..REQUESTS).for_each(|_| get());
    send_signal(strace.id() as i32, Signal::SIGINT);
    strace.wait().expect("strace ends");
    let calls = std::fs::read_to_string(&trace).expect("a trace");
    std::fs::remove_dir_all(folder).expect("the folder is removed");
    let count = |name: &str| calls.lines().filter(|line| line.starts_with(name)).count();
    // A beat or two beside the requests.
    let allowed = REQUESTS + 20;
    for name in ["epoll_wait(", "recvfrom(", "sendto("] {
        assert!(count(name) <= allowed, "{} calls of {name}) for {REQUESTS} requests", count(name));
    }
    assert!(count("sendto(") >= REQUESTS, "the answers were traced");
    let all = calls.lines().count();
    assert!(all <= 3 * REQUESTS + 60, "{all} calls for {REQUESTS} requests:\n{calls:.4000}");
}
