//! Before anything is bound, the app is loaded once in a separate process. Its errors are reported with its own
//! message, and both `run` and `check` exit with status 1.

use crate::support::lua::folder_with;
use crate::support::{Server, TINE, within_patience};
use std::path::Path;
use std::process::{Command, Output};

const GOOD: &str = r#"
    print("printed by the app")
    io.stderr:write("written by the app\n")
    return { app = function(environ, start_response)
      start_response("200 OK", {})
      return { "hello" }
    end }
"#;

fn output(folder: &Path, arguments: &[&str]) -> Output {
    within_patience(TINE).args(arguments).current_dir(folder).output().expect("tine runs")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// The output of `tine run APP 0` and `tine check APP` when `source` is loaded as `docs/app.lua`. Both print nothing
/// else.
#[track_caller]
fn output_of(source: &str, app: &str, options: &[&str]) -> String {
    let folder = folder_with(&[("docs/app.lua", source), ("good.lua", GOOD)]);
    let messages: Vec<String> = ["run", "check"]
        .iter()
        .map(|command| {
            let output = output(&folder, &[&[command, app, "0"], options].concat());
            assert_eq!(output.status.code(), Some(1), "{source}: {output:?}");
            assert_eq!(text(&output.stdout), "", "{source}");
            text(&output.stderr)
        })
        .collect();
    assert_eq!(messages[0], messages[1], "run and check say the same");
    std::fs::remove_dir_all(&folder).expect("the folder is ours");
    messages[0].replace(folder.to_str().expect("UTF-8"), "FOLDER")
}

#[test]
fn with_the_apps_own_message() {
    for (source, app, expected) in [
        ("local x = 1\n\nlocal y = = 2", "docs.app:app", "docs/app.lua:3: unexpected symbol near '='"),
        ("local x = 1\n\nlocal y = = 2", "docs/app.lua", "docs/app.lua:3: unexpected symbol near '='"),
        ("\nerror('there is no database')", "docs.app", "docs/app.lua:2: there is no database"),
        ("error('no place', 0)", "docs.app", "no place"),
        ("error('a\\nb')", "docs.app", "docs/app.lua:1: a\nb"),
        ("error('not UTF-8: \\255')", "docs.app", "docs/app.lua:1: not UTF-8: \u{fffd}"),
        ("\nerror({ code = 1 })", "docs.app", "docs/app.lua:2: (error object is a table value)"),
        ("error()", "docs.app", "docs/app.lua:1: (error object is a nil value)"),
        (
            "error(setmetatable({}, { __tostring = function() return 'a table that speaks' end }))",
            "docs.app",
            "a table that speaks",
        ),
        ("return { app = 5 }", "docs.app:app", "`app` is not a valid callable of docs.app: it is a number"),
        ("return { app = {} }", "docs.app:app", "`app` is not a valid callable of docs.app: it is a table"),
        ("return {}", "docs.app:main", "`main` is not a valid callable of docs.app: there is none of that name"),
        (
            "return {}",
            "docs.site:app",
            "module 'docs.site' not found: looked for ./docs/site.lua, ./docs/site/init.lua in FOLDER, and in \
             LUA_PATH and LUA_CPATH; start tine in the directory of its modules, or name that with --app-dir",
        ),
        ("os.exit(7)", "docs.app", "docs.app ended its process while it was loaded, with exit status 7"),
        ("os.exit(0)", "docs.app", "docs.app ended its process while it was loaded, with exit status 0"),
        ("os.execute('kill -ABRT $PPID')", "docs.app", "docs.app crashed while it was loaded: killed by SIGABRT (6)"),
        ("os.execute('kill -KILL $PPID')", "docs.app", "docs.app crashed while it was loaded: killed by SIGKILL (9)"),
    ] {
        assert_eq!(output_of(source, app, &[]), format!("tine: {expected}\n"), "{source}");
    }
}

#[test]
fn a_missing_module_is_named_with_the_line_that_requires_it() {
    let message = output_of("\nrequire('no.such.module')", "docs.app", &[]);
    assert!(message.starts_with("tine: docs/app.lua:2: module 'no.such.module' not found:\n"), "{message}");
}

#[test]
fn debug_shows_the_apps_frames() {
    let message = output_of("local function open() error('no database') end\nopen()", "docs.app", &["--debug"]);
    let lines: Vec<&str> = message.lines().collect();
    assert_eq!(lines[..2], ["tine: docs/app.lua:1: no database", "stack traceback:"], "{message}");
    assert!(message.contains("./docs/app.lua:2: in main chunk"), "{message}");
    assert!(!message.contains("\ttine:"), "no frames of the server: {message}");
}

#[test]
fn nothing_is_bound_before_or_by_a_check() {
    let folder = folder_with(&[("good.lua", GOOD), ("bad.lua", "error('no database')")]);
    let live = Server::start(&["--workers", "1"]);
    let port = live.address().port().to_string();
    let checked = output(&folder, &["check", "good", &port, "--workers", "3"]);
    let message = text(&checked.stdout);
    assert!(checked.status.success(), "{checked:?}");
    assert!(
        message.contains(" would serve good with\n") && message.contains(&format!("127.0.0.1:{port}\n")),
        "{message}"
    );
    assert!(message.lines().any(|line| line.split_whitespace().take(2).eq(["max-body", "10M"])), "{message}");
    // The app's error comes first, whether or not the port is free, and the pidfile is not written.
    let failed = output(&folder, &["run", "bad", &port, "--pidfile", "pid"]);
    assert_eq!(text(&failed.stderr), "tine: bad.lua:1: no database\n");
    assert!(!folder.join("pid").exists());
    let busy = output(&folder, &["run", "good", &port]);
    assert!(text(&busy.stderr).contains(&format!("127.0.0.1:{port}")), "{busy:?}");
    assert_eq!(live.get("/health").status, 200);
    std::fs::remove_dir_all(&folder).expect("the folder is ours");
}

#[test]
fn output_of_an_app_while_it_is_loaded_appears() {
    let folder = folder_with(&[("good.lua", GOOD), ("bad.lua", "print('before the end')\nerror('no database')")]);
    let checked = output(&folder, &["check", "good"]);
    assert!(text(&checked.stdout).starts_with("printed by the app\n"), "{checked:?}");
    assert_eq!(text(&checked.stderr), "written by the app\n");
    let failed = output(&folder, &["check", "bad"]);
    assert_eq!(
        (text(&failed.stdout), text(&failed.stderr)),
        ("before the end\n".into(), "tine: bad.lua:2: no database\n".into())
    );
    let server =
        Server::start_command(Command::new(TINE).args(["run", "good", "0", "--workers", "1"]).current_dir(&folder));
    assert!(server.stdout().starts_with("printed by the app\n"), "{}", server.stdout());
    assert_eq!(server.log().matches("written by the app\n").count(), 2, "once by the preflight, once by the worker");
    std::fs::remove_dir_all(&folder).expect("the folder is ours");
}
