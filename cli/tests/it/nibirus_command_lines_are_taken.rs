//! The command lines of nibiru do here what docs/from-nibiru.md says, under its name, too: a directory that is missing at the
//! start is served once it exists, and with `--static-url /` the app gets what names no file.

use crate::support::markdown::table;
use crate::support::site::Site;
use crate::support::{Server, TINE};
use std::os::unix::fs::symlink;
use std::process::Command;
use std::{fs, path::Path};

const APP: &[u8] = b"local function app(environ, start_response)
  start_response('200 OK', {})
  return environ.REQUEST_METHOD .. ' ' .. environ.PATH_INFO
end
return { app = app }
";

/// An application, and the server under the name of nibiru.
fn site(files: &[(&str, &[u8])]) -> Site {
    let site = Site::of(&[("myapp.lua", APP)]);
    files.iter().for_each(|(name, bytes)| site.write(name, bytes));
    symlink(TINE, site.path("nibiru")).expect("a link");
    site
}

fn nibiru(site: &Site) -> Command {
    let mut command = Command::new(site.path("nibiru"));
    command.current_dir(site.path(""));
    command
}

fn serve(site: &Site, options: &[&str]) -> Server {
    Server::start_command(nibiru(site).args(["run", "--workers", "1"]).args(options).args(["myapp:app", "0"]))
}

/// Single spaces within a line.
fn squeezed(text: &[u8]) -> String {
    let text = String::from_utf8_lossy(text);
    text.lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ") + "\n").collect()
}

#[test]
fn each_row_of_the_page_is_true() {
    let site = site(&[("static/x", b"x"), ("public/x", b"x")]);
    let (_, rows) = table("from-nibiru.md", "nibiru");
    assert!(rows.len() >= 20, "{rows:#?}");
    for row in rows {
        let line = row[0].trim_matches('`');
        let arguments = line.strip_prefix("nibiru ").expect("nibiru's command line").split(' ');
        let arguments = arguments.map(|word| if word == "run" { "check" } else { word });
        let output = nibiru(&site).args(arguments).output().expect("tine runs");
        let is_refused = row[2].starts_with("refused: ");
        assert_eq!(output.status.success(), !is_refused, "{line}: {output:?}");
        let said = squeezed(if is_refused { &output.stderr } else { &output.stdout });
        let words: Vec<&str> = row[2].split('`').skip(1).step_by(2).collect();
        assert!(!words.is_empty() && words.iter().all(|words| said.contains(words)), "{line}: {words:?} in {said}");
    }
}

#[test]
fn the_usage_has_the_name_that_was_typed() {
    let site = site(&[]);
    let output = nibiru(&site).args(["run", "--help"]).output().expect("tine runs");
    assert!(squeezed(&output.stdout).contains("Usage: nibiru run [OPTIONS] [APP] [PORT]\n"));
}

#[test]
fn a_missing_directory_is_served_once_it_exists() {
    let site = site(&[]);
    for (options, path) in [
        (&["--static", "files"][..], "/static/x"),
        (&["--static-url", "/assets"], "/assets/x"),
        (&["--static", "other", "--static-url", "/"], "/x"),
    ] {
        let directory = if options[0] == "--static" { options[1] } else { "static" };
        let server = serve(&site, options);
        server.wait_log(&format!(
            "--static {directory}: there is no such directory; its files are served once it exists"
        ));
        assert!(!server.stdout().contains("since the directory exists"), "{}", server.stdout());
        let before = server.get(path);
        let expected = if path == "/x" { (200, "GET /x") } else { (404, "404 Not Found: there is no such file\n") };
        assert_eq!((before.status, before.text().as_str()), expected);
        let reload = server.ctl(&["reload"]);
        assert!(reload.status.success(), "it was missing at the start: {reload:?}");
        site.write(&format!("{directory}/x"), b"a file");
        assert_eq!(server.get(path).text(), "a file", "{options:?}");
    }
}

/// A name that is not a directory's is a mistake, and so is a missing directory that nothing is served beside.
#[test]
fn what_cannot_become_right_is_refused() {
    let site = site(&[]);
    for arguments in [&["check", "myapp", "--static", "myapp.lua"][..], &["check", "0", "--static", "missing"]] {
        let output = nibiru(&site).args(arguments).output().expect("tine runs");
        assert_eq!(output.status.code(), Some(2), "{output:?}");
    }
}

/// The file of options is read again, and the directory was there at the start.
#[test]
fn a_reload_does_not_lose_the_directory() {
    let site = site(&[("public/x", b"a file"), ("tine.toml", b"static = \"public\"\n")]);
    let server = serve(&site, &["--config", "tine.toml"]);
    fs::rename(site.path("public"), site.path("gone")).expect("it is renamed");
    let reload = server.ctl(&["reload"]);
    let said = String::from_utf8_lossy(&reload.stderr);
    assert!(!reload.status.success() && said.contains("--static public: there is no such directory"), "{said}");
    assert_eq!(server.get("/static/x").text(), "a file");
    assert!(!Path::new(&site.path("public")).exists());
}

#[test]
fn the_app_gets_what_names_no_file() {
    let site = site(&[("static/x", b"a file"), ("static/a/index.html", b"a page"), ("static/.hidden", b"secret")]);
    let server = serve(&site, &["--static-url", "/"]);
    for (method, path, text) in [
        ("GET", "/x", "a file"),
        ("GET", "/x?query", "a file"),
        ("GET", "/a/", "a page"),
        ("GET", "/", "GET /"),
        ("GET", "/a", "GET /a"),
        ("GET", "/other", "GET /other"),
        ("GET", "/.hidden", "GET /.hidden"),
        ("GET", "/a/../x", "GET /a/../x"),
        ("POST", "/x", "POST /x"),
        ("OPTIONS", "/x", "OPTIONS /x"),
    ] {
        let mut client = server.connect();
        client.send(format!("{method} {path} HTTP/1.1\r\nHost: t\r\n\r\n"));
        let response = client.response();
        assert_eq!((response.status, response.text().as_str()), (200, text), "{method} {path}");
    }
}
