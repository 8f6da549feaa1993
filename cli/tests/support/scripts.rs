//! Programs of scripts/ that run a server themselves, in their short form.

use super::{TINE, patience, scratch_folder};
use std::fs;
use std::process::{Command, Stdio};

/// Runs scripts/`name` with the binary under test, and returns what it printed. The test fails if the script does, or if
/// it takes much longer than `seconds`. It draws its picture into a folder that is removed.
#[track_caller]
pub fn run_script(name: &str, seconds: u64, arguments: &[&str]) -> String {
    let folder = scratch_folder();
    let time_limit = (seconds + 3 * patience().as_secs()).to_string();
    let output = Command::new("timeout")
        .args(["--kill-after=5", &time_limit])
        .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/../scripts/").to_owned() + name)
        .args(arguments)
        .args(["--binary", TINE, "--svg"])
        .arg(folder.join("picture.svg"))
        .stdin(Stdio::null())
        .output()
        .expect("timeout starts");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let (said, errors) = (text(&output.stdout), text(&output.stderr));
    assert!(output.status.success(), "scripts/{name} ended with {}:\n{said}{errors}", output.status);
    let picture = fs::read_to_string(folder.join("picture.svg")).expect("a picture");
    assert!(picture.contains("<svg"), "{picture}");
    fs::remove_dir_all(folder).expect("the folder is removed");
    said
}
