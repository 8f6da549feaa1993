//! `--config FILE` (TINE_CONFIG) sets every option by its long name, and the operands. The environment and the command
//! line take precedence; a mistake is one line with its place in the file.

use crate::support::site::Site;
use crate::support::{Server, TINE, one_line_of, options, run_to_end, run_to_end_with};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::process::{Command, Output};

/// A file `tine.toml` in a directory of its own.
fn file(text: &str) -> (Site, String) {
    let site = Site::of(&[("tine.toml", text.as_bytes())]);
    let path = site.path("tine.toml").to_str().expect("a path in UTF-8").to_string();
    (site, path)
}

/// `tine COMMAND --config FILE ARGUMENTS` to its end, with a file of this text.
fn with_file(command: &str, text: &str, arguments: &[&str], environment: &[(&str, &str)]) -> Output {
    let (_site, path) = file(text);
    run_to_end_with(&[&[command, "--config", path.as_str()], arguments].concat(), environment)
}

/// The output of `check`, each line with single spaces.
#[track_caller]
fn check(text: &str, arguments: &[&str], environment: &[(&str, &str)]) -> String {
    let output = with_file("check", text, arguments, environment);
    assert!(output.status.success(), "{text:?}: {}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).expect("UTF-8");
    text.lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ") + "\n").collect()
}

#[test]
fn every_option_is_known_and_its_value_is_checked() {
    let options: Vec<String> = options::names().into_iter().filter(|name| name != "config").collect();
    assert!(options.len() >= 60, "the help was parsed wrongly: {options:?}");
    for option in options {
        let wrong = options::wrong_value(&option);
        let output = with_file("run", &format!("port = 0\n\n{option} = \"{wrong}\"\n"), &[], &[]);
        let line = one_line_of(&output);
        assert!(line.contains(&option) && !line.contains("no option"), "{option}: {line}");
        let status = options::status_of_wrong_value(&option);
        assert_eq!(output.status.code(), Some(status), "{option}: {line}");
        if status == 2 {
            assert!(line.contains("tine.toml:3: "), "{option}: {line}");
        }
    }
}

const FILE: &str = "\
app = \"builtin\"
port = 0
host = \"127.0.0.2\"
listen = [\"127.0.0.1:0\", \"[::1]:0\"]
workers = 3
idle-timeout = \"90s\"
header-max = \"32K\"
header-count-max = \"50\"
tcp-fastopen = true
quiet = false
accept = \"per-worker\"
stream-mb = 7
no-faults = true
";

#[test]
fn a_check_names_each_value_and_where_it_is_from() {
    let said = check(FILE, &["--idle-timeout", "80s"], &[("TINE_HEADER_MAX", "64K"), ("TINE_MAX_BODY", "1M")]);
    for line in [
        "127.0.0.2:0",
        "127.0.0.1:0",
        "[::1]:0",
        "app builtin file, line 1",
        "port 0 file, line 2",
        "host 127.0.0.2 file, line 3",
        "listen 127.0.0.1:0,[::1]:0 file, line 4",
        "workers 3 file, line 5",
        "idle-timeout 80s command line",
        "header-max 64K environment",
        "header-count-max 50 file, line 8",
        "tcp-fastopen on file, line 9",
        "quiet off file, line 10",
        "accept per-worker file, line 11",
        "stream-mb 7 file, line 12",
        "no-faults on file, line 13",
        "body-timeout 30s default",
    ] {
        assert!(said.lines().any(|found| found == line), "{line:?} is not in {said}");
    }
    let output = run_to_end(&["check", "0"]);
    let said = String::from_utf8(output.stdout).expect("UTF-8");
    for line in said.lines() {
        assert!(line.chars().count() <= 80, "{line:?}");
    }
    assert!(said.lines().any(|line| line.split_whitespace().eq(["config", "none", "default"])), "{said}");
    assert!(said.lines().any(|line| line.split_whitespace().eq(["port", "0", "command", "line"])), "{said}");
}

#[test]
fn the_command_line_precedes_the_environment_and_that_the_file() {
    for (arguments, environment, expected) in [
        (&[][..], &[][..], "workers 3 file, line 5"),
        (&[], &[("TINE_WORKERS", "4")], "workers 4 environment"),
        (&[], &[("TINE_WORKERS", "")], "workers 3 file, line 5"),
        (&["-w", "5"], &[("TINE_WORKERS", "4")], "workers 5 command line"),
        (&[], &[("TINE_PORT", "0")], "port 0 environment"),
        (&["0"], &[("TINE_PORT", "0")], "port 0 command line"),
        (&[], &[("TINE_QUIET", "yes")], "quiet on environment"),
        (&["--quiet"], &[], "quiet on command line"),
        (&[], &[("TINE_TCP_FASTOPEN", "no")], "tcp-fastopen off environment"),
        (&["--listen", "127.0.0.3:0"], &[], "listen 127.0.0.3:0 command line"),
    ] {
        let said = check(FILE, arguments, environment);
        assert!(said.lines().any(|line| line == expected), "{arguments:?} {environment:?}: {said}");
    }
}

#[test]
fn the_environment_may_name_the_file_and_a_server_serves_by_it() {
    let (site, path) = file("port = 0\nworkers = 2\nheader-count-max = 1\n");
    let server =
        Server::start_command(Command::new(TINE).arg("run").env("TINE_CONFIG", "tine.toml").current_dir(site.path("")));
    assert_eq!(server.workers().len(), 2);
    let mut client = server.connect();
    client.send("GET / HTTP/1.1\r\nHost: t\r\nX: y\r\n\r\n");
    assert_eq!(client.response().status, 431);
    let output = run_to_end_with(&["check", "0"], &[("TINE_CONFIG", &path)]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn a_mistake_is_one_line_with_its_place() {
    for (text, words) in [
        ("port = 0\nworker = 4\n", &["tine.toml:2: there is no option worker; did you mean workers?"][..]),
        ("bind = \"x\"\n", &["tine.toml:1: ", "--listen"]),
        ("[run]\nworkers = 4\n", &["tine.toml:1: ", "without [run]"]),
        ("\n\nworkers = \"many\"\n", &["tine.toml:3: workers \"many\"", "from 0 to 1024", "auto"]),
        ("idle-timeout = 10\n", &["tine.toml:1: idle-timeout \"10\"", "10s"]),
        ("quiet = \"yes\"\n", &["tine.toml:1: quiet is true or false"]),
        ("listen = [\"127.0.0.1:0\", \"x\\ny\"]\n", &["tine.toml:1: listen"]),
        ("port = 99999\n", &["tine.toml:1: ", "0 to 65535"]),
        ("app = \"docs..app\"\n", &["tine.toml:1: \"docs..app\" is not an app", "module.path:callable"]),
        ("workers = \n", &["tine.toml:1: ", "is written as in"]),
        ("port = 0\nport = 0\n", &["tine.toml:2: duplicate key"]),
        // Rules of several values, and of the app's own options.
        ("port = 0\nidle-timeout = \"0\"\n", &["tine.toml:2: --idle-timeout 0s", "at least 1ms"]),
        ("ws-idle-timeout = \"30s\"\n", &["tine.toml:1: --ws-ping-interval 30s is not below --ws-idle-timeout 30s"]),
        ("app-dir = [\".\", \"/no/such/folder\"]\n", &["tine.toml:1: --app-dir /no/such/folder"]),
        ("static = \"/no/such/folder\"\n", &["tine.toml:1: --static /no/such/folder"]),
    ] {
        for command in ["run", "check"] {
            let output = with_file(command, text, &[], &[]);
            let line = one_line_of(&output);
            assert_eq!(output.status.code(), Some(2), "{text:?}: {line}");
            assert!(output.stdout.is_empty(), "{text:?}");
            for word in words {
                assert!(line.contains(word), "{text:?}: {word:?} is not in {line:?}");
            }
        }
    }
    // A mistake elsewhere is not blamed on the file.
    let line = one_line_of(&with_file("check", "idle-timeout = \"1s\"\n", &["--idle-timeout", "0"], &[]));
    assert!(!line.contains("tine.toml"), "{line}");
}

#[test]
fn a_file_that_cannot_be_read_is_one_line() {
    let (site, path) = file("port = 0\n");
    let folder = site.path("").to_str().expect("UTF-8").to_string();
    let missing = format!("{folder}/other.toml");
    let not_text = Site::of(&[("tine.toml", b"\xff")]);
    let not_text = not_text.path("tine.toml").to_str().expect("UTF-8").to_string();
    let mut table = vec![
        (missing.as_str(), "there is no such file"),
        (folder.as_str(), "has to be a regular file"),
        ("/dev/null", "has to be a regular file"),
        (not_text.as_str(), "not in UTF-8"),
    ];
    if std::fs::metadata("/proc/self").is_ok_and(|me| me.uid() != 0) {
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o000)).expect("the file is ours");
        table.push((path.as_str(), "permission denied"));
    }
    for (path, words) in table {
        let output = run_to_end(&["run", "0", "--config", path]);
        let line = one_line_of(&output);
        assert_eq!(output.status.code(), Some(2), "{line}");
        assert!(line.contains(&format!("--config {path}: ")) && line.contains(words), "{line}");
    }
}

#[test]
fn the_example_of_the_docs_is_accepted() {
    let page = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/config.md");
    let page = std::fs::read_to_string(page).expect("docs/config.md");
    let example = page.split("```toml\n").nth(1).and_then(|rest| rest.split("```").next()).expect("an example");
    let site = Site::of(&[
        ("tine.toml", example.as_bytes()),
        ("docs/app.lua", b"return { app = function() end }"),
        ("lib/x.lua", b""),
        ("vendor/x.lua", b""),
    ]);
    let output = Command::new(TINE)
        .args(["check", "--config", "tine.toml"])
        .current_dir(site.path(""))
        .output()
        .expect("tine runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let said = String::from_utf8(output.stdout).expect("UTF-8");
    let numbered = example.lines().enumerate().filter(|(_, line)| line.contains(" = "));
    for (number, line) in numbered {
        let name = line.split(" = ").next().expect("a name");
        let from = format!("file, line {}", number + 1);
        assert!(said.lines().any(|line| line.contains(name) && line.ends_with(&from)), "{name} {from}: {said}");
    }
}
