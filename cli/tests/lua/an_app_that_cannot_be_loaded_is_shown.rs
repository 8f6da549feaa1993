//! With `--reload` the server runs even if the app cannot be loaded, at the start or later: clients and the log get the
//! reason, and once it is mended it is served.

use crate::support::lua::{ask, folder_with, serve_from, text_of};
use crate::support::{Server, eventually, one_line_of, run_to_end_with};
use std::fs;
use std::path::{Path, PathBuf};

const FINE: &str = "return { app = function(_, start) start('200 OK', {}) return 'fine' end }";

fn serve(source: &str, options: &[&str], environment: &[(&str, &str)]) -> (Server, PathBuf) {
    let folder = folder_with(&[("app.lua", source)]);
    let server = serve_from(&folder, "app", &[&["--reload"], options].concat(), environment);
    (server, folder)
}

fn write(folder: &Path, source: &str) {
    fs::write(folder.join("app.lua"), source).expect("the app");
}

#[test]
fn from_the_start_until_it_is_mended() {
    let (server, folder) = serve("local x = 1\nlocal y = = 2\n", &[], &[]);
    let response = server.get("/anything");
    let text = response.text();
    assert_eq!(response.status, 500);
    assert!(text.contains("app.lua:2: unexpected symbol near '='"), "{text}");
    assert!(text.contains(">     2  local y = = 2"), "{text}");
    let line = server.wait_log("could not be loaded");
    assert!(line.contains("app.lua:2: unexpected symbol"), "{line}");
    write(&folder, FINE);
    eventually("it is mended", || {
        let response = server.get("/");
        assert!(response.status == 500 || response.text() == "fine", "{}", response.text());
        (response.status == 200).then_some(())
    });
}

#[test]
fn whatever_ends_it() {
    let (server, folder) = serve(FINE, &["--boot-timeout", "3s"], &[]);
    for (source, words) in [
        ("local x = ", "app.lua:1: unexpected symbol"),
        ("error('no database')", "app.lua:1: no database"),
        ("error({ code = 7 })", "error object is a table value"),
        ("return {}", "`app` is not a valid callable"),
        ("require('no.such')", "module 'no.such' not found"),
        ("os.exit(9)", "exited with status 9"),
        ("while true do end", "its app did not load within --boot-timeout"),
    ] {
        write(&folder, source);
        eventually(source, || {
            let response = server.get("/");
            let is_it = response.status == 500 && response.text().contains(words);
            assert!(is_it || response.text() == "fine" || response.status == 500, "{source}: {}", response.text());
            is_it.then_some(())
        });
    }
    write(&folder, FINE);
    eventually("it is mended", || (server.get("/").text() == "fine").then_some(()));
}

/// A file that is missing is seen when it comes.
#[test]
fn a_module_that_comes_later_is_seen() {
    let (server, folder) = serve("require('part')\n".to_string().as_str(), &[], &[]);
    assert!(server.get("/").text().contains("module 'part' not found"));
    fs::write(folder.join("part.lua"), "").expect("the module");
    eventually("the next mistake", || server.get("/").text().contains("is not a valid callable").then_some(()));
    write(&folder, FINE);
    eventually("it is mended", || (server.get("/").text() == "fine").then_some(()));
}

#[test]
fn an_app_that_comes_later_is_seen() {
    let folder = folder_with(&[]);
    for (app, file) in [("app", "app.lua"), ("other.lua", "other.lua")] {
        let server = serve_from(&folder, app, &["--reload"], &[]);
        let text = server.get("/").text();
        assert!(text.contains("not found") || text.contains("no file"), "{text}");
        fs::write(folder.join(file), FINE).expect("the app");
        eventually("it is there", || (server.get("/").text() == "fine").then_some(()));
    }
}

#[test]
fn each_client_gets_what_it_reads() {
    let (server, _) = serve("error('<b>no</b> database')", &[], &[]);
    for (accept, kind, words) in [
        ("text/html,application/xhtml+xml,*/*;q=0.8", "text/html; charset=utf-8", "&lt;b&gt;no&lt;/b&gt; database"),
        ("application/json", "application/json", r#""message":"app.lua:1: <b>no</b> database""#),
        ("*/*", "text/plain; charset=utf-8", "app.lua:1: <b>no</b> database"),
    ] {
        let response = ask(&server, &format!("GET / HTTP/1.1\r\nHost: t\r\nAccept: {accept}"), b"");
        assert_eq!((response.status, response.header("Content-Type")), (500, Some(kind)));
        assert!(response.text().contains(words), "{}", response.text());
    }
}

/// `--reload` includes `--debug`, unless that is turned off.
#[test]
fn without_debug_clients_get_no_reason() {
    let (server, _) = serve("error('a secret')", &[], &[("TINE_DEBUG", "no")]);
    let response = ask(&server, "GET / HTTP/1.1\r\nHost: t\r\nAccept: text/html", b"");
    assert_eq!(response.text(), "500 Internal Server Error: the application could not be loaded\n");
    server.wait_log("a secret");
}

/// The command for operators tells whether it has worked.
#[test]
fn a_reload_on_request_fails_with_the_reason() {
    let (server, folder) = serve(FINE, &["--workers", "2"], &[]);
    assert!(server.ctl(&["reload"]).status.success());
    write(&folder, "error('no database')");
    eventually("it is noticed", || (server.get("/").status == 500).then_some(()));
    let output = server.ctl(&["reload"]);
    let message = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.code() == Some(1) && message.contains("app.lua:1: no database"), "{message}");
    write(&folder, FINE);
    eventually("it is mended", || (text_if_fine(&server) == "fine").then_some(()));
    assert!(server.ctl(&["reload"]).status.success());
    assert_eq!(text_of(&server, "/"), "fine");
}

fn text_if_fine(server: &Server) -> String {
    server.get("/").text()
}

#[test]
fn the_start_says_what_it_is_for() {
    let folder = folder_with(&[("app.lua", FINE)]);
    let start = |options: &[&str]| {
        let mut command = std::process::Command::new(crate::support::TINE);
        Server::start_command(command.current_dir(&folder).args(["run", "app", "0"]).args(options))
    };
    let server = start(&["--reload"]);
    assert_eq!(server.workers().len(), 1);
    let line = server.wait_log("not for production");
    assert!(line.contains("1 worker") && line.contains("--debug"), "{line}");
    let server = start(&["--reload", "--workers", "3"]);
    assert_eq!(server.workers().len(), 3);
    assert!(server.wait_log("not for production").contains("3 workers"));
    let server = start(&["--reload-dir", "."]);
    server.wait_log("--reload-dir has no effect without --reload");
    let app = folder.join("app.lua");
    let refused = run_to_end_with(&["run", app.to_str().expect("UTF-8"), "0", "--reload", "--workers", "0"], &[]);
    assert_eq!(refused.status.code(), Some(2));
    assert!(one_line_of(&refused).contains("--workers 0 has no master"), "{}", one_line_of(&refused));
}
