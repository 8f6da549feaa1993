//! HUP and `tine ctl reload` read the configuration file again: what can change does, for the workers of the new
//! generation; what cannot is named. A file that is wrong changes nothing.

use crate::support::load::{Habit, Load, Target};
use crate::support::site::Site;
use crate::support::{Server, TINE, eventually};
use nix::sys::signal::Signal;
use std::process::Command;

/// A directory with `tine.toml`, and a server that was started with it.
fn start(text: &str) -> (Site, Server) {
    let site = Site::of(&[("tine.toml", text.as_bytes())]);
    let server = Server::start_command(
        Command::new(TINE).args(["run", "0", "--config", "tine.toml"]).current_dir(site.path("")),
    );
    (site, server)
}

/// The exit status of `tine ctl reload`, and what it said on both streams.
fn reload(server: &Server) -> (Option<i32>, String) {
    let output = server.ctl(&["reload"]);
    let said = [output.stdout, output.stderr].concat();
    (output.status.code(), String::from_utf8_lossy(&said).into_owned())
}

/// The status of a request with three header lines.
fn three_lines(server: &Server) -> u16 {
    let mut client = server.connect();
    client.send("GET /health HTTP/1.1\r\nHost: t\r\nX: y\r\nConnection: close\r\n\r\n");
    client.response().status
}

#[test]
fn a_limit_changes_and_no_request_is_lost() {
    let (site, mut server) = start("workers = 2\n");
    let target = Target::Tcp(server.address());
    let load = Load::start(&target, &[(Habit::KeepAlive, "/health"), (Habit::Close, "/health")]);
    load.wait_answered(20);
    load.expect_drains();
    let before = server.workers();
    site.write("tine.toml", b"workers = 2\nhealth-path = \"/up\"\nidle-timeout = \"1h\"\n");
    assert_eq!(reload(&server).0, Some(0), "{}", server.log());
    server.wait_gone(&before);
    assert_eq!(server.get("/up").status, 200);
    // The same by the signal, for a limit.
    let before = server.workers();
    site.write("tine.toml", b"workers = 2\nheader-count-max = 2\n");
    server.signal(Signal::SIGHUP);
    server.wait_log("reloaded: 2 workers of generation 3");
    server.wait_gone(&before);
    assert_eq!(three_lines(&server), 431);
    load.wait_answered(20);
    load.expect_refusals();
    assert_eq!(server.stop(Signal::SIGTERM).code(), Some(0), "{}", server.log());
    let tally = load.join();
    assert!(tally.failures.is_empty(), "{tally:?}");
    assert!(!server.log().contains("WARN"), "{}", server.log());
}

#[test]
fn the_app_and_its_options_change() {
    let (site, server) = start("workers = 1\nno-faults = true\n");
    assert_eq!(server.get("/fault/reset").status, 404);
    site.write("x.txt", b"of the site");
    site.write("app.lua", b"return function(environ, respond) respond('200 OK', {}) return {'of Lua'} end");
    for (text, path, body) in
        [("static = \".\"", "/static/x.txt", "of the site"), ("app = \"app.lua\"", "/any", "of Lua")]
    {
        // Without an app, the files would be at /.
        let text = format!("{text}\nstatic-url = \"/static\"\n");
        let text = if path == "/any" { text.replace("static-url", "#") } else { text };
        site.write("tine.toml", text.as_bytes());
        assert_eq!(reload(&server).0, Some(0), "{}", server.log());
        eventually("the new workers alone serve", || (server.get(path).text() == body).then_some(()));
    }
}

#[test]
fn the_number_of_workers_changes_unless_it_was_set_by_hand() {
    let (site, server) = start("workers = 1\n");
    let count = |expected: usize| {
        eventually("that number of workers", || (server.workers().len() == expected).then_some(()));
    };
    site.write("tine.toml", b"workers = 3\n");
    assert_eq!(reload(&server).0, Some(0), "{}", server.log());
    count(3);
    site.write("tine.toml", b"workers = 2\n");
    assert_eq!(reload(&server).0, Some(0), "{}", server.log());
    count(2);
    assert_eq!(server.ctl(&["scale", "4"]).status.code(), Some(0));
    site.write("tine.toml", b"workers = 3\n");
    assert_eq!(reload(&server).0, Some(0), "{}", server.log());
    count(4);
}

