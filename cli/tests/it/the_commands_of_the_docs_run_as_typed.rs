//! The commands that README.md and docs/ show in code blocks run as typed, one after the other, in a copy of a clone:
//! `tine run` runs until it reports that it serves, then it is stopped; commands that query a server run while one
//! runs.
//!
//! They run in network and process namespaces of their own and with their own /run (unshare(1)), so that port 8080 is free
//! and nothing outlives them, whatever fails; where that is not permitted, only the text of the blocks is checked. Commands in [`NOT_RUN`] are left out, with the reason; so
//! is all of deploy/README.md, which installs a service: `scripts/systemd-check` runs it.

use crate::apps;
use crate::support::{TINE, scratch_folder};
use std::collections::BTreeSet;
use std::fmt::Write;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The beginnings of commands that are not run.
const NOT_RUN: [(&str, &str); 6] = [
    ("cargo build ", "builds for minutes"),
    ("export PATH=", "PATH leads to the binary under test"),
    ("tine top", "needs a terminal; top_restores_the_terminal has one"),
    ("curl --cacert ", "asks the server of the line before; https_is_served_over_both_versions does the same"),
    ("kill ", "its pgrep finds the masters of other tests"),
    (
        "echo '{\"command\":\"status\"}' | nc ",
        "needs a service of root's, in /run; a test of the control socket sends the same",
    ),
];
/// The first words that a command may have.
const COMMANDS: [&str; 11] =
    ["tine", "curl", "nghttp", "h2load", "hey", "cargo", "cd", "export", "kill", "echo", "scripts/test"];
/// The exit status of a command that is meant to fail: curl's for a connection that was reset.
const FAILS: [(&str, i32); 1] = [("curl 'http://127.0.0.1:8080/fault/reset?after=1000'", 56)];
/// In namespaces that end with the shell, and all processes in them.
const UNSHARE: [&str; 5] = ["unshare", "-rnmp", "--fork", "--kill-child", "--mount-proc"];
const EXAMPLE: &str = "cargo run --release --example own_app -- ";

/// The directory with the documents and the examples.
fn clone() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// The blocks of commands in a document. Other blocks (pseudocode, tables, code between fences) begin with another
/// word.
fn blocks(text: &str) -> Vec<Vec<String>> {
    let mut blocks: Vec<Vec<String>> = Vec::new();
    let mut is_fenced = false;
    let mut is_new = true;
    for line in text.lines() {
        let mut is_command = false;
        if line.starts_with("```") {
            is_fenced = !is_fenced;
        } else if let Some(command) = line.strip_prefix("    ").filter(|_| !is_fenced) {
            let word = command.split(' ').next().unwrap_or_default();
            is_command = COMMANDS.contains(&word) || (!is_new && !command.trim().is_empty());
            if is_command {
                assert!(COMMANDS.contains(&word), "{word:?} is not a command that this test knows: {command}");
                if std::mem::take(&mut is_new) {
                    blocks.push(Vec::new());
                }
                blocks.last_mut().expect("it was just begun").push(command.trim_end().to_string());
            }
        }
        // An empty line does not end a block.
        is_new = !is_command && (is_new || !line.is_empty());
    }
    blocks
}

fn documents() -> Vec<(String, Vec<Vec<String>>)> {
    let mut paths = vec![clone().join("README.md")];
    paths.extend(fs::read_dir(clone().join("docs")).expect("docs").map(|entry| entry.expect("an entry").path()));
    paths.retain(|path| path.extension().is_some_and(|suffix| suffix == "md"));
    paths.sort();
    let name = |path: &Path| path.file_name().expect("a name").to_string_lossy().into_owned();
    paths.iter().map(|path| (name(path), blocks(&fs::read_to_string(path).expect("a document")))).collect()
}

#[test]
fn every_exception_is_used() {
    let documents = documents();
    let all: Vec<&String> = documents.iter().flat_map(|(_, blocks)| blocks.iter().flatten()).collect();
    assert!(all.len() > 30, "the documents were parsed wrongly: {all:#?}");
    for start in NOT_RUN.iter().map(|(start, _)| *start).chain(FAILS.iter().map(|(start, _)| *start)).chain([EXAMPLE]) {
        assert!(all.iter().any(|command| command.starts_with(start)), "no command begins with {start:?}: {all:#?}");
    }
    // The command line that the project was specified with.
    assert!(all.iter().any(|command| *command == "tine run docs.app:app 8080 --workers 16"), "{all:#?}");
}

