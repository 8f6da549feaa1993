//! Python client programs: those in tests/clients, run to their end by the Python that `scripts/test` prepared.

use super::within_patience;
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;

/// Runs tests/clients/`program` and returns its output. It is killed with everything that it started; the test fails,
/// and shows the output, when it does not succeed.
#[track_caller]
pub fn run_python(program: &str, arguments: &[&str]) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clients").join(program);
    // `timeout` leads a group of its own, to which its program and that program's children belong.
    let mut command = within_patience(python());
    command.arg("-B").arg(path).args(arguments);
    // The user's environment must not change what is tested.
    command.env_remove("PYTHONPATH").env("NO_PROXY", "127.0.0.1");
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).process_group(0);
    let child = command.spawn().expect("timeout starts");
    let group = Pid::from_raw(child.id() as i32);
    let output = child.wait_with_output().expect("the program ends");
    // Usually no process is left.
    let _ = killpg(group, Signal::SIGKILL);
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let (said, errors) = (text(&output.stdout), text(&output.stderr));
    assert!(output.status.success(), "{program} {arguments:?} ended with {}:\n{said}{errors}", output.status);
    said
}

/// Runs grpcurl, which a package of PyPI brings, to its end: what it said and its errors.
#[track_caller]
pub fn grpcurl(arguments: &[&str]) -> (String, String) {
    let program = python().with_file_name("grpcurl");
    let output = within_patience(program).args(arguments).stdin(Stdio::null()).output();
    let output = output.unwrap_or_else(|e| panic!("grpcurl cannot be run ({e}); scripts/test installs it"));
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (text(&output.stdout), text(&output.stderr))
}

/// The Python of the virtual environment with the client libraries.
#[track_caller]
fn python() -> PathBuf {
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).with_file_name("python").join("bin/python");
    assert!(path.exists(), "the Python clients are not installed in {}; scripts/test does that", path.display());
    path
}
