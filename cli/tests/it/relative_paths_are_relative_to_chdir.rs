//! `--chdir`: the app, its directories, the files to serve, the pidfile, Unix sockets and the log file are relative to
//! it.

use crate::support::{Client, Server, TINE, eventually, lua, one_line_of, run_to_end, run_to_end_with};
use nix::sys::signal::Signal;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;

const APP: &str = "local said = require('said')
    return function(environ, start_response) start_response('200 OK', {}) return { said } end";

#[test]
fn every_relative_path() {
    let files = [
        ("site/app.lua", APP),
        ("site/lib/said.lua", "return 'hello'"),
        ("site/public/a.txt", "a file"),
        // What would be found without --chdir.
        ("app.lua", "error('the wrong one')"),
        ("lib/said.lua", "return 'the wrong one'"),
        ("public/a.txt", "the wrong one"),
    ];
    let folder = lua::folder_with(&files);
    let site = folder.join("site");
    let options = ["--chdir", "site", "--app-dir", "lib", "--static", "public", "--static-url", "/files"];
    let places = ["--pidfile", "pid", "--listen", "unix:socket", "--log-file", "log"];
    let mut command = Command::new(TINE);
    command.current_dir(&folder).args(["run", "app.lua", "0", "--workers", "1"]).args(options).args(places);
    let mut server = Server::start_command(&mut command);
    assert_eq!(server.get("/").text(), "hello");
    assert_eq!(server.get("/files/a.txt").text(), "a file");
    assert_eq!(fs::read_to_string(site.join("pid")).expect("the pidfile"), format!("{}\n", server.pid()));
    assert!(Client::try_connect_unix(&site.join("socket")).is_ok());
    assert!(site.join("log").exists());
    assert_eq!(server.stop(Signal::SIGTERM).code(), Some(0));
    assert!(!site.join("socket").exists() && !site.join("pid").exists());
    fs::remove_dir_all(folder).expect("the folder");
}

#[test]
fn a_reload_follows_a_link() {
    let app = |said: &str| format!("return function(_, start) start('200 OK', {{}}) return {{ '{said}' }} end");
    let (one, two) = (app("one"), app("two"));
    let folder = lua::folder_with(&[("1/app.lua", &one), ("2/app.lua", &two)]);
    let current = folder.join("current");
    symlink("1", &current).expect("a link");
    let chdir = current.to_str().expect("UTF-8");
    let server = lua::serve_from(Path::new("/"), "app.lua", &["--chdir", chdir], &[]);
    assert_eq!(server.get("/").text(), "one");
    fs::remove_file(&current).and_then(|()| symlink("2", &current)).expect("another link");
    server.signal(Signal::SIGHUP);
    eventually("the other one answers", || (server.get("/").text() == "two").then_some(()));
    drop(server);
    fs::remove_dir_all(folder).expect("the folder");
}

#[test]
fn a_missing_directory_is_reported() {
    for arguments in [&["--chdir", "/no/such/folder"][..], &["--chdir", "/etc/passwd"]] {
        for command in ["run", "check"] {
            let output = run_to_end(&[&[command, "0"], arguments].concat());
            let line = one_line_of(&output);
            assert_eq!(output.status.code(), Some(2), "{line}");
            assert!(line.contains(arguments[1]) && line.contains("give a directory"), "{line}");
        }
    }
    let output = run_to_end_with(&["check", "0"], &[("TINE_CHDIR", "/"), ("TINE_UMASK", "027")]);
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let words = said.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(words.contains("chdir / ") && words.contains("umask 027"), "{said}");
}
