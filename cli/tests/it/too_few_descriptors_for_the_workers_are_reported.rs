//! More workers than the limit of open files allows: one line, status 1, no process started.

use crate::support::{TINE, one_line_of};
use std::process::{Command, Stdio};

#[test]
fn too_few_descriptors_for_the_workers_are_reported() {
    for mode in ["shared", "per-worker"] {
        let mut command = Command::new("sh");
        command.args(["-c", "ulimit -n 64 && exec timeout 30 \"$0\" run 0 --workers 100 --accept \"$1\"", TINE, mode]);
        let output = command.env("TINE_LOG", "error").stdin(Stdio::null()).output().expect("sh runs");
        let line = one_line_of(&output);
        assert_eq!(output.status.code(), Some(1), "{line}");
        assert!(line.contains("100 workers need") && line.contains("the limit is 64"), "{line}");
        assert!(output.stdout.is_empty());
    }
}