#[test]
fn a_file_that_is_wrong_changes_nothing() {
    let (site, server) = start("workers = 2\n");
    let before = server.workers();
    for (number, (text, words)) in [
        ("workers = 2\nheader-count-maxx = 1\n", "tine.toml:2: there is no option header-count-maxx"),
        ("header-count-max = 1000\n", "tine.toml:1: header-count-max \"1000\""),
        ("idle-timeout = \"0\"\n", "tine.toml:1: --idle-timeout 0s"),
        ("app = \"docs..app\"\n", "tine.toml:1: \"docs..app\" is not an app"),
        ("header-count-max = \n", "tine.toml:1: "),
    ]
    .into_iter()
    .enumerate()
    {
        site.write("tine.toml", text.as_bytes());
        let (status, said) = reload(&server);
        assert_eq!(status, Some(1), "{text:?}: {said}");
        let outcome = "the previous workers continue to serve";
        assert!(said.contains(words) && said.contains(outcome), "{text:?}: {said}");
        let errors: Vec<String> =
            server.log().lines().filter(|line| line.contains("ERROR")).map(str::to_string).collect();
        assert_eq!(errors.len(), number + 1, "one line each: {errors:?}");
        assert!(errors[number].contains("the reload failed") && errors[number].contains(words), "{errors:?}");
    }
    std::fs::remove_file(site.path("tine.toml")).expect("the file is ours");
    server.signal(Signal::SIGHUP);
    server.wait_log("--config tine.toml: there is no such file; the previous workers continue to serve");
    assert_eq!(server.workers(), before);
    assert_eq!(three_lines(&server), 200);
    // It can be corrected.
    site.write("tine.toml", b"header-count-max = 2\nworkers = 2\n");
    assert_eq!(reload(&server).0, Some(0), "{}", server.log());
    server.wait_gone(&before);
    assert_eq!(three_lines(&server), 431);
}

#[test]
fn what_cannot_change_is_named_in_one_warning() {
    let (site, server) = start("workers = 1\n");
    let warnings = || -> Vec<String> {
        server
            .log()
            .lines()
            .filter(|line| line.contains("WARN") && line.contains("tine.toml"))
            .map(str::to_string)
            .collect()
    };
    for (text, expected) in [
        ("listen = \"127.0.0.1:1\"\nworkers = 1\n", "listen changed in tine.toml and needs a restart or an upgrade"),
        (
            "pidfile = \"pid\"\nuser = \"nobody\"\nworkers = 0\n",
            "pidfile, user, workers changed in tine.toml and need a restart or an upgrade",
        ),
    ] {
        let count = warnings().len();
        site.write("tine.toml", text.as_bytes());
        assert_eq!(reload(&server).0, Some(0), "{}", server.log());
        assert!(warnings().len() == count + 1 && warnings()[count].ends_with(expected), "{:?}", warnings());
    }
    assert!(!site.path("pid").exists());
    eventually("one worker, after the old ones have left", || (server.workers().len() == 1).then_some(()));
    // An option of the command line is not that of the file.
    site.write("tine.toml", b"port = 9\nworkers = 1\n");
    let count = warnings().len();
    assert_eq!(reload(&server).0, Some(0), "{}", server.log());
    assert_eq!(warnings().len(), count, "{:?}", warnings());
}

#[test]
fn a_reload_that_fails_returns_to_the_options_of_before() {
    let (site, server) = start("workers = 2\n");
    site.write("bad.lua", b"error('no database')");
    site.write("tine.toml", b"app = \"bad.lua\"\nworkers = 3\n");
    let (status, said) = reload(&server);
    assert!(status == Some(1) && said.contains("no database"), "{said}");
    eventually("two workers", || (server.workers().len() == 2).then_some(()));
    let before = server.workers();
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(before[0]), Signal::SIGKILL).expect("a worker");
    server.wait_replaced(&before);
    eventually("two workers that serve", || {
        (server.workers().len() == 2 && server.get("/health").status == 200).then_some(())
    });
    let status = server.ctl(&["status", "--json"]);
    assert!(String::from_utf8_lossy(&status.stdout).contains("the built-in test origin"), "{status:?}");
}
