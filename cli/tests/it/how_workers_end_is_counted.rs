//! Workers that end and upgrades are counted by their cause, and by nothing else.

use super::each_metric_moves_by_its_cause::grows_by;
use crate::apps;
use crate::support::admin::{admin_of, samples, workers_of};
use crate::support::{Server, TINE, copy_program, eventually, freeze, lua, scratch_folder, send_signal, write_program};
use nix::sys::signal::Signal;
use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Command;

const REASONS: [&str; 6] = ["status", "signal", "oom", "hung", "boot", "retired"];

fn exits(reason: &str) -> String {
    format!("tine_worker_exits_total{{reason={reason:?}}}")
}

/// One worker ends for this reason, and none for another.
#[track_caller]
fn ends_by(admin: SocketAddr, reason: &str, cause: impl FnOnce()) {
    let others = || {
        let all = samples(admin);
        REASONS.map(|one| if one == reason { 0.0 } else { all[&exits(one)] })
    };
    let before = others();
    grows_by(admin, &exits(reason), 1.0, cause);
    eventually("the next one serves", || (samples(admin)["tine_workers{state=\"ready\"}"] == 1.0).then_some(()));
    assert_eq!(others(), before, "{REASONS:?}");
}

/// A group of processes that may use 96 MiB together, if such can be made here: removed at its end.
struct Group(PathBuf);

impl Group {
    fn new() -> Option<Group> {
        let own = fs::read_to_string("/proc/self/cgroup").ok()?;
        let path_of =
            |begin: &str| own.lines().find_map(|line| line.split_once(begin)).map(|(_, path)| path.to_string());
        // Of version 1 and 2 of control groups (cgroups(7)).
        let (parent, limit) = match path_of(":memory:") {
            Some(path) => (format!("/sys/fs/cgroup/memory{path}"), "memory.limit_in_bytes"),
            None => (format!("/sys/fs/cgroup{}", path_of("0::")?), "memory.max"),
        };
        let group = Group(PathBuf::from(parent).join(format!("tine-test-{}", std::process::id())));
        fs::create_dir(&group.0).ok()?;
        fs::write(group.0.join(limit), (96 << 20).to_string()).ok()?;
        // With swap it would only become slow. Not everywhere is it counted.
        for (name, text) in [("memory.swap.max", "0"), ("memory.memsw.limit_in_bytes", "100663296")] {
            let _ = fs::write(group.0.join(name), text);
        }
        Some(group)
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        // Empty a moment after its last process has been reaped.
        eventually("the group is removed", || fs::remove_dir(&self.0).is_ok().then_some(()));
    }
}

/// A request that gets no response.
fn lost(server: &Server, path: &str) {
    let mut client = server.connect();
    client.send(format!("GET {path} HTTP/1.1\r\nHost: t\r\n\r\n"));
    assert!(client.try_response("GET").is_err(), "no answer");
}

#[test]
fn each_reason_has_its_count() {
    let server = apps::serve("faults", &["--workers", "1", "--admin", "0", "--worker-timeout", "3s"]);
    let admin = admin_of(&server);
    let worker = || workers_of(server.pid())[0];
    ends_by(admin, "signal", || send_signal(worker(), Signal::SIGKILL));
    ends_by(admin, "status", || lost(&server, "/panic"));
    ends_by(admin, "retired", || send_signal(worker(), Signal::SIGTERM));
    ends_by(admin, "hung", || freeze(worker()));
    ends_by(admin, "hung", || lost(&server, "/hang"));
    let of_orders = || REASONS.iter().map(|reason| samples(admin)[&exits(reason)]).sum::<f64>();
    let before = of_orders();
    grows_by(admin, "tine_reloads_total{outcome=\"success\"}", 1.0, || server.signal(Signal::SIGHUP));
    assert_eq!(server.ctl(&["recycle", "0"]).status.code(), Some(0));
    assert_eq!(of_orders(), before, "they were told to");
}

#[test]
fn a_worker_that_the_kernel_killed_for_memory_is_counted_as_that() {
    let Some(group) = Group::new() else {
        eprintln!("not run: no control group with a limit of memory can be made here");
        return;
    };
    // Before the group: it has to be empty then.
    let server = {
        let mut command = Command::new("sh");
        let own = apps::app("faults");
        command.args(["-c", "echo $$ > \"$0\" && exec \"$@\""]).arg(group.0.join("cgroup.procs"));
        command.arg(own.get_program()).args(["run", "0", "--workers", "1", "--admin", "0"]);
        Server::start_command(command.envs(own.get_envs().filter_map(|(name, value)| Some((name, value?)))))
    };
    let admin = admin_of(&server);
    ends_by(admin, "oom", || lost(&server, "/hoard"));
    server.wait_log("the kernel's OOM killer did it");
    ends_by(admin, "signal", || send_signal(workers_of(server.pid())[0], Signal::SIGKILL));
    drop(server);
}

#[test]
fn a_worker_that_does_not_boot_or_ends_by_itself_is_counted() {
    let app = r#"
      if io.open("broken") then error("it is broken") end
      function app(environ, start_response)
        if environ.PATH_INFO == "/exit" then os.exit(3) end
        start_response("200 OK", {})
        return "ok"
      end
    "#;
    let folder = lua::folder_with(&[("app.lua", app)]);
    let server = lua::serve_from(&folder, "app.lua", &["--admin", "0"], &[]);
    let admin = admin_of(&server);
    ends_by(admin, "status", || lost(&server, "/exit"));
    fs::write(folder.join("broken"), "").expect("a file");
    ends_by(admin, "boot", || {
        grows_by(admin, "tine_reloads_total{outcome=\"failure\"}", 1.0, || server.signal(Signal::SIGHUP));
    });
    assert_eq!(samples(admin)["tine_last_reload_success"], 0.0);
    fs::remove_file(folder.join("broken")).expect("the file");
    grows_by(admin, "tine_reloads_total{outcome=\"success\"}", 1.0, || server.signal(Signal::SIGHUP));
    assert_eq!(samples(admin)["tine_last_reload_success"], 1.0);
}

#[test]
fn upgrades_are_counted_by_their_outcome() {
    let program = scratch_folder().join("tine");
    copy_program(TINE, &program);
    let mut command = Command::new(&program);
    let server = Server::start_command(command.args(["run", "0", "--workers", "1", "--admin", "0"]));
    let admin = admin_of(&server);
    let upgrade = |expected: i32| assert_eq!(server.ctl(&["upgrade"]).status.code(), Some(expected));
    let replace = |write: &dyn Fn(&PathBuf)| {
        let beside = program.with_extension("new");
        write(&beside);
        fs::rename(&beside, &program).expect("in its place");
    };
    replace(&|path| write_program(path, b"#!/bin/sh\nexit 7\n"));
    grows_by(admin, "tine_upgrades_total{outcome=\"failure\"}", 1.0, || upgrade(1));
    assert_eq!(samples(admin)["tine_upgrades_total{outcome=\"success\"}"], 0.0);
    replace(&|path| copy_program(TINE, path));
    upgrade(0);
    eventually("the new master says that it is one's successor", || {
        (samples(admin)["tine_upgrades_total{outcome=\"success\"}"] == 1.0).then_some(())
    });
    assert_eq!(server.ctl(&["stop"]).status.code(), Some(0));
}
