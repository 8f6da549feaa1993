//! When fork fails, the log has one line for each round of attempts: how many workers are missing, why, and when the
//! next round begins. Once fork succeeds again, all workers are started.

use crate::support::{Server, Trace, eventually, send_signal};
use nix::sys::signal::Signal;

const WORKERS: usize = 24;
const WORDS: &str = "cannot be started: fork: EAGAIN";

fn lines(server: &Server) -> Vec<String> {
    server.log().lines().filter(|line| line.contains("cannot be started")).map(str::to_string).collect()
}

#[test]
fn forks_that_fail_are_one_line_a_round() {
    let server = Server::start(&["--workers", "2"]);
    let before = server.workers();
    let Some(trace) = Trace::inject(server.pid(), &["/^(clone|clone3|fork|vfork)$:error=EAGAIN"]) else { return };
    let output = server.ctl(&["scale", &WORKERS.to_string()]);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains(&format!("22 workers {WORDS}")), "{said}");
    server.wait_log(&format!("22 workers {WORDS}"));
    // A worker that dies meanwhile waits with the others.
    send_signal(before[0], Signal::SIGKILL);
    server.wait_log(&format!("23 workers {WORDS}"));
    let seen = lines(&server).len();
    eventually("two more rounds", || (lines(&server).len() >= seen + 2).then_some(()));
    assert_eq!(server.get("/health").status, 200);
    let rounds = trace.end().lines().filter(|call| call.contains("INJECTED")).count();
    let said = lines(&server);
    assert!(said.len() <= rounds, "{rounds} rounds: {said:#?}");
    // Fewer forks were tried than there are workers: one a round, and one for the death.
    assert!(rounds <= said.len() + 1, "{rounds} forks: {said:#?}");
    for line in &said {
        assert!(line.contains(" ERROR master[") && line.contains("; trying again in "), "{line}");
        assert!(line.contains("] 22 workers ") || line.contains("] 23 workers "), "{line}");
    }
    eventually("all are there", || (server.workers().len() == WORKERS).then_some(()));
    assert_eq!(server.ctl(&["scale", &WORKERS.to_string()]).status.code(), Some(0));
    assert!(server.workers().contains(&before[1]), "the other worker was not affected");
}

/// A server that cannot start all of its workers serves with those that it has.
#[test]
fn a_start_with_too_few_processes_serves_with_fewer_workers() {
    let mut command = std::process::Command::new("strace");
    // The forks of the workers, in the master alone: the first succeeds. -D: strace is not its parent.
    command.args(["-D", "-o", "/dev/null", "-e", "trace=clone,clone3,fork"]);
    command.args(["-e", "inject=clone,clone3,fork:error=EAGAIN:when=2..3", crate::support::TINE]);
    command.args(["run", "0", "--workers", "24"]);
    if std::process::Command::new("strace").arg("-V").output().is_err() {
        println!("skipped: strace is not installed");
        return;
    }
    let server = Server::start_command(&mut command);
    assert_eq!(server.get("/health").status, 200);
    let said = lines(&server);
    assert!((1..=2).contains(&said.len()), "{said:#?}");
    assert!(said.iter().all(|line| line.contains(&format!("] 23 workers {WORDS}"))), "{said:#?}");
    eventually("all are there", || (server.workers().len() == 24).then_some(()));
}
