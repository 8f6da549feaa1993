//! `--lua-memory-max`: the request that needs more gets a 500; the worker then retires and is replaced at once, however
//! often that happens, and no other request is lost.

use crate::support::Server;
use crate::support::load::{Habit, Load, Target};
use crate::support::lua::serve;
use nix::sys::signal::Signal;

const APP: &str = r#"
    function app(environ, start_response)
      if environ.PATH_INFO == "/hoard" then
        local hoard = {}
        while true do hoard[#hoard + 1] = ("x"):rep(65536) .. #hoard end
      end
      if environ.PATH_INFO == "/sleep" then tine.sleep(0.3) end
      start_response("200 OK", { { "Content-Type", "text/plain" } })
      return { "hello" }
    end
"#;

const MODES: [&str; 2] = ["shared", "per-worker"];

fn start(accept: &str) -> Server {
    serve(APP, &["--lua-memory-max", "20M", "--accept", accept])
}

/// Exhausts the memory of the only worker; returns the pid of its successor.
#[track_caller]
fn exhaust(server: &Server) -> i32 {
    let before = server.workers();
    assert_eq!(server.get("/hoard").status, 500, "{}", server.log());
    server.wait_gone(&before);
    server.wait_log(&format!("worker 0 (pid {}) retires after ", before[0]));
    server.wait_replaced(&before)
}

#[test]
fn the_next_request_is_answered_by_a_new_worker() {
    for accept in MODES {
        let server = start(accept);
        let before = server.workers()[0];
        assert_eq!(server.get("/hoard").status, 500);
        // Waits in the queue for the successor; the old worker accepts no more connections.
        assert_eq!(server.get("/").text(), "hello", "{accept}: {}", server.log());
        server.wait_gone(&[before]);
        let line = server.wait_log(&format!("worker 0 (pid {before}) retires after "));
        assert!(line.contains(" INFO master[") && line.ends_with("; replacing it now"), "{line}");
        let why = server.wait_log("--lua-memory-max");
        assert!(why.contains(&format!(" WARN worker 0[{before}] ")), "{why}");
    }
}

#[test]
fn files_beside_the_app_change_nothing() {
    let server = serve(APP, &["--lua-memory-max", "20M", "--static", "/"]);
    exhaust(&server);
    assert_eq!(server.get("/").text(), "hello", "{}", server.log());
}

#[test]
fn no_other_request_is_lost() {
    for accept in MODES {
        let mut server = start(accept);
        let habits = [
            (Habit::KeepAlive, "/"),
            (Habit::KeepAlive, "/sleep"),
            (Habit::Close, "/"),
            (Habit::Close, "/"),
            (Habit::Close, "/sleep"),
        ];
        let load = Load::start(&Target::Tcp(server.address()), &habits);
        load.expect_drains();
        for _ in 0..3 {
            load.wait_answered(50);
            exhaust(&server);
        }
        load.wait_answered(50);
        load.expect_refusals();
        let status = server.stop(Signal::SIGTERM);
        let tally = load.join();
        assert!(tally.failures.is_empty(), "{accept}: {:#?}", tally.failures);
        assert!(tally.told_to_close > 0, "the load has met the drains");
        assert_eq!(status.code(), Some(0), "{}", server.log());
    }
}

#[test]
fn many_in_a_row_are_replaced_at_once() {
    let server = start("shared");
    let mut seen = server.workers();
    for _ in 0..8 {
        let successor = exhaust(&server);
        assert!(!seen.contains(&successor), "{seen:?}");
        seen.push(successor);
        assert_eq!(server.get("/").text(), "hello");
    }
    let log = server.log();
    assert_eq!(log.matches(" retires after ").count(), 8, "{log}");
    assert!(!log.contains("quick deaths") && !log.contains("exited with"), "a retirement is not a crash: {log}");
}
