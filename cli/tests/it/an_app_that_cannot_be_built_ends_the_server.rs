//! If no worker can build its app, the server exits with status 1 and logs the cause in one line.

use crate::apps;
use crate::support::Server;

fn ends_with_the_cause(boot: &str, workers: &str) -> String {
    let mut command = apps::app("faults");
    command.args(["run", "0", "--workers", workers]).env("FAULTS_BOOT", boot);
    let mut server = Server::spawn(&mut command);
    assert_eq!(server.wait_exit().code(), Some(1));
    assert_eq!(server.stdout(), "", "it never reported that it serves");
    let log = server.log();
    let lines: Vec<&str> = log.lines().filter(|line| line.contains("no worker became ready")).collect();
    assert_eq!(lines.len(), 1, "{log}");
    lines[0].to_string()
}

#[test]
fn an_error_is_quoted() {
    for workers in ["1", "4"] {
        let line = ends_with_the_cause("error", workers);
        assert!(line.contains("the app could not be built: the database is down"), "{line}");
    }
}

#[test]
fn a_panic_shows_in_the_exit_status() {
    let line = ends_with_the_cause("panic", "2");
    assert!(line.contains("exited with status 101"), "{line}");
}
