//! If the new master of `tine ctl upgrade` cannot start, its own error message appears in one line on standard error
//! and in the log.

use crate::support::lua::folder_with;
use crate::support::{Server, TINE, write_program};
use std::fs;
use std::path::Path;
use std::process::Command;

const GOOD: &str = "function app(environ, start_response) start_response('200 OK', {}) return 'hello' end\n";

/// An app that loads in the preflight, but not in the workers after it.
const NOT_TWICE: &str = r#"
local file = io.open("built")
if file then error("the second build is refused") end
io.open("built", "w"):close()
function app() end
"#;

fn write(path: &Path, text: &str) {
    fs::write(path, text).expect("a file of the test's own");
}

#[test]
fn a_failed_upgrade_reports_its_reason() {
    let folder = folder_with(&[("app.lua", GOOD)]);
    let (app, program) = (folder.join("app.lua"), folder.join("tine"));
    fs::hard_link(TINE, &program).expect("a link");
    let mut command = Command::new(&program);
    command.current_dir(&folder).args(["run", "app.lua", "0", "--workers", "2"]);
    let server = Server::start_command(&mut command);
    let before = server.workers();
    let expect = |what: &str, words: &[&str]| {
        let output = server.ctl(&["upgrade"]);
        let message = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(1), "{what}: {message}");
        let last = message.trim_end().lines().last().unwrap_or_default();
        let log = server.wait_log(words[0]);
        for word in
            words.iter().chain(&["exited with status ", " before it served: ", "; this master continues to serve"])
        {
            assert!(last.contains(word), "{what}: {word:?} in {message:?}");
        }
        let failed = server.log().lines().rfind(|line| line.contains("the upgrade failed: ")).map(str::to_string);
        assert!(failed.as_ref().is_some_and(|line| line.contains(words[0])), "{what}: {failed:?}, not {log}");
        assert_eq!((server.get("/").text(), server.workers()), ("hello".to_string(), before.clone()), "{what}");
    };
    write(&app, "function app(\n");
    expect("a file that is not Lua", &["app.lua:", "<eof>"]);
    write(&app, "error('red \\27[31m and a bell \\7\\nH R T Q C')\n");
    expect("control characters", &["red \\u{1b}[31m and a bell \\u{7}"]);
    write(&app, NOT_TWICE);
    expect("a worker that cannot build it", &["the second build is refused", "no worker became ready"]);
    write(&app, "os.exit(3)\n");
    expect("an app that ends its process", &["ended its process while it was loaded, with exit status 3"]);
    write(&app, GOOD);
    let replace = |arguments: &str| {
        let beside = program.with_extension("new");
        write_program(&beside, format!("#!/bin/sh\nexec {TINE} {arguments}\n").as_bytes());
        fs::rename(&beside, &program).expect("in its place");
    };
    replace("run app.lua 0 --no-such-option");
    expect("a wrong option", &["--no-such-option"]);
    replace("run app.lua 0 --chdir /no/such/folder");
    expect("a folder that there is not", &["--chdir /no/such/folder cannot be entered"]);
    replace("run app.lua 0 --pidfile /no/such/folder/pid");
    expect("a pidfile that cannot be", &["/no/such/folder/pid"]);
    fs::remove_file(&program).expect("the script");
    fs::hard_link(TINE, &program).expect("a link");
    let output = server.ctl(&["upgrade"]);
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(server.get("/").text(), "hello", "by the other");
    assert_eq!(server.ctl(&["stop"]).status.code(), Some(0));
    server.wait_gone(&before);
}
