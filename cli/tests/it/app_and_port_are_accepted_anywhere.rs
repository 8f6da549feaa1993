//! `tine run [APP] [PORT]`: both are optional, in either order, before, between and after the options; what is missing
//! comes from TINE_APP and TINE_PORT.

use crate::support::lua::folder_with;
use crate::support::{Server, TINE};
use std::process::{Command, Output};

const APP: &str = r#"
    local function app(environ, start_response)
      start_response("200 OK", { { "Content-Type", "text/plain" } })
      return { "lua" }
    end
    return { app = app }
"#;

/// A directory with the modules `app` and `docs.app`.
fn folder() -> std::path::PathBuf {
    folder_with(&[("app.lua", APP), ("docs/app.lua", APP)])
}

fn output(folder: &std::path::Path, arguments: &[&str], environment: &[(&str, &str)]) -> Output {
    let mut command = Command::new(TINE);
    command.args(arguments).envs(environment.iter().copied()).current_dir(folder);
    command.output().expect("tine runs")
}

#[test]
fn app_and_port_are_accepted_anywhere() {
    let folder = folder();
    for (arguments, environment, name, listen) in [
        (&["check", "docs.app:app", "0", "--workers", "3"][..], &[][..], "docs.app:app", "127.0.0.1:0"),
        (&["--workers", "3", "check", "docs.app:app", "0"], &[], "docs.app:app", "127.0.0.1:0"),
        (&["check", "--workers", "3", "docs.app:app", "0"], &[], "docs.app:app", "127.0.0.1:0"),
        (&["check", "docs.app:app", "--workers", "3", "0"], &[], "docs.app:app", "127.0.0.1:0"),
        (&["--workers=3", "check", "--debug", "0", "--max-body", "1K", "app"], &[], "app", "127.0.0.1:0"),
        (&["check", "0", "docs.app:app", "--workers", "3"], &[], "docs.app:app", "127.0.0.1:0"),
        (&["check", "./docs/app.lua", "--workers", "3"], &[], "./docs/app.lua", "127.0.0.1:8080"),
        (
            &["check", "--workers", "3"],
            &[("TINE_APP", "docs.app"), ("TINE_PORT", "1234")],
            "docs.app",
            "127.0.0.1:1234",
        ),
        (&["check", "0", "--workers", "3"], &[("TINE_APP", "docs.app")], "docs.app", "127.0.0.1:0"),
        (
            &["check", "app:app"],
            &[("TINE_APP", "x:y"), ("TINE_PORT", "12"), ("TINE_WORKERS", "3")],
            "app:app",
            "127.0.0.1:12",
        ),
        (&["check", "app.lua", "--workers", "3", "--listen", "[::1]:0"], &[], "app.lua", "[::1]:0"),
    ] {
        let output = output(&folder, arguments, environment);
        let (said, wrong) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(output.status.success() && wrong.is_empty(), "{arguments:?}: {wrong}");
        assert!(said.contains(&format!(" would serve {name} with\n")), "{arguments:?}: {said}");
        for (option, value) in [("addresses", listen), ("workers", "3")] {
            assert!(
                said.lines().any(|line| line.split_whitespace().take(2).eq([option, value])),
                "{arguments:?}: {said}"
            );
        }
    }
    for (arguments, environment) in [
        (&["check", "builtin", "0"][..], &[("TINE_APP", "x:y")][..]),
        (&["check", "0", "builtin"], &[]),
        (&["check", "0"], &[]),
    ] {
        let said = String::from_utf8_lossy(&output(&folder, arguments, environment).stdout).into_owned();
        assert!(said.contains(" would serve the built-in test origin on\n  127.0.0.1:0\n"), "{arguments:?}: {said}");
    }
    std::fs::remove_dir_all(&folder).expect("the folder is ours");
}

#[test]
fn what_is_named_is_what_is_served() {
    let folder = folder();
    for (arguments, answer) in [
        (&["run", "docs.app:app", "0", "--workers", "2"][..], "lua"),
        (&["--workers", "2", "run", "0", "app"], "lua"),
        (&["run", "--workers", "2", "docs/app.lua", "0"], "lua"),
        (&["run", "builtin", "0", "--workers", "2"], "{\"status\":\"ok\"}"),
        (&["run", "0", "--workers", "2"], "{\"status\":\"ok\"}"),
    ] {
        let server = Server::start_command(Command::new(TINE).args(arguments).current_dir(&folder));
        assert_eq!(server.get("/health").text().trim_end(), answer, "{arguments:?}");
        assert_eq!(server.workers().len(), 2, "{arguments:?}");
    }
    let mut command = Command::new(TINE);
    command.arg("run").envs([("TINE_APP", "app:app"), ("TINE_PORT", "0")]).current_dir(&folder);
    let server = Server::start_command(&mut command);
    assert_eq!(server.get("/").text(), "lua");
    assert!(server.stdout().contains(" serves app:app with "), "{}", server.stdout());
    std::fs::remove_dir_all(&folder).expect("the folder is ours");
}

#[test]
fn options_of_what_is_not_run_are_reported_as_having_no_effect() {
    let folder = folder();
    for (arguments, environment, words) in [
        (
            &["app:app", "--stream-mb", "5"][..],
            &[][..],
            "--stream-mb has no effect on app:app, only on the built-in origin",
        ),
        (
            &["app:app"],
            &[("TINE_NO_FAULTS", "yes")],
            "--no-faults has no effect on app:app, only on the built-in origin",
        ),
        (
            &["builtin", "--max-body", "1M", "--app-dir", "."],
            &[],
            "--app-dir, --max-body have no effect on the built-in test origin, only on Lua applications",
        ),
    ] {
        let checked = output(&folder, &[&["check", "0"], arguments].concat(), environment);
        let said = String::from_utf8_lossy(&checked.stdout);
        assert!(checked.status.success() && said.contains(&format!("\nwarning: {words}\n")), "{arguments:?}: {said}");
        let mut command = Command::new(TINE);
        command.args(["run", "0"]).args(arguments).envs(environment.iter().copied()).current_dir(&folder);
        let server = Server::start_command(&mut command);
        let line = server.wait_log(words);
        assert!(line.contains(" WARN master["), "{line}");
    }
    let quiet = output(&folder, &["check", "0", "app:app", "--max-body", "1M"], &[]);
    assert!(!String::from_utf8_lossy(&quiet.stdout).contains("no effect"), "its own options have their effect");
    std::fs::remove_dir_all(&folder).expect("the folder is ours");
}
