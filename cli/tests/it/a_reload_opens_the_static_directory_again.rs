//! A reload follows a deploy that switches the link `current`, with files alone and beside an app; a reload that finds
//! no directory fails, and the old files are served on.

use crate::support::site::Site;
use crate::support::{Server, eventually};
use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

/// Two releases, and the link `current` to the first.
fn deployed() -> Site {
    let site = Site::of(&[("one/x.txt", b"one"), ("two/x.txt", b"two"), ("app/app.lua", APP)]);
    symlink("one", site.path("current")).expect("a link");
    site
}

const APP: &[u8] = b"return function(environ, start_response) start_response('200 OK', {}) return {'app'} end";

/// As a deploy does it: made beside it and renamed over it.
fn switch(site: &Site, to: &str) {
    symlink(to, site.path("next")).expect("a link");
    fs::rename(site.path("next"), site.path("current")).expect("the link is switched");
}

fn start(site: &Site, options: &[&str]) -> Server {
    let current = site.path("current");
    Server::start(&[&["--workers", "2", "--static", current.to_str().expect("UTF-8")], options].concat())
}

#[test]
fn a_switched_link_is_followed() {
    let lua = deployed();
    let app = lua.path("app/app.lua");
    for (options, path) in
        [(&[][..], "/x.txt"), (&["builtin"], "/static/x.txt"), (&[app.to_str().expect("UTF-8")], "/static/x.txt")]
    {
        let site = deployed();
        let server = start(&site, options);
        assert_eq!(server.get(path).text(), "one", "{options:?}");
        switch(&site, "two");
        fs::remove_dir_all(site.path("one")).expect("the old release can go");
        let before = server.workers();
        let reload = server.ctl(&["reload"]);
        assert_eq!(reload.status.code(), Some(0), "{}", server.log());
        server.wait_gone(&before);
        for _ in 0..8 {
            assert_eq!(server.get(path).text(), "two", "{options:?}");
        }
    }
}

#[test]
fn a_reload_that_finds_no_directory_fails() {
    for (options, path) in [(&[][..], "/x.txt"), (&["builtin"], "/static/x.txt")] {
        let site = deployed();
        let server = start(&site, options);
        for (to, wrong) in [("none", "there is no such directory"), ("two/x.txt", "it is not a directory")] {
            switch(&site, to);
            let reload = server.ctl(&["reload"]);
            let said = String::from_utf8_lossy(&reload.stderr);
            assert_eq!(reload.status.code(), Some(1), "{said}");
            let expected = format!("--static {}: {wrong}", site.path("current").display());
            assert!(said.contains(&expected), "{said}");
            assert_eq!(server.get(path).text(), "one", "{options:?}");
        }
        switch(&site, "two");
        let before = server.workers();
        assert_eq!(server.ctl(&["reload"]).status.code(), Some(0), "{}", server.log());
        server.wait_gone(&before);
        assert_eq!(server.get(path).text(), "two", "{options:?}");
    }
}

/// A worker that is replaced before any reload serves the directory that was opened at the start, even if the name is
/// gone.
#[test]
fn a_crash_does_not_open_it_again() {
    let site = deployed();
    let server = start(&site, &[]);
    fs::remove_file(site.path("current")).expect("the link can go");
    let before = server.workers();
    for &pid in &before {
        nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), nix::sys::signal::Signal::SIGKILL).expect("a worker");
    }
    server.wait_gone(&before);
    eventually("two workers", || (server.workers().len() == 2).then_some(()));
    assert_eq!(server.get("/x.txt").text(), "one");
    server.wait_log("serving the directory opened at the start");
    assert!(!Path::new(&site.path("current")).exists());
}