/// Runs the commands of a document as a shell does.
const SHELL: &str = r#"
# tine ctl must find this server, and not that of a service.
ip link set lo up && mount -t tmpfs none /run || exit 9
failed=0
fail() { echo "FAILED: $1"; cat "$HERE/out" "$HERE/err" 2> /dev/null; failed=1; }
# Starts a server, and waits until it reports that it serves.
start() {
  : > "$HERE/out"  # output of the previous command must not count for this one
  ( eval "exec $1" ) > "$HERE/out" 2> "$HERE/err" < /dev/null &
  server=$!
  for i in $(seq 1200); do
    grep -q '^Stop: ' "$HERE/out" && return 0
    kill -0 $server 2> /dev/null || return 1
    sleep 0.05
  done
  return 1
}
stop() { kill -TERM $server && wait $server; }
serves() { echo "serves: $1"; start "$1" && stop || fail "$1"; }
asks() {
  echo "asks: $1"
  if [ -z "$asked" ]; then start "tine run" || fail "tine run"; asked=$server; fi
  eval "$1" > "$HERE/said" 2>&1 < /dev/null; status=$?
  [ $status = $2 ] || { cat "$HERE/said"; fail "$1 (status $status)"; }
}
does() { echo "does: $1"; eval "$1" > "$HERE/out" 2> "$HERE/err" < /dev/null || fail "$1"; }
enters() { eval "$1" || fail "$1"; }
asked=
"#;

#[test]
fn they_run_as_typed() {
    let may = Command::new("timeout").arg("60").args(UNSHARE).args(["mount", "-t", "tmpfs", "none", "/run"]).output();
    if !may.as_ref().is_ok_and(|output| output.status.success()) {
        eprintln!("not run: namespaces with their own /run cannot be made here: {may:?}");
        return;
    }
    let folder = scratch_folder();
    let copy = folder.join("clone");
    fs::create_dir_all(folder.join("bin")).expect("a folder");
    fs::create_dir_all(&copy).expect("a folder");
    for name in ["README.md", "docs", "examples"] {
        let copied = Command::new("cp").arg("-r").arg(clone().join(name)).arg(&copy).status().expect("cp");
        assert!(copied.success(), "{name}");
    }
    symlink(TINE, folder.join("bin/tine")).expect("a link");
    let own_app = format!("env {} ", apps::words("own_app"));
    let mut missing = BTreeSet::new();
    for (document, blocks) in documents() {
        // One shell for each document: a `cd` holds for the commands after it.
        let mut script = SHELL.to_string();
        for command in blocks.iter().flatten() {
            let bare = command.split(" #").next().unwrap_or_default().trim();
            let quoted = format!("'{}'", command.replace('\'', r"'\''"));
            let first = bare.split(' ').next().unwrap_or_default();
            if NOT_RUN
                .iter()
                .any(|(start, _)| bare.starts_with(start.trim_end()) && command.starts_with(start.trim_end()))
            {
                continue;
            }
            let status = FAILS.iter().find(|(start, _)| bare == *start).map_or(0, |(_, status)| *status);
            let is_asking = ["curl", "nghttp", "h2load", "hey"].contains(&first) || bare.starts_with("tine ctl");
            if first == "hey" && Command::new("hey").output().is_err() {
                missing.insert("hey");
                continue;
            }
            let verb = match first {
                "cd" => "enters",
                _ if is_asking => "asks",
                "tine" if bare.starts_with("tine run") && !bare.ends_with("--help") => "serves",
                _ if bare.starts_with(EXAMPLE) => "serves",
                _ => "does",
            };
            // Only one server at a time can have the port.
            if verb == "serves" || verb == "does" {
                script.push_str("[ -n \"$asked\" ] && { stop || fail 'the server'; asked=; }\n");
            }
            let quoted = quoted.replace(EXAMPLE, &own_app);
            writeln!(script, "{verb} {quoted} {status}").expect("a string takes it");
        }
        script.push_str("[ -n \"$asked\" ] && { stop || fail 'the server'; }\nexit $failed\n");
        let path = folder.join(format!("{document}.sh"));
        fs::write(&path, script).expect("a script");
        let found = std::env::var("PATH").unwrap_or_default();
        let output = Command::new("timeout")
            .args(["--kill-after=5", "300"])
            .args(UNSHARE)
            .arg("bash")
            .arg(&path)
            .current_dir(&copy)
            .env("HERE", &folder)
            .env("XDG_RUNTIME_DIR", &folder)
            .env("PATH", format!("{}:{found}", folder.join("bin").display()))
            .env_remove("RUNTIME_DIRECTORY")
            .output()
            .expect("a shell");
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(
            output.status.success(),
            "{document}: {:?}\n{said}{}",
            output.status,
            String::from_utf8_lossy(&output.stderr)
        );
    }
    assert!(missing.is_empty(), "not installed: {missing:?}");
    fs::remove_dir_all(&folder).expect("the folder is ours");
}
