//! HUP loads the app's current code. If it cannot be loaded, the old workers keep serving.

use crate::support::lua::{folder_with, serve_from, text_of};
use nix::sys::signal::Signal;
use std::fs;
use std::path::Path;

const SAYS: &str = "return { app = function(_, start) start('200 OK', {}) return { WORD } end }";

fn write(folder: &Path, text: &str) {
    let beside = folder.join("app.new");
    fs::write(&beside, text).and_then(|()| fs::rename(&beside, folder.join("app.lua"))).expect("the app");
}

#[test]
fn new_code_is_served_and_broken_code_is_not() {
    let folder = folder_with(&[("app.lua", &SAYS.replace("WORD", "'one'"))]);
    let server = serve_from(&folder, "app:app", &["--workers", "2", "--boot-timeout", "1s"], &[]);
    assert_eq!(text_of(&server, "/"), "one");
    let before = server.workers();
    for (code, words) in [
        ("return {", "app.lua:1: "),
        ("error('no database')", "no database"),
        ("return {}", "app"),
        ("while true do end", "its app did not load within --boot-timeout"),
        ("os.exit(9)", "exited with status 9"),
    ] {
        write(&folder, code);
        let output = server.ctl(&["reload"]);
        let message = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(1), "{code}: {message}");
        assert!(message.contains(words) && message.contains("continue to serve"), "{code}: {message}");
        assert_eq!((text_of(&server, "/"), server.workers()), ("one".to_string(), before.clone()), "{code}");
    }
    write(&folder, &SAYS.replace("WORD", "'two'"));
    server.signal(Signal::SIGHUP);
    server.wait_log("reloaded: 2 workers of generation 7 ");
    // An old worker that has not yet read its order to drain accepts connections until it does.
    server.wait_gone(&before);
    for _ in 0..10 {
        assert_eq!(text_of(&server, "/"), "two");
    }
}
