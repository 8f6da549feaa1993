//! `tine ctl status` reports the generation that serves, also after a failed reload; when the last worker died; names
//! as the locale can show them.

use crate::support::site::Site;
use crate::support::{Server, TINE, eventually, scratch_folder, send_signal};
use nix::sys::signal::Signal;
use std::fs;
use std::process::Command;

fn status(server: &Server) -> String {
    String::from_utf8(server.ctl(&["status"]).stdout).expect("UTF-8")
}

#[test]
fn a_failed_reload_leaves_the_generation_that_serves() {
    let app = scratch_folder().join("app.lua");
    let good = "return function(e, s) s('200 OK', {}) return { 'ok' } end";
    fs::write(&app, good).expect("an app");
    let server = Server::start(&[app.to_str().expect("UTF-8"), "--workers", "2"]);
    assert!(status(&server).contains("serving, generation 1\n"), "{}", status(&server));
    fs::write(&app, "error('broken')").expect("an app");
    assert_eq!(server.ctl(&["reload"]).status.code(), Some(1));
    assert!(status(&server).contains("serving, generation 1\n"), "{}", status(&server));
    fs::write(&app, good).expect("an app");
    let before = server.workers();
    assert_eq!(server.ctl(&["reload"]).status.code(), Some(0));
    server.wait_gone(&before);
    assert!(status(&server).contains("serving, generation 3\n"), "{}", status(&server));
    // One of two workers is replaced, then the app breaks.
    let once = format!(
        "local f = io.open('{0}') if f then error('broken') end io.open('{0}', 'w'):close() {good}",
        app.with_extension("built").display()
    );
    fs::write(&app, once).expect("an app");
    assert_eq!(server.ctl(&["reload"]).status.code(), Some(1));
    eventually("both generations", || status(&server).contains("serving, generations 3, 4\n").then_some(()));
}

#[test]
fn the_last_death_has_a_time() {
    let server = Server::start(&["--workers", "2"]);
    assert!(!status(&server).contains("last death"));
    let before = server.workers();
    send_signal(before[0], Signal::SIGKILL);
    server.wait_replaced(&before);
    let text = status(&server);
    let line = text.lines().find(|line| line.contains("last death")).expect("it died");
    let words: Vec<&str> = line.split_whitespace().collect();
    assert_eq!(words[..2], ["last", "death"]);
    assert!(words[2].ends_with('s') && words[3] == "ago:" && words[4] == "worker", "{line}");
}

#[test]
fn names_are_shown_as_the_locale_can() {
    let site = Site::of(&[("caf\u{e9}/x", b"x")]);
    let root = site.path("caf\u{e9}");
    let server = Server::start(&["--workers", "1", "--static", root.to_str().expect("UTF-8")]);
    for (locale, shown) in [("C.UTF-8", "caf\u{e9}"), ("de_DE.utf8", "caf\u{e9}"), ("C", "caf?"), ("", "caf?")] {
        let mut command = Command::new(TINE);
        let port = server.address().port().to_string();
        command.args(["ctl", "status", "--control", &port]).env("XDG_RUNTIME_DIR", server.folder());
        command.env_remove("LC_CTYPE").env_remove("LANG").env("LC_ALL", locale);
        let output = command.output().expect("tine runs");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let text = String::from_utf8(output.stdout).expect("UTF-8");
        let first = text.lines().next().expect("a line");
        assert!(first.ends_with(&format!("/{shown}")) || text.contains(shown), "{locale:?}: {text}");
        assert_eq!(text.is_ascii(), !shown.contains('\u{e9}'), "{locale:?}: {text}");
    }
}

#[test]
fn one_is_singular() {
    let mut server = Server::start(&["--workers", "1"]);
    assert_eq!(server.get("/health").status, 200);
    let client = server.connect();
    eventually("its connection", || server.worker_of(&client));
    let (text, asked) = (status(&server), server.ctl(&["scale", "1"]));
    assert!(text.contains("0 connections with 503"), "{text}");
    assert!(String::from_utf8_lossy(&asked.stdout).contains("1 worker is ready"), "{asked:?}");
    server.stop(Signal::SIGTERM);
    assert!(server.log().contains("draining 1 connection, 0 requests in flight"), "{}", server.log());
    assert!(server.log().contains("drained: 1 request answered in all"), "{}", server.log());
}

#[test]
fn a_quit_warns_of_no_worker_that_it_kills() {
    let mut server = Server::start(&["--workers", "4"]);
    server.stop(Signal::SIGQUIT);
    assert!(!server.log().contains(" WARN "), "{}", server.log());
}
