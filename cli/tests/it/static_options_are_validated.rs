//! `--static`, `--static-url` and `--static-cache`: `check` shows what they mean, and an invalid value is reported in one line at the
//! start.

use crate::support::site::Site;
use crate::support::{Server, one_line_of, run_to_end, run_to_end_with};

#[test]
fn an_invalid_value_is_one_line() {
    let site = Site::of(&[("file", b"x")]);
    let file = site.path("file");
    let (folder, file) = (site.text(), file.to_str().expect("UTF-8"));
    let table: &[(&[&str], &[&str])] = &[
        (&["--static", "/no/such/folder"], &["--static", "no such directory"]),
        (&["--static", file], &["--static", "not a directory"]),
        (&["--static", ""], &["--static"]),
        (&["--static-url", "/files"], &["--static-url /files", "--static DIR"]),
        (&["--static", folder, "--static-url", "/a/../b"], &["--static-url", "such as /static"]),
        (&["--static", folder, "--static-url", "/a?b"], &["--static-url", "such as /static"]),
        (&["--static", folder, "--static-url", "//a"], &["--static-url", "such as /static"]),
        (&["--static", folder, "--static-cache", "61s"], &["--static-cache", "at most 1m"]),
        (&["--static", folder, "--static-cache", "1"], &["--static-cache", "10s"]),
    ];
    for (options, words) in table {
        for command in ["run", "check"] {
            let output = run_to_end(&[&[command, "0"], *options].concat());
            let line = one_line_of(&output);
            assert_eq!(output.status.code(), Some(2), "{options:?}: {line}");
            assert!(words.iter().all(|word| line.contains(word)), "{options:?}: {line}");
        }
    }
}

#[test]
fn check_shows_what_would_be_served() {
    let site = Site::of(&[]);
    let said = |options: &[&str], environment: &[(&str, &str)]| {
        let output = run_to_end_with(&[&["check", "0"], options].concat(), environment);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).expect("UTF-8").split_whitespace().collect::<Vec<_>>().join(" ")
    };
    for (options, environment, words) in [
        (&["--static", site.text()][..], &[][..], &["the files in", "static-url /"][..]),
        (&["--static", site.text(), "--static-url", "/f/"], &[], &["static-url /f"]),
        (&[], &[("TINE_STATIC", site.text()), ("TINE_STATIC_URL", "/g")], &["the files in", "static-url /g"]),
        (&["--static-url", "/h"], &[("TINE_STATIC", site.text()), ("TINE_STATIC_URL", "/g")], &["static-url /h"]),
        (&[], &[], &["the built-in test origin", "static none", "static-cache none"]),
        (&["--static", site.text()], &[], &["static-cache 1s"]),
        (&["--static", site.text(), "--static-cache", "1m"], &[], &["static-cache 1m"]),
        (&["--static", site.text()], &[("TINE_STATIC_CACHE", "0")], &["static-cache none"]),
    ] {
        let said = said(options, environment);
        assert!(words.iter().all(|word| said.contains(word)), "{options:?} {environment:?}: {said}");
    }
}

#[test]
fn a_cache_without_files_has_no_effect() {
    let site = Site::of(&[]);
    let warned = |options: &[&str]| {
        let output = run_to_end(&[&["check", "0", "--static-cache", "2s"], options].concat());
        String::from_utf8([output.stdout, output.stderr].concat())
            .expect("UTF-8")
            .contains("--static-cache has no effect")
    };
    assert!(warned(&[]) && !warned(&["--static", site.text()]));
}

/// The built-in origin does not serve a directory `static` that happens to be in the current directory.
#[test]
fn the_origin_alone_serves_no_files() {
    let site = Site::of(&[("static/x", b"a file")]);
    let mut command = std::process::Command::new(crate::support::TINE);
    let server = Server::start_command(command.args(["run", "0", "--workers", "1"]).current_dir(site.path("")));
    let response = server.get("/static/x");
    assert_eq!(response.header("content-type"), Some("application/json"), "an echo");
}
