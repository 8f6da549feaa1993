//! The tools of the benchmarks are in the repository: the floor server and its load generator are built by the
//! repository's own script, and nothing in scripts, docs or the journal refers to a place outside of it.

use crate::support::{Server, scratch_folder};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/..");

fn output(command: &mut Command) -> String {
    let output = command.stdin(Stdio::null()).output().expect("the command runs");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(output.status.success(), "{command:?}: {}", text(&output.stderr));
    text(&output.stdout)
}

#[test]
fn the_load_generator_is_built_and_gets_answers() {
    let folder = scratch_folder();
    output(
        Command::new(format!("{ROOT}/scripts/floor/peers.sh")).args(["build", "limit", "fire"]).env("PEERS", &folder),
    );
    assert!(folder.join("limit").is_file());
    let server = Server::start(&["--workers", "1"]);
    let url = format!("http://{}/health", server.address());
    let said = output(Command::new(folder.join("fire")).args(["-c", "2", "-t", "1", &url]));
    let value = |name: &str| said.split_whitespace().skip_while(|word| *word != name).nth(1).map(str::to_string);
    assert!(value("responses").is_some_and(|count| count != "0"), "{said}");
    assert_eq!(value("errors").as_deref(), Some("0"), "{said}");
    fs::remove_dir_all(folder).expect("the folder is removed");
}

#[test]
fn nothing_refers_to_a_place_outside() {
    let mut files = vec![PathBuf::from(ROOT).join("benchmarks.md"), PathBuf::from(ROOT).join("README.md")];
    for folder in ["scripts", "docs", "deploy", "examples"] {
        files_below(&Path::new(ROOT).join(folder), &mut files);
    }
    assert!(files.len() > 40, "scripts and docs were found: {files:?}");
    for file in files {
        // Not every file is text.
        let text = String::from_utf8_lossy(&fs::read(&file).expect("a file")).into_owned();
        assert!(!text.contains("../shared"), "{} refers to ../shared", file.display());
    }
}

fn files_below(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).expect("a folder").flatten() {
        match entry.path() {
            path if path.is_dir() => files_below(&path, files),
            path => files.push(path),
        }
    }
}
