//! If a worker can no longer load its app, because the file has changed since the start, the log has the app's own
//! message; once the file is right again, a worker serves again.

use crate::support::lua::{folder_with, serve_file};
use crate::support::{eventually, send_signal};
use nix::sys::signal::Signal;
use std::fs;

const GOOD: &str = r#"
    function app(environ, start_response)
      start_response("200 OK", {})
      return { "hello" }
    end
"#;

#[test]
fn an_app_that_breaks_later_is_reported_in_its_own_words() {
    let folder = folder_with(&[("app.lua", GOOD)]);
    let path = folder.join("app.lua");
    let server = serve_file(path.to_str().expect("a path in UTF-8"), &[]);
    assert_eq!(server.get("/").text(), "hello");
    let broken = "\nerror('there is no database\\n2026-01-01T00:00:00Z INFO forged[1] a line of its own\\27[1m')";
    fs::write(&path, broken).expect("the app can be changed");
    send_signal(server.workers()[0], Signal::SIGKILL);
    let message = format!(": the app could not be built: {}:2: there is no database", path.display());
    let line = server.wait_log(&message);
    assert!(line.contains(" WARN master[") && line.contains("exited with status 3 after "), "{line}");
    assert!(line.ends_with(&message), "the message comes last, as it may have several lines: {line}");
    let log = server.log();
    let next = log.lines().skip_while(|other| *other != line).nth(1);
    assert_eq!(next, Some("  2026-01-01T00:00:00Z INFO forged[1] a line of its own\\u{1b}[1m"), "{log}");
    fs::write(&path, GOOD).expect("the app can be changed");
    eventually("a worker serves again", || {
        let mut client = crate::support::Client::connect(server.address());
        client.send("GET / HTTP/1.1\r\nHost: t\r\nConnection: close\r\n\r\n");
        client.try_response("GET").ok().filter(|response| response.status == 200)
    });
    fs::remove_dir_all(&folder).expect("the folder is ours");
}
