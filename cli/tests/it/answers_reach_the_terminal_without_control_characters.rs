//! `tine ctl` and `tine top` print a server's answers without control characters, which a terminal would obey.

use crate::support::{run_to_end, scratch_folder};
use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixListener;

/// Answers every client with these lines, and closes.
fn serve(listener: UnixListener, answer: &'static str) {
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.expect("a client");
            let mut line = String::new();
            BufReader::new(stream.try_clone().expect("a descriptor")).read_line(&mut line).expect("its request");
            let _ = stream.write_all(answer.as_bytes()); // it may have read enough
        }
    });
}

#[test]
fn control_characters_are_escaped() {
    let folder = scratch_folder();
    let refused =
        "{\"said\":\"\\u001b]0;owned\\u0007\"}\n{\"ok\":false,\"error\":\"no\\u001b[2J\\r\\u009bmé\u{9b}1m\u{7f}\"}\n";
    let done = "{\"ok\":true,\"said\":\"done\\u001b[31m\\nand more\"}\n";
    let strange = "\u{1b}[2Jhello\n";
    for (name, answer) in [("refused", refused), ("done", done), ("strange", strange)] {
        let path = folder.join(name);
        serve(UnixListener::bind(&path).expect("a socket"), answer);
        let at = path.to_str().expect("UTF-8");
        for command in [
            &["ctl", "--control", at, "reload"][..],
            &["ctl", "--control", at, "reload", "--json"],
            &["top", "--control", at],
        ] {
            let output = run_to_end(command);
            for said in [&output.stdout, &output.stderr] {
                let said = String::from_utf8_lossy(said);
                assert!(!said.chars().any(|c| c.is_control() && c != '\n'), "{command:?}: {said:?}");
            }
            let said = String::from_utf8_lossy(&output.stdout);
            match (name, command) {
                ("done", ["ctl", .., "reload"]) => assert_eq!(said, "done\\u001b[31m\nand more\n"),
                ("refused", ["ctl", .., "--json"]) => {
                    let line: serde_json::Value = serde_json::from_str(&said).expect("JSON as before");
                    assert_eq!(line["error"], "no\u{1b}[2J\r\u{9b}mé\u{9b}1m\u{7f}");
                }
                _ => {}
            }
        }
    }
    let _ = std::fs::remove_dir_all(&folder);
}
